/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Evictions when there are too many: always the oldest member of the largest network, never a member of another one. */
#include <criterion/criterion.h>

#include <stdio.h>

#include "base/mem.h"
#include "conn/crowd.h"

static struct fl_inet network(unsigned number)
{
	struct fl_inet inet = {.ip = {10, (uint8_t)(number >> 8), (uint8_t)number, 7},
			       .port = 99,
			       .family = AF_INET};

	return fl_inet_network(&inet);
}

static void join(struct fl_crowd *crowd, struct fl_crowd_member *member, unsigned number)
{
	struct fl_inet from = network(number);

	cr_assert(fl_crowd_join(crowd, member, &from));
}

Test(crowd, a_network_is_24_bits_or_64)
{
	struct fl_inet a = {.ip = {10, 1, 2, 3}, .port = 1, .family = AF_INET};
	struct fl_inet b = {.ip = {10, 1, 2, 250}, .port = 2, .family = AF_INET};
	struct fl_inet six = {.ip = {0xfd, [7] = 1, [8] = 9, [15] = 1}, .family = AF_INET6};
	struct sockaddr_in6 mapped = {.sin6_family = AF_INET6, .sin6_port = htons(5)};
	struct fl_inet of_a = fl_inet_network(&a), of_b = fl_inet_network(&b), of_six, of_mapped;

	cr_expect(fl_inet_equal(&of_a, &of_b));
	of_six = fl_inet_network(&six);
	cr_expect_eq(of_six.ip[7], 1);
	cr_expect_eq(of_six.ip[8], 0);
	cr_expect_eq(of_six.ip[15], 0);
	mapped.sin6_addr.s6_addr[10] = mapped.sin6_addr.s6_addr[11] = 0xff;
	mapped.sin6_addr.s6_addr[12] = 10;
	mapped.sin6_addr.s6_addr[13] = 1;
	mapped.sin6_addr.s6_addr[14] = 2;
	mapped.sin6_addr.s6_addr[15] = 77;
	of_mapped = fl_inet_of((const struct sockaddr *)(const void *)&mapped);
	of_mapped = fl_inet_network(&of_mapped);
	cr_expect(fl_inet_equal(&of_a, &of_mapped), "IPv4 is IPv4");
}

Test(crowd, the_oldest_of_the_network_with_most_goes)
{
	struct fl_crowd crowd;
	struct fl_crowd_member many[8], one;

	fl_crowd_init(&crowd, 3);
	crowd.room = 8;
	join(&crowd, &one, 1);
	for (size_t i = 0; i < 7; i++) {
		join(&crowd, &many[i], 2);
	}
	cr_expect_null(fl_crowd_surplus(&crowd));
	join(&crowd, &many[7], 2);
	cr_expect_eq(fl_crowd_surplus(&crowd), &many[0], "not the oldest of all");
	fl_crowd_change(&crowd, &many[0], 1, true);
	cr_expect_eq(fl_crowd_surplus(&crowd), &many[1],
		     "who is whole stays as long as others do not");
	for (size_t i = 1; i < 8; i++) {
		fl_crowd_leave(&crowd, &many[i]);
	}
	fl_crowd_change(&crowd, &many[0], 100, true);
	cr_expect_eq(fl_crowd_surplus(&crowd), &many[0], "bytes count, too");
	fl_crowd_leave(&crowd, &many[0]);
	fl_crowd_leave(&crowd, &many[0]);
	fl_crowd_leave(&crowd, &one);
	fl_crowd_done(&crowd);
}

/* For any sequence of changes: the counts are right, and a member alone in its network is never evicted. */
Test(crowd, a_flood_of_some_networks_does_not_reach_the_others)
{
	enum { MEMBERS = 3000, LONELY = 200 };
	static struct fl_crowd_member members[MEMBERS], lonely[LONELY];
	struct fl_crowd crowd;
	struct fl_crowd_member *victim;
	uint32_t chance = 1;

	fl_crowd_init(&crowd, 77);
	crowd.room = 1000;
	for (unsigned i = 0; i < LONELY; i++) {
		join(&crowd, &lonely[i], 1000 + i);
	}
	for (unsigned i = 0; i < MEMBERS; i++) {
		chance = chance * 1664525u + 1013904223u;
		join(&crowd, &members[i], (chance >> 16) % 3);
		fl_crowd_change(&crowd, &members[i], 1 + (chance >> 20) % 3,
				(chance >> 24) % 2 == 0);
		while ((victim = fl_crowd_surplus(&crowd)) != NULL) {
			cr_assert(victim >= members && victim < members + MEMBERS);
			fl_crowd_leave(&crowd, victim);
		}
		cr_assert_leq(crowd.taken, 1000);
	}
	for (unsigned i = 0; i < MEMBERS; i++) {
		fl_crowd_leave(&crowd, &members[i]);
	}
	cr_expect_eq(crowd.taken, LONELY);
	for (unsigned i = 0; i < LONELY; i++) {
		fl_crowd_leave(&crowd, &lonely[i]);
	}
	fl_crowd_done(&crowd);
}
