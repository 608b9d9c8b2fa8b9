/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_TLS_PEER_H
#define FL_TLS_PEER_H
/* peer - the table of chains, for handshakes; private to sidecar/tls.
 *
 * Functions that return a peer return a reference; NULL: it does not exist, or memory is out. */
#include <pthread.h>

#include "tls/tls_internal.h"

struct fl_tls_peers {
	pthread_mutex_t lock;
	struct fl_tls_peer **buckets; /* their number is a power of two */
	size_t bucket_count, count;   /* count: those without a holder included */
	struct fl_tls_peer *unheld;   /* longest without a holder first */
	size_t unheld_count, unheld_bytes;
	unsigned users; /* atomic: the owner and contexts, and each object that is held */
};

struct fl_tls_peer *fl_tls_peers_find(struct fl_tls_peers *peers,
				      const uint8_t digest[FL_DIGEST_LEN]);
/* judgement: the result for the chain, which is good. */
struct fl_tls_peer *fl_tls_peers_add(struct fl_tls_peers *peers,
				     const uint8_t digest[FL_DIGEST_LEN],
				     const struct fl_span *chain, size_t count,
				     const struct fl_judgement *judgement);
/* One of its certificates, DER; 0: the leaf. */
struct fl_span fl_tls_peer_cert(const struct fl_tls_peer *peer, size_t index);

/* Finds the verdict of that epoch, if it holds at `now`; false: there is none, or a later one has
 * replaced it. */
#define FL_TLS_ANY_TIME INT64_MIN
bool fl_tls_peer_recall(struct fl_tls_peer *peer, uint64_t epoch, int64_t now, enum fl_rule *ret);
/* Stores a verdict: one judged without dates, and a good one judged with dates. */
void fl_tls_peer_note(struct fl_tls_peer *peer, uint64_t epoch, enum fl_rule rule);
void fl_tls_peer_note_path(struct fl_tls_peer *peer, uint64_t epoch, const struct fl_path *path);

#endif
