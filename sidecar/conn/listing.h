/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_CONN_LISTING_H
#define FL_CONN_LISTING_H
/* listing - the open connections, one by one, for /connections.
 *
 * Each worker copies what it has into a listing of its own, which then belongs to the main thread; rendering is pure.
 * Bounded: FL_LISTING_MAX of all workers together, so that a worker is held up for a fraction of a millisecond.
 *
 * Keys of the JSON: open (how many there are), left_out (of those: beyond the bound), connections: [{direction:
 * inbound | outbound, name (of the [service] or [upstream]; null: none is about it), state: waiting (for one of [limits] handshakes) | detecting (what the client speaks) | connecting (to the app, or to the
 * peer) | handshake | open | app_done | peer_done | ending, source, destination, port (inbound: that policy was asked
 * about), security: mtls | plaintext | null (not there yet), peer, own, generation, rule (null: the default, or
 * outbound, or policy was not asked yet), age_seconds, bytes_to_app, bytes_to_mesh}]. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/inet.h"
#include "base/json.h"
#include "base/text.h"
#include "count/callers.h"
#include "count/counters.h"

#define FL_LISTING_MAX 1000u

struct fl_listed {
	enum fl_direction direction;
	const char *state;    /* literals */
	const char *security; /* NULL: none yet */
	char *name, *peer, *own, *rule;
	char *far; /* where an upstream's fixed listener leads this one; NULL: see destination */
	struct fl_inet source, destination;
	uint16_t port;
	uint64_t generation, started_ns;
	uint64_t to_app, to_mesh;
	bool is_short; /* memory was out: something is missing */
};

void fl_listed_done(struct fl_listed *item);

/* Of one worker; begins as {0} but for max. */
struct fl_listing {
	struct fl_listed *items; /* owned */
	size_t count, max;
	uint64_t open;
	struct fl_callers seen; /* for /seen */
};
void fl_listing_done(struct fl_listing *listing);

/* One place more; NULL: there is none left, or no memory. */
struct fl_listed *fl_listing_add(struct fl_listing *listing);
/* A copy for the newest one; NULL: there is no memory, or text is NULL. */
char *fl_listed_copy(struct fl_listed *item, const char *text);
/* The newest one is described. Where memory was out for that it is gone again, and counts as left out. */
void fl_listing_keep(struct fl_listing *listing);

/* Appends the keys of one connection to an object that is open. now_ns: uv_hrtime(). */
void fl_listed_put(struct fl_json *json, const struct fl_listed *item, uint64_t now_ns);

/* Appends a whole document. now_ns: uv_hrtime(). */
void fl_report_connections(const struct fl_listing *listings, size_t count, uint64_t now_ns,
			   struct fl_text *ret);

#endif
