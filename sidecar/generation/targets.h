/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_GENERATION_TARGETS_H
#define FL_GENERATION_TARGETS_H
/* targets - the addresses that an upstream has just now: immutable, reference-counted across threads, made by the
 * resolver on the main thread and handed to workers by message. */
#include <stddef.h>

#include "base/addr.h"

struct fl_targets {
	unsigned refs; /* atomic */
	size_t count;
	bool withholds; /* an address that may be one: that is asked for just now */
	union fl_sockaddr items[];
};

/* Room for count addresses, to be filled before it is shared. One reference. */
struct fl_targets *fl_targets_new(size_t count);
struct fl_targets *fl_targets_ref(struct fl_targets *targets);
void fl_targets_unref(struct fl_targets *targets); /* NULL is fine */
bool fl_targets_equal(const struct fl_targets *a, const struct fl_targets *b);

#endif
