/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_CONN_QUOTA_H
#define FL_CONN_QUOTA_H
/* quota - decides whether one more connection fits into `[limits] connections`, of which this worker has `max`.
 *
 * A direction may use what the other one does not, except for an eighth of all, which is reserved for the other one.
 * Inbound, an eighth of what the direction may use is reserved for peers with few connections; a peer with more may have
 * seven times what is free above that eighth. So a single peer gets two thirds of all, and there is always room for another
 * peer.
 *
 *   D    = max - greater(open of the other direction, max / 8)
 *   free = D - open of this direction
 *   outbound:                       free > 0
 *   inbound, own < max / 256 (1):   free > 0           (plaintext: free > D / 8)
 *   inbound, other:                 own < 7 * (free - D / 8)
 *
 * A peer is an identity, whatever its address; in plaintext, a network is a peer. Pure; loop-bound. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/inet.h"
#include "count/counters.h"

enum fl_quota_answer {
	FL_QUOTA_TAKEN,
	FL_QUOTA_DIRECTION, /* this direction has used up its share */
	FL_QUOTA_PEER,      /* this peer has used up its share */
	FL_QUOTA_NO_MEMORY,
};

/* A peer; exists as long as it has connections. */
struct fl_quota_peer {
	struct fl_quota_peer *next; /* in its bucket */
	uint64_t key;
	uint32_t open;
	bool is_plaintext;
};

#define FL_QUOTA_BUCKETS 1024u
struct fl_quota {
	unsigned max; /* the owner may set it at any time */
	unsigned open[FL_DIRECTIONS];
	uint64_t seed; /* so that nobody can choose names that share a bucket */
	struct fl_quota_peer *peers[FL_QUOTA_BUCKETS];
};

void fl_quota_init(struct fl_quota *quota, uint64_t seed);
void fl_quota_done(struct fl_quota *quota); /* no connection may be open */

/* The max at which inbound ones alone may be so many: for a quota that has no outbound ones. */
unsigned fl_quota_max_for(unsigned inbound);

/* Could any peer have one more? */
bool fl_quota_has_room(const struct fl_quota *quota, enum fl_direction direction);

/* One more outbound. fl_quota_give_back() with NULL. */
enum fl_quota_answer fl_quota_take_outbound(struct fl_quota *quota);
/* One more inbound, of that identity; or in plaintext (id NULL) of that network. */
enum fl_quota_answer fl_quota_take_inbound(struct fl_quota *quota, const char *id,
					   const struct fl_inet *network,
					   struct fl_quota_peer **ret);
void fl_quota_give_back(struct fl_quota *quota, enum fl_direction direction,
			struct fl_quota_peer *peer);

/* A sentence for the log; NULL for FL_QUOTA_TAKEN. */
const char *fl_quota_text(enum fl_quota_answer answer, enum fl_direction direction);

#endif
