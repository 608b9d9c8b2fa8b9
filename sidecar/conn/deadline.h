/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_CONN_DEADLINE_H
#define FL_CONN_DEADLINE_H
/* deadline - many timeouts of equal length behind one libuv timer.
 *
 * A queue holds entries of one duration in the order in which they were added, which is the order in which they end:
 * adding, dropping and firing cost the same however many there are, and an entry is 32 bytes without a close callback of
 * its own, while a uv_timer_t would be 152 bytes with one. Loop-bound. */
#include <stdbool.h>
#include <uv.h>

struct fl_deadline;
/* The entry is dropped from the queue before the callback, which may add it again or free it. */
typedef void (*fl_deadline_cb)(struct fl_deadline *deadline);

struct fl_deadline {
	struct fl_deadline *prev, *next; /* NULL when not queued */
	uint64_t at_ms;                  /* uv_now() time */
	fl_deadline_cb cb;
};

struct fl_deadline_queue {
	uv_timer_t timer;
	uint64_t duration_ms;
	struct fl_deadline head; /* sentinel */
};

void fl_deadline_queue_init(struct fl_deadline_queue *queue, uv_loop_t *loop, uint64_t duration_ms);
/* Sets the duration for entries added from now on; queued entries end no later than that. */
void fl_deadline_queue_set(struct fl_deadline_queue *queue, uint64_t duration_ms);
/* Closes the timer (the loop must run once more); the queue must be empty. */
void fl_deadline_queue_close(struct fl_deadline_queue *queue);

/* Drops the entry from its queue, if any, then appends it. */
void fl_deadline_add(struct fl_deadline_queue *queue, struct fl_deadline *deadline,
		     fl_deadline_cb cb);
/* Another entry takes the place of `from` in the queue, with the same end time. False: `from` is not queued; nothing
 * happens. */
bool fl_deadline_pass_on(struct fl_deadline *from, struct fl_deadline *to, fl_deadline_cb cb);
/* The one that ends first; NULL: none. */
struct fl_deadline *fl_deadline_first(struct fl_deadline_queue *queue);
/* The one behind that one; NULL: there is none. */
struct fl_deadline *fl_deadline_after(const struct fl_deadline_queue *queue,
				      const struct fl_deadline *deadline);
void fl_deadline_drop(struct fl_deadline *deadline); /* does nothing if it is not queued */

#endif
