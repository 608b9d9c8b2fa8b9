/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_WORKER_TRIM_H
#define FL_WORKER_TRIM_H
/* trim - what a burst of connections took of memory goes back to the kernel when they have gone. The allocator keeps it
 * for good: free memory below the highest block in use stays the process's.
 *
 * Loop-bound. On the way of a connection it costs a comparison; idle workers have no timer. */
#include <uv.h>

struct fl_trim {
	uv_timer_t timer;    /* runs once after a burst */
	unsigned open, peak; /* connections now, and at most since memory was given back */
};

void fl_trim_init(struct fl_trim *trim, uv_loop_t *loop);
void fl_trim_note(struct fl_trim *trim, unsigned open); /* whenever that changes */
void fl_trim_close(struct fl_trim *trim);               /* the loop has to run once more */

#endif
