/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_COUNT_PEER_COUNTS_H
#define FL_COUNT_PEER_COUNTS_H
/* peer_counts - what is counted of each peer: its connections, how they ended, bytes, failed handshakes.
 *
 * Peers differ by direction and identity: a verified SPIFFE ID, or plaintext. A bounded number of them have counts of their own;
 * those that come when there is no room are counted together, as `other`. A peer without a connection for FL_PEERS_FORGET_MS
 * makes room when room is needed, and its counts are gone: if it comes back, they begin at 0, as after a restart. A connection counts
 * to its end where it began, so no count ever falls.
 *
 * Threads: one table for all workers. Its lock is taken once for each connection, when its peer is known; from then on a
 * worker counts in a cell of its own, which any thread may read. Functions do not fail: without memory a peer is counted as `other`. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "count/counters.h"

#define FL_PEERS_MAX 256u
#define FL_PEERS_FORGET_MS (60u * 60 * 1000)

struct fl_peer; /* one identity in one direction */

/* Its part of one worker, which alone writes it: fl_count(). Workers do not write into one cache line. */
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

/* A connection has this peer (id NULL: plaintext). Returns where it is counted until fl_peer_left(). now_ms: uv_now(). */
struct fl_peer_cell *fl_peer_counts_opened(struct fl_peer_counts *peers, unsigned worker,
					   enum fl_direction direction, const char *id,
					   uint64_t now_ms);
/* The connection has ended, for this reason. Bytes may still be counted. */
void fl_peer_ended(struct fl_peer_cell *cell, enum fl_reason reason);
/* The connection is gone: cell may not be used for it any more. */
void fl_peer_left(struct fl_peer_cell *cell, uint64_t now_ms);
/* A handshake failed in which that identity was presented. It is counted only where that peer has counts already: nothing was proven, so
 * it must not make room for a new one. */
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

/* Returns the sums over all workers, `other` last: an array to free(), whose names stay valid until fl_peer_counts_let_go(), because
 * no peer makes room meanwhile. NULL: no memory, and nothing to let go. */
struct fl_peer_sum *fl_peer_counts_sums(struct fl_peer_counts *peers, size_t *ret_count);
void fl_peer_counts_let_go(
	struct fl_peer_counts *peers); /* of what fl_peer_counts_sums() gave out */

/* How many peers have counts of their own, how many may, and how many have made room so far. */
struct fl_peer_counts_size {
	uint64_t count, max, forgotten;
};
struct fl_peer_counts_size fl_peer_counts_size(struct fl_peer_counts *peers);

#endif
