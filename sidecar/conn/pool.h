/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_CONN_POOL_H
#define FL_CONN_POOL_H
/* pool - a client's parked sessions: which one carries the next app connection, which one is kept, and which one has to go.
 *
 * A *use* is one app connection to a destination, over a session or while one is made. A *place* is a destination. A session is
 * *parked* while it has no use.
 *
 *   need      the greatest number of uses at the same time in the last 10 s (up to 20 s), and at least 1 for 50 s
 *             after a use
 *   take      the oldest parked session of the place
 *   park      if no more than `need` sessions of the place are then parked or in use, and FL_POOL_PLACE_MAX parked; and if
 *             it is young and fresh enough:
 *               free       fewer than 1000 uses, younger than 5 min
 *               balanced   with probability 7/8, younger than 30 s
 *             Every session has its own limit of age, since its handshake: between three quarters of it and the whole.
 *             When the loop has pool->max parked ones, the one that has waited longest goes instead, whatever its place.
 *   sweep     those that are too old; that have waited for 50 s (the server waits a minute); that have waited for 10 s while
 *             there are more than `need`
 *
 * Balanced is a destination behind which somebody else chooses the server for each new connection, as Kubernetes does for a
 * Service: sessions that ended too seldom would keep a new pod from its part. Oldest first has the same reason.
 *
 * The rules judge neither certificates nor generations: who takes a session judges it. Pure: the caller passes clock and
 * randomness in, and closes what the functions return. Loop-bound. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/inet.h"

#define FL_POOL_PLACES_MAX 1024u /* destinations of a loop */
#define FL_POOL_PLACE_MAX 64u    /* parked sessions of one place */
#define FL_POOL_NEED_MS 10000u
#define FL_POOL_IDLE_MS 10000u
#define FL_POOL_IDLE_MAX_MS 50000u
#define FL_POOL_FREE_USES 1000u
#define FL_POOL_FREE_AGE_MS (5u * 60 * 1000)
#define FL_POOL_BALANCED_AGE_MS 30000u
#define FL_POOL_BALANCED_PART 8u /* one in so many uses is the last one of its session */
#define FL_POOL_TICK_MS 100u     /* sweeps come no faster */

/* What sessions of a place have in common: they may carry each other's uses. */
struct fl_pool_key {
	struct fl_inet to; /* a captured destination; family 0: that of the listener `owner` */
	uint64_t owner;    /* the caller's number of the listener, or of the section of the INI */
};

/* Embed this in the session. */
struct fl_pool_entry {
	struct fl_pool_entry *prev, *next; /* of all parked ones; or of a chain */
	struct fl_pool_entry *older,
		*younger; /* parked in its place; utlist: older of the oldest is the youngest */
	struct fl_pool_place *place; /* NULL: not parked, or it leaves */
	uint64_t born_ms, parked_ms;
	uint64_t leaves_ms; /* after fl_pool_flush() */
	uint16_t luck;      /* decides its limit of age */
	uint8_t where;      /* enum where of pool.c */
};

#define FL_POOL_BUCKETS 256u
struct fl_pool {
	unsigned max;   /* parked sessions; the owner may set it at any time */
	unsigned count; /* those, and the ones that leave */
	unsigned place_count;
	uint32_t seed;
	uint64_t wake_ms;
	struct fl_pool_entry *parked;  /* longest parked first */
	struct fl_pool_entry *leaving; /* flushed, in the order in which they go */
	struct fl_pool_place *places;  /* least recently used first */
	struct fl_pool_place *buckets[FL_POOL_BUCKETS];
};

struct fl_pool_place {
	struct fl_pool_place *prev, *next; /* of all */
	struct fl_pool_place *below;       /* in its bucket */
	struct fl_pool_key key;
	struct fl_pool_entry *oldest;
	unsigned parked, busy; /* sessions, uses */
	unsigned peak[2];      /* of busy: since since_ms, and in the FL_POOL_NEED_MS before that */
	uint64_t since_ms, used_ms;
	bool is_balanced; /* the caller may set it at any time */
};

/* seed: random, so that nobody can choose destinations that share a bucket. */
void fl_pool_init(struct fl_pool *pool, unsigned max, uint32_t seed);
/* There may be no parked session and no use; see fl_pool_drain(). */
void fl_pool_done(struct fl_pool *pool);

/* --- uses ------------------------------------------------------------------------------------------------------- */

/* A use begins; each has to end with fl_pool_end(), until when the place stays valid. Returns NULL if there are too many
 * places, or no memory: the use then has a session of its own, which is not parked. A new place is free, not balanced. */
struct fl_pool_place *fl_pool_begin(struct fl_pool *pool, const struct fl_pool_key *key,
				    uint64_t now_ms);
/* NULL place: nothing happens. */
void fl_pool_end(struct fl_pool *pool, struct fl_pool_place *place, uint64_t now_ms);

/* The session for a use that has begun: it is no longer parked, and the caller's. Call it again if that one does not pass
 * judgement. NULL: there is none. */
struct fl_pool_entry *fl_pool_take(struct fl_pool *pool, struct fl_pool_place *place,
				   uint64_t now_ms);

/* --- parking ---------------------------------------------------------------------------------------------------- */

/* For a new session, whose handshake began then. */
void fl_pool_entry_init(struct fl_pool_entry *entry, uint64_t born_ms, uint32_t random);
/* Parks a session whose use has ended orderly, just before fl_pool_end() of that use. uses: how many it has had.
 * Returns the session that has to end instead: this one, or another one to make room. NULL: none. */
struct fl_pool_entry *fl_pool_park(struct fl_pool *pool, struct fl_pool_place *place,
				   struct fl_pool_entry *entry, uint32_t uses, uint64_t now_ms,
				   uint32_t random) FL_MUST_USE;
/* For one that has died or was retired; does nothing if it is not parked. */
void fl_pool_remove(struct fl_pool *pool, struct fl_pool_entry *entry);
bool fl_pool_has(const struct fl_pool_entry *entry); /* is it parked, or does it leave? */

/* --- going ------------------------------------------------------------------------------------------------------
 * These return sessions that have to end, as a chain: entry->next is the next one. They are no longer parked; read `next`
 * before you end one. */

/* Those whose time is over; forgets places that nobody uses. Call it at fl_pool_wake_ms(). */
struct fl_pool_entry *fl_pool_sweep(struct fl_pool *pool, uint64_t now_ms) FL_MUST_USE;
/* When to sweep next; UINT64_MAX: there is nothing to wait for. Changes with every call that changes the pool. */
uint64_t fl_pool_wake_ms(const struct fl_pool *pool);
/* Our certificate, or the trust, has changed: all that are parked will not be taken any more. They go in fl_pool_sweep(), one
 * after another, over the next over_ms. */
void fl_pool_flush(struct fl_pool *pool, uint64_t now_ms, uint64_t over_ms);
/* All, now. */
struct fl_pool_entry *fl_pool_drain(struct fl_pool *pool) FL_MUST_USE;

#endif
