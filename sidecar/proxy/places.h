/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_PROXY_PLACES_H
#define FL_PROXY_PLACES_H
/* places - who may dial and shake hands just now: `[limits] handshakes` of one direction on one worker.
 *
 * A connection has a lane, by where it leads or by the listener that it came to. A quarter of the places is for lanes that
 * have none; of the others, a lane may have as many as it leaves free (the "dynamic threshold" of Choudhury and Hahne,
 * 1998). So one that gets nowhere holds three eighths of all places, and it takes many of them to delay the next one. Asking
 * and taking cost a look at two numbers. Who finds no place may wait, first come, first served within a lane; lanes take turns. Pure; loop-bound. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fl_lane;

/* In what waits. */
struct fl_waiter {
	struct fl_waiter *prev, *next; /* prev NULL: it does not wait */
	uint32_t lane;
};

struct fl_places {
	unsigned max, held;
	bool is_shared; /* false: one lane is all that there is, and it may have all places */
	uint32_t lane_count;
	struct fl_lane *lanes;   /* owned */
	struct fl_lane *waiting; /* those in which somebody waits, in the order of their turns */
};

/* lane_count: at least 1. max is the caller's to set, any time. */
void fl_places_init(struct fl_places *places, uint32_t lane_count, bool is_shared);
void fl_places_done(struct fl_places *places); /* nobody waits any more */

/* number: any; equal ones have the same lane, and others seldom. */
uint32_t fl_places_lane(const struct fl_places *places, uint32_t number);

bool fl_places_has_room(const struct fl_places *places, uint32_t lane);
/* Whether there is room or not. */
void fl_places_take(struct fl_places *places, uint32_t lane);
void fl_places_give_back(struct fl_places *places, uint32_t lane);

/* Somebody of that lane has got where it wanted to. */
void fl_places_note_passed(struct fl_places *places, uint32_t lane, uint64_t now_ms);
/* Has anybody, since then? */
bool fl_places_has_passed(const struct fl_places *places, uint32_t lane, uint64_t since_ms);

/* Must a newcomer wait: is there no room, or are others first? */
bool fl_places_must_wait(const struct fl_places *places, uint32_t lane);
void fl_places_wait(struct fl_places *places, struct fl_waiter *waiter, uint32_t lane);
/* One that waits no more; one that does not wait: nothing happens. */
void fl_places_leave(struct fl_places *places, struct fl_waiter *waiter);
/* The next one for whom there is room now: it waits no more, and is to take its place before the next call. NULL: there is none. */
struct fl_waiter *fl_places_next(struct fl_places *places);

#endif
