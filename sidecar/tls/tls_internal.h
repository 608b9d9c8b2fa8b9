/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_TLS_INTERNAL_H
#define FL_TLS_INTERNAL_H
/* tls_internal - what the files of this folder share. Nobody outside this folder includes
 * it. */
#include <wolfssl/ssl.h>
#include <wolfssl/wolfcrypt/settings.h>

#include "pki/judge.h"
#include "tls/tls.h"

struct fl_tls_ctx {
	WOLFSSL_CTX *wolf;
	enum fl_tls_role role;
	const struct fl_credentials *credentials; /* borrowed: trust domain names, CRLs */
	uint16_t shares[4]; /* client: groups whose key share goes into the first hello */
	size_t share_count;
	size_t engines;                         /* alive */
	struct fl_tls_ticket_keys *ticket_keys; /* a reference; NULL: no tickets */
	struct fl_tls_peers *peers;             /* a reference */
	uint64_t epoch;
	int64_t (*now)(void); /* seconds since the epoch; tests put a clock of theirs here */
};

struct fl_tls_peer {
	struct fl_tls_peer *next_in_bucket;
	struct fl_tls_peer *prev, *next; /* in the queue of those that nobody holds */
	struct fl_tls_peers *peers;
	/* Of the last time that it was judged, under the table's lock: see peer.c. */
	uint64_t epoch; /* 0: none */
	enum fl_rule rule;
	int64_t valid_from, valid_until; /* all of the way; from > until: judged without dates */
	int64_t not_after;               /* atomic: when what was sent runs out first */
	int64_t unheld_since_s;
	unsigned refs;                 /* atomic; from nought only under the table's lock */
	uint8_t digest[FL_DIGEST_LEN]; /* of the chain */
	uint8_t cert_count;
	size_t id_len, der_len;
	char data[]; /* ID, NUL, certificates, leaf first; each behind 4 bytes of length */
};

/* Whom a ticket (server) or a saved session (client) names. It counts only once the handshake has
 * chosen that very session. */
struct fl_tls_claim {
	struct fl_tls_peer *peer;         /* a reference */
	uint8_t iv[WOLFSSL_TICKET_IV_SZ]; /* server: of the ticket */
	bool keeps;                       /* server: this ticket goes on being good */
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
	struct fl_tls_io *io; /* of the call under way, else NULL */
	fl_tls_expect_cb expect;
	void *expect_user;
	struct fl_tls_peer *peer;   /* a reference; set by verification, shown once established */
	struct fl_tls_claim *claim; /* owned; during the handshake */
	const struct fl_tls_failure *failure; /* owned unless it is the static one; NULL: none */
	enum fl_tls_state state : 8;
	bool started : 1; /* the client's key shares are made */
	bool closed : 1;  /* close_notify has gone out */
	bool muted : 1;   /* our alert has gone out, nothing may follow */
	bool alpn : 1;
	bool heard : 1;   /* the peer's first byte has been seen */
	bool not_tls : 1; /* and it begins no TLS record */
	bool resumed : 1;
	bool mutual : 1; /* client: the server wanted our certificate */
};

/* Zeroed memory of wolfSSL's allocator, NULL when there is none: with it, all that a connection
 * takes is counted in one place, and tests can let every allocation fail. */
static inline void *fl_tls_alloc(size_t size)
{
	void *memory = XMALLOC(size, NULL, DYNAMIC_TYPE_TMP_BUFFER);

	return memory != NULL ? memset(memory, 0, size) : NULL;
}

static inline void fl_tls_release(const void *memory)
{
	XFREE((void *)memory, NULL, DYNAMIC_TYPE_TMP_BUFFER);
}

/* ctx.c: wolfSSL's name of a cipher as the INI has it. */
const char *fl_tls_cipher_name(const char *wolf);

/* failure.c: the first call counts, later ones are ignored. None of them sends anything. */
/* peer: whose chain it is, as far as that is known; borrowed. */
void fl_tls_fail_rule(struct fl_tls *tls, enum fl_rule rule, struct fl_tls_peer *peer,
		      const struct fl_err *detail);
void fl_tls_fail_error(struct fl_tls *tls, int wolf_error);
void fl_tls_fail_alert(struct fl_tls *tls, uint8_t alert);
void fl_tls_failure_free(struct fl_tls *tls);
/* The rule that a certificate error of wolfSSL stands for; FL_RULE_NONE: it is no certificate
 * error. */
enum fl_rule fl_tls_rule_of_error(int wolf_error);

/* verify.c: the verify callback of both roles, which says no (see there). */
int fl_tls_verify(int ok, WOLFSSL_X509_STORE_CTX *store);
/* May this be the peer: is its chain good, now, and is it one that `expect` names? */
bool fl_tls_may_be(const struct fl_tls *tls, struct fl_tls_peer *peer);

/* peer.c: what gives a peer gives a reference; NULL: it is not there, or memory is out. */
struct fl_tls_peer *fl_tls_peers_find(struct fl_tls_peers *peers,
				      const uint8_t digest[FL_DIGEST_LEN]);
/* judgement: of the chain, which is good. */
struct fl_tls_peer *fl_tls_peers_add(struct fl_tls_peers *peers,
				     const uint8_t digest[FL_DIGEST_LEN],
				     const struct fl_span *chain, size_t count,
				     const struct fl_judgement *judgement);
/* What judging in that epoch has come to, as far as it holds at `now`; false: it has not been done, or something else
 * since. */
#define FL_TLS_ANY_TIME INT64_MIN
bool fl_tls_peer_recall(struct fl_tls_peer *peer, uint64_t epoch, int64_t now, enum fl_rule *ret);
/* Judged without dates; and with them, good. */
void fl_tls_peer_note(struct fl_tls_peer *peer, uint64_t epoch, enum fl_rule rule);
void fl_tls_peer_note_path(struct fl_tls_peer *peer, uint64_t epoch, const struct fl_path *path);

/* ticket.c */
int fl_tls_set_tickets(struct fl_tls_ctx *ctx, struct fl_tls_ticket_keys *keys); /* 0 or not */
/* The handshake is complete: it was resumed, and the claim becomes the peer's identity, or not, and
 * the claim is forgotten. False: resumed, but nothing says by whom. */
bool fl_tls_settle_claim(struct fl_tls *tls);
void fl_tls_drop_claim(struct fl_tls *tls);
/* Server, before each step of the handshake: no new ticket where the peer needs none. */
void fl_tls_spare_ticket(struct fl_tls *tls);

/* engine.c: has this handshake agreed on our own protocol? */
bool fl_tls_alpn_chosen(const struct fl_tls *tls);

/* engine.c: the I/O callbacks that ctx.c installs, and our own fatal alert, after which nothing is
 * sent. */
int fl_tls_recv(WOLFSSL *wolf, char *buf, int size, void *user);
int fl_tls_send(WOLFSSL *wolf, char *buf, int size, void *user);
void fl_tls_send_alert(struct fl_tls *tls, uint8_t alert);

#endif
