/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_CONN_SLOTS_H
#define FL_CONN_SLOTS_H
/* slots - who may dial and shake hands just now: `[limits] handshakes` of one direction on one worker.
 *
 * A connection has a lane, by where it leads (outbound), or by the network that it comes from and the listener that it comes
 * to (inbound). A quarter of the slots is for lanes that have none; of the others, a lane may have as many as it leaves free
 * (the "dynamic threshold" of Choudhury and Hahne, 1998). So a lane that gets nowhere holds at most three eighths of all
 * slots, and only many such lanes can delay the next one. Asking and taking cost a look at two numbers. A connection that
 * finds no slot may wait, first come, first served within a lane; lanes take turns. Pure; loop-bound. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fl_lane;

/* Embed this in the waiting object. */
struct fl_waiter {
	struct fl_waiter *prev, *next; /* prev NULL: it does not wait */
	void (*on_slot)(
		struct fl_waiter *waiter); /* for fl_loop_serve_waiting(): its turn has come */
	uint32_t lane;
};

/* Embed this in an object that holds a slot and can be asked to give it up. */
struct fl_slot {
	struct fl_slot *prev, *next; /* in its lane: oldest first */
	uint64_t since_ms;
	uint32_t lane;
};

struct fl_slots {
	unsigned max, held;
	unsigned distrust; /* as that of a lane, of all of them */
	bool is_shared;    /* false: one lane is all that there is, and it may have all slots */
	uint32_t lane_count;
	struct fl_lane *lanes;   /* owned */
	struct fl_lane *waiting; /* those in which somebody waits, in the order of their turns */
};

/* lane_count: at least 1. max is the caller's to set, any time. */
void fl_slots_init(struct fl_slots *slots, uint32_t lane_count, bool is_shared);
void fl_slots_done(struct fl_slots *slots); /* nobody waits any more */

/* number: any; equal ones have the same lane, and others seldom. */
uint32_t fl_slots_lane(const struct fl_slots *slots, uint32_t number);

bool fl_slots_has_room(const struct fl_slots *slots, uint32_t lane);
/* Whether there is room or not. */
void fl_slots_take(struct fl_slots *slots, uint32_t lane);
void fl_slots_give_back(struct fl_slots *slots, uint32_t lane);

/* The same for one that is to be found again by fl_slots_oldest(). */
void fl_slots_hold(struct fl_slots *slots, struct fl_slot *slot, uint32_t lane, uint64_t now_ms);
void fl_slots_release(struct fl_slots *slots, struct fl_slot *slot);
/* Whose slot would help somebody of that lane who has none: the oldest of its own, or else of the lane that holds most.
 * NULL: nobody's. Looks at every lane then: that is for floods. */
struct fl_slot *fl_slots_oldest(const struct fl_slots *slots, uint32_t lane);
/* How long who holds a slot in lane `of` may keep somebody of `lane` waiting for the next word of its peer. Short where others of
 * that lane (where the two are not the same: of all lanes) have kept silent for good, long where they get through: many who
 * come at once, and a slow peer, are no attack. */
uint64_t fl_slots_patience_ms(const struct fl_slots *slots, uint32_t of, uint32_t lane);
/* One has kept silent for good. */
void fl_slots_note_silent(struct fl_slots *slots, uint32_t lane);

/* Somebody of that lane has got where it wanted to. */
void fl_slots_note_passed(struct fl_slots *slots, uint32_t lane, uint64_t now_ms);
/* Has anybody, since then? */
bool fl_slots_has_passed(const struct fl_slots *slots, uint32_t lane, uint64_t since_ms);

/* Must a newcomer wait: is there no room, or are others first? */
bool fl_slots_must_wait(const struct fl_slots *slots, uint32_t lane);
void fl_slots_wait(struct fl_slots *slots, struct fl_waiter *waiter, uint32_t lane);
/* The same before all others, of whatever lane: where there are too many, those who have waited long have mostly gone. */
void fl_slots_wait_first(struct fl_slots *slots, struct fl_waiter *waiter, uint32_t lane);
/* A lane in which somebody waits, by its number in that list; false: there are no more. */
bool fl_slots_waiting_lane(const struct fl_slots *slots, unsigned number, uint32_t *ret_lane);
/* One that waits no more; one that does not wait: nothing happens. */
void fl_slots_leave(struct fl_slots *slots, struct fl_waiter *waiter);
/* The next one for whom there is room now: it waits no more, and is to take its slot before the next call. NULL: there is none. */
struct fl_waiter *fl_slots_next(struct fl_slots *slots);

#endif
