/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Classifies the first bytes of a connection. Each row is fed whole and byte by byte, with the same result. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/alpn.h"
#include "base/mem.h"
#include "wire/hello.h"

#define OURS "\x0a" FL_ALPN
#define FRAMED "\x0a" FL_ALPN_FRAMED
#define OTHERS "\x02h2\x08http/1.1"

struct bytes {
	uint8_t data[3 * FL_HELLO_MAX];
	size_t len;
};

/* --- building hellos -------------------------------------------------------------------------------- */

static void put(struct bytes *to, const void *data, size_t len)
{
	cr_assert_leq(to->len + len, sizeof(to->data));
	memcpy(to->data + to->len, data, len);
	to->len += len;
}

static void put_number(struct bytes *to, size_t value, size_t width)
{
	for (size_t i = width; i-- > 0;) {
		uint8_t byte = (uint8_t)(value >> (8 * i));

		put(to, &byte, 1);
	}
}

static void put_extension(struct bytes *to, unsigned type, const void *data, size_t len)
{
	put_number(to, type, 2);
	put_number(to, len, 2);
	put(to, data, len);
}

static void put_alpn(struct bytes *to, const char *names, size_t len)
{
	put_number(to, 16, 2);
	put_number(to, len + 2, 2);
	put_number(to, len, 2);
	put(to, names, len);
}

/* A key share of that many bytes precedes the ALPN extension, and another extension follows it. */
static struct bytes extensions(const char *names, size_t names_len, size_t share)
{
	struct bytes ret = {.len = 0};
	static const uint8_t filler[2 * FL_HELLO_MAX];

	put_extension(&ret, 43, "\x02\x03\x04", 3);
	put_extension(&ret, 51, filler, share);
	put_extension(&ret, 5, "", 0);
	if (names != NULL) {
		put_alpn(&ret, names, names_len);
	}
	put_extension(&ret, 45, "\x01\x01", 2);
	return ret;
}

/* The message, header included. */
static struct bytes message(const struct bytes *extensions, size_t session_id)
{
	struct bytes body = {.len = 0}, ret = {.len = 0};
	static const uint8_t filler[256];

	put_number(&body, 0x0303, 2);
	put(&body, filler, 32);
	put_number(&body, session_id, 1);
	put(&body, filler, session_id);
	put(&body, "\x00\x04\x13\x01\x13\x02", 6);
	put(&body, "\x01\x00", 2);
	if (extensions != NULL) {
		put_number(&body, extensions->len, 2);
		put(&body, extensions->data, extensions->len);
	}
	put_number(&ret, 1, 1);
	put_number(&ret, body.len, 3);
	put(&ret, body.data, body.len);
	return ret;
}

static struct bytes records(const struct bytes *message, size_t each)
{
	struct bytes ret = {.len = 0};

	for (size_t at = 0; at < message->len; at += each) {
		size_t n = message->len - at < each ? message->len - at : each;

		put_number(&ret, 0x160301, 3);
		put_number(&ret, n, 2);
		put(&ret, message->data + at, n);
	}
	return ret;
}

static struct bytes hello(const char *names, size_t names_len, size_t share)
{
	struct bytes all = extensions(names, names_len, share);
	struct bytes whole = message(&all, 32);

	return records(&whole, 16384);
}

/* --- asking ----------------------------------------------------------------------------------------- */

static enum fl_hello_verdict feed(const uint8_t *data, size_t len, size_t step)
{
	enum fl_hello_verdict verdict = FL_HELLO_NEED_MORE;
	struct fl_hello walker;

	fl_hello_init(&walker);
	for (size_t at = 0; at < len; at += step) {
		size_t n = len - at < step ? len - at : step;
		/* A separate allocation, so that AddressSanitizer detects a read of one byte too many. */
		uint8_t *copy = malloc(n);
		enum fl_hello_verdict before = verdict;

		memcpy(copy, data + at, n);
		verdict = fl_hello_feed(&walker, copy, n);
		free(copy);
		cr_assert(before == FL_HELLO_NEED_MORE || verdict == before, "a verdict stays");
	}
	return verdict;
}

static enum fl_hello_verdict verdict_of(const uint8_t *data, size_t len)
{
	enum fl_hello_verdict whole = feed(data, len, len);

	cr_assert_eq(feed(data, len, 1), whole);
	cr_assert_eq(feed(data, len, 7), whole);
	cr_assert_eq(feed(data, len, 1448), whole);
	return whole;
}

/* The number of bytes after which there is a verdict. */
static size_t decided_after(const struct bytes *bytes)
{
	struct fl_hello walker;

	fl_hello_init(&walker);
	for (size_t i = 0; i < bytes->len; i++) {
		if (fl_hello_feed(&walker, bytes->data + i, 1) != FL_HELLO_NEED_MORE) {
			return i + 1;
		}
	}
	return 0;
}

/* --- tests ------------------------------------------------------------------------------------------ */

Test(hello, ours_and_others)
{
	static const struct {
		const char *what, *names;
		size_t share;
		enum fl_hello_verdict verdict;
	} rows[] = {
		{"ours alone", OURS, 36, FL_HELLO_TLS_OURS},
		{"ours last", OTHERS OURS, 36, FL_HELLO_TLS_OURS},
		{"ours first", OURS OTHERS, 36, FL_HELLO_TLS_OURS},
		{"ours twice", OURS OURS, 36, FL_HELLO_TLS_OURS},
		{"a hybrid key share", OURS, 1216 + 36, FL_HELLO_TLS_OURS},
		{"very long", OURS, 15000, FL_HELLO_TLS_OURS},
		{"others", OTHERS, 36, FL_HELLO_TLS_OTHER},
		{"no ALPN", NULL, 1216, FL_HELLO_TLS_OTHER},
		{"a shorter name",
		 "\x09"
		 "fairlead/",
		 36, FL_HELLO_TLS_OTHER},
		{"a longer name",
		 "\x0b"
		 "fairlead/11",
		 36, FL_HELLO_TLS_OTHER},
		{"frames", FRAMED, 36, FL_HELLO_TLS_OURS},
		{"frames, or raw", FRAMED OURS, 36, FL_HELLO_TLS_OURS},
		{"frames, among others", OTHERS FRAMED OTHERS, 36, FL_HELLO_TLS_OURS},
		{"another version",
		 "\x0a"
		 "fairlead/3",
		 36, FL_HELLO_TLS_OTHER},
		{"another case",
		 "\x0a"
		 "Fairlead/1",
		 36, FL_HELLO_TLS_OTHER},
		{"ours inside of a name",
		 "\x0c"
		 "xfairlead/1x",
		 36, FL_HELLO_TLS_OTHER},
	};

	for (size_t i = 0; i < FL_COUNT_OF(rows); i++) {
		struct bytes bytes =
			hello(rows[i].names, rows[i].names != NULL ? strlen(rows[i].names) : 0,
			      rows[i].share);

		cr_expect_eq(verdict_of(bytes.data, bytes.len), rows[i].verdict, "%s",
			     rows[i].what);
		cr_expect_eq(decided_after(&bytes), bytes.len, "%s: not before the end",
			     rows[i].what);
	}
}

Test(hello, spans_records_of_any_size)
{
	struct bytes all = extensions(OURS, strlen(OURS), 1252);
	struct bytes whole = message(&all, 0);
	static const size_t sizes[] = {1, 2, 3, 4, 5, 100, 1000, 1369, 16384};

	for (size_t i = 0; i < FL_COUNT_OF(sizes); i++) {
		struct bytes bytes = records(&whole, sizes[i]);

		cr_expect_eq(verdict_of(bytes.data, bytes.len), FL_HELLO_TLS_OURS, "%zu", sizes[i]);
	}
}

Test(hello, what_follows_does_not_matter)
{
	struct bytes bytes = hello(OURS, strlen(OURS), 36);
	size_t len = bytes.len;

	put(&bytes, "GET / HTTP/1.0\r\n", 16);
	cr_assert_eq(verdict_of(bytes.data, bytes.len), FL_HELLO_TLS_OURS);
	cr_assert_eq(decided_after(&bytes), len);
}

/* Each prefix of a hello needs more bytes: neither a pause nor the end of a segment gives a verdict. */
Test(hello, never_before_the_bytes_are_there)
{
	struct bytes bytes = hello(OTHERS OURS, strlen(OTHERS OURS), 1252);

	for (size_t len = 1; len < bytes.len; len++) {
		cr_assert_eq(feed(bytes.data, len, len), FL_HELLO_NEED_MORE, "%zu", len);
	}
}

Test(hello, nothing_says_nothing)
{
	struct fl_hello walker;

	fl_hello_init(&walker);
	cr_assert_eq(fl_hello_feed(&walker, NULL, 0), FL_HELLO_NEED_MORE);
	cr_assert_eq(fl_hello_feed(&walker, (const uint8_t *)"\x16", 1), FL_HELLO_NEED_MORE);
	cr_assert_eq(fl_hello_feed(&walker, NULL, 0), FL_HELLO_NEED_MORE);
}

Test(hello, not_tls)
{
	static const struct {
		const char *what, *bytes;
		size_t len, decided;
	} rows[] = {
		{"HTTP", "GET / HTTP/1.1\r\n", 16, 1},
		{"HTTP/2", "PRI * HTTP/2.0\r\n", 16, 1},
		{"SSH", "SSH-2.0-x\r\n", 11, 1},
		{"PostgreSQL's SSLRequest", "\0\0\0\x08\x04\xd2\x16\x2f", 8, 1},
		{"SSL 2", "\x80\x2e\x01\x03\x01\0\x15\0\0\0\x10", 11, 1},
		{"an alert first", "\x15\x03\x03\0\x02\x02\x28", 7, 1},
		{"application data first", "\x17\x03\x03\0\x02\x02\x28", 7, 1},
		{"the first byte alone fits", "\x16GET", 4, 2},
		{"another major version", "\x16\x02\x01\0\x05", 5, 2},
		{"zeros", "\0\0\0\0", 4, 1},
		{"PROXY protocol", "\r\n\r\n\0\r\nQUIT\n", 12, 1},
	};

	for (size_t i = 0; i < FL_COUNT_OF(rows); i++) {
		struct bytes bytes = {.len = 0};

		put(&bytes, rows[i].bytes, rows[i].len);
		cr_expect_eq(verdict_of(bytes.data, bytes.len), FL_HELLO_NOT_TLS, "%s",
			     rows[i].what);
		cr_expect_eq(decided_after(&bytes), rows[i].decided, "%s", rows[i].what);
	}
}

/* One byte of a good hello of ours is changed; positions count from the first byte of the record. */
Test(hello, each_broken_length_is_seen)
{
	struct bytes good = hello(OTHERS OURS, strlen(OTHERS OURS), 36);
	size_t extensions_at = 5 + 4 + 2 + 32 + 1 + 32 + 6 + 2;
	size_t alpn_at = extensions_at + 2 + (4 + 3) + (4 + 36) + 4;
	const struct {
		const char *what;
		size_t at;
		int value;
	} rows[] = {
		{"a record of no bytes", 3, -1}, /* both bytes of the length */
		{"a record of more than there may be", 3, 0x40},
		{"another message", 5, 2},
		{"a message of 4 MiB", 6, 0x40},
		{"a message that is too short", 8, 60},
		{"a version of SSL 2", 9, 2},
		{"a session ID of 33 bytes", 43, 33},
		{"no ciphers", 77, 0},
		{"half a cipher", 77, 3},
		{"more ciphers than there are bytes", 76, 0x10},
		{"no compression method", 82, 0},
		{"more compression methods than bytes", 82, 0xff},
		{"extensions that end before the message", extensions_at + 1, 50},
		{"extensions that end after it", extensions_at, 1},
		{"an extension longer than the rest", extensions_at + 4, 1},
		{"an ALPN longer than the rest", alpn_at + 2, 1},
		{"an ALPN without a list", alpn_at + 3, 1},
		{"an ALPN with an empty list", alpn_at + 3, 2},
		{"a list shorter than the extension", alpn_at + 5, 5},
		{"a list longer than the extension", alpn_at + 4, 1},
		{"a name of no bytes", alpn_at + 6, 0},
		{"a name longer than the list", alpn_at + 6, 200},
	};

	cr_assert_eq(good.data[alpn_at + 1], 16);
	for (size_t i = 0; i < FL_COUNT_OF(rows); i++) {
		struct bytes bytes = good;

		bytes.data[rows[i].at] = (uint8_t)rows[i].value;
		if (rows[i].value < 0) {
			bytes.data[rows[i].at] = 0;
			bytes.data[rows[i].at + 1] = 0;
		}
		cr_expect_eq(verdict_of(bytes.data, bytes.len), FL_HELLO_TLS_OTHER, "%s",
			     rows[i].what);
	}
}

Test(hello, alpn_twice_is_not_ours)
{
	struct bytes all = {.len = 0}, whole, bytes;

	put_alpn(&all, OURS, strlen(OURS));
	put_extension(&all, 10, "\0\x02\0\x1d", 4);
	put_alpn(&all, OURS, strlen(OURS));
	whole = message(&all, 32);
	bytes = records(&whole, 16384);
	cr_assert_eq(verdict_of(bytes.data, bytes.len), FL_HELLO_TLS_OTHER);
}

Test(hello, without_extensions)
{
	struct bytes none = {.len = 0};
	struct bytes old = message(NULL, 0), empty = message(&none, 0);
	struct bytes bytes = records(&old, 16384);

	cr_assert_eq(verdict_of(bytes.data, bytes.len), FL_HELLO_TLS_OTHER);
	bytes = records(&empty, 16384);
	cr_assert_eq(verdict_of(bytes.data, bytes.len), FL_HELLO_TLS_OTHER);
}

Test(hello, something_between_two_records)
{
	struct bytes all = extensions(OURS, strlen(OURS), 1252);
	struct bytes whole = message(&all, 32);
	static const struct {
		const char *what;
		size_t at;
		uint8_t value;
	} rows[] = {{"an alert", 0, 21}, {"another version", 1, 2}, {"no length", 4, 0}};

	for (size_t i = 0; i < FL_COUNT_OF(rows); i++) {
		struct bytes bytes = records(&whole, 200);

		bytes.data[205 + rows[i].at] = rows[i].value;
		cr_expect_eq(verdict_of(bytes.data, bytes.len), FL_HELLO_TLS_OTHER, "%s",
			     rows[i].what);
		cr_expect_eq(decided_after(&bytes), 205 + rows[i].at + 1);
	}
}

/* FL_HELLO_MAX counts what is on the wire: many small records do not get around it. */
Test(hello, is_bounded)
{
	size_t around = hello(OURS, strlen(OURS), 0).len;
	struct bytes fits = hello(OURS, strlen(OURS), FL_HELLO_MAX - around);
	struct bytes all = extensions(OURS, strlen(OURS), FL_HELLO_MAX - around - 5 + 1);
	struct bytes whole = message(&all, 32);
	struct bytes bytes = records(&whole, 8192);

	cr_assert_eq(fits.len, FL_HELLO_MAX);
	cr_assert_eq(verdict_of(fits.data, fits.len), FL_HELLO_TLS_OURS);
	cr_assert_eq(bytes.len, FL_HELLO_MAX + 1);
	cr_assert_eq(verdict_of(bytes.data, bytes.len), FL_HELLO_TLS_OTHER);
	cr_assert_eq(decided_after(&bytes), FL_HELLO_MAX);

	all = extensions(OURS, strlen(OURS), 4000);
	whole = message(&all, 32);
	bytes = records(&whole, 1);
	cr_assert_eq(verdict_of(bytes.data, bytes.len), FL_HELLO_TLS_OTHER);
	cr_assert_eq(decided_after(&bytes), FL_HELLO_MAX);

	all = extensions(OURS, strlen(OURS), FL_HELLO_MAX);
	whole = message(&all, 32);
	bytes = records(&whole, 16384);
	cr_assert_eq(verdict_of(bytes.data, bytes.len), FL_HELLO_TLS_OTHER);
	cr_assert_eq(decided_after(&bytes), 9, "its length says enough");
}

/* Any single byte is replaced by any value: there is a verdict, the same one in pieces, and no read beyond the end. Only
 * changes in irrelevant fields leave the hello ours. */
Test(hello, any_byte_may_be_anything)
{
	struct bytes good = hello(OTHERS OURS, strlen(OTHERS OURS), 36);
	unsigned verdicts[4] = {0};

	for (size_t at = 0; at < good.len; at++) {
		for (unsigned value = 0; value < 256; value++) {
			struct fl_hello in_pieces;
			enum fl_hello_verdict whole, pieces = FL_HELLO_NEED_MORE;
			uint8_t *copy = malloc(good.len);

			memcpy(copy, good.data, good.len);
			copy[at] = (uint8_t)value;
			whole = feed(copy, good.len, good.len);
			fl_hello_init(&in_pieces);
			for (size_t i = 0; i < good.len; i++) {
				pieces = fl_hello_feed(&in_pieces, copy + i, 1);
			}
			cr_assert_eq(whole, pieces, "%zu, %u", at, value);
			verdicts[whole]++;
			free(copy);
		}
	}
	cr_expect_eq(verdicts[FL_HELLO_NEED_MORE], 0, "its length said when there was enough");
	cr_expect_gt(verdicts[FL_HELLO_NOT_TLS], 0);
	cr_expect_gt(verdicts[FL_HELLO_TLS_OTHER], 0);
	cr_expect_gt(verdicts[FL_HELLO_TLS_OURS], 0);
}

/* Reproducible noise, by itself and after a good beginning. */
Test(hello, noise)
{
	struct bytes good = hello(OURS, strlen(OURS), 36);
	uint64_t state = 42;

	for (unsigned round = 0; round < 20000; round++) {
		struct bytes bytes = {.len = 0};

		put(&bytes, good.data, round % (good.len + 1));
		for (unsigned i = 0; i < 200; i++) {
			state = state * 6364136223846793005u + 1442695040888963407u;
			put_number(&bytes, state >> 56, 1);
		}
		cr_assert_eq(feed(bytes.data, bytes.len, bytes.len),
			     feed(bytes.data, bytes.len, 3));
	}
}
