/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The first bytes of a stranger: the two walkers give one verdict however the bytes are cut, a verdict stays, and a hello
 * of ours is whole for the engine, too. */
#include "wire/hello.h"
#include "fuzz.h"
#include "wire/first.h"

struct verdict {
	enum fl_hello_verdict hello;
	bool whole;
	size_t decided; /* bytes after which there was a verdict of the first walker; SIZE_MAX: none */
};

static struct verdict walk(struct fl_span in, uint32_t state, size_t most)
{
	struct verdict ret = {.decided = SIZE_MAX};
	struct fl_first first = {0};
	struct fl_hello hello;
	size_t done = 0;

	fl_hello_init(&hello);
	while (in.len > 0) {
		struct fl_span piece = fuzz_piece(&in, &state, most);
		uint8_t *copy = fuzz_copy(piece);
		enum fl_hello_verdict before = ret.hello;
		bool was_whole = ret.whole;

		ret.hello = fl_hello_feed(&hello, copy, piece.len);
		ret.whole = fl_first_feed(&first, copy, piece.len);
		done += piece.len;
		FL_REQUIRE(before == FL_HELLO_NEED_MORE || before == ret.hello);
		FL_REQUIRE(ret.whole || !was_whole);
		if (ret.hello != FL_HELLO_NEED_MORE && ret.decided == SIZE_MAX) {
			ret.decided = done;
			FL_REQUIRE(ret.hello != FL_HELLO_TLS_OURS || ret.whole);
		}
		free(copy);
	}
	FL_REQUIRE(hello.seen <= FL_HELLO_MAX);
	return ret;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct fl_span in = {data, len};
	uint8_t seed = fuzz_u8(&in);
	struct verdict single = walk(in, 1, 1);
	struct verdict pieces = walk(in, seed, 1 + seed % 64u);
	struct verdict all = walk(in, 1, SIZE_MAX / 2);

	FL_REQUIRE(single.hello == pieces.hello && single.whole == pieces.whole);
	FL_REQUIRE(single.hello == all.hello && single.whole == all.whole);
	FL_REQUIRE((single.decided == SIZE_MAX) == (pieces.decided == SIZE_MAX));
	FL_REQUIRE(single.decided <= pieces.decided);
	return 0;
}
