/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Which upstream a destination belongs to. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "policy/upstream_map.h"

enum { NOBODY = 9999, UNKNOWN = 5000 }; /* UNKNOWN + n: it may be n's */

static void add_kind(struct fl_upstream_map *map, const char *net, uint16_t first, uint16_t last,
		     uint32_t upstream, unsigned kind)
{
	struct fl_cidr cidr;
	struct fl_err err;

	cr_assert_eq(fl_cidr_parse(net, &cidr, &err), 0, "%s", err.text);
	fl_upstream_map_add(map, &cidr, (struct fl_port_range){first, last}, upstream, kind);
}

static void add(struct fl_upstream_map *map, const char *net, uint16_t first, uint16_t last,
		uint32_t upstream)
{
	add_kind(map, net, first, last, upstream, FL_MAP_ORDINARY);
}

static void add_name(struct fl_upstream_map *map, uint16_t first, uint16_t last, uint32_t upstream)
{
	fl_upstream_map_add_name(map, &(struct fl_upstream_name){.host = "x.test",
								 .ports = {first, last},
								 .upstream = upstream});
}

static struct fl_inet inet(const char *text)
{
	struct fl_addr addr;
	struct fl_err err;

	cr_assert_eq(fl_addr_parse(text, 0, &addr, &err), 0, "%s", err.text);
	return fl_inet_of(&addr.sa.any);
}

static uint32_t find(const struct fl_upstream_map *map, const char *text)
{
	struct fl_inet to = inet(text);
	uint32_t upstream = NOBODY;

	switch (fl_upstream_map_find(map, &to, &upstream)) {
	case FL_MATCH_NONE:
		return NOBODY;
	case FL_MATCH_FOUND:
		return upstream;
	case FL_MATCH_UNKNOWN:
		break;
	}
	return UNKNOWN + upstream;
}

Test(map, nothing_matches_an_empty_table)
{
	struct fl_upstream_map *map = fl_upstream_map_new();

	cr_expect_eq(find(map, "10.0.0.1:80"), NOBODY);
	cr_expect_eq(find(map, "[fd00::1]:80"), NOBODY);
	fl_upstream_map_unref(map);
}

Test(map, the_longest_prefix_wins_and_an_address_most_of_all)
{
	struct fl_upstream_map *map = fl_upstream_map_new();

	add(map, "10.0.0.0/8", 0, 65535, 1);
	add(map, "10.1.2.3", 0, 65535, 3);
	add(map, "10.1.0.0/16", 0, 65535, 2);
	add(map, "0.0.0.0/0", 0, 65535, 0);
	cr_expect_eq(find(map, "11.0.0.1:80"), 0);
	cr_expect_eq(find(map, "10.0.0.1:80"), 1);
	cr_expect_eq(find(map, "10.1.0.1:80"), 2);
	cr_expect_eq(find(map, "10.1.2.3:80"), 3);
	cr_expect_eq(find(map, "[fd00::1]:80"), NOBODY, "a network has one family");
	fl_upstream_map_unref(map);
}

Test(map, prefixes_end_between_bytes_too)
{
	struct fl_upstream_map *map = fl_upstream_map_new();

	add(map, "10.16.0.0/12", 80, 80, 1);
	add(map, "fd00:0:0:4000::/50", 80, 80, 2);
	cr_expect_eq(find(map, "10.16.0.0:80"), 1);
	cr_expect_eq(find(map, "10.31.255.255:80"), 1);
	cr_expect_eq(find(map, "10.32.0.0:80"), NOBODY);
	cr_expect_eq(find(map, "10.15.255.255:80"), NOBODY);
	cr_expect_eq(find(map, "[fd00::7fff:0:0:0:1]:80"), 2);
	cr_expect_eq(find(map, "[fd00::8000:0:0:0:1]:80"), NOBODY);
	fl_upstream_map_unref(map);
}

Test(map, ports_decide_within_a_network_the_narrowest_range_first)
{
	struct fl_upstream_map *map = fl_upstream_map_new();

	add(map, "10.0.0.0/8", 0, 65535, 1);
	add(map, "10.0.0.0/8", 9000, 9100, 2);
	add(map, "10.0.0.0/8", 9005, 9005, 3);
	add(map, "10.0.0.0/8", 9050, 9149, 4); /* one narrower than 2 */
	cr_expect_eq(find(map, "10.0.0.1:8999"), 1);
	cr_expect_eq(find(map, "10.0.0.1:9000"), 2);
	cr_expect_eq(find(map, "10.0.0.1:9005"), 3);
	cr_expect_eq(find(map, "10.0.0.1:9100"), 4);
	cr_expect_eq(find(map, "10.0.0.1:9150"), 1);
	fl_upstream_map_unref(map);
}

Test(map, a_port_that_the_address_has_not_is_the_networks)
{
	struct fl_upstream_map *map = fl_upstream_map_new();

	add(map, "10.0.0.1", 443, 443, 1);
	add(map, "10.0.0.0/24", 80, 80, 2);
	cr_expect_eq(find(map, "10.0.0.1:443"), 1);
	cr_expect_eq(find(map, "10.0.0.1:80"), 2);
	cr_expect_eq(find(map, "10.0.0.1:81"), NOBODY);
	fl_upstream_map_unref(map);
}

Test(map, ipv4_inside_ipv6_is_ipv4)
{
	struct fl_upstream_map *map = fl_upstream_map_new();

	add(map, "10.0.0.0/8", 80, 80, 1);
	add(map, "::ffff:11.0.0.0/104", 80, 80, 2);
	cr_expect_eq(find(map, "[::ffff:10.0.0.1]:80"), 1);
	cr_expect_eq(find(map, "11.0.0.1:80"), 2);
	fl_upstream_map_unref(map);
}

Test(map, of_equals_the_first)
{
	struct fl_upstream_map *map = fl_upstream_map_new();

	add(map, "10.0.0.1", 80, 80, 7);
	add(map, "10.0.0.1", 80, 80, 3);
	cr_expect_eq(find(map, "10.0.0.1:80"), 7);
	fl_upstream_map_unref(map);
}

Test(map, what_a_name_may_stand_for_is_nobodys_but_addresses_are)
{
	struct fl_upstream_map *map = fl_upstream_map_new();

	add(map, "0.0.0.0/0", 0, 65535, 1);
	add(map, "10.0.0.1", 0, 65535, 2);
	add_name(map, 8000, 9000, 3);
	add_name(map, 8443, 8443, 4);
	cr_expect_eq(find(map, "10.0.0.1:8443"), 2);
	cr_expect_eq(find(map, "10.0.0.2:8443"), UNKNOWN + 4);
	cr_expect_eq(find(map, "10.0.0.2:8444"), UNKNOWN + 3);
	cr_expect_eq(find(map, "10.0.0.2:80"), 1);
	cr_expect_eq(find(map, "[fd00::1]:8444"), UNKNOWN + 3);
	fl_upstream_map_unref(map);
}

/* An address of a plaintext name: an entry that claims it gets it, narrow or wide, added before or after. */
Test(map, a_loose_address_gives_way_to_claims)
{
	static const struct {
		const char *net;
		uint16_t first, last;
		bool takes_it;
	} cases[] = {
		{"10.0.0.1", 8080, 8080, true},   {"10.0.0.1", 0, 65535, true},
		{"10.0.0.0/8", 8080, 8080, true}, {"0.0.0.0/0", 8000, 9000, true},
		{"10.0.0.1", 8081, 8081, false},  {"10.0.0.2", 8080, 8080, false},
		{"::/0", 8080, 8080, false},
	};

	for (size_t i = 0; i < 2 * FL_COUNT_OF(cases); i++) {
		struct fl_upstream_map *map = fl_upstream_map_new();
		struct fl_inet to = inet("10.0.0.1:8080");
		bool claim_first = i % 2 == 0;

		if (claim_first) {
			add_kind(map, cases[i / 2].net, cases[i / 2].first, cases[i / 2].last, 2,
				 FL_MAP_CLAIMS);
		}
		add_kind(map, "10.0.0.1", 8080, 8080, 1, FL_MAP_LOOSE);
		if (!claim_first) {
			add_kind(map, cases[i / 2].net, cases[i / 2].first, cases[i / 2].last, 2,
				 FL_MAP_CLAIMS);
		}
		cr_expect_eq(find(map, "10.0.0.1:8080"), cases[i / 2].takes_it ? 2 : 1, "%zu", i);
		cr_expect_eq(fl_upstream_map_is_loose(map, &to), !cases[i / 2].takes_it);
		fl_upstream_map_unref(map);
	}
}

Test(map, a_claim_takes_its_ports_and_leaves_the_others)
{
	struct fl_upstream_map *map = fl_upstream_map_new();

	add_kind(map, "10.0.0.1", 0, 65535, 1, FL_MAP_LOOSE);
	add_kind(map, "10.0.0.0/24", 8443, 8443, 2, FL_MAP_CLAIMS);
	cr_expect_eq(find(map, "10.0.0.1:8443"), 2);
	cr_expect_eq(find(map, "10.0.0.1:8442"), 1);
	fl_upstream_map_unref(map);
}

/* A fixed listener's: nothing captured belongs to it, and no plaintext name has its address. */
Test(map, a_hidden_claim_is_never_found)
{
	struct fl_upstream_map *map = fl_upstream_map_new();

	add_kind(map, "10.0.0.1", 8080, 8080, 2, FL_MAP_CLAIMS | FL_MAP_HIDDEN);
	add_kind(map, "10.0.0.1", 8080, 8080, 1, FL_MAP_LOOSE);
	cr_expect_eq(find(map, "10.0.0.1:8080"), NOBODY);
	fl_upstream_map_unref(map);
}

Test(map, the_same_host_in_other_words_is_claimed_too)
{
	static const char *const spellings[] = {"10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::10.1.2.3"};
	struct fl_upstream_map *map = fl_upstream_map_new();
	uint32_t upstream = 0;

	add_kind(map, "10.0.0.0/8", 8080, 8080, 2, FL_MAP_CLAIMS);
	for (size_t i = 0; i < FL_COUNT_OF(spellings); i++) {
		struct fl_cidr cidr;
		struct fl_err err;

		cr_assert_eq(fl_cidr_parse(spellings[i], &cidr, &err), 0);
		cr_expect(fl_upstream_map_is_claimed(map, &cidr, (struct fl_port_range){8000, 8080},
						     &upstream),
			  "%s", spellings[i]);
		cr_expect_eq(upstream, 2);
		cr_expect_not(fl_upstream_map_is_claimed(map, &cidr,
							 (struct fl_port_range){8081, 9000}, NULL));
	}
	fl_upstream_map_unref(map);
}

Test(map, a_name_is_as_fresh_as_its_last_answer)
{
	struct fl_upstream_map *map = fl_upstream_map_new();

	add_name(map, 80, 80, 1);
	add_name(map, 1, 0, 2); /* a fixed listener's: it has no port */
	cr_expect_eq(fl_upstream_map_name_on(map, 80, 0), 0);
	cr_expect_eq(fl_upstream_map_name_on(map, 80, 1), FL_UPSTREAM_MAP_NO_NAME);
	cr_expect_eq(fl_upstream_map_name_on(map, 0, 0), FL_UPSTREAM_MAP_NO_NAME);
	cr_expect_eq(fl_upstream_map_name_of(map, 2, 0), 1);
	cr_expect_eq(fl_upstream_map_asked_ms(map, 0, AF_INET), 0);
	fl_upstream_map_confirm(map, 0, AF_INET, 7);
	cr_expect_eq(fl_upstream_map_asked_ms(map, 0, AF_INET), 7);
	cr_expect_eq(fl_upstream_map_asked_ms(map, 0, AF_INET6), 0);
	cr_expect_eq(fl_upstream_map_fresh_ms(map), 1000);
	for (unsigned i = 0; i < 500; i++) {
		add_name(map, 80, 80, 1);
	}
	cr_expect_eq(fl_upstream_map_fresh_ms(map), 5020, "a hundred questions a second");
	fl_upstream_map_unref(map);
}

Test(map, thousands_of_entries)
{
	struct fl_upstream_map *map = fl_upstream_map_new();
	char text[64];

	for (unsigned i = 0; i < 20000; i++) {
		(void)snprintf(text, sizeof(text), "10.%u.%u.%u", i % 7, i / 256, i % 256);
		add(map, text, 80, 80, i);
	}
	for (unsigned i = 0; i < 20000; i++) {
		(void)snprintf(text, sizeof(text), "10.%u.%u.%u:80", i % 7, i / 256, i % 256);
		cr_assert_eq(find(map, text), i);
	}
	cr_expect_eq(find(map, "10.8.0.0:80"), NOBODY);
	fl_upstream_map_unref(fl_upstream_map_ref(map));
	fl_upstream_map_unref(map);
}

/* --- addresses, packed --------------------------------------------------------------------------- */

Test(map, an_address_comes_back_as_it_was)
{
	static const char *const same[] = {"10.0.0.1:80", "[fd00::1]:443", "[::1]:1", "0.0.0.0:1"};

	for (size_t i = 0; i < FL_COUNT_OF(same); i++) {
		struct fl_inet packed = inet(same[i]);
		union fl_sockaddr sa = fl_inet_sockaddr(&packed);
		struct fl_inet again = fl_inet_of(&sa.any);
		char text[FL_ADDR_TEXT];

		cr_expect(fl_inet_equal(&packed, &again));
		cr_expect_str_eq(fl_inet_format(&packed, text), same[i]);
	}
}

Test(map, an_address_of_one_link_keeps_its_interface)
{
	struct sockaddr_in6 in6 = {
		.sin6_family = AF_INET6, .sin6_port = htons(80), .sin6_scope_id = 7};
	struct fl_inet packed;
	union fl_sockaddr sa;

	cr_assert_eq(inet_pton(AF_INET6, "fe80::1", &in6.sin6_addr), 1);
	packed = fl_inet_of((const struct sockaddr *)&in6);
	sa = fl_inet_sockaddr(&packed);
	cr_expect_eq(sa.in6.sin6_scope_id, 7);
	cr_assert_eq(inet_pton(AF_INET6, "fd00::1", &in6.sin6_addr), 1);
	cr_expect_eq(fl_inet_of((const struct sockaddr *)&in6).scope, 0);
}

Test(map, loopback_is_known)
{
	struct fl_inet yes[] = {inet("127.0.0.1:1"), inet("127.9.9.9:1"), inet("[::1]:1"),
				inet("[::ffff:127.0.0.1]:1")};
	struct fl_inet no[] = {inet("128.0.0.1:1"), inet("[fd00::1]:1")};

	for (size_t i = 0; i < FL_COUNT_OF(yes); i++) {
		cr_expect(fl_inet_is_loopback(&yes[i]));
	}
	for (size_t i = 0; i < FL_COUNT_OF(no); i++) {
		cr_expect(!fl_inet_is_loopback(&no[i]));
	}
}
