/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_TLS_INTERNAL_H
#define FL_TLS_INTERNAL_H
/* tls_internal - the structs of a context, an engine and a peer. Private to this folder: no file
 * outside includes it. */
#include <string.h>

#include "pki/judge.h"
#include "tls/tls.h"
#include "tls/wolf.h"

struct fl_tls_ctx {
	WOLFSSL_CTX *wolf;
	WC_RNG *random; /* of all its engines */
	enum fl_tls_role role;
	const struct fl_credentials *credentials; /* borrowed: trust domain names, CRLs */
	uint16_t shares[4]; /* client: groups whose key share goes into the first hello */
	size_t share_count;
	bool framed;                            /* it offers or accepts the framed protocol */
	size_t engines;                         /* alive */
	struct fl_tls_ticket_keys *ticket_keys; /* a reference; NULL: no tickets */
	struct fl_tls_peers *peers;             /* a reference */
	uint64_t epoch;
	struct fl_public_key own_key; /* of our leaf; borrowed from the credentials */
	uint8_t own_key_name[FL_DIGEST_LEN];
	bool signs_elsewhere; /* the private key is not here */
	int64_t (*now)(void); /* seconds since the epoch; tests set their own clock here */
};

struct fl_tls_peer {
	struct fl_tls_peer *next_in_bucket;
	struct fl_tls_peer *prev, *next; /* in the queue of peers without a holder */
	struct fl_tls_peers *peers;
	/* The last verdict, under the table's lock: see peer.c. */
	uint64_t epoch; /* 0: none */
	enum fl_rule rule;
	int64_t valid_from, valid_until; /* all of the path; from > until: judged without dates */
	int64_t not_after;               /* atomic: when what was sent runs out first */
	int64_t unheld_since_s;
	unsigned refs;                 /* atomic; rises from 0 only under the table's lock */
	uint8_t digest[FL_DIGEST_LEN]; /* of the chain */
	uint8_t cert_count;
	size_t id_len, der_len;
	char data[]; /* ID, NUL, certificates, leaf first; each behind 4 bytes of length */
};

/* The peer that a ticket (server) or a saved session (client) names. It is valid only once the
 * handshake has chosen that session. */
struct fl_tls_claim {
	struct fl_tls_peer *peer;         /* a reference */
	uint8_t iv[WOLFSSL_TICKET_IV_SZ]; /* server: of the ticket */
	bool keeps;                       /* server: the peer keeps this ticket */
	bool mutual;                      /* client: as it was saved */
};

struct fl_tls_saved {
	WOLFSSL_SESSION *session; /* a reference */
	struct fl_tls_peer *peer; /* a reference */
	bool mutual;
};

enum fl_tls_state {
	FL_TLS_STATE_HANDSHAKE,
	FL_TLS_STATE_OPEN,
	FL_TLS_STATE_EOF, /* open for writing */
	FL_TLS_STATE_FAILED,
};

struct fl_tls {
	WOLFSSL *wolf;
	struct fl_tls_ctx *ctx;
	struct fl_tls_io *io; /* of the call under way, otherwise NULL */
	fl_tls_expect_cb expect;
	void *expect_user;
	struct fl_tls_peer *peer;   /* a reference; set by verification, shown once established */
	struct fl_tls_claim *claim; /* owned; during the handshake */
	const struct fl_tls_failure *failure; /* owned unless it is the static one; NULL: none */
	enum fl_tls_state state : 8;
	uint8_t protocol; /* enum fl_tls_protocol */
	bool started : 1; /* the client's key shares are made */
	bool closed : 1;  /* close_notify has gone out */
	bool muted : 1;   /* our alert has gone out, nothing may follow */
	bool heard : 1;   /* the peer's first byte has been seen */
	bool not_tls : 1; /* and it begins no TLS record */
	bool resumed : 1;
	bool mutual : 1;   /* client: the server wanted our certificate */
	bool was_open : 1; /* the handshake was completed: the peer is verified, whatever follows */
};

/* Returns zeroed memory from wolfSSL's allocator, or NULL. So all memory of a connection is counted
 * in one place, and tests can make every allocation fail. */
static inline void *fl_tls_alloc(size_t size)
{
	void *memory = XMALLOC(size, NULL, DYNAMIC_TYPE_TMP_BUFFER);

	return memory != NULL ? memset(memory, 0, size) : NULL;
}

static inline void fl_tls_release(const void *memory)
{
	XFREE((void *)memory, NULL, DYNAMIC_TYPE_TMP_BUFFER);
}

#endif
