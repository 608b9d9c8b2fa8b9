/* SPDX-License-Identifier: GPL-3.0-or-later */
/* verify - who the peer is, or which rule it breaks.
 *
 * wolfSSL calls fl_tls_verify() once for the peer's leaf, good or bad (WOLFSSL_ALWAYS_VERIFY_CB),
 * and for an intermediate that does not verify. By then it has checked signatures, dates, path
 * lengths, name constraints and key sizes up to any anchor of the context. We add the rules of
 * SPIFFE: what an SVID and a signing certificate look like, and that the chain ends in the bundle
 * of the very trust domain that the leaf claims. wolfSSL's store knows no domains: a CA of any
 * federated domain could vouch for an ID in ours. So, where more than one is loaded, the chain is
 * verified again in a store that holds the roots of that domain only.
 *
 * Two traps decide the shape. The answer for ok=0 is never 1, since wolfSSL would then keep an
 * intermediate that it could not verify as trusted for the life of the context. And good
 * intermediates stay in the context's store, where a later peer could rest on them: they are
 * removed before the callback returns.
 *
 * CRLs are judged here as well, and not by wolfSSL, which would refuse every issuer without one.
 *
 * What judge_chain() says of a chain holds for all contexts of an epoch, so it is noted with the peer and not asked twice;
 * the dates are wolfSSL's part in each handshake. fl_tls_peer_judge() asks it again under another context, and
 * then the signatures, too, are its part.
 *
 * A refusal has its own alert (RFC 8446 section 6.2), sent here before wolfSSL gets to send its
 * general one, which is then muted. Memory that runs out counts as a refusal with
 * FL_TLS_CAUSE_INTERNAL. */
#include "tls/tls_internal.h"

#include <string.h>

#include <wolfssl/internal.h>

#include "pki/digest.h"

_Static_assert(FL_TLS_CHAIN_MAX >= MAX_CHAIN_DEPTH, "there is room for every chain");

struct chain {
	struct fl_span certs[FL_TLS_CHAIN_MAX];
	size_t count;
};

static struct fl_span cert(const WOLFSSL_X509_STORE_CTX *store, int index)
{
	return (struct fl_span){store->certs[index].buffer, store->certs[index].length};
}

static struct chain chain_of_store(const WOLFSSL_X509_STORE_CTX *store)
{
	struct chain chain = {.count = (size_t)store->totalCerts};

	FL_REQUIRE(chain.count <= FL_TLS_CHAIN_MAX);
	for (size_t i = 0; i < chain.count; i++) {
		chain.certs[i] = cert(store, (int)i);
	}
	return chain;
}

static struct chain chain_of_peer(const struct fl_tls_peer *peer)
{
	struct chain chain = {.count = peer->cert_count};

	for (size_t i = 0; i < chain.count; i++) {
		chain.certs[i] = fl_tls_peer_cert(peer, i);
	}
	return chain;
}

/* Verifies one certificate as wolfSSL's own handshake code does, but for its dates; a signer then joins the
 * store. */
static int verify_one(WOLFSSL_CERT_MANAGER *manager, struct fl_span der, bool signer)
{
	DecodedCert decoded;
	DerBuffer *copy = NULL;

	wc_InitDecodedCert(&decoded, der.data, (word32)der.len, NULL);
	int rc = wc_ParseCert(&decoded, signer ? CHAIN_CERT_TYPE : CERT_TYPE, VERIFY_SKIP_DATE,
			      manager);
	wc_FreeDecodedCert(&decoded);
	if (rc != 0 || !signer) {
		return rc;
	}
	rc = wc_AllocDer(&copy, (word32)der.len, CA_TYPE, NULL);
	if (rc != 0) {
		return rc;
	}
	memcpy(copy->buffer, der.data, der.len);
	rc = AddCA(manager, &copy, WOLFSSL_CHAIN_CA, NO_VERIFY);
	return rc == WOLFSSL_SUCCESS ? 0 : rc;
}

/* 0 or the error of the first certificate, from the root down, that does not verify. */
static int verify_in_domain(WOLFSSL_CERT_MANAGER *manager, const struct chain *chain)
{
	int rc = 0;

	for (size_t i = chain->count; rc == 0 && i-- > 0;) {
		rc = verify_one(manager, chain->certs[i], i > 0);
	}
	if (chain->count > 1) {
		(void)wolfSSL_CertManagerUnloadIntermediateCerts(manager);
	}
	return rc;
}

static bool is_own_domain(const struct fl_tls *tls, const struct fl_tls_peer *peer)
{
	static const char scheme[] = "spiffe://";
	const char *own = tls->ctx->credentials->trust_domain;
	const char *domain = peer->data + sizeof(scheme) - 1;
	size_t len = strlen(own);

	return strncmp(domain, own, len) == 0 && domain[len] == '/';
}

static enum fl_rule judge_expectation(const struct fl_tls *tls, const struct fl_tls_peer *peer,
				      struct fl_err *detail)
{
	if (tls->ctx->role == FL_TLS_SERVER) {
		return FL_RULE_NONE;
	}
	if (tls->expect != NULL ? tls->expect(tls->expect_user, peer->data, peer->id_len)
				: is_own_domain(tls, peer)) {
		return FL_RULE_NONE;
	}
	fl_err_set(detail, FL_ERR_DENIED, "it is %s%s", peer->data,
		   tls->expect != NULL ? "" : ", of another trust domain than ours");
	return FL_RULE_PEER;
}

static enum fl_rule unknown_domain(const struct fl_spiffe_id *id, struct fl_err *detail)
{
	fl_err_set(detail, FL_ERR_DENIED, "it is %.*s", (int)id->len, id->text);
	return FL_RULE_TRUST_DOMAIN;
}

/* The whole chain, for a revoked intermediate takes along what it has issued. */
static enum fl_rule judge_revocation(const struct fl_credentials *credentials, size_t bundle,
				     const struct chain *chain, struct fl_err *detail)
{
	size_t index;

	if (!fl_credentials_revoked(credentials, bundle, chain->certs, chain->count, &index,
				    detail)) {
		return FL_RULE_NONE;
	}
	(void)fl_err_prefix(detail, "certificate %zu of the chain", index + 1);
	return FL_RULE_REVOKED;
}

/* NULL: wolfSSL itself has just verified the chain in the one store there is. */
static WOLFSSL_CERT_MANAGER *store_of(const struct fl_tls_ctx *ctx, size_t bundle, bool is_verified)
{
	if (ctx->managers != NULL) {
		return ctx->managers[bundle];
	}
	return is_verified ? NULL : wolfSSL_CTX_GetCertManager(ctx->wolf);
}

/* Up to the bundle of the domain that its leaf claims. 0 or FL_ERR_NOMEM. */
static int judge_path(const struct fl_tls_ctx *ctx, size_t bundle, const struct chain *chain,
		      bool is_verified, const struct fl_spiffe_id *id, enum fl_rule *ret_rule,
		      struct fl_err *detail)
{
	WOLFSSL_CERT_MANAGER *manager = store_of(ctx, bundle, is_verified);
	int rc = manager != NULL ? verify_in_domain(manager, chain) : 0;

	if (rc == WC_NO_ERR_TRACE(MEMORY_E)) {
		return FL_ERR_NOMEM;
	}
	*ret_rule = FL_RULE_NONE;
	if (rc != 0) {
		fl_err_set(detail, FL_ERR_DENIED, "it claims to be %.*s", (int)id->len, id->text);
		*ret_rule = fl_tls_rule_of_error(rc);
		if (*ret_rule == FL_RULE_NONE) {
			*ret_rule = FL_RULE_CHAIN;
		}
	}
	return 0;
}

/* All that does not depend on time, nor on who is expected. is_verified: its signatures have been, up to some root of the
 * context. 0 or FL_ERR_NOMEM. */
static int judge_chain(const struct fl_tls_ctx *ctx, const struct chain *chain, bool is_verified,
		       struct fl_spiffe_id *ret_id, enum fl_rule *ret_rule, struct fl_err *detail)
{
	enum fl_rule rule = fl_svid_check_leaf(chain->certs[0], ret_id, detail);
	size_t bundle;
	int rc;

	for (size_t i = 1; rule == FL_RULE_NONE && i < chain->count; i++) {
		rule = fl_svid_check_signer(chain->certs[i], detail);
	}
	if (rule == FL_RULE_NONE) {
		bundle = fl_credentials_bundle_of(ctx->credentials, ret_id);
		if (bundle == ctx->credentials->bundle_count) {
			rule = unknown_domain(ret_id, detail);
		}
	}
	*ret_rule = rule;
	if (rule != FL_RULE_NONE) {
		return 0;
	}
	rc = judge_path(ctx, bundle, chain, is_verified, ret_id, ret_rule, detail);
	if (rc == 0 && *ret_rule == FL_RULE_NONE) {
		*ret_rule = judge_revocation(ctx->credentials, bundle, chain, detail);
	}
	return rc;
}

static void digest_of(const struct chain *chain, uint8_t ret[FL_DIGEST_LEN])
{
	fl_digest(chain->certs, chain->count, ret);
}

/* wolfSSL is content: the rest of the rules. tls->peer is then who the peer will be, should the handshake succeed.
 * FL_RULE_NONE also where memory ran out, with peer NULL. *ret_refused: else, who it was if that is known; a reference. */
static enum fl_rule judge(struct fl_tls *tls, const WOLFSSL_X509_STORE_CTX *store,
			  struct fl_tls_peer **ret_refused, struct fl_err *detail)
{
	const struct fl_tls_ctx *ctx = tls->ctx;
	struct chain chain = chain_of_store(store);
	enum fl_rule rule = FL_RULE_CHAIN;
	struct fl_tls_peer *peer;
	struct fl_spiffe_id id;
	uint8_t digest[FL_DIGEST_LEN];

	digest_of(&chain, digest);
	peer = fl_tls_peers_find(ctx->peers, digest);
	if (peer == NULL || !fl_tls_peer_recall(peer, ctx->epoch, &rule) || rule != FL_RULE_NONE) {
		if (judge_chain(ctx, &chain, true, &id, &rule, detail) != 0) {
			fl_tls_peer_unref(peer);
			return FL_RULE_NONE;
		}
		if (peer == NULL && rule == FL_RULE_NONE) {
			peer = fl_tls_peers_add(ctx->peers, digest, chain.certs, chain.count, &id);
		}
		if (peer != NULL) {
			fl_tls_peer_note(peer, ctx->epoch, rule);
		}
	}
	if (rule == FL_RULE_NONE && peer != NULL) {
		rule = judge_expectation(tls, peer, detail);
	}
	if (rule != FL_RULE_NONE) {
		*ret_refused = peer;
		return rule;
	}
	fl_tls_peer_unref(tls->peer);
	tls->peer = peer;
	return FL_RULE_NONE;
}

int fl_tls_peer_judge(struct fl_tls_ctx *ctx, struct fl_tls_peer *peer, enum fl_rule *ret_rule,
		      struct fl_err *detail)
{
	struct chain chain;
	struct fl_spiffe_id id;
	int rc;

	/* Why it was refused is only known to who asks again. */
	if (fl_tls_peer_recall(peer, ctx->epoch, ret_rule) &&
	    (*ret_rule == FL_RULE_NONE || detail == NULL)) {
		return 0;
	}
	chain = chain_of_peer(peer);
	rc = judge_chain(ctx, &chain, false, &id, ret_rule, detail);
	if (rc == 0) {
		fl_tls_peer_note(peer, ctx->epoch, *ret_rule);
	}
	return rc;
}

bool fl_tls_may_be(const struct fl_tls *tls, struct fl_tls_peer *peer)
{
	enum fl_rule rule;

	return peer->not_after > tls->ctx->now() &&
	       judge_expectation(tls, peer, NULL) == FL_RULE_NONE &&
	       fl_tls_peer_judge(tls->ctx, peer, &rule, NULL) == 0 && rule == FL_RULE_NONE;
}

/* Does the certificate's form say more than wolfSSL's number? */
static bool is_about_form(enum fl_rule rule)
{
	return rule == FL_RULE_MALFORMED || rule == FL_RULE_KEY_USAGE ||
	       rule == FL_RULE_EXT_KEY_USAGE || rule == FL_RULE_CHAIN || rule == FL_RULE_SIGNER_CA;
}

/* For whoever wants to know whose certificate has run out: nothing vouches for it. */
static void name_claim(struct fl_span leaf, struct fl_err *detail)
{
	struct fl_spiffe_id id;

	if (fl_svid_check_leaf(leaf, &id, NULL) == FL_RULE_NONE) {
		fl_err_set(detail, FL_ERR_DENIED, "it claims to be %.*s", (int)id.len, id.text);
	}
}

/* wolfSSL has refused: names the rule, as exactly as the certificates allow. */
static enum fl_rule judge_refused(const struct fl_tls *tls, const WOLFSSL_X509_STORE_CTX *store,
				  struct fl_err *detail)
{
	enum fl_rule rule = fl_tls_rule_of_error(store->error);
	enum fl_rule exact = FL_RULE_NONE;
	int index = store->error_depth;
	struct fl_spiffe_id id;

	if (rule == FL_RULE_UNKNOWN_ISSUER) {
		/* A certificate that may not sign is one that wolfSSL has not looked at as an
		 * issuer. */
		for (int i = 1; i < store->totalCerts; i++) {
			exact = fl_svid_check_signer(cert(store, i), detail);
			if (exact != FL_RULE_NONE) {
				return exact;
			}
		}
		/* No bundle of that domain is a better reason than no issuer. */
		if (fl_svid_check_leaf(cert(store, 0), &id, NULL) == FL_RULE_NONE &&
		    fl_credentials_bundle_of(tls->ctx->credentials, &id) ==
			    tls->ctx->credentials->bundle_count) {
			return unknown_domain(&id, detail);
		}
		name_claim(cert(store, 0), detail);
		return rule;
	}
	if (is_about_form(rule) && index >= 0 && index < store->totalCerts) {
		exact = index == 0 ? fl_svid_check_leaf(cert(store, 0), &id, detail)
				   : fl_svid_check_signer(cert(store, index), detail);
	}
	if (exact == FL_RULE_NONE) {
		name_claim(cert(store, 0), detail);
	}
	return exact != FL_RULE_NONE ? exact : rule;
}

void fl_tls_forget_intermediates(struct fl_tls_ctx *ctx)
{
	/* (The function for contexts refuses as long as there are engines.) */
	(void)wolfSSL_CertManagerUnloadIntermediateCerts(wolfSSL_CTX_GetCertManager(ctx->wolf));
}

int fl_tls_verify(int ok, WOLFSSL_X509_STORE_CTX *store)
{
	struct fl_tls *tls = store->userCtx;
	struct fl_err detail = {.code = FL_OK};
	struct fl_tls_peer *refused = NULL;
	enum fl_rule rule;

	FL_REQUIRE(tls != NULL && store->totalCerts > 0);
	if (tls->wolf->options.pskNegotiated) {
		/* Nobody asked, and nothing would prove that the key is there as well. */
		fl_tls_fail_error(tls, SANITY_MSG_E);
		fl_tls_send_alert(tls, unexpected_message);
		return 0;
	}
	if (ok) {
		rule = judge(tls, store, &refused, &detail);
	} else {
		rule = judge_refused(tls, store, &detail);
	}
	if (store->totalCerts > 1) {
		fl_tls_forget_intermediates(tls->ctx);
	}
	if (ok && rule == FL_RULE_NONE && tls->peer != NULL) {
		return 1;
	}
	if (rule != FL_RULE_NONE) {
		fl_tls_fail_rule(tls, rule, refused, &detail);
		fl_tls_peer_unref(refused);
	} else {
		fl_tls_fail_error(tls, ok ? MEMORY_ERROR : store->error);
	}
	if (tls->failure->alert != 0) {
		fl_tls_send_alert(tls, tls->failure->alert);
	}
	return 0;
}
