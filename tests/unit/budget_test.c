/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The descriptor limit is enough for all configured limits. */
#include <criterion/criterion.h>

#include "worker/budget.h"

static const struct fl_conf usual = {.limits = {.connections = 20000, .handshakes = 512}};

Test(budget, with_what_it_wants_it_has_what_limits_say)
{
	for (unsigned workers = 1; workers <= 64; workers *= 4) {
		struct fl_budget budget =
			fl_budget_of(&usual, fl_budget_wanted(&usual, workers, 4), workers, 4);

		cr_expect_eq(budget.connections, (20000 + workers - 1) / workers);
		cr_expect_eq(budget.handshakes, (512 + workers - 1) / workers);
		cr_expect_eq(budget.strangers, 4096 / workers);
		cr_expect_eq(budget.farewells, 1024);
	}
}

Test(budget, with_less_all_of_it_together_fits)
{
	static const uint64_t allowed[] = {256, 1024, 4096, 20000};

	for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++) {
		struct fl_budget budget = fl_budget_of(&usual, allowed[i], 2, 4);
		uint64_t callers = fl_budget_callers(allowed[i]);
		uint64_t all = callers + callers / 2 +
			       2 * ((uint64_t)budget.connections * 2 + budget.strangers +
				    budget.handshakes + budget.farewells);

		cr_expect_lt(all, allowed[i], "%llu", (unsigned long long)allowed[i]);
		cr_expect_gt(budget.connections * 2, budget.strangers, "most is for who is let in");
	}
}

Test(budget, with_next_to_nothing_there_is_one_of_each)
{
	struct fl_budget budget = fl_budget_of(&usual, 10, 4, 4);

	cr_expect_eq(budget.strangers, 1);
	cr_expect_eq(budget.handshakes, 1);
	cr_expect_eq(budget.connections, 1);
	cr_expect_eq(budget.farewells, 1);
}
