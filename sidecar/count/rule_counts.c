/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "count/rule_counts.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define LINE_COUNTERS 8 /* uint64_t in a cache line: workers do not share one */

struct fl_rule_counts {
	unsigned refs; /* atomic */
	unsigned workers;
	size_t count;    /* of rules, with the default, which is the last one */
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
	struct fl_rule_counts *tally = fl_new(sizeof(*tally));
	size_t rules = fl_policy_rule_count(policy);

	tally->refs = 1;
	tally->workers = workers;
	tally->count = rules + 1;
	tally->stride =
		(tally->count * FL_DECISIONS + LINE_COUNTERS - 1) / LINE_COUNTERS * LINE_COUNTERS;
	tally->counters = fl_new(tally->stride * workers * sizeof(uint64_t));
	tally->names = fl_new(tally->count * sizeof(char *));
	tally->by_name = fl_new(tally->count * sizeof(size_t));
	for (size_t i = 0; i < rules; i++) {
		struct fl_rule_spec rule;

		fl_policy_rule(policy, i, &rule);
		tally->names[i] = fl_strdup(rule.name);
		tally->by_name[i] = i;
	}
	tally->names[rules] = fl_strdup("default");
	qsort_r(tally->by_name, rules, sizeof(size_t), compare_names, tally->names);
	return tally;
}

struct fl_rule_counts *fl_rule_counts_ref(struct fl_rule_counts *tally)
{
	__atomic_add_fetch(&tally->refs, 1, __ATOMIC_RELAXED);
	return tally;
}

void fl_rule_counts_unref(struct fl_rule_counts *tally)
{
	if (tally == NULL || __atomic_sub_fetch(&tally->refs, 1, __ATOMIC_ACQ_REL) > 0) {
		return;
	}
	for (size_t i = 0; i < tally->count; i++) {
		free(tally->names[i]);
	}
	free(tally->names);
	free(tally->by_name);
	free(tally->counters);
	free(tally);
}

/* Index of a rule, or of the default (NULL); count when there is no such rule. */
static size_t find(const struct fl_rule_counts *tally, const char *rule)
{
	size_t low = 0, high = tally->count - 1;

	if (rule == NULL) {
		return tally->count - 1;
	}
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(tally->names[tally->by_name[middle]], rule);

		if (order == 0) {
			return tally->by_name[middle];
		}
		if (order < 0) {
			low = middle + 1;
		} else {
			high = middle;
		}
	}
	return tally->count;
}

void fl_rule_counts_count(struct fl_rule_counts *tally, unsigned worker,
			  const struct fl_verdict *verdict, bool same)
{
	size_t index = same ? verdict->index : find(tally, verdict->rule);

	if (index < tally->count) {
		fl_count(&tally->counters[worker * tally->stride + index * FL_DECISIONS +
					  fl_verdict_decision(verdict)],
			 1);
	}
}

/* --- all of them ------------------------------------------------------------------------------- */

/* Adds what was counted in `from` to the rules of the same names in to, which is laid out as `as`. */
static void add_counts(uint64_t *to, const struct fl_rule_counts *as,
		       const struct fl_rule_counts *from)
{
	for (size_t i = 0; i < from->count; i++) {
		size_t index = find(as, i + 1 < from->count ? from->names[i] : NULL);

		for (unsigned w = 0; index < as->count && w < from->workers; w++) {
			const uint64_t *counters =
				&from->counters[w * from->stride + i * FL_DECISIONS];

			for (size_t d = 0; d < FL_DECISIONS; d++) {
				to[index * FL_DECISIONS + d] +=
					__atomic_load_n(&counters[d], __ATOMIC_RELAXED);
			}
		}
	}
}

/* What nobody counts into any more is carried and let go. Ours is the last reference: nobody can take another. */
static void carry_old(struct fl_tallies *tallies)
{
	size_t kept = 0;

	for (size_t i = 0; i < tallies->old_count; i++) {
		struct fl_rule_counts *old = tallies->old[i];

		if (__atomic_load_n(&old->refs, __ATOMIC_ACQUIRE) > 1) {
			tallies->old[kept++] = old;
			continue;
		}
		add_counts(tallies->carried, tallies->current, old);
		fl_rule_counts_unref(old);
	}
	tallies->old_count = kept;
}

static void carry_over(const struct fl_tallies *tallies, const struct fl_rule_counts *to,
		       uint64_t *carried)
{
	const struct fl_rule_counts *from = tallies->current;

	for (size_t i = 0; i < from->count; i++) {
		size_t index = find(to, i + 1 < from->count ? from->names[i] : NULL);

		for (size_t d = 0; index < to->count && d < FL_DECISIONS; d++) {
			carried[index * FL_DECISIONS + d] = tallies->carried[i * FL_DECISIONS + d];
		}
	}
}

void fl_tallies_add(struct fl_tallies *tallies, struct fl_rule_counts *tally)
{
	uint64_t *carried = fl_new(tally->count * FL_DECISIONS * sizeof(uint64_t));

	if (tallies->current != NULL) {
		carry_old(tallies);
		carry_over(tallies, tally, carried);
		tallies->old = fl_grow(tallies->old, tallies->old_count + 1,
				       sizeof(struct fl_rule_counts *));
		tallies->old[tallies->old_count++] = tallies->current;
	}
	free(tallies->carried);
	tallies->carried = carried;
	/* Here, so that who asks needs no memory. */
	tallies->counts =
		fl_grow(tallies->counts, tally->count * FL_DECISIONS, sizeof(*tallies->counts));
	tallies->sum = fl_grow(tallies->sum, tally->count, sizeof(*tallies->sum));
	tallies->current = fl_rule_counts_ref(tally);
}

const struct fl_rule_count *fl_tallies_sum(struct fl_tallies *tallies, size_t *ret_count)
{
	const struct fl_rule_counts *current = tallies->current;
	uint64_t *counts = tallies->counts;

	*ret_count = 0;
	if (current == NULL) {
		return NULL;
	}
	carry_old(tallies);
	memcpy(counts, tallies->carried, current->count * FL_DECISIONS * sizeof(uint64_t));
	for (size_t i = 0; i < tallies->old_count; i++) {
		add_counts(counts, current, tallies->old[i]);
	}
	add_counts(counts, current, current);
	for (size_t i = 0; i < current->count; i++) {
		tallies->sum[i].rule = current->names[i];
		memcpy(tallies->sum[i].decisions, &counts[i * FL_DECISIONS],
		       sizeof(tallies->sum[i].decisions));
	}
	*ret_count = current->count;
	return tallies->sum;
}

void fl_tallies_done(struct fl_tallies *tallies)
{
	for (size_t i = 0; i < tallies->old_count; i++) {
		fl_rule_counts_unref(tallies->old[i]);
	}
	fl_rule_counts_unref(tallies->current);
	free(tallies->old);
	free(tallies->carried);
	free(tallies->counts);
	free(tallies->sum);
	*tallies = (struct fl_tallies){0};
}
