/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_GENERATION_GENERATION_H
#define FL_GENERATION_GENERATION_H
/* generation - one numbered, complete, validated set {chain, key, bundles, CRLs, policy and settings}, and the share
 * of it that each worker works with.
 *
 * A generation is immutable and reference-counted across threads. A share belongs to one worker's loop: its own TLS
 * contexts (wolfSSL contexts are not shared between threads) and a plain count of the sessions that began with
 * it. Both are built on the main thread and handed over by message; sessions keep the share that they began
 * with. When the last session of the last share has gone, the key is wiped.
 *
 * Whom a generation trusts has a digest of its own: two generations of equal trust may resume each other's TLS
 * sessions (a certificate was renewed, nothing else), any other two may not. */
#include <stdbool.h>
#include <stdint.h>

#include "conf/conf.h"
#include "count/expiry.h"
#include "count/plaintext_counts.h"
#include "count/rule_counts.h"
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
	/* Over all bundles and CRLs, the INI, our own ID and root; not over our certificate and key. */
	uint8_t trust[FL_DIGEST_LEN];
	uint8_t anchors[FL_DIGEST_LEN]; /* over all bundles and CRLs alone */
	uint8_t own[FL_DIGEST_LEN];     /* over our certificate chain alone */
	uint64_t epoch;                 /* as that of the generation before while anchors is */
	struct fl_tls_ticket_keys *ticket_keys; /* a reference; NULL: tickets are off */
	struct fl_tls_peers *peers; /* a reference: one table for all generations of a process */
};

/* Makes one of what the agent sent. Everything is parsed and judged again, because the sidecar trusts rules, not
 * senders. message: read during the call only. now: seconds since the epoch. current (may be NULL): the one in use, whose tickets stay
 * good when the trust is the same, whose peers are known to this one, and whose CRLs may have run out meanwhile. One reference.
 * Errors: FL_ERR_NOMEM, or what is wrong with it in one sentence. Main thread. */
int fl_generation_new(const struct fl_ctl_generation *message, int64_t now,
		      const struct fl_generation *current, struct fl_generation **ret,
		      struct fl_err *err) FL_MUST_USE;
struct fl_generation *fl_generation_ref(struct fl_generation *generation); /* any thread */
void fl_generation_unref(struct fl_generation *generation); /* any thread; NULL is fine */
/* Do both have the same `trust`? Thread: any. */
bool fl_generation_same_trust(const struct fl_generation *a, const struct fl_generation *b);
/* May a client of b resume a session that a client of a has kept? Only if trust and our own certificate are the same: a client that
 * resumes presents none, so a server would go on seeing the old one. Thread: any. */
bool fl_generation_may_resume(const struct fl_generation *a, const struct fl_generation *b);

/* Returns what its TLS contexts are made of; borrows from the generation. */
struct fl_tls_options fl_generation_tls_options(const struct fl_generation *generation);

struct fl_share {
	struct fl_generation *generation; /* a reference */
	struct fl_tls_ctx *client, *server;
	/* Of captured destinations, numbers being those of the INI's upstreams; the newest there is. A reference. */
	struct fl_upstream_map *upstream_map;
	struct fl_plaintext_counter **plaintext; /* fl_plaintext_counters(); owned */
	struct fl_rule_counts *rule_counts; /* a reference; NULL once another share is current */
	unsigned worker;                    /* whose counters are ours */
	unsigned refs;                      /* of one loop: not atomic */
	uint64_t superseded_ms; /* on the loop's clock, when another one took its place */
};

/* Makes the share of the worker of that number, with TLS contexts of its own. Takes references to generation and rule_counts, which the
 * worker counts into. Errors: what the TLS engine refuses. Main thread; what follows is for the worker's. */
int fl_share_new(struct fl_generation *generation, struct fl_rule_counts *rule_counts,
		 unsigned worker, struct fl_share **ret, struct fl_err *err) FL_MUST_USE;
struct fl_share *fl_share_ref(struct fl_share *share);
void fl_share_unref(struct fl_share *share); /* NULL is fine */
/* Another share has become current: lets go of what this one counts into. */
void fl_share_retire(struct fl_share *share);

#endif
