/* SPDX-License-Identifier: GPL-3.0-or-later */
/* peer - a hash table of chains by digest, and a queue of those without a holder.
 *
 * An object is in the table from its first handshake until it is freed, which only happens to an
 * object without a holder. So a reference count changes between 0 and 1 only under the lock; any
 * other change is a plain atomic operation. The table itself lives until its owner and the last
 * held object are gone: each held object counts as one user.
 *
 * Objects without a holder are bounded in number, bytes and time: the tickets that name them are
 * valid for an hour. Memory comes from wolfSSL's allocator, like all memory of a connection; if it
 * runs out, a handshake fails. */
#include "tls/peer.h"

#include <time.h>
#include <utlist.h>

#include "pki/digest.h"

#define BUCKETS_MIN 16u
#define UNHELD_MAX 4096u
#define UNHELD_BYTES_MAX (8u * 1024 * 1024)
#define UNHELD_S 3600

static int64_t monotonic_s(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (int64_t)now.tv_sec;
}

/* --- the table, under its lock ----------------------------------------------------------------- */

static size_t size_of(const struct fl_tls_peer *peer)
{
	return sizeof(*peer) + peer->id_len + 1 + peer->der_len;
}

static struct fl_tls_peer **bucket_of(const struct fl_tls_peers *peers, const uint8_t *digest)
{
	size_t hash;

	memcpy(&hash, digest, sizeof(hash));
	return &peers->buckets[hash & (peers->bucket_count - 1)];
}

static struct fl_tls_peer *find(const struct fl_tls_peers *peers, const uint8_t *digest)
{
	struct fl_tls_peer *peer = *bucket_of(peers, digest);

	while (peer != NULL && memcmp(peer->digest, digest, sizeof(peer->digest)) != 0) {
		peer = peer->next_in_bucket;
	}
	return peer;
}

static void put(struct fl_tls_peers *peers, struct fl_tls_peer *peer)
{
	struct fl_tls_peer **bucket = bucket_of(peers, peer->digest);

	peer->next_in_bucket = *bucket;
	*bucket = peer;
}

/* Resizes to `count` buckets; does nothing if memory runs out. */
static void resize(struct fl_tls_peers *peers, size_t count)
{
	struct fl_tls_peer **buckets = fl_tls_alloc(count * sizeof(struct fl_tls_peer *));
	struct fl_tls_peer **old = peers->buckets;
	size_t old_count = peers->bucket_count;

	if (buckets == NULL) {
		return;
	}
	peers->buckets = buckets;
	peers->bucket_count = count;
	for (size_t i = 0; i < old_count; i++) {
		for (struct fl_tls_peer *peer = old[i], *next; peer != NULL; peer = next) {
			next = peer->next_in_bucket;
			put(peers, peer);
		}
	}
	fl_tls_release(old);
}

static void take_off_queue(struct fl_tls_peers *peers, struct fl_tls_peer *peer)
{
	DL_DELETE(peers->unheld, peer);
	peers->unheld_count--;
	peers->unheld_bytes -= size_of(peer);
}

static void throw_away(struct fl_tls_peers *peers, struct fl_tls_peer *peer)
{
	struct fl_tls_peer **at = bucket_of(peers, peer->digest);

	take_off_queue(peers, peer);
	while (*at != peer) {
		at = &(*at)->next_in_bucket;
	}
	*at = peer->next_in_bucket;
	peers->count--;
	fl_tls_release(peer);
}

static void tidy(struct fl_tls_peers *peers)
{
	int64_t oldest = monotonic_s() - UNHELD_S;

	while (peers->unheld != NULL &&
	       (peers->unheld_count > UNHELD_MAX || peers->unheld_bytes > UNHELD_BYTES_MAX ||
		peers->unheld->unheld_since_s < oldest)) {
		throw_away(peers, peers->unheld);
	}
	if (peers->bucket_count > BUCKETS_MIN && peers->count < peers->bucket_count / 8) {
		resize(peers, peers->bucket_count / 2);
	}
}

/* Adds a holder to an object in the table. */
static struct fl_tls_peer *hold(struct fl_tls_peers *peers, struct fl_tls_peer *peer)
{
	if (__atomic_fetch_add(&peer->refs, 1, __ATOMIC_RELAXED) == 0) {
		take_off_queue(peers, peer);
		__atomic_add_fetch(&peers->users, 1, __ATOMIC_RELAXED);
	}
	return peer;
}

/* --- the table as a whole ----------------------------------------------------------------------- */

int fl_tls_peers_new(struct fl_tls_peers **ret, struct fl_err *err)
{
	struct fl_tls_peers *peers = fl_tls_alloc(sizeof(*peers));

	if (peers == NULL) {
		return fl_err_set(err, FL_ERR_NOMEM, "out of memory");
	}
	peers->buckets = fl_tls_alloc(BUCKETS_MIN * sizeof(struct fl_tls_peer *));
	if (peers->buckets == NULL) {
		fl_tls_release(peers);
		return fl_err_set(err, FL_ERR_NOMEM, "out of memory");
	}
	peers->bucket_count = BUCKETS_MIN;
	peers->users = 1;
	FL_REQUIRE(pthread_mutex_init(&peers->lock, NULL) == 0);
	*ret = peers;
	return 0;
}

struct fl_tls_peers *fl_tls_peers_ref(struct fl_tls_peers *peers)
{
	__atomic_add_fetch(&peers->users, 1, __ATOMIC_RELAXED);
	return peers;
}

void fl_tls_peers_unref(struct fl_tls_peers *peers)
{
	if (peers == NULL || __atomic_sub_fetch(&peers->users, 1, __ATOMIC_ACQ_REL) > 0) {
		return;
	}
	while (peers->unheld != NULL) {
		throw_away(peers, peers->unheld);
	}
	FL_REQUIRE(peers->count == 0);
	(void)pthread_mutex_destroy(&peers->lock);
	fl_tls_release(peers->buckets);
	fl_tls_release(peers);
}

/* --- one chain ------------------------------------------------------------------------------------ */

struct fl_span fl_tls_peer_cert(const struct fl_tls_peer *peer, size_t index)
{
	const uint8_t *at = (const uint8_t *)peer->data + peer->id_len + 1;
	uint32_t len = 0;

	FL_REQUIRE(index < peer->cert_count);
	for (size_t i = 0; i <= index; i++) {
		at += len;
		memcpy(&len, at, sizeof(len));
		at += sizeof(len);
	}
	return (struct fl_span){at, len};
}

static struct fl_tls_peer *peer_new(struct fl_tls_peers *peers, const struct fl_span *chain,
				    size_t count, const struct fl_judgement *judgement)
{
	const struct fl_spiffe_id *id = &judgement->id;
	struct fl_tls_peer *peer;
	size_t der_len = 0;
	char *at;

	for (size_t i = 0; i < count; i++) {
		der_len += sizeof(uint32_t) + chain[i].len;
	}
	peer = fl_tls_alloc(sizeof(*peer) + id->len + 1 + der_len);
	if (peer == NULL) {
		return NULL;
	}
	peer->peers = peers;
	peer->not_after = judgement->path.sent_not_after;
	peer->id_len = id->len;
	peer->der_len = der_len;
	peer->cert_count = (uint8_t)count;
	memcpy(peer->data, id->text, id->len);
	at = peer->data + id->len + 1;
	for (size_t i = 0; i < count; i++) {
		uint32_t len = (uint32_t)chain[i].len;

		memcpy(at, &len, sizeof(len));
		memcpy(at + sizeof(len), chain[i].data, len);
		at += sizeof(len) + len;
	}
	return peer;
}

struct fl_tls_peer *fl_tls_peers_find(struct fl_tls_peers *peers,
				      const uint8_t digest[FL_DIGEST_LEN])
{
	struct fl_tls_peer *peer;

	(void)pthread_mutex_lock(&peers->lock);
	peer = find(peers, digest);
	if (peer != NULL) {
		(void)hold(peers, peer);
	}
	(void)pthread_mutex_unlock(&peers->lock);
	return peer;
}

struct fl_tls_peer *fl_tls_peers_add(struct fl_tls_peers *peers,
				     const uint8_t digest[FL_DIGEST_LEN],
				     const struct fl_span *chain, size_t count,
				     const struct fl_judgement *judgement)
{
	struct fl_tls_peer *made = peer_new(peers, chain, count, judgement), *peer;

	if (made == NULL) {
		return NULL;
	}
	memcpy(made->digest, digest, sizeof(made->digest));
	(void)pthread_mutex_lock(&peers->lock);
	peer = find(peers, digest); /* another worker may have added it meanwhile */
	if (peer != NULL) {
		(void)hold(peers, peer);
	} else {
		if (peers->count >= peers->bucket_count) {
			resize(peers, peers->bucket_count * 2);
		}
		made->refs = 1;
		__atomic_add_fetch(&peers->users, 1, __ATOMIC_RELAXED);
		put(peers, made);
		peers->count++;
	}
	(void)pthread_mutex_unlock(&peers->lock);
	if (peer != NULL) {
		fl_tls_release(made);
	}
	return peer != NULL ? peer : made;
}

struct fl_tls_peer *fl_tls_peer_ref(struct fl_tls_peer *peer)
{
	__atomic_add_fetch(&peer->refs, 1, __ATOMIC_RELAXED);
	return peer;
}

void fl_tls_peer_unref(struct fl_tls_peer *peer)
{
	struct fl_tls_peers *peers;
	unsigned refs;
	bool was_last;

	if (peer == NULL) {
		return;
	}
	refs = __atomic_load_n(&peer->refs, __ATOMIC_RELAXED);
	while (refs > 1) {
		if (__atomic_compare_exchange_n(&peer->refs, &refs, refs - 1, true,
						__ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
			return;
		}
	}
	peers = peer->peers;
	(void)pthread_mutex_lock(&peers->lock);
	was_last = __atomic_sub_fetch(&peer->refs, 1, __ATOMIC_ACQ_REL) == 0;
	if (was_last) {
		peer->unheld_since_s = monotonic_s();
		DL_APPEND(peers->unheld, peer);
		peers->unheld_count++;
		peers->unheld_bytes += size_of(peer);
		tidy(peers);
	}
	(void)pthread_mutex_unlock(&peers->lock);
	if (was_last) {
		fl_tls_peers_unref(peers);
	}
}

const char *fl_tls_peer_name(const struct fl_tls_peer *peer)
{
	return peer->data;
}

int64_t fl_tls_peer_until(const struct fl_tls_peer *peer)
{
	return __atomic_load_n(&peer->not_after, __ATOMIC_RELAXED);
}

/* --- remembered verdicts ----------------------------------------------------------------- */

bool fl_tls_peer_recall(struct fl_tls_peer *peer, uint64_t epoch, int64_t now, enum fl_rule *ret)
{
	bool known;

	if (epoch == 0) {
		return false;
	}
	(void)pthread_mutex_lock(&peer->peers->lock);
	known = peer->epoch == epoch &&
		(now == FL_TLS_ANY_TIME || (now >= peer->valid_from && now <= peer->valid_until));
	if (known) {
		*ret = peer->rule;
	}
	(void)pthread_mutex_unlock(&peer->peers->lock);
	return known;
}

static void note(struct fl_tls_peer *peer, uint64_t epoch, enum fl_rule rule, int64_t from,
		 int64_t until)
{
	if (epoch == 0) {
		return;
	}
	(void)pthread_mutex_lock(&peer->peers->lock);
	peer->epoch = epoch;
	peer->rule = rule;
	peer->valid_from = from;
	peer->valid_until = until;
	(void)pthread_mutex_unlock(&peer->peers->lock);
}

void fl_tls_peer_note(struct fl_tls_peer *peer, uint64_t epoch, enum fl_rule rule)
{
	note(peer, epoch, rule, INT64_MAX, INT64_MIN);
}

void fl_tls_peer_note_path(struct fl_tls_peer *peer, uint64_t epoch, const struct fl_path *path)
{
	__atomic_store_n(&peer->not_after, path->sent_not_after, __ATOMIC_RELAXED);
	note(peer, epoch, FL_RULE_NONE, path->not_before, path->not_after);
}
