/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_GENERATION_TARGETS_H
#define FL_GENERATION_TARGETS_H
/* targets - the addresses that a fixed upstream has now. Immutable and reference-counted across threads; the resolver makes them on the
 * main thread and hands them to workers by mail. */
#include <stddef.h>

#include "base/addr.h"

struct fl_targets {
	unsigned refs; /* atomic */
	size_t count;
	bool withholds; /* there may be one more address, once other names have been answered */
	union fl_sockaddr items[];
};

/* Room for count addresses, to be filled before it is shared. One reference. */
struct fl_targets *fl_targets_new(size_t count);
struct fl_targets *fl_targets_ref(struct fl_targets *targets);
void fl_targets_unref(struct fl_targets *targets); /* NULL is fine */
bool fl_targets_equal(const struct fl_targets *a, const struct fl_targets *b);

#endif
