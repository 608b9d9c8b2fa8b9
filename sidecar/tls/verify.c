/* SPDX-License-Identifier: GPL-3.0-or-later */
/* verify - who the peer is, or which rule it breaks.
 *
 * wolfSSL's own reading of a peer's Certificate message, ProcessPeerCerts(), is replaced at link time by ours (`--wrap`), as
 * it refuses legal chains, forgets rules, and knows no trust domains. Ours takes the message apart, has pki/judge.h
 * judge what came, and hands the key of the leaf to wolfSSL, which checks with it that the peer holds the private one
 * (CertificateVerify), without which there is no handshake. Nothing else tells wolfSSL that a peer is good: its store of CAs is
 * empty, and the callback that its own function would ask says no. So should ours ever not be the one that is called,
 * nobody gets in; establish() (engine.c) asks for a peer that was judged here as well.
 *
 * What was judged good holds for all contexts of an epoch, and as long as all of the way is valid: so it is noted with the
 * peer, and the same chain costs a digest the next time. A refusal is not noted: it may be one of time. fl_tls_peer_judge()
 * asks the same of a live connection, without dates, under whatever context.
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
	size_t count; /* one more than there is room for: there were too many */
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

/* Good now, for all that is known without asking again? */
static bool is_known_good(const struct fl_tls_ctx *ctx, struct fl_tls_peer *peer)
{
	enum fl_rule rule;

	return fl_tls_peer_recall(peer, ctx->epoch, ctx->now(), &rule) && rule == FL_RULE_NONE;
}

static struct fl_moment moment_of(const struct fl_tls_ctx *ctx)
{
	return (struct fl_moment){.now = ctx->now()};
}

/* Bytes of certificates beside the way that are kept: another way may be needed when a bundle changes, and each connection
 * of a peer may come with 70 KB of others. */
#define BESIDE_MAX (8u * 1024)

static bool is_on_way(const struct fl_path *path, size_t place)
{
	return memchr(path->at, (int)place, path->count) != NULL;
}

/* A good chain becomes a peer, without the certificates that can be of no use to anybody. NULL: memory is out. */
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

/* tls->peer is then who the peer will be, should the handshake succeed. FL_RULE_NONE also where memory ran out, with
 * peer NULL. *ret_refused: otherwise, the peer if it is known; a reference. */
static enum fl_rule judge(struct fl_tls *tls, const struct chain *chain,
			  struct fl_tls_peer **ret_refused, struct fl_err *detail)
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

	/* Why it was refused is known only to a caller that asks again. */
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

bool fl_tls_may_be(const struct fl_tls *tls, struct fl_tls_peer *peer)
{
	const struct fl_tls_ctx *ctx = tls->ctx;
	struct fl_judgement judgement;
	struct chain chain;

	if (judge_expectation(tls, peer, NULL) != FL_RULE_NONE) {
		return false;
	}
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

/* --- the message --------------------------------------------------------------------------------- */

/* Takes a number of `bytes` bytes and so much content off the front. */
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

/* RFC 8446 section 4.4.2. We ask for no extension of a certificate, and look at none. 0 or a wolfSSL error. */
static int read_message(struct fl_span message, struct chain *ret)
{
	struct fl_span context, list, der, extensions;

	ret->count = 0;
	if (!take_vector(&message, 1, &context) || !take_vector(&message, 3, &list) ||
	    message.len > 0) {
		return BUFFER_ERROR;
	}
	/* Neither side has given one: nobody is asked for a certificate after the handshake. */
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

/* A chain with more certificates than were read is not looked at. */
static enum fl_rule refuse_excess(const struct chain *chain, struct fl_err *detail)
{
	if (chain->count <= FL_PATH_SENT_MAX) {
		return FL_RULE_NONE;
	}
	(void)fl_err_set(detail, FL_ERR_DENIED, "it came with more than %d certificates",
			 FL_PATH_SENT_MAX);
	return FL_RULE_TOO_MUCH;
}

/* 0 or a wolfSSL error, whose failure and alert are settled. */
static int accept_chain(struct fl_tls *tls, const struct chain *chain)
{
	struct fl_err detail = {.code = FL_OK};
	struct fl_tls_peer *refused = NULL;
	enum fl_rule rule = refuse_excess(chain, &detail);
	int rc = 0;

	if (rule == FL_RULE_NONE) {
		rule = judge(tls, chain, &refused, &detail);
	}

	if (rule != FL_RULE_NONE) {
		fl_tls_fail_rule(tls, rule, refused, &detail);
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
		/* Nobody asked, and nothing would prove that the key is there as well. */
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
		fl_tls_fail_error(tls, rc); /* unless accept_chain() has said why */
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
