/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_COUNT_RULE_COUNTS_H
#define FL_COUNT_RULE_COUNTS_H
/* rule_counts - the decisions of each rule: each worker counts its own, and metrics sum them by
 * rule name.
 *
 * A table has a counter for each rule of one generation's policy (and one for the default), each
 * decision and each worker. Workers count into the table of their current share, and release it
 * when the next share arrives; the main thread then carries its counts over to the rules with the
 * same names. So memory is bounded by the rules of the INI in use, and a rule that keeps its name
 * keeps its count. */
#include "count/counters.h"
#include "policy/policy.h"

struct fl_rule_counts; /* reference-counted across threads */

/* Creates a table for that policy, which is read during the call; one reference. */
struct fl_rule_counts *fl_rule_counts_new(const struct fl_policy *policy, unsigned workers);
struct fl_rule_counts *fl_rule_counts_ref(struct fl_rule_counts *table); /* any thread */
void fl_rule_counts_unref(struct fl_rule_counts *table); /* any thread; NULL is fine */

/* Counts a verdict. The worker's own thread. same: the verdict comes from the table's policy;
 * otherwise its rule is looked up by name, and a rule that no longer exists is not counted. now:
 * seconds since the epoch. */
void fl_rule_counts_count(struct fl_rule_counts *table, unsigned worker,
			  const struct fl_verdict *verdict, bool same, int64_t now);

/* --- main thread ------------------------------------------------------------------------------- */

struct fl_rule_count {
	const char *rule;                 /* "default" for the default */
	uint64_t decisions[FL_DECISIONS]; /* by enum fl_decision */
	int64_t last;                     /* of the last one, in seconds since the epoch; 0: none */
};

/* Plain storage; zeroes to begin with. */
struct fl_rule_totals {
	struct fl_rule_counts *current; /* a reference; NULL: none yet */
	struct fl_rule_counts **old;    /* tables that a worker may still count into; references */
	size_t old_count;
	/* earlier counts of rules with the same names, in the order of current */
	uint64_t *carried;
	uint64_t *counts;          /* scratch for fl_rule_totals_sum(), of the same size */
	struct fl_rule_count *sum; /* what fl_rule_totals_sum() returned last */
};

/* The next generation counts into table; takes a reference. */
void fl_rule_totals_add(struct fl_rule_totals *totals, struct fl_rule_counts *table);
/* Returns the sums of the current rules, the default last; borrowed until the next call of any of these. */
const struct fl_rule_count *fl_rule_totals_sum(struct fl_rule_totals *totals, size_t *ret_count);
void fl_rule_totals_done(struct fl_rule_totals *totals);

#endif
