/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_COUNT_RULE_COUNTS_H
#define FL_COUNT_RULE_COUNTS_H
/* rule_counts - how often each rule decided what: counted by each worker alone, and summed by rule name for metrics.
 *
 * A table has a counter for each rule of one generation's policy (and one for the default), each decision and each
 * worker. Workers count into the table that came with their current share, and let go of it when the next comes; the
 * main thread then carries its counts over to the rules of the same names. So memory is bounded by the rules of
 * the INI in use, and a rule that keeps its name keeps its count. */
#include "count/counters.h"
#include "policy/policy.h"

struct fl_rule_counts; /* reference-counted across threads */

/* A table for that policy, read during the call; one reference. */
struct fl_rule_counts *fl_rule_counts_new(const struct fl_policy *policy, unsigned workers);
struct fl_rule_counts *fl_rule_counts_ref(struct fl_rule_counts *table); /* any thread */
void fl_rule_counts_unref(struct fl_rule_counts *table); /* any thread; NULL is fine */

/* Counts a verdict. The worker's own thread. same: the verdict is of the table's policy; else its rule is looked up by name, and a
 * rule that no longer exists is not counted. */
void fl_rule_counts_count(struct fl_rule_counts *table, unsigned worker,
			  const struct fl_verdict *verdict, bool same);

/* --- main thread ------------------------------------------------------------------------------- */

struct fl_rule_count {
	const char *rule;                 /* "default" for the default */
	uint64_t decisions[FL_DECISIONS]; /* by enum fl_decision */
};

/* Plain storage; zeroes to begin with. */
struct fl_rule_totals {
	struct fl_rule_counts *current; /* a reference; NULL: none yet */
	struct fl_rule_counts **old;    /* that a worker may still count into; references */
	size_t old_count;
	uint64_t *carried;         /* of rules of the same names, in the order of current */
	uint64_t *counts;          /* for fl_rule_totals_sum(), and as many */
	struct fl_rule_count *sum; /* as it gave it out last */
};

/* The next generation counts into table; takes a reference. */
void fl_rule_totals_add(struct fl_rule_totals *totals, struct fl_rule_counts *table);
/* Returns the sums of the current rules, the default last; borrowed until the next call of any of these. */
const struct fl_rule_count *fl_rule_totals_sum(struct fl_rule_totals *totals, size_t *ret_count);
void fl_rule_totals_done(struct fl_rule_totals *totals);

#endif
