/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Two ends of a session: any sequence of what they write, over an honest way or one that changes bytes. */
#include "fuzz.h"

#include "../lib/frame_pair.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct frame_pair pair;
	struct fl_span in = {data, len};
	bool is_honest = fuzz_u8(&in) & 1;

	frame_pair_init(&pair, is_honest);
	while (in.len > 0) {
		uint8_t what = fuzz_u8(&in);
		uint32_t random = (uint32_t)fuzz_u8(&in) << 24 | (uint32_t)fuzz_u16(&in) << 8 |
				  (uint32_t)fuzz_u8(&in);

		frame_pair_step(&pair, what, random);
	}
	frame_pair_settle(&pair);
	return 0;
}
