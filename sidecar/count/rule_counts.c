/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "count/rule_counts.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define LINE_COUNTERS 8         /* uint64_t in a cache line: workers do not share one */
#define CELL (FL_DECISIONS + 1) /* of a rule: its decisions, and the time of the last one */

struct fl_rule_counts {
	unsigned refs; /* atomic */
	unsigned workers;
	size_t count;    /* number of rules, including the default, which is last */
	size_t stride;   /* counters of a worker */
	char **names;    /* by index */
	size_t *by_name; /* indices of the rules, sorted by their names; without the default */
	uint64_t *counters;
};

/* --- one generation ---------------------------------------------------------------------------- */

static int compare_names(const void *left, const void *right, void *names)
{
	const char *const *all = names;

	return strcmp(all[*(const size_t *)left], all[*(const size_t *)right]);
}

struct fl_rule_counts *fl_rule_counts_new(const struct fl_policy *policy, unsigned workers)
{
	struct fl_rule_counts *table = fl_new(sizeof(*table));
	size_t rules = fl_policy_rule_count(policy);

	table->refs = 1;
	table->workers = workers;
	table->count = rules + 1;
	table->stride = (table->count * CELL + LINE_COUNTERS - 1) / LINE_COUNTERS * LINE_COUNTERS;
	table->counters = fl_new(table->stride * workers * sizeof(uint64_t));
	table->names = fl_new(table->count * sizeof(char *));
	table->by_name = fl_new(table->count * sizeof(size_t));
	for (size_t i = 0; i < rules; i++) {
		struct fl_rule_spec rule;

		fl_policy_rule(policy, i, &rule);
		table->names[i] = fl_strdup(rule.name);
		table->by_name[i] = i;
	}
	table->names[rules] = fl_strdup("default");
	qsort_r(table->by_name, rules, sizeof(size_t), compare_names, table->names);
	return table;
}

struct fl_rule_counts *fl_rule_counts_ref(struct fl_rule_counts *table)
{
	__atomic_add_fetch(&table->refs, 1, __ATOMIC_RELAXED);
	return table;
}

void fl_rule_counts_unref(struct fl_rule_counts *table)
{
	if (table == NULL || __atomic_sub_fetch(&table->refs, 1, __ATOMIC_ACQ_REL) > 0) {
		return;
	}
	for (size_t i = 0; i < table->count; i++) {
		free(table->names[i]);
	}
	free(table->names);
	free(table->by_name);
	free(table->counters);
	free(table);
}

/* Index of a rule, or of the default (NULL); count when there is no such rule. */
static size_t find(const struct fl_rule_counts *table, const char *rule)
{
	size_t low = 0, high = table->count - 1;

	if (rule == NULL) {
		return table->count - 1;
	}
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(table->names[table->by_name[middle]], rule);

		if (order == 0) {
			return table->by_name[middle];
		}
		if (order < 0) {
			low = middle + 1;
		} else {
			high = middle;
		}
	}
	return table->count;
}

void fl_rule_counts_count(struct fl_rule_counts *table, unsigned worker,
			  const struct fl_verdict *verdict, bool same, int64_t now)
{
	size_t index = same ? verdict->index : find(table, verdict->rule);
	uint64_t *cell;

	if (index < table->count) {
		cell = &table->counters[worker * table->stride + index * CELL];
		fl_count(&cell[fl_verdict_decision(verdict)], 1);
		__atomic_store_n(&cell[FL_DECISIONS], (uint64_t)now, __ATOMIC_RELAXED);
	}
}

/* --- all of them ------------------------------------------------------------------------------- */

/* Adds the counts in `from` to the rules with the same names in `to`, which has the layout of
 * `as`. */
static void add_counts(uint64_t *to, const struct fl_rule_counts *as,
		       const struct fl_rule_counts *from)
{
	for (size_t i = 0; i < from->count; i++) {
		size_t index = find(as, i + 1 < from->count ? from->names[i] : NULL);

		for (unsigned w = 0; index < as->count && w < from->workers; w++) {
			const uint64_t *cell = &from->counters[w * from->stride + i * CELL];
			uint64_t last = __atomic_load_n(&cell[FL_DECISIONS], __ATOMIC_RELAXED);

			for (size_t d = 0; d < FL_DECISIONS; d++) {
				to[index * CELL + d] += __atomic_load_n(&cell[d], __ATOMIC_RELAXED);
			}
			if (last > to[index * CELL + FL_DECISIONS]) {
				to[index * CELL + FL_DECISIONS] = last;
			}
		}
	}
}

/* Carries over and releases the tables that no worker counts into any more. If ours is the last
 * reference, no thread can take another. */
static void carry_old(struct fl_rule_totals *totals)
{
	size_t kept = 0;

	for (size_t i = 0; i < totals->old_count; i++) {
		struct fl_rule_counts *old = totals->old[i];

		if (__atomic_load_n(&old->refs, __ATOMIC_ACQUIRE) > 1) {
			totals->old[kept++] = old;
			continue;
		}
		add_counts(totals->carried, totals->current, old);
		fl_rule_counts_unref(old);
	}
	totals->old_count = kept;
}

static void carry_over(const struct fl_rule_totals *totals, const struct fl_rule_counts *to,
		       uint64_t *carried)
{
	const struct fl_rule_counts *from = totals->current;

	for (size_t i = 0; i < from->count; i++) {
		size_t index = find(to, i + 1 < from->count ? from->names[i] : NULL);

		if (index < to->count) {
			memcpy(&carried[index * CELL], &totals->carried[i * CELL],
			       CELL * sizeof(uint64_t));
		}
	}
}

void fl_rule_totals_add(struct fl_rule_totals *totals, struct fl_rule_counts *table)
{
	uint64_t *carried = fl_new(table->count * CELL * sizeof(uint64_t));

	if (totals->current != NULL) {
		carry_old(totals);
		carry_over(totals, table, carried);
		totals->old = fl_grow(totals->old, totals->old_count + 1,
				      sizeof(struct fl_rule_counts *));
		totals->old[totals->old_count++] = totals->current;
	}
	free(totals->carried);
	totals->carried = carried;
	/* Allocated here, so that reading the sums needs no memory. */
	totals->counts = fl_grow(totals->counts, table->count * CELL, sizeof(*totals->counts));
	totals->sum = fl_grow(totals->sum, table->count, sizeof(*totals->sum));
	totals->current = fl_rule_counts_ref(table);
}

const struct fl_rule_count *fl_rule_totals_sum(struct fl_rule_totals *totals, size_t *ret_count)
{
	const struct fl_rule_counts *current = totals->current;
	uint64_t *counts = totals->counts;

	*ret_count = 0;
	if (current == NULL) {
		return NULL;
	}
	carry_old(totals);
	memcpy(counts, totals->carried, current->count * CELL * sizeof(uint64_t));
	for (size_t i = 0; i < totals->old_count; i++) {
		add_counts(counts, current, totals->old[i]);
	}
	add_counts(counts, current, current);
	for (size_t i = 0; i < current->count; i++) {
		totals->sum[i].rule = current->names[i];
		memcpy(totals->sum[i].decisions, &counts[i * CELL],
		       sizeof(totals->sum[i].decisions));
		totals->sum[i].last = (int64_t)counts[i * CELL + FL_DECISIONS];
	}
	*ret_count = current->count;
	return totals->sum;
}

void fl_rule_totals_done(struct fl_rule_totals *totals)
{
	for (size_t i = 0; i < totals->old_count; i++) {
		fl_rule_counts_unref(totals->old[i]);
	}
	fl_rule_counts_unref(totals->current);
	free(totals->old);
	free(totals->carried);
	free(totals->counts);
	free(totals->sum);
	*totals = (struct fl_rule_totals){0};
}
