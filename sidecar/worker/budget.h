/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_WORKER_BUDGET_H
#define FL_WORKER_BUDGET_H
/* budget - what of everything one worker may have, by [limits] and by the descriptors that the system allows.
 *
 * Every connection is a descriptor before it has proven anything, and two when it has been let in. Where there are not enough
 * for all that [limits] allows, each gets its part of them beforehand: strangers never take those of connections that are
 * open, and whoever is let in finds one for the app. Pure. */
#include <stdint.h>

#include "conf/conf.h"

struct fl_budget {
	unsigned
		strangers; /* parts of the waiting room (crowd.h): a descriptor each, or more memory */
	unsigned handshakes;  /* in each direction */
	unsigned connections; /* let in; outbound from the start */
	unsigned farewells;   /* closed, and lingering */
};

/* descriptors: RLIMIT_NOFILE. listeners: of each worker. */
struct fl_budget fl_budget_of(const struct fl_conf *conf, uint64_t descriptors,
			      unsigned worker_count, unsigned listeners);

/* How many callers the admin port may have at a time, and the control socket. */
unsigned fl_budget_callers(uint64_t descriptors);

/* How many descriptors it takes to have all that [limits] allows. */
uint64_t fl_budget_wanted(const struct fl_conf *conf, unsigned worker_count, unsigned listeners);

#endif
