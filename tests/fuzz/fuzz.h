/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_TESTS_FUZZ_H
#define FL_TESTS_FUZZ_H
/* fuzz - what the fuzz targets share. Each target is one file with LLVMFuzzerTestOneInput(): libFuzzer calls it in
 * tests/fuzz/run, and replay.c in the unit suite. What must hold is said with FL_REQUIRE. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
/* Before the first input; a target may have none. */
int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));

/* A moment for certificates that lie in a corpus, so that none expires: 2027-06-01. */
#define FUZZ_NOW INT64_C(1811808000)

/* Takes one byte off the front; 0 at the end. */
static inline uint8_t fuzz_u8(struct fl_span *in)
{
	if (in->len == 0) {
		return 0;
	}
	in->len--;
	return *in->data++;
}

static inline uint16_t fuzz_u16(struct fl_span *in)
{
	unsigned high = fuzz_u8(in);

	return (uint16_t)(high << 8 | fuzz_u8(in));
}

/* Takes len bytes, or what is left of them. */
static inline struct fl_span fuzz_take(struct fl_span *in, size_t len)
{
	struct fl_span ret = {in->data, len < in->len ? len : in->len};

	in->data += ret.len;
	in->len -= ret.len;
	return ret;
}

/* A copy in memory of exactly its size, where AddressSanitizer sees each read beyond it; free() it. */
static inline uint8_t *fuzz_copy(struct fl_span from)
{
	uint8_t *copy = malloc(from.len > 0 ? from.len : 1);

	FL_REQUIRE(copy != NULL);
	if (from.len > 0) {
		memcpy(copy, from.data, from.len);
	}
	return copy;
}

/* The same with a NUL behind it. */
static inline char *fuzz_string(struct fl_span from)
{
	return fl_strndup((const char *)from.data, from.len);
}

/* Up to and without the next zero byte, which is taken, too. */
static inline struct fl_span fuzz_take_word(struct fl_span *in)
{
	const uint8_t *end = in->len > 0 ? memchr(in->data, 0, in->len) : NULL;
	struct fl_span word = fuzz_take(in, end != NULL ? (size_t)(end - in->data) : in->len);

	(void)fuzz_u8(in);
	return word;
}

/* The next of many pieces of irregular size, as a network might cut them. *state: any number but 0. */
static inline struct fl_span fuzz_piece(struct fl_span *in, uint32_t *state, size_t most)
{
	*state = *state * 1103515245u + 12345u;
	return fuzz_take(in, 1 + (*state >> 16) % most);
}

/* Reads each byte, so that a span that points anywhere else is noticed. */
static inline unsigned fuzz_touch(struct fl_span span)
{
	unsigned sum = 0;

	for (size_t i = 0; i < span.len; i++) {
		sum += span.data[i];
	}
	return sum;
}

#endif
