/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_COUNT_DENIALS_H
#define FL_COUNT_DENIALS_H
/* denials - the connections that we refused last (reasons of class REFUSED and LOST), with the rule and the remedy, for the
 * page.
 *
 * Connections that are alike are one entry: the same peer (of strangers: the same network), place, reason and rule. The table
 * is bounded: a new entry evicts the least recent one of its kind, so that strangers cannot evict what happened to peers. Each
 * worker has its own table, allocated when it is needed, and copies it for the main thread, which merges them. Thread: the
 * owner's. */
#include <stddef.h>
#include <stdint.h>

#include "base/inet.h"
#include "count/counters.h"

#define FL_DENIALS_MAX 32u /* verified peers, and as many strangers */

struct fl_denial {
	/* The key. */
	enum fl_direction direction;
	enum fl_reason reason;
	char *peer;    /* the verified ID; NULL: none */
	char *section; /* service or upstream; NULL: none covers the port */
	char *rule; /* of policy, with its place in the INI, or a rule for certificates; NULL: none */
	struct fl_inet source;      /* of the last one; family 0: unknown, or a Unix socket */
	struct fl_inet destination; /* of captured traffic, else family 0 */
	uint16_t port;              /* in policy; 0: Unix */
	/* What is known of it. */
	char *detail, *remedy; /* sentences; NULL: none */
	int64_t first, last;   /* seconds since the epoch, for people: the clock may be set back */
	uint64_t last_ms;      /* of the last one by uv_now(): which is the least recent */
	uint64_t count;
	uint64_t hash; /* of the key */
};

/* Plain storage; initialize to zero. */
struct fl_denials {
	struct fl_denial *items; /* owned */
	size_t count;
};

/* Counts a connection like key, whose texts are borrowed. now: seconds since the epoch; now_ms: uv_now(). Returns its entry,
 * valid until the next call; *ret_new: it is a new one, and the caller may give it detail and remedy from malloc(). NULL: out
 * of memory. */
struct fl_denial *fl_denials_note(struct fl_denials *denials, const struct fl_denial *key,
				  int64_t now, uint64_t now_ms, bool *ret_new);
/* Adds copies of the entries of `from`, which does not change, as far as there is memory. */
void fl_denials_add(struct fl_denials *to, const struct fl_denials *from);
/* Sorts by the time of the last one, newest first. */
void fl_denials_sort(struct fl_denials *denials);
/* Frees the contents and zeroes the table. */
void fl_denials_done(struct fl_denials *denials);

#endif
