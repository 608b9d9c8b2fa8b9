/* SPDX-License-Identifier: GPL-3.0-or-later */
/* How many of [limits] connections a peer may have: however many one peer has, the next one still gets some. */
#include <criterion/criterion.h>

#include <stdio.h>

#include "base/mem.h"
#include "conn/quota.h"

static const struct fl_inet nowhere;

/* The number that a peer gets when it wants all. They stay open. */
static unsigned take_all(struct fl_quota *quota, const char *id, struct fl_quota_peer **ret)
{
	unsigned taken = 0;

	while (fl_quota_take_inbound(quota, id, &nowhere, ret) == FL_QUOTA_TAKEN) {
		taken++;
	}
	return taken;
}

static unsigned take_all_outbound(struct fl_quota *quota)
{
	unsigned taken = 0;

	while (fl_quota_take_outbound(quota) == FL_QUOTA_TAKEN) {
		taken++;
	}
	return taken;
}

static void give_back(struct fl_quota *quota, struct fl_quota_peer *peer, unsigned count)
{
	while (count-- > 0) {
		fl_quota_give_back(quota, FL_INBOUND, peer);
	}
}

Test(quota, the_example_of_the_manual)
{
	struct fl_quota_peer *a = NULL, *b = NULL, *c = NULL;
	struct fl_quota quota;
	unsigned has_a, has_b, has_c;

	fl_quota_init(&quota, 1);
	quota.max = 20000;
	has_a = take_all(&quota, "spiffe://d/a", &a);
	has_b = take_all(&quota, "spiffe://d/b", &b);
	has_c = take_all(&quota, "spiffe://d/c", &c);
	cr_expect_eq(has_a, 13399, "%u", has_a);
	cr_expect_eq(has_b, 1675, "%u", has_b);
	cr_expect_eq(has_c, 210, "%u", has_c);
	cr_expect_eq(take_all_outbound(&quota), 20000 - 13399 - 1675 - 210);
	give_back(&quota, a, has_a);
	give_back(&quota, b, has_b);
	give_back(&quota, c, has_c);
	while (quota.open[FL_OUTBOUND] > 0) {
		fl_quota_give_back(&quota, FL_OUTBOUND, NULL);
	}
	fl_quota_done(&quota);
}

/* Greedy peers first, then peers that want one each: these get the reserve, and the reserve of the other direction
 * stays. */
Test(quota, newcomers_and_the_other_direction_find_room)
{
	static const unsigned maxima[] = {16, 50, 100, 1000, 20000};

	for (size_t i = 0; i < FL_COUNT_OF(maxima); i++) {
		enum { GREEDY = 20 };
		struct fl_quota_peer *peers[GREEDY], *last = NULL;
		unsigned taken[GREEDY], few = maxima[i] / 256 > 0 ? maxima[i] / 256 : 1;
		unsigned kept = maxima[i] / 8;
		struct fl_quota quota;
		char id[32];

		fl_quota_init(&quota, 9);
		quota.max = maxima[i];
		for (unsigned k = 0; k < GREEDY; k++) {
			(void)snprintf(id, sizeof(id), "spiffe://d/%u", k);
			taken[k] = k * few < (maxima[i] - kept) / 8
					   ? take_all(&quota, id, &peers[k])
					   : 0;
			cr_expect(k * few >= (maxima[i] - kept) / 8 || taken[k] >= few, "%u of %u",
				  k, maxima[i]);
		}
		cr_expect_geq(taken[0] * 2, maxima[i], "one that is alone has most: %u", taken[0]);
		cr_expect_geq(take_all_outbound(&quota), kept);
		(void)last;
		for (unsigned k = 0; k < GREEDY; k++) {
			give_back(&quota, taken[k] > 0 ? peers[k] : NULL, taken[k]);
		}
		while (quota.open[FL_OUTBOUND] > 0) {
			fl_quota_give_back(&quota, FL_OUTBOUND, NULL);
		}
		fl_quota_done(&quota);
	}
}

Test(quota, outbound_leaves_inbound_its_part)
{
	struct fl_quota_peer *peer = NULL;
	struct fl_quota quota;
	unsigned taken;

	fl_quota_init(&quota, 1);
	quota.max = 800;
	cr_expect_eq(take_all_outbound(&quota), 700);
	cr_expect_not(fl_quota_has_room(&quota, FL_OUTBOUND));
	cr_expect(fl_quota_has_room(&quota, FL_INBOUND));
	taken = take_all(&quota, "spiffe://d/a", &peer);
	cr_expect_geq(taken, 60, "%u", taken);
	give_back(&quota, peer, taken);
	for (unsigned i = 0; i < 700; i++) {
		fl_quota_give_back(&quota, FL_OUTBOUND, NULL);
	}
	fl_quota_done(&quota);
}

/* Plaintext from any number of networks leaves the reserve to peers with an identity. */
Test(quota, plaintext_does_not_take_the_reserve)
{
	enum { MAX = 800 };
	static struct fl_quota_peer *peers[MAX];
	struct fl_quota_peer *good = NULL;
	struct fl_quota quota;
	unsigned count = 0;

	fl_quota_init(&quota, 1);
	quota.max = MAX;
	for (; count < MAX; count++) {
		struct fl_inet net = {.ip = {(uint8_t)(count >> 8), (uint8_t)count},
				      .family = AF_INET};

		if (fl_quota_take_inbound(&quota, NULL, &net, &peers[count]) != FL_QUOTA_TAKEN) {
			break;
		}
	}
	cr_expect_eq(count, 700 - 87);
	cr_expect_eq(fl_quota_take_inbound(&quota, "spiffe://d/a", &nowhere, &good),
		     FL_QUOTA_TAKEN);
	fl_quota_give_back(&quota, FL_INBOUND, good);
	while (count-- > 0) {
		fl_quota_give_back(&quota, FL_INBOUND, peers[count]);
	}
	fl_quota_done(&quota);
}

Test(quota, the_smallest_limits_serve_somebody)
{
	for (unsigned max = 1; max < 16; max++) {
		struct fl_quota_peer *peer = NULL;
		struct fl_quota quota;
		unsigned taken;

		fl_quota_init(&quota, 1);
		quota.max = max;
		taken = take_all(&quota, "spiffe://d/a", &peer);
		cr_expect_geq(taken, 1, "of %u", max);
		give_back(&quota, peer, taken);
		fl_quota_done(&quota);
	}
}
