/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_COUNT_PEER_COUNTS_H
#define FL_COUNT_PEER_COUNTS_H
/* peer_counts - what is counted of each peer: its connections, how they ended, bytes, failed handshakes.
 *
 * Told apart by direction and identity: a SPIFFE ID that was verified, or plaintext. So many of them, at most, have
 * counts of their own; whoever comes when there is no room is counted with the others. Who has had no connection for
 * FL_PEERS_FORGET_MS makes room when it is needed, and its counts are gone: should it come back, they begin at 0, as
 * after a restart. A connection counts to the end where it began, so no count ever falls.
 *
 * Threads: one table for all workers. Its lock is taken once for each connection, when it is known who the peer is;
 * from then on a worker counts in a cell that is its own. Anybody may read. Functions do not fail: without memory a peer is
 * one of the others. */
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

/* A connection has this peer (id: NULL: plaintext); where its bytes are counted until fl_peer_left(). now_ms: uv_now(). */
struct fl_peer_cell *fl_peer_counts_opened(struct fl_peer_counts *peers, unsigned worker,
					   enum fl_direction direction, const char *id,
					   uint64_t now_ms);
/* It has ended, for this reason. Nothing is logged of it any more, but bytes may still be counted. */
void fl_peer_ended(struct fl_peer_cell *cell, enum fl_reason reason);
/* The last thing that is said of it. */
void fl_peer_left(struct fl_peer_cell *cell, uint64_t now_ms);
/* A handshake failed in which that identity was presented. Counted only if it has counts already: nothing was proven, so
 * it makes nobody known. */
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

/* Of all workers: those that there is something to count of, the others last. To free(), and good until
 * fl_peer_counts_let_go(); nobody makes room meanwhile. NULL: no memory, and nothing to let go. */
struct fl_peer_sum *fl_peer_counts_sums(struct fl_peer_counts *peers, size_t *ret_count);
void fl_peer_counts_let_go(
	struct fl_peer_counts *peers); /* of what fl_peer_counts_sums() gave out */

/* How many have counts of their own, how many may, and how many have made room so far. */
struct fl_peer_counts_size {
	uint64_t count, max, forgotten;
};
struct fl_peer_counts_size fl_peer_counts_size(struct fl_peer_counts *peers);

#endif
