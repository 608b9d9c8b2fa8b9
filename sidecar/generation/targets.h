/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_GENERATION_TARGETS_H
#define FL_GENERATION_TARGETS_H
/* targets - the current addresses of a fixed upstream, and those of all upstreams of an INI.
 * Immutable and reference-counted across threads; the resolver creates them on the main thread and
 * sends them to workers by mail. */
#include <stdbool.h>
#include <stddef.h>

#include "base/addr.h"

struct fl_targets {
	unsigned refs; /* atomic */
	size_t count;
	bool withholds; /* an address is withheld until other names have been answered */
	union fl_sockaddr items[];
};

/* Allocates room for count addresses; fill them in before sharing it. One reference. */
struct fl_targets *fl_targets_new(size_t count);
struct fl_targets *fl_targets_ref(struct fl_targets *targets);
void fl_targets_unref(struct fl_targets *targets); /* NULL is fine */
bool fl_targets_equal(const struct fl_targets *a, const struct fl_targets *b);

struct fl_target_set {
	unsigned refs; /* atomic */
	size_t count;
	/* One for each upstream, in the INI's order; references; NULL: it has no fixed listener. */
	struct fl_targets *items[];
};

/* Allocates room for count upstreams; fill them in before sharing it. One reference. */
struct fl_target_set *fl_target_set_new(size_t count);
struct fl_target_set *fl_target_set_ref(struct fl_target_set *set);
void fl_target_set_unref(struct fl_target_set *set); /* NULL is fine */

#endif
