/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Which connections get a slot: no lane has all of them while others want one, no slot stays unused forever, and lanes wait
 * in turn. */
#include <criterion/criterion.h>

#include "base/mem.h"
#include "conn/slots.h"

static struct fl_slots make(unsigned max, uint32_t lanes)
{
	struct fl_slots places;

	fl_slots_init(&places, lanes, lanes > 1);
	places.max = max;
	return places;
}

/* The number of slots that a lane gets when it wants all. */
static unsigned take_all(struct fl_slots *places, uint32_t lane)
{
	unsigned taken = 0;

	while (fl_slots_has_room(places, lane)) {
		fl_slots_take(places, lane);
		taken++;
	}
	return taken;
}

Test(places, one_that_is_alone_has_all_of_them)
{
	struct fl_slots places = make(512, 1);

	cr_expect_eq(take_all(&places, 0), 512);
	cr_expect_eq(places.held, 512);
	fl_slots_done(&places);
}

Test(places, each_that_wants_all_leaves_as_many_and_first_comers_theirs)
{
	static const unsigned expected[] = {192, 96, 48, 24, 12, 6, 3, 2, 1, 1, 1, 1};
	struct fl_slots places = make(512, 1024);
	uint32_t lane;

	for (lane = 0; lane < FL_COUNT_OF(expected); lane++) {
		cr_expect_eq(take_all(&places, lane), expected[lane], "lane %u", lane);
	}
	while (take_all(&places, lane) == 1) {
		lane++;
	}
	cr_expect_eq(lane, 9 + 128);
	cr_expect_eq(places.held, 512);
	fl_slots_done(&places);
}

/* Taking turns, which is what connections that come and go amount to. */
Test(places, those_who_take_turns_have_equal_parts)
{
	for (uint32_t count = 1; count <= 100; count++) {
		struct fl_slots places = make(512, 1024);
		bool more = true;

		while (more) {
			more = false;
			for (uint32_t lane = 0; lane < count; lane++) {
				if (fl_slots_has_room(&places, lane)) {
					fl_slots_take(&places, lane);
					more = true;
				}
			}
		}
		cr_expect_geq(places.held, 192);
		cr_expect_leq(places.held, 384 + count);
		cr_expect(fl_slots_has_room(&places, count), "%u dead ones, and one more", count);
		fl_slots_done(&places);
	}
}

Test(places, a_limit_of_one_serves_everybody_in_turn)
{
	struct fl_slots places = make(1, 8);

	cr_expect_eq(take_all(&places, 3), 1);
	cr_expect_not(fl_slots_has_room(&places, 4));
	fl_slots_give_back(&places, 3);
	cr_expect_eq(take_all(&places, 4), 1);
	fl_slots_done(&places);
}

Test(places, a_limit_that_sinks_below_what_is_held)
{
	struct fl_slots places = make(8, 2);

	cr_expect_eq(take_all(&places, 0), 3);
	places.max = 2;
	cr_expect_not(fl_slots_has_room(&places, 1));
	for (unsigned i = 0; i < 3; i++) {
		fl_slots_give_back(&places, 0);
	}
	cr_expect(fl_slots_has_room(&places, 1));
	fl_slots_done(&places);
}

Test(places, waiting_is_in_order_and_lanes_take_turns)
{
	static const uint32_t order[] = {1, 2, 1, 2, 1};
	struct fl_waiter waiters[5] = {{0}};
	struct fl_slots places = make(1, 8);

	fl_slots_take(&places, 0);
	for (size_t i = 0; i < 5; i++) {
		cr_expect(fl_slots_must_wait(&places, i < 3 ? 1 : 2));
		fl_slots_wait(&places, &waiters[i], i < 3 ? 1 : 2);
	}
	cr_expect_null(fl_slots_next(&places));
	fl_slots_give_back(&places, 0);
	cr_expect(fl_slots_must_wait(&places, 1), "others are first");
	cr_expect_not(fl_slots_must_wait(&places, 5), "nobody is");
	for (size_t i = 0; i < FL_COUNT_OF(order); i++) {
		struct fl_waiter *next = fl_slots_next(&places);

		cr_assert_not_null(next);
		cr_expect_eq(next->lane, order[i]);
		cr_expect_eq(next, i % 2 == 0 ? &waiters[i / 2] : &waiters[3 + i / 2]);
		fl_slots_take(&places, next->lane);
		cr_expect_null(fl_slots_next(&places));
		fl_slots_give_back(&places, next->lane);
	}
	cr_expect_null(fl_slots_next(&places));
	fl_slots_done(&places);
}

Test(places, those_behind_a_dead_lane_are_found)
{
	struct fl_waiter dead[20] = {{0}}, good = {0};
	struct fl_slots places = make(4, 64);

	cr_expect_eq(take_all(&places, 7), 2);
	for (size_t i = 0; i < FL_COUNT_OF(dead); i++) {
		fl_slots_wait(&places, &dead[i], 7);
	}
	fl_slots_wait(&places, &good, 8);
	cr_expect_eq(fl_slots_next(&places), &good);
	cr_expect_null(fl_slots_next(&places));
	for (size_t i = FL_COUNT_OF(dead); i-- > 0;) {
		fl_slots_leave(&places, &dead[i]);
		fl_slots_leave(&places, &dead[i]);
	}
	fl_slots_done(&places);
}

Test(places, who_got_through_and_when)
{
	struct fl_slots places = make(4, 4);

	fl_slots_note_passed(&places, 1, 5000);
	cr_expect(fl_slots_has_passed(&places, 1, 5000));
	cr_expect_not(fl_slots_has_passed(&places, 1, 5001));
	cr_expect_not(fl_slots_has_passed(&places, 2, 1));
	fl_slots_done(&places);
}

Test(places, the_oldest_of_ones_own_goes_first_or_else_of_the_fullest)
{
	struct fl_slots places = make(8, 16);
	struct fl_slot a[3], b;

	fl_slots_hold(&places, &b, 2, 5);
	cr_expect_eq(fl_slots_oldest(&places, 2), &b);
	for (size_t i = 0; i < 3; i++) {
		fl_slots_hold(&places, &a[i], 1, 10 + i);
	}
	cr_expect_eq(fl_slots_oldest(&places, 2), &b, "its own");
	cr_expect_eq(fl_slots_oldest(&places, 9), &a[0], "it has none");
	fl_slots_release(&places, &a[0]);
	cr_expect_eq(fl_slots_oldest(&places, 1), &a[1]);
	fl_slots_release(&places, &a[1]);
	fl_slots_release(&places, &a[2]);
	fl_slots_release(&places, &b);
	cr_expect_null(fl_slots_oldest(&places, 1));
	cr_expect_eq(places.held, 0);
	fl_slots_done(&places);
}

Test(places, patience_ends_where_many_are_silent_for_good)
{
	struct fl_slots places = make(8, 4);
	uint64_t patient = fl_slots_patience_ms(&places, 1, 1);

	for (unsigned i = 0; i < 1000; i++) {
		fl_slots_note_silent(&places, 1);
	}
	cr_expect_lt(fl_slots_patience_ms(&places, 1, 1), patient);
	cr_expect_eq(fl_slots_patience_ms(&places, 2, 2), patient,
		     "others have nothing to do with it");
	fl_slots_note_passed(&places, 1, 1);
	cr_expect_lt(fl_slots_patience_ms(&places, 1, 1), patient,
		     "one that gets through is not enough");
	for (unsigned i = 0; i < 64; i++) {
		fl_slots_note_passed(&places, 1, 1);
	}
	cr_expect_eq(fl_slots_patience_ms(&places, 1, 1), patient);
	fl_slots_done(&places);
}

Test(places, the_newest_can_be_first)
{
	struct fl_waiter waiters[3] = {{0}}, other[2] = {{0}};
	struct fl_slots places = make(1, 4);
	uint32_t lane;

	cr_expect_not(fl_slots_waiting_lane(&places, 0, &lane));
	for (size_t i = 0; i < 3; i++) {
		fl_slots_wait_first(&places, &waiters[i], 3);
	}
	cr_expect(fl_slots_waiting_lane(&places, 0, &lane) && lane == 3);
	cr_expect_not(fl_slots_waiting_lane(&places, 1, &lane));
	fl_slots_wait(&places, &other[0], 1);
	fl_slots_wait_first(&places, &other[1], 2);
	cr_expect_eq(fl_slots_next(&places), &other[1]);
	for (size_t i = 3; i-- > 0;) {
		cr_expect_eq(fl_slots_next(&places), &waiters[i]);
		if (i == 2) {
			cr_expect_eq(fl_slots_next(&places), &other[0], "lanes take turns");
		}
	}
	fl_slots_done(&places);
}
