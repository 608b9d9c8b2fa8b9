/* SPDX-License-Identifier: GPL-3.0-or-later */
/* verify - determines the peer's identity, or the rule that its chain breaks.
 *
 * wolfSSL's own reading of a peer's Certificate message, ProcessPeerCerts(), is replaced at link
 * time by ours (`--wrap`), as it refuses legal chains, forgets rules, and knows no trust domains.
 * Ours takes the message apart, has pki/judge.h judge what came, and hands the key of the leaf to
 * wolfSSL, which checks with it that the peer holds the private one (CertificateVerify), without
 * which there is no handshake. Nothing else makes wolfSSL accept a peer: its store of CAs is empty,
 * and the callback that its own function would call says no. So if our function is ever not called,
 * no peer is accepted; in addition, establish() (engine.c) requires a peer that was judged here.
 *
 * A good verdict holds for all contexts of an epoch, while the whole path is valid. So it is stored
 * with the peer, and the next handshake with the same chain only costs a digest. A refusal is not
 * stored, because it may depend on the time. fl_tls_peer_is_good() does the same for a peer that
 * presents nothing now: one that resumes, or begins the next use of its session. fl_tls_peer_judge()
 * does it for a live connection, without dates. Both under any context.
 *
 * A refusal has its own alert (RFC 8446 section 6.2). Memory that runs out counts as a refusal with
 * FL_TLS_CAUSE_INTERNAL. */
#include "tls/verify.h"

#include <string.h>

#include <wolfssl/error-ssl.h>

#include "base/tls_alert.h"
#include "pki/digest.h"
#include "pki/judge.h"
#include "pki/spiffe.h"
#include "tls/failure.h"
#include "tls/io.h"
#include "tls/peer.h"

struct chain {
	struct fl_span certs[FL_PATH_SENT_MAX];
	size_t count; /* one more than there is room for means too many */
};

static struct chain chain_of_peer(const struct fl_tls_peer *peer)
{
	struct chain chain;

	chain.count = peer->cert_count;
	for (size_t i = 0; i < chain.count; i++) {
		chain.certs[i] = fl_tls_peer_cert(peer, i);
	}
	return chain;
}

/* --- judging ------------------------------------------------------------------------------------ */

static enum fl_rule judge_expectation(const struct fl_tls *tls, const struct fl_tls_peer *peer,
				      struct fl_err *detail)
{
	if (tls->ctx->role == FL_TLS_SERVER) {
		return FL_RULE_NONE;
	}
	if (tls->expect != NULL
		    ? tls->expect(tls->expect_user, peer->data, peer->id_len)
		    : fl_spiffe_is_of_domain(peer->data, tls->ctx->credentials->trust_domain)) {
		return FL_RULE_NONE;
	}
	fl_err_set(detail, FL_ERR_DENIED, "it is %s%s", peer->data,
		   tls->expect != NULL ? "" : ", of another trust domain than ours");
	return FL_RULE_PEER;
}

/* Is a stored verdict enough to call this peer good now? */
static bool is_known_good(const struct fl_tls_ctx *ctx, struct fl_tls_peer *peer)
{
	enum fl_rule rule;

	return fl_tls_peer_recall(peer, ctx->epoch, ctx->now(), &rule) && rule == FL_RULE_NONE;
}

static struct fl_moment moment_of(const struct fl_tls_ctx *ctx)
{
	return (struct fl_moment){.now = ctx->now()};
}

/* Maximum bytes of stored certificates that are not on the path. They allow another path when a
 * bundle changes, but a peer may send 70 KB of them with each connection. */
#define BESIDE_MAX (8u * 1024)

static bool is_on_way(const struct fl_path *path, size_t place)
{
	return memchr(path->at, (int)place, path->count) != NULL;
}

/* Makes a peer from a good chain, without the useless certificates. NULL: out of memory. */
static struct fl_tls_peer *add_peer(const struct fl_tls_ctx *ctx, const struct chain *chain,
				    const uint8_t digest[FL_DIGEST_LEN],
				    const struct fl_judgement *judgement)
{
	struct fl_span kept[FL_PATH_SENT_MAX];
	bool keep[FL_PATH_SENT_MAX];
	size_t count = 0, beside = 0;

	if (judgement->path.count == chain->count) {
		return fl_tls_peers_add(ctx->peers, digest, chain->certs, chain->count, judgement);
	}
	(void)fl_judge_relevant(chain->certs, chain->count, keep);
	for (size_t i = 0; i < chain->count; i++) {
		bool on_way = is_on_way(&judgement->path, i);

		beside += keep[i] && !on_way ? chain->certs[i].len : 0;
		if (on_way || (keep[i] && beside <= BESIDE_MAX)) {
			kept[count++] = chain->certs[i];
		}
	}
	return fl_tls_peers_add(ctx->peers, digest, kept, count, judgement);
}

/* Sets tls->peer, which becomes the peer if the handshake succeeds. Returns FL_RULE_NONE also if
 * memory runs out, with peer NULL. *ret_refused: after a refusal, the peer if it is known; a
 * reference. *ret_claimed: the ID, a view of the chain; text NULL: none. */
static enum fl_rule judge(struct fl_tls *tls, const struct chain *chain,
			  struct fl_tls_peer **ret_refused, struct fl_spiffe_id *ret_claimed,
			  struct fl_err *detail)
{
	const struct fl_tls_ctx *ctx = tls->ctx;
	struct fl_judgement judgement = {.rule = FL_RULE_NONE};
	uint8_t digest[FL_DIGEST_LEN];
	struct fl_tls_peer *peer;

	fl_digest(chain->certs, chain->count, digest);
	peer = fl_tls_peers_find(ctx->peers, digest);
	if (peer == NULL || !is_known_good(ctx, peer)) {
		if (fl_judge(ctx->credentials, chain->certs, chain->count, moment_of(ctx),
			     &judgement, detail) != 0) {
			fl_tls_peer_unref(peer);
			return FL_RULE_NONE;
		}
		if (peer == NULL && judgement.rule == FL_RULE_NONE) {
			peer = add_peer(ctx, chain, digest, &judgement);
		}
		if (peer != NULL && judgement.rule == FL_RULE_NONE) {
			fl_tls_peer_note_path(peer, ctx->epoch, &judgement.path);
		}
	}
	if (judgement.rule == FL_RULE_NONE && peer != NULL) {
		judgement.rule = judge_expectation(tls, peer, detail);
	}
	if (judgement.rule != FL_RULE_NONE) {
		*ret_refused = peer;
		*ret_claimed = judgement.id;
		return judgement.rule;
	}
	fl_tls_peer_unref(tls->peer);
	tls->peer = peer;
	return FL_RULE_NONE;
}

int fl_tls_peer_judge(struct fl_tls_ctx *ctx, struct fl_tls_peer *peer, enum fl_rule *ret_rule,
		      struct fl_err *detail)
{
	struct fl_judgement judgement;
	struct chain chain;
	int rc;

	/* The sentence for a refusal is not stored, so a caller that wants it must judge again. */
	if (fl_tls_peer_recall(peer, ctx->epoch, FL_TLS_ANY_TIME, ret_rule) &&
	    (*ret_rule == FL_RULE_NONE || detail == NULL)) {
		return 0;
	}
	chain = chain_of_peer(peer);
	rc = fl_judge(ctx->credentials, chain.certs, chain.count,
		      (struct fl_moment){.now = ctx->now(), .any_time = true}, &judgement, detail);
	if (rc == 0) {
		*ret_rule = judgement.rule;
		fl_tls_peer_note(peer, ctx->epoch, judgement.rule);
	}
	return rc;
}

bool fl_tls_peer_is_good(struct fl_tls_ctx *ctx, struct fl_tls_peer *peer)
{
	struct fl_judgement judgement;
	struct chain chain;

	if (is_known_good(ctx, peer)) {
		return true;
	}
	chain = chain_of_peer(peer);
	if (fl_judge(ctx->credentials, chain.certs, chain.count, moment_of(ctx), &judgement,
		     NULL) != 0 ||
	    judgement.rule != FL_RULE_NONE) {
		return false;
	}
	fl_tls_peer_note_path(peer, ctx->epoch, &judgement.path);
	return true;
}

bool fl_tls_may_be(const struct fl_tls *tls, struct fl_tls_peer *peer)
{
	return judge_expectation(tls, peer, NULL) == FL_RULE_NONE &&
	       fl_tls_peer_is_good(tls->ctx, peer);
}

/* --- the message --------------------------------------------------------------------------------- */

/* Reads a length of `bytes` bytes and that much content from the front. */
static bool take_vector(struct fl_span *in, size_t bytes, struct fl_span *ret)
{
	size_t len = 0;

	if (in->len < bytes) {
		return false;
	}
	for (size_t i = 0; i < bytes; i++) {
		len = len << 8 | in->data[i];
	}
	if (len > in->len - bytes) {
		return false;
	}
	*ret = (struct fl_span){in->data + bytes, len};
	*in = (struct fl_span){in->data + bytes + len, in->len - bytes - len};
	return true;
}

/* RFC 8446 section 4.4.2. We request no extension of a certificate, and ignore them. Returns 0 or a
 * wolfSSL error. */
static int read_message(struct fl_span message, struct chain *ret)
{
	struct fl_span context, list, der, extensions;

	ret->count = 0;
	if (!take_vector(&message, 1, &context) || !take_vector(&message, 3, &list) ||
	    message.len > 0) {
		return BUFFER_ERROR;
	}
	/* Must be empty, because we do not support certificate requests after the handshake. */
	if (context.len > 0) {
		return INVALID_CERT_CTX_E;
	}
	while (list.len > 0) {
		if (!take_vector(&list, 3, &der) || der.len == 0 ||
		    !take_vector(&list, 2, &extensions)) {
			return BUFFER_ERROR;
		}
		if (ret->count < FL_PATH_SENT_MAX) {
			ret->certs[ret->count] = der;
		}
		ret->count += ret->count <= FL_PATH_SENT_MAX;
	}
	return 0;
}

/* --- the key --------------------------------------------------------------------------------------- */

/* For CertificateVerify. 0 or a wolfSSL error. */
static int give_key(WOLFSSL *wolf, struct fl_span leaf)
{
	struct fl_cert cert;

	return fl_cert_parse(leaf, &cert, NULL) == FL_RULE_NONE
		       ? fl_wolf_give_peer_key(wolf, &cert.key)
		       : PEER_KEY_ERROR;
}

/* --- what wolfSSL calls ------------------------------------------------------------------------------- */

/* Refuses a chain with too many certificates without judging it. */
static enum fl_rule refuse_excess(const struct chain *chain, struct fl_err *detail)
{
	if (chain->count <= FL_PATH_SENT_MAX) {
		return FL_RULE_NONE;
	}
	(void)fl_err_set(detail, FL_ERR_DENIED, "it came with more than %d certificates",
			 FL_PATH_SENT_MAX);
	return FL_RULE_TOO_MUCH;
}

/* Rules that a chain may break which was good before. */
static bool is_about_time_or_list(enum fl_rule rule)
{
	return rule == FL_RULE_REVOKED || rule == FL_RULE_EXPIRED || rule == FL_RULE_NOT_YET_VALID;
}

/* Returns 0 or a wolfSSL error; failure and alert are then already set. */
static int accept_chain(struct fl_tls *tls, const struct chain *chain)
{
	struct fl_err detail = {.code = FL_OK};
	struct fl_tls_peer *refused = NULL;
	struct fl_spiffe_id claimed = {.text = NULL};
	enum fl_rule rule = refuse_excess(chain, &detail);
	int rc = 0;

	if (rule == FL_RULE_NONE) {
		rule = judge(tls, chain, &refused, &claimed, &detail);
	}

	if (rule != FL_RULE_NONE) {
		fl_tls_fail_rule(tls, rule, refused, &detail);
		if (claimed.text != NULL && is_about_time_or_list(rule)) {
			fl_tls_fail_claim(tls, &claimed);
		}
		fl_tls_peer_unref(refused);
		rc = VERIFY_CERT_ERROR;
	} else if (tls->peer == NULL) {
		rc = MEMORY_ERROR;
	} else {
		rc = give_key(tls->wolf, chain->certs[0]);
	}
	return rc;
}

static int read_certificates(struct fl_tls *tls, struct fl_span message)
{
	struct chain chain;
	int rc;

	if (fl_wolf_resumes(tls->wolf) || tls->state != FL_TLS_STATE_HANDSHAKE ||
	    tls->peer != NULL) {
		/* It was not requested, and no CertificateVerify would prove possession of the
		 * key. */
		return SANITY_MSG_E;
	}
	rc = read_message(message, &chain);
	if (rc == 0 && chain.count == 0) {
		fl_wolf_send_alert(tls->wolf, tls->ctx->role == FL_TLS_SERVER
						      ? FL_ALERT_CERTIFICATE_REQUIRED
						      : FL_ALERT_DECODE_ERROR);
		return NO_PEER_CERT;
	}
	return rc == 0 ? accept_chain(tls, &chain) : rc;
}

int fl_tls_read_certificates(WOLFSSL *wolf, byte *input, word32 *in_out_index, word32 size)
{
	struct fl_tls *tls = wolfSSL_GetIOReadCtx(wolf);
	int rc;

	FL_REQUIRE(tls != NULL && tls->wolf == wolf);
	rc = read_certificates(tls, (struct fl_span){input + *in_out_index, size});
	if (rc == 0 && tls->peer != NULL && tls->failure == NULL) {
		fl_wolf_note_certificates(wolf, 0);
		*in_out_index += size;
		return 0;
	}
	rc = rc == 0 ? VERIFY_CERT_ERROR : rc;
	if (rc != NO_PEER_CERT) {
		fl_tls_fail_error(tls, rc); /* no effect if accept_chain() has set the failure */
		if (tls->failure->alert != 0) {
			fl_tls_send_alert(tls, tls->failure->alert);
		}
	}
	fl_wolf_note_certificates(wolf, rc);
	return rc;
}

int fl_tls_verify(int ok, WOLFSSL_X509_STORE_CTX *store)
{
	(void)ok;
	(void)store;
	return 0;
}
