/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_JUDGE_RECYCLE_H
#define FL_JUDGE_RECYCLE_H
/* recycle - connections that have lived long enough: those of older generations (`[rotation] recycle`), and those of
 * a great age (`[limits] max_age`).
 *
 * Both end at a pause: no byte either way for a second (an eighth of the time that is set, where that is less) and none on
 * its way; a quarter of that time where who opened the connection has spoken last, and an answer may be due. Then the app gets a FIN, and the peer close_notify and a FIN. Those of older generations end spread over
 * three quarters of `recycle`, longest idle first, by chance among those that have been idle about as long; one
 * that makes no pause is reset when the time is over. One of max_age is asked at an age between nine
 * tenths of it and all of it, and reset `[sidecar] drain` later.
 *
 * Loop-bound but for the two functions that are said to be pure. */
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct fl_loop;
struct fl_walk;

/* How many connections have been idle for how long: a bucket for each power of two of milliseconds. */
#define FL_RECYCLE_BUCKETS 32
struct fl_recycle_census {
	uint32_t counts[FL_RECYCLE_BUCKETS];
	uint32_t total;
};
unsigned fl_recycle_bucket(uint64_t idle_ms);

/* Pure. What share of those that are left has to go between two looks, so that all of them go evenly from begin to end?
 * 0 to 1. Times in ms, last <= now. */
double fl_recycle_share(uint64_t begin, uint64_t end, uint64_t last, uint64_t now);
/* Pure. Is one that has been idle for so long among that share, longest idle first? chance: 0 to below 1, for those of
 * one bucket. */
bool fl_recycle_is_among(const struct fl_recycle_census *census, uint64_t idle_ms, double share,
			 double chance);

struct fl_recycle {
	struct fl_loop *loop;
	struct fl_walk *walk;
	uv_timer_t timer;
	uint64_t last_ms, now_ms;              /* the look before, and the one under way */
	struct fl_recycle_census census, next; /* of the look before, and of this one */
	uint64_t random;
	bool closed;
};

void fl_recycle_init(struct fl_recycle *recycle, struct fl_loop *loop, struct fl_walk *walk);
void fl_recycle_close(struct fl_recycle *recycle); /* the loop has to run once more */
/* The loop's share is another one, or a connection of an older one has just become ready. */
void fl_recycle_generation(struct fl_recycle *recycle);

#endif
