/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Decisions are counted by the names of rules, on several workers and across generations. */
#include <criterion/criterion.h>
#include <string.h>

#include "base/mem.h"
#include "count/rule_counts.h"

#define ID "spiffe://td/a"

static struct fl_policy *policy_of(const char *const *names, size_t count)
{
	struct fl_policy *policy = fl_policy_new(FL_DENY, false);

	for (size_t i = 0; i < count; i++) {
		struct fl_pattern *from[1];
		struct fl_rule_spec spec = {.name = names[i],
					    .effect = i % 2 == 0 ? FL_ALLOW : FL_DENY,
					    .file = "x",
					    .from = from,
					    .from_count = 1};

		cr_assert_eq(fl_pattern_parse(ID, &from[0], NULL), 0);
		fl_policy_add(policy, &spec);
	}
	return policy;
}

static struct fl_rule_counts *counts_of(const char *const *names, size_t count, unsigned workers)
{
	struct fl_policy *policy = policy_of(names, count);
	struct fl_rule_counts *counts = fl_rule_counts_new(policy, workers);

	fl_policy_free(policy);
	return counts;
}

/* A verdict of another policy: counted by name. */
static void count(struct fl_rule_counts *counts, unsigned worker, const char *rule,
		  enum fl_effect effect)
{
	struct fl_verdict verdict = {.effect = effect, .rule = rule, .index = 12345};

	fl_rule_counts_count(counts, worker, &verdict, false, 0);
}

static uint64_t sum_of(struct fl_rule_totals *tallies, const char *rule, enum fl_decision decision)
{
	size_t n;
	const struct fl_rule_count *rules = fl_rule_totals_sum(tallies, &n);

	for (size_t i = 0; i < n; i++) {
		if (strcmp(rules[i].rule, rule) == 0) {
			return rules[i].decisions[decision];
		}
	}
	return 12345;
}

Test(rule_counts, test_rule_counts__verdict_of_its_own_policy__is_counted_by_index)
{
	static const char *const names[] = {"allow-1", "deny-1", "allow-2"};
	struct fl_policy *policy = policy_of(names, 3);
	struct fl_rule_counts *counts = fl_rule_counts_new(policy, 2);
	struct fl_rule_totals all = {0};
	struct fl_request request = {.id = ID, .id_len = strlen(ID)};
	struct fl_verdict verdict = fl_policy_decide(policy, &request);
	size_t n;

	fl_rule_totals_add(&all, counts);
	fl_rule_counts_count(counts, 0, &verdict, true, 200);
	fl_rule_counts_count(counts, 1, &verdict, true, 100);
	request.id = "spiffe://td/b";
	verdict = fl_policy_decide(policy, &request);
	fl_rule_counts_count(counts, 1, &verdict, true, 100);
	cr_expect_eq(sum_of(&all, "deny-1", FL_DECISION_DENY), 2);
	cr_expect_eq(sum_of(&all, "deny-1", FL_DECISION_ALLOW), 0);
	cr_expect_eq(sum_of(&all, "allow-1", FL_DECISION_ALLOW), 0);
	cr_expect_eq(sum_of(&all, "default", FL_DECISION_DENY), 1);
	cr_expect_str_eq(fl_rule_totals_sum(&all, &n)[3].rule, "default");
	cr_expect_eq(n, 4);
	cr_expect_eq(fl_rule_totals_sum(&all, &n)[0].last, 200, "the latest of all workers");
	cr_expect_eq(fl_rule_totals_sum(&all, &n)[2].last, 0, "never");
	fl_rule_counts_unref(counts);
	fl_rule_totals_done(&all);
	fl_policy_free(policy);
}

Test(rule_counts, test_rule_counts__generations_come_and_go__a_rule_keeps_its_count_by_its_name)
{
	static const char *const first[] = {"a", "b", "c"}, *const second[] = {"c", "x", "a"};
	struct fl_rule_counts *one = counts_of(first, 3, 2), *two = counts_of(second, 3, 2), *three;
	struct fl_rule_totals all = {0};
	size_t n;

	cr_expect_null(fl_rule_totals_sum(&all, &n));
	fl_rule_totals_add(&all, one);
	count(one, 0, "a", FL_ALLOW);
	count(one, 1, "b", FL_DENY);
	count(one, 1, NULL, FL_DENY);
	fl_rule_totals_add(&all, two);
	count(one, 0, "a", FL_ALLOW); /* by a worker that has not got its new share yet */
	count(two, 1, "a", FL_ALLOW);
	count(two, 0, "b", FL_DENY); /* decided under the old policy: its rule is gone */
	count(two, 0, NULL, FL_DENY);
	cr_expect_eq(sum_of(&all, "a", FL_DECISION_ALLOW), 3);
	cr_expect_eq(sum_of(&all, "b", FL_DECISION_DENY), 12345, "it is gone");
	cr_expect_eq(sum_of(&all, "x", FL_DECISION_DENY), 0);
	cr_expect_eq(sum_of(&all, "default", FL_DECISION_DENY), 2);
	fl_rule_counts_unref(one); /* the last worker lets go: carried over once */
	cr_expect_eq(sum_of(&all, "a", FL_DECISION_ALLOW), 3);
	cr_expect_eq(sum_of(&all, "a", FL_DECISION_ALLOW), 3);
	cr_expect_eq(all.old_count, 0);
	fl_rule_counts_unref(two);
	three = counts_of(first, 1, 2);
	fl_rule_totals_add(&all, three);
	cr_expect_eq(sum_of(&all, "a", FL_DECISION_ALLOW), 3);
	cr_expect_eq(sum_of(&all, "default", FL_DECISION_DENY), 2);
	fl_rule_counts_unref(three);
	fl_rule_totals_done(&all);
}

Test(rule_counts, test_rule_counts__many_generations__hold_nothing_of_the_past)
{
	static const char *const names[] = {"a"};
	struct fl_rule_totals all = {0};

	for (int i = 0; i < 1000; i++) {
		struct fl_rule_counts *counts = counts_of(names, 1, 3);

		fl_rule_totals_add(&all, counts);
		count(counts, (unsigned)i % 3, "a", FL_ALLOW);
		fl_rule_counts_unref(counts);
		cr_expect_leq(all.old_count, 1);
	}
	cr_expect_eq(sum_of(&all, "a", FL_DECISION_ALLOW), 1000);
	fl_rule_totals_done(&all);
}
