/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_TLS_TLS_H
#define FL_TLS_TLS_H
/* tls - mutual TLS 1.3 between SVIDs as a function of bytes: ciphertext in, ciphertext and
 * plaintext out. No sockets, no clock of its own for I/O, no logging. The one place that includes
 * wolfssl/ssl.h.
 *
 * A context (struct fl_tls_ctx) is created once for each generation, worker and role, off the data
 * path, and is then used by one thread. An engine (struct fl_tls) is one connection; its context
 * must outlive it, which fl_tls_ctx_free() checks.
 *
 * Security: the peer's chain must end in the bundle of the trust domain that its own leaf claims,
 * every rule of pki/svid.h holds, and (client role) the ID matches one of the expected patterns.
 * Nothing from the peer is trusted before fl_tls_handshake() has returned FL_TLS_ESTABLISHED.
 * Verification cannot be switched off.
 *
 * The chain of a peer is stored once for all connections of all contexts that share a table of
 * peers (struct fl_tls_peers). fl_tls_peer_judge() judges it again under another context, with the
 * same code as the handshake.
 *
 * The private key may be elsewhere: of credentials without one, an engine asks its caller for the one signature that a
 * full handshake needs (FL_TLS_SIGNING, fl_tls_to_sign()), and goes on when it gets it. wolfSSL checks it with the public
 * key of our certificate before it goes out, as it does with a signature of its own.
 *
 * Resumption: a handshake by ticket proves that the peer is the one of an earlier full handshake,
 * but presents no certificate. So its identity comes from what we stored then: the chain's digest
 * encrypted in the ticket (server), or the peer beside the saved session (client). That chain is
 * judged again like one that was just presented, and the client's `expect` is called, too. If any
 * check fails, the handshake is a full one, never a failure. The caller must also handle changes of
 * trust: it then creates ticket keys without a predecessor and discards saved sessions. */
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "pki/credentials.h"
#include "pki/svid.h"

/* Room that every call below may need in io->out in addition to the ciphertext of its plaintext:
 * for a handshake flight with a long chain, a key update, an alert. */
#define FL_TLS_OUT_RESERVE (32u * 1024)
/* Maximum bytes of ciphertext for n bytes of plaintext. */
#define FL_TLS_SEALED_SIZE(n) ((n) + ((n) / 16384 + 1) * 64)

enum fl_tls_role { FL_TLS_CLIENT, FL_TLS_SERVER };

struct fl_tls_options {
	const char *const *groups; /* INI names, in order of preference */
	size_t group_count;
	const char *const *ciphers; /* INI names, in order of preference */
	size_t cipher_count;
	struct fl_tls_ticket_keys
		*ticket_keys; /* NULL: no tickets, every handshake is a full one */
	struct fl_tls_peers
		*peers; /* the peers they have seen; NULL: the context has its own table */
	/* Contexts with the same table and the same epoch must have the same bundles and CRLs and
	 * so judge a chain alike; each chain is then judged once. Below 2^56; 0: no verdict is
	 * remembered. */
	uint64_t epoch;
	bool framed; /* FL_ALPN_FRAMED besides FL_ALPN (base/alpn.h), and preferred */
};

/* The table of peers' chains. Each chain is stored once, no matter how many connections it has. A
 * chain without connections is kept for an hour, the lifetime of its tickets, in bounded number.
 * Reference-counted; each held peer counts as a reference. Thread: any; a lock is held for a
 * look-up in each handshake. Errors: FL_ERR_NOMEM. */
struct fl_tls_peers;
int fl_tls_peers_new(struct fl_tls_peers **ret, struct fl_err *err) FL_MUST_USE;
struct fl_tls_peers *fl_tls_peers_ref(struct fl_tls_peers *peers);
void fl_tls_peers_unref(struct fl_tls_peers *peers); /* NULL is fine */

/* A peer: an ID and the chain that proves it. Immutable, reference-counted; thread: any. */
struct fl_tls_peer;
struct fl_tls_peer *fl_tls_peer_ref(struct fl_tls_peer *peer);
void fl_tls_peer_unref(struct fl_tls_peer *peer);             /* NULL is fine */
const char *fl_tls_peer_name(const struct fl_tls_peer *peer); /* its SPIFFE ID */
/* When the first certificate of its presented chain expires, seconds since the epoch. */
int64_t fl_tls_peer_until(const struct fl_tls_peer *peer);

/* Keys that seal a server's tickets; the same for all contexts of a generation, so that one
 * worker's ticket is valid at the others. A client's contexts only check whether there are any.
 * Immutable, reference-counted, wiped when the last user releases them. Thread: any. */
struct fl_tls_ticket_keys;
/* Fresh random keys. Tickets under the current key of previous (may be NULL) are still accepted;
 * those under its predecessor are not. Takes no reference to previous. Errors: FL_ERR_BUG when
 * there is no randomness. */
int fl_tls_ticket_keys_new(const struct fl_tls_ticket_keys *previous,
			   struct fl_tls_ticket_keys **ret, struct fl_err *err) FL_MUST_USE;
struct fl_tls_ticket_keys *fl_tls_ticket_keys_ref(struct fl_tls_ticket_keys *keys);
void fl_tls_ticket_keys_unref(struct fl_tls_ticket_keys *keys); /* NULL is fine */

struct fl_tls_ctx;

/* Once a process, before the first thread: library initialisation and CPU detection. */
int fl_tls_global_init(struct fl_err *err) FL_MUST_USE;
void fl_tls_global_done(void);
/* At the end of every other thread that made handshakes: frees what wolfSSL keeps for the thread, tables of the public keys that
 * it has verified with (4 or 6 KiB each, at most 16 of a curve). */
void fl_tls_thread_done(void);
/* Call it after that. Returns a sentence for the log about a fault that we work around, or NULL. */
const char *fl_tls_warning(void);

/* Copies what it needs of credentials, except that it keeps a pointer to credentials->bundles'
 * trust domain names, to the CRLs and to our leaf: credentials must outlive the context. An empty credentials->key: it is
 * elsewhere. Thread: any; then the one that uses it. */
int fl_tls_ctx_new(const struct fl_credentials *credentials, const struct fl_tls_options *options,
		   enum fl_tls_role role, struct fl_tls_ctx **ret, struct fl_err *err) FL_MUST_USE;
void fl_tls_ctx_free(struct fl_tls_ctx *ctx); /* engines must be gone */

/* Would ctx, of either role, accept this chain now? *ret_rule: FL_RULE_NONE, or the first rule that
 * it breaks; detail (may be NULL) then gets a sentence. It checks with the same code and in the
 * same order as a handshake: form, trust domain, the chain up to the domain's bundle, CRLs. It does
 * not check dates, see fl_tls_peer_until(), and does not call `expect`. It needs a microsecond if
 * this chain was already judged in ctx's epoch, otherwise the time to verify its signatures (0.1
 * ms). Thread: that of ctx, and no call of one of its engines under way. Errors: FL_ERR_NOMEM. */
int fl_tls_peer_judge(struct fl_tls_ctx *ctx, struct fl_tls_peer *peer, enum fl_rule *ret_rule,
		      struct fl_err *detail) FL_MUST_USE;

/* Would a handshake in ctx accept this chain now? As above, but all dates count as well, those of the anchor included: a
 * good verdict is remembered for as long as the whole path is valid. Without memory it says no. */
bool fl_tls_peer_is_good(struct fl_tls_ctx *ctx, struct fl_tls_peer *peer);

/* Which peer a client expects to find; borrowed until the handshake is over. */
typedef bool (*fl_tls_expect_cb)(void *user, const char *id, size_t id_len);

/* Input and output of one call. in/in_len advance past the consumed bytes. The call appends to out;
 * the caller sends out[0..out_len) also when the call failed (it may hold the alert) and provides
 * at least FL_TLS_OUT_RESERVE bytes, plus FL_TLS_SEALED_SIZE() of the plaintext in
 * fl_tls_write(). */
struct fl_tls_io {
	const uint8_t *in;
	size_t in_len;
	uint8_t *out;
	size_t out_len, out_cap;
	/* fl_tls_handshake() after FL_TLS_SIGNING: the signature; otherwise NULL. */
	const uint8_t *signature;
	size_t signature_len;
};

enum fl_tls_step {
	FL_TLS_MORE,        /* progress needs more input; all of in is consumed */
	FL_TLS_ESTABLISHED, /* handshake over, peer verified; in may hold the first records */
	/* the handshake needs a signature: fl_tls_to_sign(); in may hold bytes that are not due yet. Without a signature
	 * the next call says the same again. */
	FL_TLS_SIGNING,
	FL_TLS_EOF, /* the peer sent close_notify: no more plaintext will come, writing goes on */
	FL_TLS_FAILED, /* dead; fl_tls_failure() says why; out may hold an alert */
};

struct fl_tls;

/* expect: client role, may be NULL (any identity of our own trust domain). */
int fl_tls_new(struct fl_tls_ctx *ctx, fl_tls_expect_cb expect, void *expect_user,
	       struct fl_tls **ret, struct fl_err *err) FL_MUST_USE;
void fl_tls_free(struct fl_tls *tls);

/* Before the handshake: sets other application protocols (RFC 7301) than ours. names: separated by
 * commas, copied. Client: offers them instead of ours; NULL: offers none. Server: if a client does
 * not offer ours, the first entry of its list that is among names is chosen. Errors:
 * FL_ERR_NOMEM. */
int fl_tls_set_alpn(struct fl_tls *tls, const char *names) FL_MUST_USE;

/* What a client needs to resume, later and on another connection. Belongs to one thread at a time,
 * outlives engine and context. */
struct fl_tls_saved;
/* Returns the session of an established client that has read a ticket, which arrives with or before
 * the first plaintext. NULL otherwise, also if the context has no ticket keys or memory runs out.
 * The latest ticket counts. */
struct fl_tls_saved *fl_tls_save(const struct fl_tls *tls);
void fl_tls_saved_free(struct fl_tls_saved *saved); /* wipes; NULL is fine */
/* Offers the session in the hello of a client that has not begun. False: the handshake will be a
 * full one, because the peer's chain has expired since, its trust domain no longer has a bundle,
 * `expect` refuses it, or the session does not fit the context. The engine keeps a copy. */
bool fl_tls_resume(struct fl_tls *tls, const struct fl_tls_saved *saved);

/* Drives the handshake. A client's first call has no input. MORE, SIGNING, ESTABLISHED or
 * FAILED. */
enum fl_tls_step fl_tls_handshake(struct fl_tls *tls, struct fl_tls_io *io);

/* What an engine that is FL_TLS_SIGNING needs: the signature of a CertificateVerify (RFC 8446 section 4.4.3) by the key of
 * our certificate. */
#define FL_TLS_HASH_MAX 48u
struct fl_tls_to_sign {
	enum fl_tls_role role; /* ours: it decides the context string */
	uint16_t scheme;       /* SignatureScheme, RFC 8446 section 4.2.3 */
	const uint8_t
		*key; /* its name, FL_DIGEST_LEN bytes (pki/key.h); borrowed from the context */
	uint8_t hash[FL_TLS_HASH_MAX]; /* of the transcript */
	size_t hash_len;
};
void fl_tls_to_sign(const struct fl_tls *tls, struct fl_tls_to_sign *ret);
/* There will be no signature: the handshake fails with FL_TLS_CAUSE_NO_SIGNATURE and that sentence, and the alert
 * internal_error. */
void fl_tls_refuse_signature(struct fl_tls *tls, struct fl_tls_io *io, const char *text);

/* Opens records: at most cap bytes of plaintext into buf, their number in *ret_len (0 is possible
 * with MORE, EOF, FAILED). MORE with *ret_len == cap: call again, there may be more. With a cap of
 * 16 KiB or more, each record is copied once. */
enum fl_tls_step fl_tls_read(struct fl_tls *tls, struct fl_tls_io *io, uint8_t *buf, size_t cap,
			     size_t *ret_len);

/* Seals len bytes into io->out, whole. Not after fl_tls_close(). */
int fl_tls_write(struct fl_tls *tls, struct fl_tls_io *io, const uint8_t *data,
		 size_t len) FL_MUST_USE;

/* Sends close_notify: we are done writing; reading goes on (RFC 8446 section 6.1). Call it once. */
void fl_tls_close(struct fl_tls *tls, struct fl_tls_io *io);

/* A fatal alert of our own (base/tls_alert.h), for example access_denied when policy says no after the
 * handshake. */
void fl_tls_alert(struct fl_tls *tls, struct fl_tls_io *io, uint8_t alert);

/* Why an engine failed. The caller derives the `reason` that users see from cause and rule. */
enum fl_tls_cause {
	FL_TLS_CAUSE_NONE,
	FL_TLS_CAUSE_CERTIFICATE,  /* rule says which */
	FL_TLS_CAUSE_NOT_TLS,      /* plaintext or garbage where a TLS record was due */
	FL_TLS_CAUSE_VERSION,      /* the peer does not speak TLS 1.3 */
	FL_TLS_CAUSE_PARAMETERS,   /* no common cipher or group */
	FL_TLS_CAUSE_PEER_ALERT,   /* the peer refused us: alert holds its number */
	FL_TLS_CAUSE_PROTOCOL,     /* a broken, tampered or unexpected record or message */
	FL_TLS_CAUSE_NO_SIGNATURE, /* fl_tls_refuse_signature() */
	FL_TLS_CAUSE_INTERNAL,
};
struct fl_tls_failure {
	enum fl_tls_cause cause;
	enum fl_rule rule;
	uint8_t alert; /* sent by us, or the peer's with PEER_ALERT; 0 = none */
	bool no_memory; /* INTERNAL, because memory ran out: it says nothing about keys and certificates */
	/* The peer whose chain was presented, if the chain was good before but is refused now, or
	 * if the handshake failed later. It is not proven that it was that peer. NULL: none. The
	 * failure owns the reference. */
	struct fl_tls_peer *peer;
	/* The ID that the chain claims, if the chain is revoked, expired or not valid yet; owned. It is not proven either.
	 * NULL: none. */
	char *claimed;
	char text[512]; /* one sentence */
};
const struct fl_tls_failure *fl_tls_failure(const struct fl_tls *tls);

/* Of an established connection, otherwise NULL; borrowed from the engine. The ID is NUL-terminated. */
struct fl_tls_peer *fl_tls_peer_of(const struct fl_tls *tls);
const char *fl_tls_peer_id(const struct fl_tls *tls);
/* The same, also after an established connection has failed. */
const char *fl_tls_proven_id(const struct fl_tls *tls);
bool fl_tls_resumed(const struct fl_tls *tls);
const char *fl_tls_group(const struct fl_tls *tls);  /* "X25519MLKEM768" */
const char *fl_tls_cipher(const struct fl_tls *tls); /* "TLS_AES_128_GCM_SHA256" */
/* The application protocol of an established connection. */
enum fl_tls_protocol {
	FL_TLS_PROTOCOL_OTHER,  /* none, or none of ours */
	FL_TLS_PROTOCOL_RAW,    /* FL_ALPN */
	FL_TLS_PROTOCOL_FRAMED, /* FL_ALPN_FRAMED */
};
enum fl_tls_protocol fl_tls_protocol(const struct fl_tls *tls);
/* Once established. Of a client: has the server asked for our certificate, now or when the session was a new one? Of a
 * server: true. */
bool fl_tls_is_mutual(const struct fl_tls *tls);

/* The trial that each candidate has to pass: an in-memory handshake of the credentials with
 * themselves, as client and as server, under their own bundle. Without a key: up to the first signature. Errors: FL_ERR_INVALID with the
 * sentence of the side that refused; FL_ERR_NOMEM: they are not judged. */
int fl_tls_trial(const struct fl_credentials *credentials, const struct fl_tls_options *options,
		 struct fl_err *err) FL_MUST_USE;

#endif
