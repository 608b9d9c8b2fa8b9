/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_CONN_LISTING_H
#define FL_CONN_LISTING_H
/* listing - the open connections, one by one, for /connections.
 *
 * Each worker copies its connections into a listing of its own, which then belongs to the main thread; report/connections.h
 * renders them. Bounded: FL_LISTING_MAX of all workers together, so that a worker is held up for a fraction of a
 * millisecond. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/inet.h"
#include "count/callers.h"
#include "count/counters.h"
#include "count/denials.h"

#define FL_LISTING_MAX 1000u

struct fl_listed {
	enum fl_direction direction;
	const char *state;    /* literals */
	const char *security; /* NULL: none yet */
	char *name, *peer, *own, *rule;
	char *far; /* address behind an upstream's fixed listener; NULL: see destination */
	struct fl_inet source, destination;
	uint16_t port;
	uint64_t generation, started_ns;
	uint64_t
		session; /* ID of the session that carries it; 0: that carries nothing else, or has none */
	uint32_t use; /* the how manyth of that session it is */
	uint64_t to_app, to_mesh;
	bool is_short; /* memory was out: some field is missing */
};

void fl_listed_done(struct fl_listed *item);

/* The listing of one worker; begins as {0} except max. */
struct fl_listing {
	struct fl_listed *items; /* owned */
	size_t count, max;
	uint64_t open;
	unsigned
		idle_sessions[FL_DIRECTIONS]; /* they carry no connection now, so none is an item */
	struct fl_callers callers;            /* for /seen */
	struct fl_denials denials;            /* for the page */
};
void fl_listing_done(struct fl_listing *listing);

/* Adds an item; NULL: the listing is full, or memory is out. */
struct fl_listed *fl_listing_add(struct fl_listing *listing);
/* Copies text for the newest item; NULL: memory is out, or text is NULL. */
char *fl_listed_copy(struct fl_listed *item, const char *text);
/* The newest item is complete. If memory ran out for it, it is removed and counts as left out. */
void fl_listing_keep(struct fl_listing *listing);

#endif
