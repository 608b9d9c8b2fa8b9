/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_GENERATION_GENERATION_H
#define FL_GENERATION_GENERATION_H
/* generation - one numbered, complete, validated set {chain, key, bundles, CRLs, policy and
 * settings}, and the share of it that each worker uses.
 *
 * A generation is immutable and reference-counted across threads. A share belongs to one worker's
 * loop: its own TLS contexts (wolfSSL contexts are not shared between threads) and a plain count of
 * the sessions that began with it. Both are built on the main thread and passed by message.
 * Sessions keep the share that they began with. When the last session of the last share has ended,
 * the key is wiped.
 *
 * The trust of a generation has its own digest: two generations of equal trust may resume each
 * other's TLS sessions (only a certificate was renewed); any other two may not. */
#include <stdbool.h>
#include <stdint.h>

#include "conf/conf.h"
#include "count/expiry.h"
#include "count/plaintext_counts.h"
#include "count/rule_counts.h"
#include "count/sections.h"
#include "ctl/message.h"
#include "pki/credentials.h"
#include "pki/rollover.h"
#include "policy/upstream_map.h"
#include "tls/tls.h"

struct fl_generation {
	unsigned refs; /* atomic */
	uint64_t number;
	uint8_t digest[FL_DIGEST_LEN];
	struct fl_credentials *credentials;
	struct fl_expiries expiries; /* of those */
	struct fl_rollover rollover; /* what the change to these credentials may have broken */
	struct fl_conf *conf;
	/* Digest over all bundles and CRLs, the INI, our own ID and root, but not over our
	 * certificate and key. */
	uint8_t trust[FL_DIGEST_LEN];
	uint8_t anchors[FL_DIGEST_LEN]; /* over all bundles and CRLs only */
	uint8_t own[FL_DIGEST_LEN];     /* over our certificate chain only */
	uint8_t key[FL_DIGEST_LEN];     /* the name of our key (pki/key.h) */
	/* unchanged from the previous generation while anchors is */
	uint64_t epoch;
	struct fl_tls_ticket_keys *ticket_keys; /* a reference; NULL: tickets are off */
	struct fl_tls_peers *peers; /* a reference: one table for all generations of a process */
};

/* Builds a generation from the agent's message. Everything is parsed and judged again, because the
 * sidecar does not rely on the sender. message: read during the call only. now: seconds since the
 * epoch. current (may be NULL): the generation in use. Its tickets stay valid if the trust is the
 * same, its table of peers is shared, and its CRLs may have expired meanwhile. One reference.
 * Errors: FL_ERR_NOMEM, or one sentence that says what is wrong. Main thread. */
int fl_generation_new(const struct fl_ctl_generation *message, int64_t now,
		      const struct fl_generation *current, struct fl_generation **ret,
		      struct fl_err *err) FL_MUST_USE;
struct fl_generation *fl_generation_ref(struct fl_generation *generation); /* any thread */
void fl_generation_unref(struct fl_generation *generation); /* any thread; NULL is fine */
/* Do both have the same `trust`? Thread: any. */
bool fl_generation_same_trust(const struct fl_generation *a, const struct fl_generation *b);
/* May a client of b resume a session that a client of a has saved? Only if trust and our own
 * certificate are the same: a client that resumes presents no certificate, so the server would keep
 * seeing the old one. Thread: any. */
bool fl_generation_may_resume(const struct fl_generation *a, const struct fl_generation *b);

/* May a session of a carry further connections under b? Only if bundles, CRLs, our own certificate and
 * the settings of TLS are the same; each connection is judged under b anyway. `[tls] key` is one of these
 * settings: a session keeps a, and with it the key that the sidecar may have. Thread: any. */
bool fl_generation_may_reuse(const struct fl_generation *a, const struct fl_generation *b);

/* Returns the options for its TLS contexts; they borrow from the generation. */
struct fl_tls_options fl_generation_tls_options(const struct fl_generation *generation);

struct fl_share {
	struct fl_generation *generation; /* a reference */
	struct fl_tls_ctx *client, *server;
	/* The newest map of captured destinations; its numbers are those of the INI's upstreams. A
	 * reference. */
	struct fl_upstream_map *upstream_map;
	struct fl_plaintext_counter **plaintext; /* fl_plaintext_counters(); owned */
	struct fl_section_set
		*sections; /* of the generation's INI; a reference; NULL: a candidate */
	struct fl_rule_counts *rule_counts; /* a reference; NULL once another share is current */
	unsigned worker;                    /* the worker whose counters this share uses */
	unsigned refs;                      /* of one loop: not atomic */
	uint64_t superseded_ms;             /* loop time at which another share replaced it */
};

/* Creates the share of the worker with that number, with its own TLS contexts. Takes references to
 * generation and to rule_counts, into which the worker counts. Errors: material that the TLS engine
 * refuses. Main thread; the functions below are for the worker's thread. */
int fl_share_new(struct fl_generation *generation, struct fl_rule_counts *rule_counts,
		 unsigned worker, struct fl_share **ret, struct fl_err *err) FL_MUST_USE;
struct fl_share *fl_share_ref(struct fl_share *share);
void fl_share_unref(struct fl_share *share); /* NULL is fine */
/* Another share has become current: releases the table that this one counts into. */
void fl_share_retire(struct fl_share *share);

#endif
