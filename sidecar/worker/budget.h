/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_WORKER_BUDGET_H
#define FL_WORKER_BUDGET_H
/* budget - how many connections of each kind one worker may have, by [limits] and by the descriptor
 * limit.
 *
 * A connection needs one descriptor before it is authenticated, and two once it is admitted. If
 * there are too few for all that [limits] allows, each kind gets a fixed part: strangers never use
 * the descriptors of open connections, and an admitted connection always finds one for the app.
 * Pure; thread: any. */
#include <stdint.h>

#include "conf/conf.h"

struct fl_budget {
	unsigned
		strangers; /* parts of the waiting room (crowd.h): a descriptor each, or more memory */
	unsigned handshakes;  /* in each direction */
	unsigned connections; /* admitted; outbound ones from the start */
	unsigned farewells;   /* closed, and lingering */
	unsigned sessions;    /* without a connection, in each direction (conn/parking.h) */
};

/* Returns the maxima of one of worker_count workers. descriptors: RLIMIT_NOFILE. listeners: of each worker. */
struct fl_budget fl_budget_of(const struct fl_conf *conf, uint64_t descriptors,
			      unsigned worker_count, unsigned listeners);

/* Returns how many callers the admin port may have at a time; the control socket may have as
 * many. */
unsigned fl_budget_callers(uint64_t descriptors);

/* Returns how many descriptors [limits] would need in full. */
uint64_t fl_budget_wanted(const struct fl_conf *conf, unsigned worker_count, unsigned listeners);

#endif
