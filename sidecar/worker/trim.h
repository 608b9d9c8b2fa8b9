/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_WORKER_TRIM_H
#define FL_WORKER_TRIM_H
/* trim - gives memory back to the kernel when a burst of connections is over. By itself the
 * allocator never returns it: free memory below the highest block in use stays with the process.
 *
 * Thread: the loop's. The cost is one comparison for each connection; an idle worker has no
 * timer. */
#include <uv.h>

struct fl_trim {
	uv_timer_t timer;    /* runs once after a burst */
	unsigned open, peak; /* connections now, and the most since memory was last returned */
};

void fl_trim_init(struct fl_trim *trim, uv_loop_t *loop);
/* Call it whenever the number of open connections changes. */
void fl_trim_note(struct fl_trim *trim, unsigned open);
/* The loop must turn once more afterwards. */
void fl_trim_close(struct fl_trim *trim);

#endif
