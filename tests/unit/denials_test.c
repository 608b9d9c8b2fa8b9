/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The connections that were refused last. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "count/denials.h"

static struct fl_inet address(const char *text)
{
	struct fl_addr addr;

	cr_assert_eq(fl_addr_parse(text, 0, &addr, NULL), 0);
	return fl_inet_of(&addr.sa.any);
}

static struct fl_denial by_policy(const char *peer, const char *rule)
{
	return (struct fl_denial){.direction = FL_INBOUND,
				  .reason = FL_REASON_POLICY,
				  .peer = (char *)(uintptr_t)peer,
				  .rule = (char *)(uintptr_t)rule,
				  .source = address("10.0.0.7:4711"),
				  .port = 8443};
}

static struct fl_denial stranger(const char *from)
{
	return (struct fl_denial){.direction = FL_INBOUND,
				  .reason = FL_REASON_NOT_TLS,
				  .source = address(from),
				  .port = 8443};
}

static bool note(struct fl_denials *denials, struct fl_denial key, int64_t now)
{
	bool is_new;

	cr_assert_not_null(fl_denials_note(denials, &key, now, (uint64_t)now, &is_new));
	return is_new;
}

Test(denials, what_is_alike_is_one_entry)
{
	struct fl_denials denials = {0};
	struct fl_denial other_port = by_policy("spiffe://td/a", "default");

	cr_expect(note(&denials, by_policy("spiffe://td/a", "default"), 100));
	cr_expect_not(note(&denials, by_policy("spiffe://td/a", "default"), 105));
	cr_expect(note(&denials, by_policy("spiffe://td/b", "default"), 106));
	cr_expect(note(&denials, by_policy("spiffe://td/a", "quarantine"), 107));
	other_port.port = 80;
	cr_expect(note(&denials, other_port, 108));
	cr_expect(note(&denials, stranger("10.0.0.1:1"), 109));
	cr_expect_not(note(&denials, stranger("10.0.0.2:2"), 110), "its network is the same");
	cr_expect(note(&denials, stranger("10.0.1.1:1"), 111));
	cr_assert_eq(denials.count, 6);
	cr_expect_eq(denials.items[0].first, 100);
	cr_expect_eq(denials.items[0].last, 105);
	cr_expect_eq(denials.items[0].count, 2);
	cr_expect_eq(denials.items[4].source.ip[3], 2, "the last address");
	fl_denials_sort(&denials);
	cr_expect_eq(denials.items[0].last, 111);
	cr_expect_eq(denials.items[5].last, 105);
	fl_denials_done(&denials);
	cr_expect_eq(denials.count, 0);
}

Test(denials, strangers_do_not_evict_peers)
{
	struct fl_denials denials = {0};
	size_t peers = 0;
	char text[32];

	cr_expect(note(&denials, by_policy("spiffe://td/a", "default"), 1));
	for (int i = 0; i < 1000; i++) {
		(void)snprintf(text, sizeof(text), "10.%d.%d.1:80", i / 250, i % 250);
		cr_expect(note(&denials, stranger(text), 2 + i));
	}
	cr_expect_eq(denials.count, FL_DENIALS_MAX + 1);
	cr_expect_not(note(&denials, by_policy("spiffe://td/a", "default"), 2000));
	for (int i = 0; i < 100; i++) {
		(void)snprintf(text, sizeof(text), "spiffe://td/%d", i);
		cr_expect(note(&denials, by_policy(text, "default"), 3000 + i));
	}
	for (size_t i = 0; i < denials.count; i++) {
		peers += denials.items[i].peer != NULL;
		cr_expect_neq(denials.items[i].last, 2000, "the oldest peer was evicted");
		cr_expect_geq(denials.items[i].last, 970, "the newest strangers are there");
	}
	cr_expect_eq(denials.count, 2 * (size_t)FL_DENIALS_MAX);
	cr_expect_eq(peers, FL_DENIALS_MAX);
	fl_denials_done(&denials);
}

/* The clock is set back an hour while the table fills up. */
Test(denials, least_recent_one_is_evicted_whatever_the_clock_says)
{
	struct fl_denials denials = {0}, all = {0};
	char text[32];
	bool is_new;

	for (int i = 0; i < 2 * (int)FL_DENIALS_MAX; i++) {
		struct fl_denial key;

		(void)snprintf(text, sizeof(text), "spiffe://td/%d", i);
		key = by_policy(text, "default");
		cr_assert_not_null(fl_denials_note(&denials, &key,
						   i < (int)FL_DENIALS_MAX ? 9000 + i : 5400 + i,
						   1000 + (uint64_t)i, &is_new));
	}
	fl_denials_add(&all, &denials);
	fl_denials_sort(&all);
	cr_assert_eq(all.count, FL_DENIALS_MAX);
	for (unsigned i = 0; i < FL_DENIALS_MAX; i++) {
		(void)snprintf(text, sizeof(text), "spiffe://td/%u", 2 * FL_DENIALS_MAX - 1 - i);
		cr_expect_str_eq(all.items[i].peer, text);
	}
	fl_denials_done(&denials);
	fl_denials_done(&all);
}

Test(denials, tables_of_all_workers_are_merged)
{
	struct fl_denials one = {0}, two = {0}, all = {0};
	struct fl_denial key = by_policy("spiffe://td/a", "default"), *item;
	bool is_new;

	item = fl_denials_note(&one, &key, 100, 100, &is_new);
	item->remedy = strdup("write a rule");
	key.source = address("10.0.0.9:1");
	(void)note(&two, key, 90);
	(void)note(&two, key, 200);
	(void)note(&two, by_policy("spiffe://td/b", "default"), 50);
	fl_denials_add(&all, &one);
	fl_denials_add(&all, &two);
	fl_denials_sort(&all);
	cr_assert_eq(all.count, 2);
	cr_expect_eq(all.items[0].count, 3);
	cr_expect_eq(all.items[0].first, 90);
	cr_expect_eq(all.items[0].last, 200);
	cr_expect_eq(all.items[0].source.ip[3], 9);
	cr_expect_str_eq(all.items[0].remedy, "write a rule");
	cr_expect_null(all.items[1].remedy);
	fl_denials_done(&one);
	fl_denials_done(&two);
	fl_denials_done(&all);
}
