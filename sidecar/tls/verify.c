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
 * A refusal has its own alert (RFC 8446 section 6.2), sent here before wolfSSL gets to send its
 * general one, which is then muted. Memory that runs out counts as a refusal with
 * FL_TLS_CAUSE_INTERNAL. */
#include "tls/tls_internal.h"

#include <string.h>

#include <wolfssl/internal.h>

static struct fl_span cert(const WOLFSSL_X509_STORE_CTX *store, int index)
{
	return (struct fl_span){store->certs[index].buffer, store->certs[index].length};
}

/* Index of the bundle of the ID's trust domain, or bundle_count. */
static size_t find_bundle(const struct fl_credentials *credentials, const struct fl_spiffe_id *id)
{
	size_t i = 0;

	for (; i < credentials->bundle_count; i++) {
		const char *name = credentials->bundles[i].trust_domain;
		if (strlen(name) == id->trust_domain_len &&
		    memcmp(name, id->trust_domain, id->trust_domain_len) == 0) {
			break;
		}
	}
	return i;
}

/* Verifies one certificate as wolfSSL's own handshake code does; a signer then joins the store. */
static int verify_one(WOLFSSL_CERT_MANAGER *manager, struct fl_span der, bool signer)
{
	DecodedCert decoded;
	DerBuffer *copy = NULL;

	wc_InitDecodedCert(&decoded, der.data, (word32)der.len, NULL);
	int rc = wc_ParseCert(&decoded, signer ? CHAIN_CERT_TYPE : CERT_TYPE, VERIFY, manager);
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
static int verify_in_domain(WOLFSSL_CERT_MANAGER *manager, const WOLFSSL_X509_STORE_CTX *store)
{
	int rc = 0;

	for (int i = store->totalCerts - 1; rc == 0 && i >= 0; i--) {
		rc = verify_one(manager, cert(store, i), i > 0);
	}
	if (store->totalCerts > 1) {
		(void)wolfSSL_CertManagerUnloadIntermediateCerts(manager);
	}
	return rc;
}

static bool is_own_domain(const struct fl_tls *tls, const struct fl_spiffe_id *id)
{
	const char *own = tls->ctx->credentials->trust_domain;

	return strlen(own) == id->trust_domain_len &&
	       memcmp(own, id->trust_domain, id->trust_domain_len) == 0;
}

static enum fl_rule judge_expectation(const struct fl_tls *tls, const struct fl_spiffe_id *id,
				      struct fl_err *detail)
{
	if (tls->ctx->role == FL_TLS_SERVER) {
		return FL_RULE_NONE;
	}
	if (tls->expect != NULL ? tls->expect(tls->expect_user, id->text, id->len)
				: is_own_domain(tls, id)) {
		return FL_RULE_NONE;
	}
	fl_err_set(detail, FL_ERR_DENIED, "it is %.*s%s", (int)id->len, id->text,
		   tls->expect != NULL ? "" : ", of another trust domain than ours");
	return FL_RULE_PEER;
}

/* When the first of the chain runs out; 0 where memory did. */
static int64_t chain_not_after(const WOLFSSL_X509_STORE_CTX *store)
{
	int64_t earliest = INT64_MAX, not_before, not_after;

	for (int i = 0; i < store->totalCerts; i++) {
		if (fl_svid_validity(cert(store, i), &not_before, &not_after, NULL) != 0) {
			return 0;
		}
		earliest = not_after < earliest ? not_after : earliest;
	}
	return earliest;
}

/* Remembers who the peer will be, should the handshake succeed. False: memory is out. */
static bool keep_identity(struct fl_tls *tls, const WOLFSSL_X509_STORE_CTX *store,
			  const struct fl_spiffe_id *id)
{
	fl_tls_release(tls->peer_id);
	tls->peer_id = fl_tls_alloc(id->len + 1);
	if (tls->peer_id == NULL) {
		return false;
	}
	memcpy(tls->peer_id, id->text, id->len);
	fl_tls_limit_tickets(tls, id->len);
	tls->peer_not_after = chain_not_after(store);
	return tls->peer_not_after != 0;
}

bool fl_tls_may_be(const struct fl_tls *tls, const char *id, size_t len)
{
	const struct fl_credentials *credentials = tls->ctx->credentials;
	struct fl_spiffe_id parsed;
	size_t bundle;

	if (fl_spiffe_id_parse(id, len, &parsed, NULL) != 0) {
		return false;
	}
	bundle = find_bundle(credentials, &parsed);
	return bundle < credentials->bundle_count && credentials->bundles[bundle].roots.count > 0 &&
	       judge_expectation(tls, &parsed, NULL) == FL_RULE_NONE;
}

static enum fl_rule unknown_domain(const struct fl_spiffe_id *id, struct fl_err *detail)
{
	fl_err_set(detail, FL_ERR_DENIED, "it is %.*s", (int)id->len, id->text);
	return FL_RULE_TRUST_DOMAIN;
}

/* The whole chain, for a revoked intermediate takes along what it has issued. */
static enum fl_rule judge_revocation(const struct fl_credentials *credentials,
				     const WOLFSSL_X509_STORE_CTX *store, struct fl_err *detail)
{
	for (int i = 0; i < store->totalCerts; i++) {
		if (fl_credentials_revoked(credentials, cert(store, i), detail)) {
			(void)fl_err_prefix(detail, "certificate %d of the chain", i + 1);
			return FL_RULE_REVOKED;
		}
	}
	return FL_RULE_NONE;
}

/* wolfSSL is content: the rest of the rules. FL_RULE_NONE also where memory ran out, with peer_id
 * NULL. */
static enum fl_rule judge(struct fl_tls *tls, const WOLFSSL_X509_STORE_CTX *store,
			  struct fl_err *detail)
{
	const struct fl_tls_ctx *ctx = tls->ctx;
	struct fl_spiffe_id id;
	enum fl_rule rule = fl_svid_check_leaf(cert(store, 0), &id, detail);

	for (int i = 1; rule == FL_RULE_NONE && i < store->totalCerts; i++) {
		rule = fl_svid_check_signer(cert(store, i), detail);
	}
	if (rule != FL_RULE_NONE) {
		return rule;
	}
	size_t bundle = find_bundle(ctx->credentials, &id);
	if (bundle == ctx->credentials->bundle_count) {
		return unknown_domain(&id, detail);
	}
	if (ctx->managers != NULL) {
		int rc = verify_in_domain(ctx->managers[bundle], store);
		if (rc == WC_NO_ERR_TRACE(MEMORY_E)) {
			return FL_RULE_NONE;
		}
		if (rc != 0) {
			fl_err_set(detail, FL_ERR_DENIED, "it claims to be %.*s", (int)id.len,
				   id.text);
			rule = fl_tls_rule_of_error(rc);
			return rule != FL_RULE_NONE ? rule : FL_RULE_CHAIN;
		}
	}
	rule = judge_revocation(ctx->credentials, store, detail);
	if (rule == FL_RULE_NONE) {
		rule = judge_expectation(tls, &id, detail);
	}
	if (rule == FL_RULE_NONE && !keep_identity(tls, store, &id)) {
		fl_tls_release(tls->peer_id);
		tls->peer_id = NULL;
	}
	return rule;
}

/* Does the certificate's form say more than wolfSSL's number? */
static bool is_about_form(enum fl_rule rule)
{
	return rule == FL_RULE_MALFORMED || rule == FL_RULE_KEY_USAGE ||
	       rule == FL_RULE_EXT_KEY_USAGE || rule == FL_RULE_CHAIN || rule == FL_RULE_SIGNER_CA;
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
		    find_bundle(tls->ctx->credentials, &id) ==
			    tls->ctx->credentials->bundle_count) {
			return unknown_domain(&id, detail);
		}
		return rule;
	}
	if (is_about_form(rule) && index >= 0 && index < store->totalCerts) {
		exact = index == 0 ? fl_svid_check_leaf(cert(store, 0), &id, detail)
				   : fl_svid_check_signer(cert(store, index), detail);
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
	enum fl_rule rule;

	FL_REQUIRE(tls != NULL && store->totalCerts > 0);
	if (tls->wolf->options.pskNegotiated) {
		/* Nobody asked, and nothing would prove that the key is there as well. */
		fl_tls_fail_error(tls, SANITY_MSG_E);
		fl_tls_send_alert(tls, unexpected_message);
		return 0;
	}
	if (ok) {
		rule = judge(tls, store, &detail);
	} else {
		rule = judge_refused(tls, store, &detail);
	}
	if (store->totalCerts > 1) {
		fl_tls_forget_intermediates(tls->ctx);
	}
	if (ok && rule == FL_RULE_NONE && tls->peer_id != NULL) {
		return 1;
	}
	if (rule != FL_RULE_NONE) {
		fl_tls_fail_rule(tls, rule, &detail);
	} else {
		fl_tls_fail_error(tls, ok ? MEMORY_ERROR : store->error);
	}
	if (tls->failure->alert != 0) {
		fl_tls_send_alert(tls, tls->failure->alert);
	}
	return 0;
}
