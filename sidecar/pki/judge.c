/* SPDX-License-Identifier: GPL-3.0-or-later */
/* judge - combines svid.h, path.h and crl.h.
 *
 * Fails only if memory runs out; FL_RULE_NONE is set in one place, after the last check. */
#include "pki/judge.h"

/* The list has the certificate at the front of the chain. Is it one of the CA that has issued it, that is, of the key above,
 * whichever certificate of that CA the chain has? Elsewhere than in the domain of its CA, that may be any of those above. An
 * unusable one that nobody is known to have signed proves nothing but that it exists, so to claim is enough. */
static bool is_by_its_ca(const struct fl_crl *crl, bool here, const struct fl_span *chain,
			 size_t count)
{
	size_t last = here ? 1 : count;
	bool is_claim = crl->unusable && crl->signer.len == 0;

	for (size_t i = 1; i <= last; i++) {
		if ((is_claim && fl_crl_names(crl, chain[i])) || fl_crl_may_be_by(crl, chain[i])) {
			return true;
		}
	}
	return false;
}

/* NULL: on none of them. chain[1]: who has issued it, the anchor if count is 1. A CA may be an anchor of one domain and stand
 * below one of another: its list counts wherever its key has signed. In the domain of its CA a list also counts by names alone,
 * where nothing speaks against it; elsewhere, the names of two CAs may be the same. */
static const struct fl_crl *list_of(const struct fl_credentials *c, size_t bundle,
				    const struct fl_span *chain, size_t count)
{
	struct fl_cert cert;
	bool is_read = fl_cert_parse(chain[0], &cert, NULL) == FL_RULE_NONE;

	for (size_t i = 0; i < c->crl_count; i++) {
		const struct fl_crl *crl = &c->crls[i];
		bool here = crl->bundle == bundle || crl->bundle == FL_CRL_EVERYWHERE;

		if (!is_read ||
		    (fl_crl_lists(crl, &cert) && ((here && fl_crl_fits_key_id(crl, &cert)) ||
						  is_by_its_ca(crl, here, chain, count)))) {
			return crl;
		}
	}
	return NULL;
}

bool fl_judge_revoked(const struct fl_credentials *c, size_t bundle, const struct fl_span *chain,
		      size_t count, size_t *ret_index, struct fl_err *detail)
{
	char serial[FL_SERIAL_TEXT];

	for (size_t i = 0; c->crl_count > 0 && i < count; i++) {
		const struct fl_crl *crl = list_of(c, bundle, chain + i, count - i);

		if (crl == NULL) {
			continue;
		}
		if (crl->unusable) {
			(void)fl_err_set(detail, FL_ERR_DENIED,
					 "it may be revoked, because the CRL of its CA cannot be "
					 "used: %s",
					 crl->unusable);
		} else {
			(void)fl_err_set(detail, FL_ERR_DENIED, "its serial number is %s",
					 fl_crl_serial_text(chain[i], serial));
		}
		*ret_index = i;
		return true;
	}
	return false;
}

/* The SPIFFE IDs of the CAs that were sent; an anchor is as good as its bundle. */
static enum fl_rule judge_signers(const struct fl_span *chain, size_t count, size_t *ret_index,
				  struct fl_err *detail)
{
	enum fl_rule rule = FL_RULE_NONE;
	struct fl_cert cert;

	for (size_t i = 1; rule == FL_RULE_NONE && i < count; i++) {
		*ret_index = i;
		rule = fl_cert_parse(chain[i], &cert, detail);
		if (rule == FL_RULE_NONE) {
			rule = fl_svid_check_signer_id(&cert, detail);
		}
	}
	return rule;
}

struct domain {
	const struct fl_credentials *c;
	size_t bundle;
};

/* As part of the search: where one certificate of a CA breaks a rule, the peer may have sent another. */
static enum fl_rule judge_more(void *user, const struct fl_span *chain, size_t count,
			       size_t *ret_index, struct fl_err *detail)
{
	const struct domain *domain = user;

	if (fl_judge_revoked(domain->c, domain->bundle, chain, count, ret_index, detail)) {
		return FL_RULE_REVOKED;
	}
	return judge_signers(chain, count, ret_index, detail);
}

static int judge_path(const struct fl_credentials *c, const struct fl_span *chain, size_t count,
		      struct fl_moment when, struct fl_judgement *ret, struct fl_err *detail)
{
	const struct fl_bundle *bundle = &c->bundles[ret->bundle];
	struct domain domain = {c, ret->bundle};
	const struct fl_path_request request = {
		.certs = chain,
		.count = count,
		.anchors = &bundle->anchors,
		.now = when.now,
		.any_time = when.any_time,
		.usage = FL_EKU_SERVER | FL_EKU_CLIENT,
		.more = judge_more,
		.user = &domain,
	};
	int rc = fl_path_find(&request, &ret->path, detail);

	if (rc < 0) {
		return rc;
	}
	ret->rule = ret->path.rule;
	if (ret->rule != FL_RULE_NONE && bundle->refused) {
		(void)fl_err_set(detail, FL_ERR_DENIED,
				 "nobody of %s is trusted, because its bundle is refused: %s",
				 bundle->trust_domain, bundle->refused);
	}
	return 0;
}

int fl_judge(const struct fl_credentials *c, const struct fl_span *chain, size_t count,
	     struct fl_moment when, struct fl_judgement *ret, struct fl_err *detail)
{
	struct fl_cert leaf;
	enum fl_rule rule;
	int rc;

	*ret = (struct fl_judgement){.rule = FL_RULE_NO_CERTIFICATE, .bundle = c->bundle_count};
	if (count == 0) {
		return 0;
	}
	rule = fl_cert_parse(chain[0], &leaf, detail);
	if (rule == FL_RULE_NONE) {
		rule = fl_svid_check_leaf(&leaf, &ret->id, detail);
	}
	if (rule != FL_RULE_NONE) {
		ret->rule = rule;
		return 0;
	}
	ret->bundle = fl_credentials_bundle_of(c, &ret->id);
	if (ret->bundle == c->bundle_count) {
		ret->rule = FL_RULE_TRUST_DOMAIN;
		(void)fl_err_set(detail, FL_ERR_DENIED, "it is %.*s", (int)ret->id.len,
				 ret->id.text);
		return 0;
	}
	rc = judge_path(c, chain, count, when, ret, detail);
	if (rc == 0 && ret->rule != FL_RULE_NONE && ret->rule != FL_RULE_TRUST_DOMAIN && detail) {
		struct fl_err why = *detail;

		(void)fl_err_set(detail, FL_ERR_DENIED, "it claims to be %.*s; %s",
				 ret->id.len < 200 ? (int)ret->id.len : 200, ret->id.text,
				 why.text);
	}
	return rc;
}

/* The names of a certificate, as hashes; 0: no usable name. */
struct ends {
	uint64_t subject, issuer;
};

/* Keeps each certificate that may have issued a kept one. True: a new one was kept. */
static bool keep_issuers(const struct ends *ends, size_t count, bool *keep)
{
	bool more = false;

	for (size_t i = 0; i < count; i++) {
		for (size_t k = 0; keep[i] && k < count; k++) {
			if (!keep[k] && ends[k].subject != 0 && ends[k].subject == ends[i].issuer) {
				keep[k] = more = true;
			}
		}
	}
	return more;
}

size_t fl_judge_relevant(const struct fl_span *certs, size_t count, bool keep[FL_PATH_SENT_MAX])
{
	struct ends ends[FL_PATH_SENT_MAX];
	struct fl_cert cert;
	size_t kept = 0;

	FL_REQUIRE(count <= FL_PATH_SENT_MAX);
	for (size_t i = 0; i < count; i++) {
		bool good = fl_cert_parse(certs[i], &cert, NULL) == FL_RULE_NONE;

		keep[i] = i == 0;
		ends[i].issuer = good ? cert.issuer_hash : 0;
		ends[i].subject = good && i > 0 ? cert.subject_hash : 0;
	}
	while (keep_issuers(ends, count, keep)) {
	}
	for (size_t i = 0; i < count; i++) {
		kept += keep[i];
	}
	return kept;
}
