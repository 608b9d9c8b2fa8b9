/* SPDX-License-Identifier: GPL-3.0-or-later */
/* When a server has everything that it needs for its first answer: not a byte earlier, and not later. */
#include <criterion/criterion.h>

#include <string.h>

#include "wire/first.h"
#include "wire/hello.h"

/* Feeds it byte by byte, and returns after how many bytes it is whole; 0: never. */
static size_t whole_after(const uint8_t *data, size_t len)
{
	struct fl_first first = {0};

	for (size_t i = 0; i < len; i++) {
		if (fl_first_feed(&first, &data[i], 1)) {
			return i + 1;
		}
	}
	return 0;
}

/* A ClientHello with a body of body bytes, in records of at most size; returns its length. */
static size_t make_hello(uint8_t *out, size_t body, size_t size)
{
	static uint8_t message[70000];
	size_t len = 0, total = body + 4;

	message[0] = 1;
	message[1] = (uint8_t)(body >> 16);
	message[2] = (uint8_t)(body >> 8);
	message[3] = (uint8_t)body;

	for (size_t at = 0; at < total; at += size) {
		size_t part = total - at < size ? total - at : size;

		out[len++] = 22;
		out[len++] = 3;
		out[len++] = 1;
		out[len++] = (uint8_t)(part >> 8);
		out[len++] = (uint8_t)part;
		memcpy(out + len, message + at, part);
		len += part;
	}
	return len;
}

Test(first, a_hello_is_whole_with_its_last_byte)
{
	static const size_t bodies[] = {1, 2, 40, 508, 1700, 16000, 66000};
	static const size_t sizes[] = {1, 2, 3, 4, 5, 7, 100, 16384};
	static uint8_t data[66004 * 6 + 6];

	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		for (size_t k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
			size_t len = make_hello(data, bodies[i], sizes[k]);
			struct fl_first first = {0};

			cr_expect_eq(whole_after(data, len), len, "%zu in %zu", bodies[i],
				     sizes[k]);
			cr_expect_not(fl_first_feed(&first, data, len - 1));
			cr_expect(fl_first_feed(&first, data + len - 1, 1));
			cr_expect(fl_first_feed(&first, data, 1), "it stays so");
		}
	}
}

static void expect_whole(const char *what, const char *data, size_t len, size_t expected)
{
	cr_expect_eq(whole_after((const uint8_t *)data, len), expected, "%s", what);
}

Test(first, what_can_be_no_hello_is_whole_when_that_shows)
{
	expect_whole("HTTP", "GET / HTTP/1.1\r\n", 16, 5);
	expect_whole("SSL 2", "\x80\x2e\x01\x03\x01", 5, 5);
	expect_whole("a version of none", "\x16\x02\x01\x00\x04\x01", 6, 5);
	expect_whole("an empty record", "\x16\x03\x01\x00\x00\x01", 6, 5);
	expect_whole("too long a record", "\x16\x03\x01\x7f\xff\x01", 6, 5);
	expect_whole("an alert", "\x15\x03\x01\x00\x02\x02\x28", 7, 7);
	expect_whole("half an alert", "\x15\x03\x01\x00\x02\x02", 6, 0);
	expect_whole("application data", "\x17\x03\x03\x00\x01x", 6, 6);
	expect_whole("another message", "\x16\x03\x01\x00\x05\x02\x00\x00\x05x", 10, 10);
	expect_whole("an empty hello", "\x16\x03\x01\x00\x04\x01\x00\x00\x00", 9, 9);
	expect_whole("a hello of 16 MB", "\x16\x03\x01\x00\x04\x01\xff\xff\xff", 9, 9);
	expect_whole("an alert within a hello",
		     "\x16\x03\x01\x00\x05\x01\x00\x00\x09x\x15\x03\x01\x00\x02\x02\x28", 17, 17);
	expect_whole("nothing", "", 0, 0);
}
