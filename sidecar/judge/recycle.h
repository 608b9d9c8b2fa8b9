/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_JUDGE_RECYCLE_H
#define FL_JUDGE_RECYCLE_H
/* recycle - ends connections of older generations (`[rotation] recycle`) and connections that have reached their maximum
 * age (`[limits] max_age`).
 *
 * Both end at a pause: no byte in either direction for a second, or for an eighth of the configured time if that is less,
 * and no byte waiting to be sent. If the side that opened the connection has sent the last byte, an answer may be due; then
 * the pause is a quarter of the configured time. For example, with `recycle = 80s` the pause is 1 s, or 20 s while an
 * answer may be due. Then the app gets a FIN, and the peer close_notify and a FIN. Connections of older generations end
 * spread over three quarters of `recycle`, longest idle first, in random order among those with a similar idle time; a
 * connection without a pause is reset when the time is over. Every connection, of whatever generation, must also end at a
 * random age between nine tenths of max_age and max_age; without a pause it is reset `[sidecar] drain` after max_age. Where
 * a generation sets or shortens `recycle`, the time of all older connections begins with it; where one sets or shortens
 * max_age, no connection counts as older than nine tenths of it at that moment.
 *
 * Loop-bound, except the two functions marked as pure. */
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct fl_loop;
struct fl_walk;

/* Counts connections by idle time: one bucket for each power of two of milliseconds. */
#define FL_RECYCLE_BUCKETS 32
struct fl_recycle_census {
	uint32_t counts[FL_RECYCLE_BUCKETS];
	uint32_t total;
};
unsigned fl_recycle_bucket(uint64_t idle_ms);

/* Pure. The share, from 0 to 1, of the remaining connections that must end between two rounds, so that all end evenly from
 * begin to end. Times in ms, last <= now. */
double fl_recycle_share(uint64_t begin, uint64_t end, uint64_t last, uint64_t now);
/* Pure. Is a connection with this idle time in that share, longest idle first? chance: 0 to below 1, decides within one
 * bucket. */
bool fl_recycle_is_among(const struct fl_recycle_census *census, uint64_t idle_ms, double share,
			 double chance);

/* A time of the current generation's INI. */
struct fl_recycle_time {
	uint32_t ms;       /* 0: never */
	uint64_t since_ms; /* when a generation set or shortened it */
};

struct fl_recycle {
	struct fl_loop *loop;
	struct fl_walk *walk;
	uv_timer_t timer;
	uint64_t last_ms, now_ms;              /* times of the previous round and of this one */
	struct fl_recycle_census census, next; /* counts of the previous round and of this one */
	uint64_t random;
	struct fl_recycle_time time, max_age; /* `recycle` and `max_age` */
	bool closed;
};

void fl_recycle_init(struct fl_recycle *recycle, struct fl_loop *loop, struct fl_walk *walk);
void fl_recycle_close(struct fl_recycle *recycle); /* the loop must run once more */
/* The loop's share has changed, or a connection of an older share has just become ready. */
void fl_recycle_generation(struct fl_recycle *recycle);

#endif
