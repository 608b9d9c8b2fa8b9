/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_WORKER_TRIM_H
#define FL_WORKER_TRIM_H
/* trim - gives memory back to the kernel when a burst of connections is over. Left alone, the allocator keeps it for good: free memory
 * below the highest block in use stays the process's.
 *
 * Thread: the loop's. It costs a connection one comparison; an idle worker has no timer. */
#include <uv.h>

struct fl_trim {
	uv_timer_t timer;    /* runs once after a burst */
	unsigned open, peak; /* connections now, and at most since memory was given back */
};

void fl_trim_init(struct fl_trim *trim, uv_loop_t *loop);
/* open connections are open now: to be called whenever that changes. */
void fl_trim_note(struct fl_trim *trim, unsigned open);
/* The loop has to turn once more. */
void fl_trim_close(struct fl_trim *trim);

#endif
