/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_COUNT_HISTORY_H
#define FL_COUNT_HISTORY_H
/* history - what was carried in the last hour, in steps of 15 seconds, for the charts of the page.
 *
 * A ring of fixed size that lives in its owner: 7.5 KiB, no allocation. The owner notes the totals since the start
 * (fl_history_totals()) about once a step, and again before it reads the ring; the difference belongs to the step that is
 * under way. Pure; thread: the owner's. */
#include <stddef.h>
#include <stdint.h>

#include "count/counters.h"

#define FL_HISTORY_STEP_S 15u
#define FL_HISTORY_STEPS 240u /* one hour */

/* The sums of all workers since the start. */
struct fl_history_totals {
	uint64_t bytes_to_app, bytes_to_mesh;
	uint64_t opened[FL_DIRECTIONS]; /* connections */
	uint64_t refused;               /* by us: reasons of class REFUSED and LOST */
	uint64_t failed; /* ended otherwise than done, and not because we were asked to end them */
};

/* Returns the totals of counters that were added up over all workers. */
struct fl_history_totals fl_history_totals(const struct fl_counters *sum);

struct fl_history_step {
	uint64_t bytes_to_app, bytes_to_mesh;
	uint32_t opened[FL_DIRECTIONS], refused, failed;
};

/* Plain storage; initialize to zero. */
struct fl_history {
	uint64_t begun_ns;   /* when step 0 began; 0: nothing was noted yet */
	uint64_t steps_over; /* so many steps are over; the next one is under way */
	struct fl_history_totals last;
	struct fl_history_step steps[FL_HISTORY_STEPS];
};

/* Adds what has happened since the last call to the step under way, and begins the steps that are due. The first call only
 * begins. now_ns: of a clock that never goes back. */
void fl_history_note(struct fl_history *history, uint64_t now_ns,
		     const struct fl_history_totals *totals);

/* Returns the step that is so many steps back; 0: the one under way. NULL: it is before the start, or longer ago than an
 * hour. */
const struct fl_history_step *fl_history_step(const struct fl_history *history, size_t back);

/* Returns for how many seconds the step under way has lasted; a step that has just begun counts as one second. */
double fl_history_under_way_s(const struct fl_history *history, uint64_t now_ns);

#endif
