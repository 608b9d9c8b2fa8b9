/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "generation/targets.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct fl_targets *fl_targets_new(size_t count)
{
	struct fl_targets *targets = fl_new(sizeof(*targets) + count * sizeof(targets->items[0]));

	targets->refs = 1;
	targets->count = count;
	return targets;
}

struct fl_targets *fl_targets_ref(struct fl_targets *targets)
{
	__atomic_add_fetch(&targets->refs, 1, __ATOMIC_RELAXED);
	return targets;
}

void fl_targets_unref(struct fl_targets *targets)
{
	if (targets != NULL && __atomic_sub_fetch(&targets->refs, 1, __ATOMIC_ACQ_REL) == 0) {
		free(targets);
	}
}

bool fl_targets_equal(const struct fl_targets *a, const struct fl_targets *b)
{
	return a->count == b->count && a->withholds == b->withholds &&
	       memcmp(a->items, b->items, a->count * sizeof(a->items[0])) == 0;
}

struct fl_target_set *fl_target_set_new(size_t count)
{
	struct fl_target_set *set = fl_new(sizeof(*set) + count * sizeof(struct fl_targets *));

	set->refs = 1;
	set->count = count;
	return set;
}

struct fl_target_set *fl_target_set_ref(struct fl_target_set *set)
{
	__atomic_add_fetch(&set->refs, 1, __ATOMIC_RELAXED);
	return set;
}

void fl_target_set_unref(struct fl_target_set *set)
{
	if (set == NULL || __atomic_sub_fetch(&set->refs, 1, __ATOMIC_ACQ_REL) > 0) {
		return;
	}
	for (size_t i = 0; i < set->count; i++) {
		fl_targets_unref(set->items[i]);
	}
	free(set);
}
