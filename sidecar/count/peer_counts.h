/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_COUNT_PEER_COUNTS_H
#define FL_COUNT_PEER_COUNTS_H
/* peer_counts - the counts of each peer: its connections, how they ended, bytes, failed handshakes.
 *
 * Peers are distinguished by direction and identity: a verified SPIFFE ID, or plaintext. A bounded
 * number of them have their own counts; peers for which there is no room are counted together, as
 * `other`. A peer that has had no connection for FL_PEERS_FORGET_MS may be evicted, and its counts
 * are lost: if it returns, they begin at 0, as after a restart. A connection is counted in the same
 * entry from start to end, so no count ever falls.
 *
 * Threads: one table for all workers. Its lock is taken once for each connection, when its peer is
 * known; from then on a worker counts in a cell of its own, which any thread may read. Functions do
 * not fail: if memory runs out, a peer is counted as `other`. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "count/counters.h"

#define FL_PEERS_MAX 256u
#define FL_PEERS_FORGET_MS (60u * 60 * 1000)

struct fl_peer; /* one identity in one direction */

/* A peer's counts on one worker; only that worker writes them, with fl_count(). Workers do not
 * share a cache line. */
struct fl_peer_cell {
	struct fl_peer *peer;
	uint64_t opened, left; /* connections */
	uint64_t bytes_to_app, bytes_to_mesh;
	uint64_t unused[3];
};

struct fl_peer_counts;
struct fl_peer_counts *fl_peer_counts_new(unsigned worker_count, size_t max);
void fl_peer_counts_free(struct fl_peer_counts *peers); /* after the last worker; NULL is fine */

/* --- workers -------------------------------------------------------------------------------------- */

/* A connection has this peer (id NULL: plaintext). Returns the cell in which it is counted until
 * fl_peer_left(). now_ms: uv_now(). */
struct fl_peer_cell *fl_peer_counts_opened(struct fl_peer_counts *peers, unsigned worker,
					   enum fl_direction direction, const char *id,
					   uint64_t now_ms);
/* The connection has ended, for this reason. Bytes may still be counted. */
void fl_peer_ended(struct fl_peer_cell *cell, enum fl_reason reason);
/* The connection is gone: cell must not be used for it any more. */
void fl_peer_left(struct fl_peer_cell *cell, uint64_t now_ms);
/* A handshake failed in which that identity was presented. It is counted only if that peer already
 * has counts: the identity was not proven, so it must not evict another peer. */
void fl_peer_counts_failed(struct fl_peer_counts *peers, enum fl_direction direction,
			   const char *id, enum fl_reason reason);

/* --- main thread ---------------------------------------------------------------------------------- */

struct fl_peer_sum {
	const char *name; /* a SPIFFE ID, "plaintext" or "other"; borrowed */
	enum fl_direction direction;
	uint64_t opened, open;
	uint64_t bytes_to_app, bytes_to_mesh;
	uint64_t ended[FL_REASON_COUNT], failed[FL_REASON_COUNT];
};

/* Returns the sums over all workers, `other` last: an array to free(), whose names stay valid until
 * fl_peer_counts_let_go(), because no peer is evicted meanwhile. NULL: out of memory, and nothing
 * to let go. */
struct fl_peer_sum *fl_peer_counts_sums(struct fl_peer_counts *peers, size_t *ret_count);
void fl_peer_counts_let_go(
	struct fl_peer_counts *peers); /* ends what fl_peer_counts_sums() began */

/* How many peers have their own counts, how many may, and how many were evicted so far. */
struct fl_peer_counts_size {
	uint64_t count, max, forgotten;
};
struct fl_peer_counts_size fl_peer_counts_size(struct fl_peer_counts *peers);

#endif
