/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Who gets how many signatures, in made-up time: all askers together no more than the rate, and nobody less than his share of it,
 * whatever the others do. */
#include <criterion/criterion.h>
#include <string.h>

#include "agent/run/sign_rate.h"

#define RATE 5000u
#define MS UINT64_C(1000000)
#define SECOND (1000 * MS)
#define ASKERS_MAX 519 /* with the modest one, as many as may be connected */

static struct fl_sign_rate rate;
static struct fl_sign_share crowd[ASKERS_MAX];
static uint64_t now;

static void begin(uint32_t per_second)
{
	now = 77 * SECOND;
	fl_sign_rate_set(&rate, per_second, now);
	memset(crowd, 0, sizeof(crowd));
}

/* He takes all that he can get. */
static unsigned take_all(struct fl_sign_share *share)
{
	unsigned got = 0;

	while (fl_sign_rate_take(&rate, share, now)) {
		got++;
	}
	return got;
}

/* He wants one every `every` steps of a millisecond, and asks for what he could not have ten later: as a worker does. */
struct modest {
	struct fl_sign_share share;
	unsigned every, wanted, got, refused;
	uint64_t pause_until;
};

static void step(struct modest *modest, unsigned step)
{
	modest->wanted += step % modest->every == 0;
	while (modest->got < modest->wanted && now >= modest->pause_until) {
		if (fl_sign_rate_take(&rate, &modest->share, now)) {
			modest->got++;
		} else {
			modest->refused++;
			modest->pause_until = now + 10 * MS;
		}
	}
}

Test(sign_rate, one_alone_has_all_of_it)
{
	unsigned got;

	begin(RATE);
	cr_expect_eq(take_all(&crowd[0]), RATE, "a second's worth at once");
	got = 0;
	for (unsigned i = 0; i < 10 * 1000; i++) {
		now += MS;
		got += take_all(&crowd[0]);
	}
	cr_expect(got > 9.99 * RATE && got <= 10 * RATE, "%u", got);
	now += 5 * SECOND;
	got = take_all(&crowd[0]);
	cr_expect(got >= RATE - 1 && got <= RATE, "again after a pause: %u", got);
}

Test(sign_rate, low_rates)
{
	static const uint32_t rates[] = {1, 2, 3, 10, 50};

	for (size_t r = 0; r < sizeof(rates) / sizeof(rates[0]); r++) {
		unsigned got;

		begin(rates[r]);
		got = take_all(&crowd[0]);
		cr_expect_eq(got, rates[r]);
		got = 0;
		for (unsigned i = 0; i < 20 * 100; i++) {
			now += 10 * MS;
			got += take_all(&crowd[0]);
		}
		cr_expect(got >= 19 * rates[r] && got <= 20 * rates[r] + 1, "%u a second: %u",
			  rates[r], got);
	}
}

Test(sign_rate, two_that_ask_without_end_have_half_of_it_each)
{
	unsigned got[2] = {0, 0};

	begin(RATE);
	(void)take_all(&crowd[0]);
	for (unsigned i = 0; i < 12 * 1000; i++) {
		now += MS;
		for (unsigned who = 0; who < 2; who++) {
			unsigned all = take_all(&crowd[who]);

			got[who] += i < 2000 ? 0 : all;
		}
	}
	cr_expect(got[0] > 4.8 * RATE && got[1] > 4.8 * RATE, "%u, %u", got[0], got[1]);
	cr_expect(got[0] + got[1] <= 11 * RATE);
}

/* In the middle of their flood he comes, and wants a little less than his share. */
static void flood(unsigned floods)
{
	struct modest modest = {.every = (floods + 1) * 1000 / RATE + 1};
	unsigned all = 0;

	begin(RATE);
	for (unsigned i = 0; i < 10 * 1000; i++) {
		now += MS;
		for (unsigned who = 0; who < floods; who++) {
			all += take_all(&crowd[who]);
		}
		if (i >= 5000) {
			step(&modest, i);
		}
	}
	cr_expect(modest.got >= 0.95 * modest.wanted, "%u floods: %u of %u, refused %u times",
		  floods, modest.got, modest.wanted, modest.refused);
	all += modest.got;
	cr_expect((floods == 0 || all > 9.9 * RATE) && all <= 11 * RATE,
		  "%u floods: %u in ten seconds", floods, all);
}

Test(sign_rate, a_flood_leaves_each_other_his_share)
{
	flood(0);
	flood(1);
	flood(2);
	flood(30);
	flood(100);
	flood(ASKERS_MAX);
}

Test(sign_rate, who_asks_for_less_than_his_share_is_not_refused)
{
	struct modest modest = {.every = 10};

	begin(RATE);
	for (unsigned i = 0; i < 10 * 1000; i++) {
		now += MS;
		for (unsigned who = 0; who < 20; who++) {
			(void)take_all(&crowd[who]);
		}
		step(&modest, i);
	}
	cr_expect_eq(modest.got, modest.wanted);
	cr_expect(modest.refused < 20, "but for the first few: %u", modest.refused);
}

/* Three connect anew each millisecond and take what they can get. */
Test(sign_rate, it_does_not_help_to_be_new_again_and_again)
{
	struct modest modest = {.every = 10};

	begin(RATE);
	for (unsigned i = 0; i < 10 * 1000; i++) {
		now += MS;
		for (unsigned who = 0; who < 3; who++) {
			struct fl_sign_share fresh = {0};

			(void)take_all(&fresh);
			fl_sign_rate_leave(&rate, &fresh);
		}
		step(&modest, i);
	}
	cr_expect(modest.got >= 0.95 * modest.wanted, "%u of %u, refused %u times", modest.got,
		  modest.wanted, modest.refused);
}

Test(sign_rate, those_who_begin_together_have_what_they_need)
{
	begin(RATE);
	for (unsigned who = 0; who < 300; who++) {
		for (unsigned i = 0; i < 8; i++) {
			cr_assert(fl_sign_rate_take(&rate, &crowd[who], now), "%u, %u", who, i);
		}
	}
}
