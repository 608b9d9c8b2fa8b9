/* SPDX-License-Identifier: GPL-3.0-or-later */
/* peer_counts - an array of the peers that have their own counts, with a hash table by ID for each
 * direction.
 *
 * A peer is in use while more of its connections were opened than have left. The worker of the
 * connection counts both, and counts the opening under the lock. So a thread that holds the lock
 * and finds a peer not in use may free it: no worker uses its cells. The search for a peer to evict
 * walks over all of them, at most once a second.
 *
 * Reasons are counted for all workers together, with one atomic addition for each connection. */
#include "count/peer_counts.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* If memory runs out, the table does not change, and the peer is counted as `other`. */
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "base/err.h"
#include "base/mem.h"

#define LOOK_EVERY_MS 1000u

enum common { PLAINTEXT, OTHER, COMMON };

struct fl_peer {
	UT_hash_handle hh;
	struct fl_peer_cell *cells; /* one for each worker */
	uint64_t used_ms;           /* atomic: when a connection came or left */
	uint64_t ended[FL_REASON_COUNT], failed[FL_REASON_COUNT]; /* atomic */
	enum fl_direction direction;
	char name[];
};

struct fl_peer_counts {
	pthread_mutex_t lock; /* protects all members below, except cells and atomics */
	unsigned worker_count;
	size_t count, max;
	struct fl_peer **items;               /* the peers with their own counts */
	struct fl_peer *by_id[FL_DIRECTIONS]; /* the same peers by ID */
	struct fl_peer *common[COMMON][FL_DIRECTIONS];
	uint64_t forgotten, looked_ms;
	bool held; /* the main thread reads the items: no eviction */
};

/* --- one peer ------------------------------------------------------------------------------------- */

static void peer_free(struct fl_peer *peer)
{
	if (peer != NULL) {
		free(peer->cells);
		free(peer);
	}
}

/* Returns NULL if memory runs out. */
static struct fl_peer *peer_new(unsigned worker_count, enum fl_direction direction,
				const char *name)
{
	size_t len = strlen(name) + 1, size = worker_count * sizeof(struct fl_peer_cell);
	struct fl_peer *peer = calloc(1, sizeof(*peer) + len);

	_Static_assert(sizeof(struct fl_peer_cell) == 64, "a cell is a cache line");
	if (peer == NULL) {
		return NULL;
	}
	peer->cells = aligned_alloc(sizeof(struct fl_peer_cell), size);
	if (peer->cells == NULL) {
		free(peer);
		return NULL;
	}
	memset(peer->cells, 0, size);
	for (unsigned i = 0; i < worker_count; i++) {
		peer->cells[i].peer = peer;
	}
	peer->direction = direction;
	memcpy(peer->name, name, len);
	return peer;
}

static bool is_in_use(const struct fl_peer_counts *peers, const struct fl_peer *peer)
{
	for (unsigned i = 0; i < peers->worker_count; i++) {
		/* Acquire: the worker's earlier writes happen before free(). */
		if (__atomic_load_n(&peer->cells[i].left, __ATOMIC_ACQUIRE) !=
		    peer->cells[i].opened) {
			return true;
		}
	}
	return false;
}

/* --- the table ------------------------------------------------------------------------------------ */

struct fl_peer_counts *fl_peer_counts_new(unsigned worker_count, size_t max)
{
	static const char *const names[COMMON] = {[PLAINTEXT] = "plaintext", [OTHER] = "other"};
	struct fl_peer_counts *peers = fl_new(sizeof(*peers));

	FL_REQUIRE(pthread_mutex_init(&peers->lock, NULL) == 0);
	peers->worker_count = worker_count;
	peers->max = max;
	peers->items = fl_new((max + 1) * sizeof(struct fl_peer *));
	for (unsigned i = 0; i < COMMON; i++) {
		for (unsigned d = 0; d < FL_DIRECTIONS; d++) {
			peers->common[i][d] =
				peer_new(worker_count, (enum fl_direction)d, names[i]);
			FL_REQUIRE(peers->common[i][d] != NULL);
		}
	}
	return peers;
}

/* NOLINTNEXTLINE(readability-function-size): what is large is uthash's macro */
static struct fl_peer *find(const struct fl_peer_counts *peers, enum fl_direction direction,
			    const char *id, size_t len)
{
	struct fl_peer *peer;

	HASH_FIND(hh, peers->by_id[direction], id, len, peer);
	return peer;
}

/* False: no memory. */
/* NOLINTNEXTLINE(readability-function-size): what is large is uthash's macro */
static bool put(struct fl_peer_counts *peers, struct fl_peer *peer)
{
	unsigned before = HASH_COUNT(peers->by_id[peer->direction]);

	HASH_ADD_KEYPTR(hh, peers->by_id[peer->direction], peer->name, strlen(peer->name), peer);
	return HASH_COUNT(peers->by_id[peer->direction]) > before;
}

/* NOLINTNEXTLINE(readability-function-size): what is large is uthash's macro */
static void take_out(struct fl_peer_counts *peers, struct fl_peer *peer)
{
	HASH_DEL(peers->by_id[peer->direction], peer);
}

void fl_peer_counts_free(struct fl_peer_counts *peers)
{
	if (peers == NULL) {
		return;
	}
	for (size_t i = 0; i < peers->count; i++) {
		take_out(peers, peers->items[i]);
		peer_free(peers->items[i]);
	}
	for (unsigned i = 0; i < COMMON; i++) {
		for (unsigned d = 0; d < FL_DIRECTIONS; d++) {
			peer_free(peers->common[i][d]);
		}
	}
	(void)pthread_mutex_destroy(&peers->lock);
	free(peers->items);
	free(peers);
}

/* Evicts the peer that has been without a connection for longest, if that is long enough. False:
 * there is none. */
static bool make_room(struct fl_peer_counts *peers, uint64_t now_ms)
{
	size_t oldest = peers->count;
	uint64_t oldest_ms = UINT64_MAX;

	if (peers->held || now_ms < peers->looked_ms + LOOK_EVERY_MS) {
		return false;
	}
	for (size_t i = 0; i < peers->count; i++) {
		uint64_t used_ms = __atomic_load_n(&peers->items[i]->used_ms, __ATOMIC_RELAXED);

		if (used_ms + FL_PEERS_FORGET_MS <= now_ms && used_ms < oldest_ms &&
		    !is_in_use(peers, peers->items[i])) {
			oldest = i;
			oldest_ms = used_ms;
		}
	}
	if (oldest == peers->count) {
		peers->looked_ms = now_ms;
		return false;
	}
	take_out(peers, peers->items[oldest]);
	peer_free(peers->items[oldest]);
	peers->items[oldest] = peers->items[--peers->count];
	peers->forgotten++;
	return true;
}

/* Returns NULL if there is no room. */
static struct fl_peer *add(struct fl_peer_counts *peers, enum fl_direction direction,
			   const char *id, uint64_t now_ms)
{
	struct fl_peer *peer;

	if (peers->count == peers->max && !make_room(peers, now_ms)) {
		return NULL;
	}
	peer = peer_new(peers->worker_count, direction, id);
	if (peer != NULL && !put(peers, peer)) {
		peer_free(peer);
		peer = NULL;
	}
	if (peer != NULL) {
		peers->items[peers->count++] = peer;
	}
	return peer;
}

/* --- workers -------------------------------------------------------------------------------------- */

struct fl_peer_cell *fl_peer_counts_opened(struct fl_peer_counts *peers, unsigned worker,
					   enum fl_direction direction, const char *id,
					   uint64_t now_ms)
{
	struct fl_peer *peer = peers->common[PLAINTEXT][direction];
	size_t len = id != NULL ? strlen(id) : 0;

	if (id == NULL) {
		fl_count(&peer->cells[worker].opened, 1);
		return &peer->cells[worker];
	}
	(void)pthread_mutex_lock(&peers->lock);
	peer = find(peers, direction, id, len);
	if (peer == NULL) {
		peer = add(peers, direction, id, now_ms);
	}
	if (peer == NULL) {
		peer = peers->common[OTHER][direction];
	}
	__atomic_store_n(&peer->used_ms, now_ms, __ATOMIC_RELAXED);
	fl_count(&peer->cells[worker].opened, 1);
	(void)pthread_mutex_unlock(&peers->lock);
	return &peer->cells[worker];
}

void fl_peer_ended(struct fl_peer_cell *cell, enum fl_reason reason)
{
	(void)__atomic_add_fetch(&cell->peer->ended[reason], 1, __ATOMIC_RELAXED);
}

void fl_peer_left(struct fl_peer_cell *cell, uint64_t now_ms)
{
	__atomic_store_n(&cell->peer->used_ms, now_ms, __ATOMIC_RELAXED);
	__atomic_store_n(&cell->left, cell->left + 1, __ATOMIC_RELEASE);
}

void fl_peer_counts_failed(struct fl_peer_counts *peers, enum fl_direction direction,
			   const char *id, enum fl_reason reason)
{
	struct fl_peer *peer;

	(void)pthread_mutex_lock(&peers->lock);
	peer = find(peers, direction, id, strlen(id));
	if (peer != NULL) {
		(void)__atomic_add_fetch(&peer->failed[reason], 1, __ATOMIC_RELAXED);
	}
	(void)pthread_mutex_unlock(&peers->lock);
}

/* --- main thread ---------------------------------------------------------------------------------- */

static void sum_of(const struct fl_peer_counts *peers, const struct fl_peer *peer,
		   struct fl_peer_sum *ret)
{
	uint64_t left = 0;

	*ret = (struct fl_peer_sum){.name = peer->name, .direction = peer->direction};
	for (unsigned r = 0; r < FL_REASON_COUNT; r++) {
		ret->ended[r] = __atomic_load_n(&peer->ended[r], __ATOMIC_RELAXED);
		ret->failed[r] = __atomic_load_n(&peer->failed[r], __ATOMIC_RELAXED);
	}
	for (unsigned i = 0; i < peers->worker_count; i++) {
		const struct fl_peer_cell *cell = &peer->cells[i];

		/* Read `left` first, so that it never exceeds `opened`. */
		left += __atomic_load_n(&cell->left, __ATOMIC_ACQUIRE);
		ret->opened += __atomic_load_n(&cell->opened, __ATOMIC_RELAXED);
		ret->bytes_to_app += __atomic_load_n(&cell->bytes_to_app, __ATOMIC_RELAXED);
		ret->bytes_to_mesh += __atomic_load_n(&cell->bytes_to_mesh, __ATOMIC_RELAXED);
	}
	ret->open = ret->opened - left;
}

struct fl_peer_sum *fl_peer_counts_sums(struct fl_peer_counts *peers, size_t *ret_count)
{
	struct fl_peer_sum *sums;
	size_t count, n = 0;

	(void)pthread_mutex_lock(&peers->lock);
	FL_REQUIRE(!peers->held);
	peers->held = true;
	count = peers->count;
	(void)pthread_mutex_unlock(&peers->lock);
	sums = calloc(count + (size_t)COMMON * FL_DIRECTIONS, sizeof(*sums));
	if (sums == NULL) {
		fl_peer_counts_let_go(peers);
		return NULL;
	}
	for (size_t i = 0; i < count; i++) {
		sum_of(peers, peers->items[i], &sums[n++]);
	}
	for (unsigned i = 0; i < COMMON; i++) {
		for (unsigned d = 0; d < FL_DIRECTIONS; d++) {
			sum_of(peers, peers->common[i][d], &sums[n]);
			n += sums[n].opened > 0;
		}
	}
	*ret_count = n;
	return sums;
}

void fl_peer_counts_let_go(struct fl_peer_counts *peers)
{
	(void)pthread_mutex_lock(&peers->lock);
	peers->held = false;
	(void)pthread_mutex_unlock(&peers->lock);
}

struct fl_peer_counts_size fl_peer_counts_size(struct fl_peer_counts *peers)
{
	struct fl_peer_counts_size size;

	(void)pthread_mutex_lock(&peers->lock);
	size = (struct fl_peer_counts_size){
		.count = peers->count, .max = peers->max, .forgotten = peers->forgotten};
	(void)pthread_mutex_unlock(&peers->lock);
	return size;
}
