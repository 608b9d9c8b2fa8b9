/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_CONN_SLOTS_H
#define FL_CONN_SLOTS_H
/* slots - decides which connections may dial and shake hands now: `[limits] handshakes` of one direction on one worker.
 *
 * A connection has a lane: by its destination (outbound), or by the client's network and the listener (inbound). A quarter
 * of the slots is reserved for lanes that hold none. Of the other slots, a lane may hold as many as it leaves free (the
 * "dynamic threshold" of Choudhury and Hahne, 1998): with 64 slots, 16 are reserved and one lane may hold 24. So a stalled
 * lane holds at most three eighths of all slots, and only many such lanes can delay the next one. Asking and taking compare
 * two numbers. A connection that finds no slot may wait, first come, first served within a lane; lanes take turns. Pure;
 * loop-bound. */
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
	struct fl_slot *prev, *next; /* list of its lane, oldest first */
	uint64_t since_ms;
	uint32_t lane;
};

struct fl_slots {
	unsigned max, held;
	unsigned distrust; /* like that of a lane, for all lanes together */
	bool is_shared;    /* false: there is only one lane, which may have all slots */
	uint32_t lane_count;
	struct fl_lane *lanes;   /* owned */
	struct fl_lane *waiting; /* lanes with waiting connections, in the order of their turns */
};

/* lane_count: at least 1. The caller may set max at any time. */
void fl_slots_init(struct fl_slots *slots, uint32_t lane_count, bool is_shared);
void fl_slots_done(struct fl_slots *slots); /* no connection may wait */

/* number: any; equal numbers have the same lane, different ones rarely do. */
uint32_t fl_slots_lane(const struct fl_slots *slots, uint32_t number);

bool fl_slots_has_room(const struct fl_slots *slots, uint32_t lane);
/* Takes a slot even if there is no room. */
void fl_slots_take(struct fl_slots *slots, uint32_t lane);
void fl_slots_give_back(struct fl_slots *slots, uint32_t lane);

/* The same for a holder that fl_slots_oldest() can find. */
void fl_slots_hold(struct fl_slots *slots, struct fl_slot *slot, uint32_t lane, uint64_t now_ms);
void fl_slots_release(struct fl_slots *slots, struct fl_slot *slot);
/* Returns the slot that a connection of that lane could take over: the oldest of its own lane; if that holds none, the
 * oldest of the lane that holds most. NULL: there is none. Without one in its own lane this visits every lane, which
 * happens in floods only. */
struct fl_slot *fl_slots_oldest(const struct fl_slots *slots, uint32_t lane);
/* Returns for how long a silent peer may keep a slot of lane `of` while a connection of `lane` waits. Short if many peers
 * of that lane (of all lanes, if the two differ) stayed silent to the end, and long if most finish their handshakes: many
 * connections at once, or a slow peer, are not an attack. */
uint64_t fl_slots_patience_ms(const struct fl_slots *slots, uint32_t of, uint32_t lane);
/* A peer of that lane stayed silent to the end. */
void fl_slots_note_silent(struct fl_slots *slots, uint32_t lane);

/* A connection of that lane has finished its handshake. */
void fl_slots_note_passed(struct fl_slots *slots, uint32_t lane, uint64_t now_ms);
/* Has any connection of that lane finished its handshake since then? */
bool fl_slots_has_passed(const struct fl_slots *slots, uint32_t lane, uint64_t since_ms);

/* Must a new connection wait, because there is no room or because others already wait? */
bool fl_slots_must_wait(const struct fl_slots *slots, uint32_t lane);
void fl_slots_wait(struct fl_slots *slots, struct fl_waiter *waiter, uint32_t lane);
/* The same, ahead of all others of any lane: when too many wait, most clients that have waited long have given up. */
void fl_slots_wait_first(struct fl_slots *slots, struct fl_waiter *waiter, uint32_t lane);
/* A lane in which connections wait, by its number in that list; false: there are no more. */
bool fl_slots_waiting_lane(const struct fl_slots *slots, unsigned number, uint32_t *ret_lane);
/* Stops waiting; does nothing if it does not wait. */
void fl_slots_leave(struct fl_slots *slots, struct fl_waiter *waiter);
/* The next connection for which there is room: it no longer waits, and must take its slot before the next call. NULL: there
 * is none. */
struct fl_waiter *fl_slots_next(struct fl_slots *slots);

#endif
