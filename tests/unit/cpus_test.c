/* SPDX-License-Identifier: GPL-3.0-or-later */
/* How many CPUs a cgroup's quota leaves. */
#include <criterion/criterion.h>

#include "worker/cpus.h"

#define MACHINE 8

static unsigned v2(const char *max)
{
	return fl_cpus_under(&(struct fl_cpus_quota){.max = max, .quota = "", .period = ""},
			     MACHINE);
}

static unsigned v1(const char *quota, const char *period)
{
	return fl_cpus_under(&(struct fl_cpus_quota){.max = "", .quota = quota, .period = period},
			     MACHINE);
}

Test(cpus, without_a_quota_all_that_the_process_may_run_on)
{
	cr_expect_eq(v2(""), MACHINE, "no cgroup at all");
	cr_expect_eq(v2("max 100000\n"), MACHINE);
	cr_expect_eq(v1("-1\n", "100000\n"), MACHINE);
}

Test(cpus, quota_is_rounded_up)
{
	cr_expect_eq(v2("250000 100000\n"), 3);
	cr_expect_eq(v2("200000 100000\n"), 2);
	cr_expect_eq(v2("200001 100000\n"), 3);
	cr_expect_eq(v1("250000\n", "100000\n"), 3);
	cr_expect_eq(v1("150000\n", "50000\n"), 3, "whatever the period");
}

Test(cpus, quota_of_a_part_of_a_cpu_makes_one)
{
	cr_expect_eq(v2("1000 100000\n"), 1);
	cr_expect_eq(v1("1\n", "1000000\n"), 1);
}

Test(cpus, quota_above_the_machine_changes_nothing)
{
	cr_expect_eq(v2("800000 100000\n"), MACHINE);
	cr_expect_eq(v2("6400000 100000\n"), MACHINE);
	cr_expect_eq(v2("9223372036854775807 1\n"), MACHINE);
	cr_expect_eq(v2("9223372036854775807 1000\n"), MACHINE);
	cr_expect_eq(v2("4294967297 1\n"), MACHINE, "2^32 + 1");
}

Test(cpus, what_is_not_a_quota_limits_nothing)
{
	static const char *const texts[] = {"\n",           "many\n",     "100000\n",
					    "100000 max\n", "0 100000\n", "100000 0\n",
					    "-1 100000\n",  "100000 -1\n"};

	for (unsigned i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		cr_expect_eq(v2(texts[i]), MACHINE, "%s", texts[i]);
	}
	cr_expect_eq(v1("100000\n", ""), MACHINE, "half of the files");
	cr_expect_eq(v1("", "100000\n"), MACHINE);
}

Test(cpus, quota_of_v2_counts_where_both_are_there)
{
	struct fl_cpus_quota both = {
		.max = "200000 100000\n", .quota = "400000\n", .period = "100000\n"};

	cr_expect_eq(fl_cpus_under(&both, MACHINE), 2);
	both.max = "max 100000\n";
	cr_expect_eq(fl_cpus_under(&both, MACHINE), 4);
}

Test(cpus, process_that_may_run_on_one_cpu_has_one)
{
	struct fl_cpus_quota quota = {.max = "400000 100000\n", .quota = "", .period = ""};

	cr_expect_eq(fl_cpus_under(&quota, 1), 1);
	cr_expect_geq(fl_cpus_available(), 1);
}
