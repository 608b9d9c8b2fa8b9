/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The PROXY protocol's header byte for byte, as proxy-protocol.txt section 2.2 has it; that others understand it is shown
 * by tests/system/test_proxy_protocol.py. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "base/addr.h"
#include "base/mem.h"
#include "wire/proxy_v2.h"

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define ID "spiffe://a.example/b"

static union fl_sockaddr address(const char *ip, uint16_t port)
{
	union fl_sockaddr sa = {0};

	if (inet_pton(AF_INET, ip, &sa.in.sin_addr) == 1) {
		sa.in.sin_family = AF_INET;
		sa.in.sin_port = htons(port);
	} else {
		sa.in6.sin6_family = AF_INET6;
		sa.in6.sin6_port = htons(port);
		cr_assert_eq(inet_pton(AF_INET6, ip, &sa.in6.sin6_addr), 1);
	}
	return sa;
}

static void check(const char *what, const uint8_t *got, size_t got_len, const void *want,
		  size_t want_len)
{
	cr_expect_eq(got_len, want_len, "%s: %zu bytes", what, got_len);
	cr_expect(got_len == want_len && memcmp(got, want, want_len) == 0, "%s", what);
}

#define CHECK(what, got, len, want) check(what, got, len, want, sizeof(want) - 1)

static const struct fl_proxy_v2_peer peer = {
	.id = ID, .version = "TLSv1.3", .cipher = "TLS_AES_128_GCM_SHA256"};

Test(proxy_v2, addresses)
{
	union fl_sockaddr a4 = address("10.1.2.3", 0x1234), b4 = address("10.4.5.6", 443);
	union fl_sockaddr m4 = address("::ffff:10.1.2.3", 0x1234);
	union fl_sockaddr a6 = address("fd00::1", 0x1234), b6 = address("fd00::2", 443);
	union fl_sockaddr un = {.un = {.sun_family = AF_UNIX}};
	static const char v4[] =
		SIGNATURE "\x21\x11\x00\x0c\x0a\x01\x02\x03\x0a\x04\x05\x06\x12\x34\x01\xbb";
	static const char v6[] = SIGNATURE "\x21\x21\x00\x24"
					   "\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01"
					   "\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x02"
					   "\x12\x34\x01\xbb";
	static const char local[] = SIGNATURE "\x20\x00\x00\x00";
	uint8_t out[FL_PROXY_V2_MAX];

	CHECK("IPv4", out, fl_proxy_v2_encode(&a4.any, &b4.any, NULL, out), v4);
	CHECK("IPv4 in IPv6", out, fl_proxy_v2_encode(&m4.any, &b4.any, NULL, out), v4);
	CHECK("IPv6", out, fl_proxy_v2_encode(&a6.any, &b6.any, NULL, out), v6);
	CHECK("no source", out, fl_proxy_v2_encode(NULL, &b4.any, NULL, out), local);
	CHECK("no destination", out, fl_proxy_v2_encode(&a4.any, NULL, NULL, out), local);
	CHECK("neither", out, fl_proxy_v2_encode(NULL, NULL, NULL, out), local);
	CHECK("one of each", out, fl_proxy_v2_encode(&a6.any, &b4.any, NULL, out), local);
	CHECK("Unix", out, fl_proxy_v2_encode(&un.any, &un.any, NULL, out), local);
}

Test(proxy_v2, peer)
{
	union fl_sockaddr a = address("10.1.2.3", 0x1234), b = address("10.4.5.6", 443);
	static const char want[] =
		SIGNATURE "\x21\x11\x00\x65\x0a\x01\x02\x03\x0a\x04\x05\x06\x12\x34\x01\xbb"
			  "\xd0\x00\x14" ID "\x02\x00\x14" ID "\x20\x00\x28\x07\0\0\0\0"
			  "\x21\x00\x07TLSv1.3"
			  "\x23\x00\x16TLS_AES_128_GCM_SHA256";
	static const char local[] =
		SIGNATURE "\x20\x00\x00\x59"
			  "\xd0\x00\x14" ID "\x02\x00\x14" ID "\x20\x00\x28\x07\0\0\0\0"
			  "\x21\x00\x07TLSv1.3"
			  "\x23\x00\x16TLS_AES_128_GCM_SHA256";
	struct fl_proxy_v2_peer back = peer;
	uint8_t out[FL_PROXY_V2_MAX];

	CHECK("a peer", out, fl_proxy_v2_encode(&a.any, &b.any, &peer, out), want);
	CHECK("without addresses", out, fl_proxy_v2_encode(NULL, NULL, &peer, out), local);

	(void)snprintf(back.unique, sizeof(back.unique), "0123456789abcdef");
	cr_assert_eq(fl_proxy_v2_encode(&a.any, &b.any, &back, out), sizeof(want) - 1 + 19);
	cr_expect_eq(memcmp(out + 28 + 46,
			    "\x05\x00\x10"
			    "0123456789abcdef",
			    19),
		     0, "unique");
	back.unique[0] = '\0';

	/* What it claims comes last. */
	(void)snprintf(back.claimed, sizeof(back.claimed), "[fd00::1]:4711");
	cr_assert_eq(fl_proxy_v2_encode(&a.any, &b.any, &back, out), sizeof(want) - 1 + 17);
	cr_expect_eq(memcmp(out + sizeof(want) - 1, "\xe0\x00\x0e[fd00::1]:4711", 17), 0,
		     "claimed");
	cr_expect_eq(out[14] << 8 | out[15], (int)sizeof(want) - 1 + 17 - 16);
	back.claimed[0] = '\0';

	/* A resumed session: the certificate was not shown on this connection. */
	back.resumed = true;
	cr_assert_eq(fl_proxy_v2_encode(&a.any, &b.any, &back, out), sizeof(want) - 1);
	cr_expect_eq(out[28 + 46 + 3], 0x05);
}

/* HAProxy refuses an authority of more than 255 bytes; the other TLV has them all. */
Test(proxy_v2, long_ids)
{
	union fl_sockaddr a = address("fd00::1", 1), b = address("fd00::2", 2);
	static const struct {
		size_t len;
		bool authority;
	} rows[] = {{255, true}, {256, false}, {FL_PROXY_V2_ID_MAX, false}};
	char id[FL_PROXY_V2_ID_MAX + 1];

	for (size_t i = 0; i < FL_COUNT_OF(rows); i++) {
		struct fl_proxy_v2_peer with = peer;
		uint8_t out[FL_PROXY_V2_MAX];
		size_t len, at = 16 + 36;

		memset(id, 'x', rows[i].len);
		id[rows[i].len] = '\0';
		with.id = id;
		len = fl_proxy_v2_encode(&a.any, &b.any, &with, out);
		cr_assert_leq(len, sizeof(out));
		cr_expect_eq(out[14] << 8 | out[15], (int)len - 16);
		cr_expect_eq(out[at], 0xd0);
		cr_expect_eq(out[at + 1] << 8 | out[at + 2], (int)rows[i].len);
		cr_expect_eq(memcmp(out + at + 3, id, rows[i].len), 0);
		at += 3 + rows[i].len;
		cr_expect_eq(out[at], rows[i].authority ? 0x02 : 0x20);
	}
}
