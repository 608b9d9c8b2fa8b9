/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Millions of random steps of two ends of a session: each does what a slow model does, with every cut of every small piece, and
 * over an honest way each use gets its own bytes, all of them, and no other. FAIRLEAD_LONG=1: a hundred times as many. */
#include <criterion/criterion.h>
#include <criterion/logging.h>

#include "base/mem.h"
#include "frame_pair.h"

static void run(bool is_honest, uint32_t seed, unsigned steps)
{
	struct frame_pair *pair = fl_new(sizeof(*pair));
	uint64_t random = seed;
	unsigned sessions = 0;

	frame_pair_init(pair, is_honest);
	for (unsigned i = 0; i < steps; i++) {
		random = random * 6364136223846793005u + 1442695040888963407u;
		frame_pair_step(pair, (uint8_t)(random >> 56), (uint32_t)(random >> 20));
		if ((frame_pair_is_over(pair) && random >> 40 & 1) || i % 1000 == 0) {
			frame_pair_settle(pair);
			frame_pair_init(pair, is_honest);
			sessions++;
		}
	}
	frame_pair_settle(pair);
	cr_log_info("%u sessions, %llu uses, %llu bytes", sessions, (unsigned long long)pair->uses,
		    (unsigned long long)pair->bytes);
	if (is_honest) {
		cr_expect_gt(pair->uses, 2 * sessions);
	}
	free(pair);
}

static void run_all(bool is_honest)
{
	const char *is_long = getenv("FAIRLEAD_LONG");

	for (uint32_t seed = 1; seed <= (is_long != NULL ? 200u : 2u); seed++) {
		run(is_honest, seed, 1000000);
	}
}

Test(frame_model, over_an_honest_way_each_use_gets_its_own_bytes)
{
	run_all(true);
}

Test(frame_model, over_a_dishonest_way_each_end_does_what_the_model_does)
{
	run_all(false);
}
