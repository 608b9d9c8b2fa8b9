/* SPDX-License-Identifier: GPL-3.0-or-later */
/* credentials - reads every file of a set, judges every certificate in it, and only then gives it out.
 *
 * One walk serves both entry points: it reports problem after problem to a callback and goes on as
 * long as the next question still makes sense (no key match without a key). A set with a single
 * problem is freed, its key wiped, and FL_ERR_INVALID returned. Roots get more care here than from
 * wolfSSL, which takes a leaf for an anchor and drops one of two anchors with the same key identifier
 * without a word. */
#include "pki/credentials.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/harden.h"
#include "pki/asn1.h"
#include "pki/digest.h"
#include "pki/key.h"

struct parse {
	const struct fl_credentials_pem *pem;
	int64_t now;
	fl_credentials_problem_cb problem;
	void *user;
	size_t problems;
	struct fl_credentials *c; /* what is there so far */
};

static void report(struct parse *p, const char *name, const struct fl_err *err)
{
	p->problems++;
	p->problem(p->user, name, err->text);
}

static struct fl_span span_of(const struct fl_der *der)
{
	return (struct fl_span){der->data, der->len};
}

/* --- one certificate ---------------------------------------------------------------------------- */

#define TIME_TEXT 32

static const char *format_time(int64_t when, char buf[TIME_TEXT])
{
	time_t seconds = (time_t)when;
	struct tm tm;

	if (!gmtime_r(&seconds, &tm) || strftime(buf, TIME_TEXT, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0) {
		(void)snprintf(buf, TIME_TEXT, "second %lld", (long long)when);
	}
	return buf;
}

/* RFC 5280: both ends are within the period. remedy: what to do about one that has expired. */
static int check_time(int64_t not_before, int64_t not_after, int64_t now, const char *remedy,
		      struct fl_err *err)
{
	char then[TIME_TEXT], here[TIME_TEXT];

	if (now > not_after) {
		return fl_err_set(err, FL_ERR_INVALID,
				  "it has expired at %s (the clock here says %s): %s",
				  format_time(not_after, then), format_time(now, here), remedy);
	}
	if (now < not_before) {
		return fl_err_set(
			err, FL_ERR_INVALID,
			"it is not valid before %s, in %lld seconds by the clock here (%s): does one "
			"of the clocks run wrong?",
			format_time(not_before, then), (long long)(not_before - now),
			format_time(now, here));
	}
	return 0;
}

static int rule_error(enum fl_rule rule, const char *remedy, struct fl_err *err)
{
	struct fl_err detail = *err;

	return fl_err_set(err, FL_ERR_INVALID, "%s (%s): %s%s%s", fl_rule_text(rule),
			  fl_rule_name(rule), detail.text, remedy ? "; " : "",
			  remedy ? remedy : "");
}

/* The leaf's own rules; fills identity and validity in. */
static int check_leaf(struct parse *p, struct fl_span leaf, struct fl_err *err)
{
	struct fl_credentials *c = p->c;
	struct fl_public_key key = {.kind = FL_KEY_UNKNOWN};
	struct fl_spiffe_id id;
	enum fl_rule rule = fl_svid_check_leaf(leaf, &id, err);
	int rc;

	if (rule == FL_RULE_LEAF_CA) {
		return rule_error(rule, "the leaf comes first in the file, then the intermediates",
				  err);
	}
	if (rule != FL_RULE_NONE) {
		return rule_error(rule, "have it issued as an X509-SVID", err);
	}
	rc = fl_key_of_certificate(leaf, &key, err);
	if (rc == 0) {
		rc = fl_key_check_kind(&key, err);
	}
	if (rc == 0) {
		rc = fl_svid_validity(leaf, &c->not_before, &c->not_after, err);
	}
	if (rc < 0) {
		return rc;
	}
	/* Known from here on even when it has expired: the bundles are judged by it. */
	c->id = fl_strndup(id.text, id.len);
	c->trust_domain = fl_strndup(id.trust_domain, id.trust_domain_len);
	return check_time(c->not_before, c->not_after, p->now,
			  "renew it, or see why its issuer no longer does", err);
}

static int check_signer(struct parse *p, struct fl_span der, bool is_root, struct fl_err *err)
{
	const char *remedy = NULL;
	int64_t not_before, not_after;
	struct fl_public_key key = {.kind = FL_KEY_UNKNOWN};
	enum fl_rule rule = fl_svid_check_signer(der, err);
	int rc;

	if (rule == FL_RULE_SIGNER_CA) {
		remedy = is_root ? "a bundle holds the roots of a trust domain and no leaves"
				 : "behind the leaf come the CAs that issued it";
	} else if (rule != FL_RULE_NONE && rule != FL_RULE_MALFORMED) {
		remedy = "have the CA's certificate made anew";
	}
	if (rule != FL_RULE_NONE) {
		return rule_error(rule, remedy, err);
	}
	rc = fl_key_of_certificate(der, &key, err);
	if (rc == 0) {
		rc = fl_key_check_kind(&key, err);
	}
	if (rc == 0) {
		rc = fl_svid_validity(der, &not_before, &not_after, err);
	}
	if (rc == 0) {
		rc = check_time(not_before, not_after, p->now,
				is_root ? "take it out of the bundle" : "have the chain renewed",
				err);
	}
	return rc;
}

/* --- chain and key ------------------------------------------------------------------------------ */

/* Returns the name of the file that the chain came from; NULL: there is no chain. */
static const char *read_chain(struct parse *p)
{
	const struct fl_credentials_pem *pem = p->pem;
	struct fl_credentials *c = p->c;
	const char *name = NULL;
	struct fl_err err;

	if (pem->credential_bundle.data || pem->credential_bundle_name) {
		name = pem->credential_bundle_name;
		if (fl_pem_credential_bundle((const char *)pem->credential_bundle.data,
					     pem->credential_bundle.len, &c->key, &c->chain,
					     &err) < 0) {
			report(p, name, &err);
		}
		return name;
	}
	if (fl_pem_certificates((const char *)pem->cert.data, pem->cert.len, false, &c->chain,
				&err) < 0) {
		report(p, pem->cert_name, &err);
	}
	if (fl_pem_private_key((const char *)pem->key.data, pem->key.len, &c->key, &err) < 0) {
		report(p, pem->key_name, &err);
	}
	return pem->cert_name;
}

static void parse_chain(struct parse *p)
{
	const char *name = read_chain(p);
	const struct fl_credentials *c = p->c;
	struct fl_err err;

	if (c->chain.count == 0) {
		return;
	}
	if (check_leaf(p, span_of(&c->chain.items[0]), &err) < 0) {
		(void)fl_err_prefix(&err, "certificate 1, the leaf");
		report(p, name, &err);
	}
	for (size_t i = 1; i < c->chain.count; i++) {
		if (check_signer(p, span_of(&c->chain.items[i]), false, &err) < 0) {
			(void)fl_err_prefix(&err, "certificate %zu", i + 1);
			report(p, name, &err);
		}
	}
	if (c->key.data) {
		/* Not everywhere allowed; what refuses it is no reason to refuse the key. */
		(void)fl_harden_memory(c->key.data, c->key.len);
	}
	if (c->key.data &&
	    fl_svid_check_key(span_of(&c->chain.items[0]), span_of(&c->key), &err) < 0) {
		report(p, p->pem->key_name ? p->pem->key_name : name, &err);
	}
}

/* --- bundles ------------------------------------------------------------------------------------ */

static bool in_list(const struct fl_der_list *list, const struct fl_der *der)
{
	for (size_t i = 0; i < list->count; i++) {
		if (fl_span_equal(span_of(&list->items[i]), span_of(der))) {
			return true;
		}
	}
	return false;
}

/* Two anchors with the same key identifier: wolfSSL keeps the first it loads and says nothing. That is
 * harmless for one CA whose certificate was renewed, and for nothing else. first, second: good certificates. */
static bool may_share_key_id(struct fl_span first, struct fl_span second)
{
	struct fl_public_key a = {.kind = FL_KEY_UNKNOWN}, b = a;

	return fl_key_of_certificate(first, &a, NULL) == 0 &&
	       fl_key_of_certificate(second, &b, NULL) == 0 && fl_span_equal(a.bits, b.bits) &&
	       fl_span_equal(a.subject, b.subject);
}

/* Compares a new root with those of one bundle. */
static int check_key_id(struct fl_span root, const struct fl_bundle *bundle, bool same_domain,
			struct fl_err *err)
{
	uint8_t mine[20], theirs[20];
	int rc = fl_svid_key_id(root, mine, err);

	for (size_t i = 0; rc == 0 && i < bundle->roots.count; i++) {
		struct fl_span other = span_of(&bundle->roots.items[i]);

		rc = fl_svid_key_id(other, theirs, err);
		if (rc < 0 || memcmp(mine, theirs, sizeof(mine)) != 0) {
			continue;
		}
		if (!same_domain) {
			return fl_err_set(
				err, FL_ERR_INVALID,
				"its subject key identifier is that of a root of %s; two trust "
				"domains cannot share a CA, each has its own",
				bundle->trust_domain ? bundle->trust_domain
						     : "our own trust domain");
		}
		if (!may_share_key_id(root, other)) {
			return fl_err_set(
				err, FL_ERR_INVALID,
				"its subject key identifier is that of another root of the "
				"bundle, but key or subject differ; each CA has its own");
		}
	}
	return rc;
}

static int check_root(struct parse *p, const struct fl_bundle *bundle, const struct fl_der *root,
		      struct fl_err *err)
{
	int rc = check_signer(p, span_of(root), true, err);

	/* The bundles before this one are complete; this one is as far as we are. */
	for (size_t i = 0; rc == 0 && i < p->c->bundle_count; i++) {
		rc = check_key_id(span_of(root), &p->c->bundles[i], false, err);
	}
	return rc < 0 ? rc : check_key_id(span_of(root), bundle, true, err);
}

/* Adds a bundle; its trust_domain is NULL where the leaf did not tell our own. */
static void parse_bundle(struct parse *p, const char *trust_domain, struct fl_span pem,
			 const char *name)
{
	struct fl_bundle bundle = {.trust_domain = fl_strdup(trust_domain)};
	struct fl_credentials *c = p->c;
	struct fl_der_list all = {0};
	struct fl_err err;

	if (fl_pem_certificates((const char *)pem.data, pem.len, true, &all, &err) < 0) {
		report(p, name, &err);
	}
	for (size_t i = 0; i < all.count; i++) {
		if (in_list(&bundle.roots, &all.items[i])) {
			continue; /* bundles are often made with cat: once is enough */
		}
		if (check_root(p, &bundle, &all.items[i], &err) < 0) {
			(void)fl_err_prefix(&err, "certificate %zu", i + 1);
			report(p, name, &err);
		} else {
			fl_der_list_push(&bundle.roots, all.items[i].data, all.items[i].len);
		}
	}
	fl_der_list_done(&all);
	c->bundles = fl_grow(c->bundles, c->bundle_count + 1, sizeof(*c->bundles));
	c->bundles[c->bundle_count++] = bundle;
}

static int check_foreign(const struct parse *p, const char *trust_domain, struct fl_err *err)
{
	int rc = fl_spiffe_trust_domain_check(trust_domain, strlen(trust_domain), err);

	for (size_t i = 0; rc == 0 && i < p->c->bundle_count; i++) {
		const char *known = p->c->bundles[i].trust_domain;

		if (known && strcmp(known, trust_domain) == 0) {
			return fl_err_set(
				err, FL_ERR_INVALID,
				i == 0 ? "%s is our own trust domain: its roots belong into "
					 "[identity] bundle, not into [federate]"
				       : "%s is federated twice",
				trust_domain);
		}
	}
	return rc;
}

static void parse_bundles(struct parse *p)
{
	const struct fl_credentials_pem *pem = p->pem;
	struct fl_err err;

	parse_bundle(p, p->c->trust_domain, pem->bundle, pem->bundle_name);
	for (size_t i = 0; i < pem->foreign_count; i++) {
		if (check_foreign(p, pem->foreign[i].trust_domain, &err) < 0) {
			report(p, pem->foreign[i].name, &err);
		}
		parse_bundle(p, pem->foreign[i].trust_domain, pem->foreign[i].pem,
			     pem->foreign[i].name);
	}
}

/* --- CRLs --------------------------------------------------------------------------------------- */

/* The CAs of one list that it may name: 1 when one of them has signed it, 0 when it names none, else the error
 * of the last that it names. */
static int try_crl_issuers(struct fl_crl *crl, size_t bundle, const struct fl_der_list *cas,
			   size_t first, struct fl_err *err)
{
	int rc = 0;

	for (size_t i = first; i < cas->count; i++) {
		struct fl_span ca = span_of(&cas->items[i]);

		if (fl_crl_names(crl, ca)) {
			rc = fl_crl_verify(crl, bundle, ca, err);
			if (rc == 0) {
				return 1;
			}
		}
	}
	return rc;
}

/* Ties the list to the CA that signed it, or leaves it loose. Several CAs may have the name that it gives: one of them
 * has to have made it. */
static int find_crl_issuer(const struct parse *p, struct fl_crl *crl, struct fl_err *err)
{
	const struct fl_credentials *c = p->c;
	int rc, problem = 0;

	for (size_t i = 0; i < c->bundle_count; i++) {
		rc = try_crl_issuers(crl, i, &c->bundles[i].roots, 0, err);
		if (rc > 0) {
			return 0;
		}
		problem = rc < 0 ? rc : problem;
	}
	rc = try_crl_issuers(crl, 0, &c->chain, 1, err);
	return rc > 0 ? 0 : rc < 0 ? rc : problem;
}

static bool may_be_late(const struct fl_late_crls *late, const struct fl_crl *crl)
{
	size_t count = late->in_force ? late->in_force->crl_count : 0;

	for (size_t i = 0; i < count; i++) {
		if (fl_span_equal(span_of(&late->in_force->crls[i].der), span_of(&crl->der))) {
			return true;
		}
	}
	return late->all;
}

static int check_crl_time(const struct fl_crl *crl, const struct fl_late_crls *late, int64_t now,
			  struct fl_err *err)
{
	char then[TIME_TEXT], here[TIME_TEXT];

	if (fl_crl_is_late(crl, now) && !may_be_late(late, crl)) {
		return fl_err_set(
			err, FL_ERR_INVALID,
			"its successor was due at %s (the clock here says %s), and only a list "
			"that is in force already may be that old: have its CA make a new one, "
			"and see why nobody did",
			format_time(crl->next_update, then), format_time(now, here));
	}
	if (now < crl->this_update) {
		return fl_err_set(
			err, FL_ERR_INVALID,
			"it is not valid before %s, in %lld seconds by the clock here (%s): does one "
			"of the clocks run wrong?",
			format_time(crl->this_update, then), (long long)(crl->this_update - now),
			format_time(now, here));
	}
	return 0;
}

/* Takes der over. */
static int add_crl(struct parse *p, struct fl_der *der, struct fl_err *err)
{
	struct fl_credentials *c = p->c;
	struct fl_crl crl;
	int rc = fl_crl_parse(der, &crl, err);

	if (rc < 0) {
		return rc;
	}
	rc = check_crl_time(&crl, &p->pem->late, p->now, err);
	if (rc == 0) {
		rc = find_crl_issuer(p, &crl, err);
	}
	if (rc < 0) {
		fl_crl_done(&crl);
		return rc;
	}
	c->crls = fl_grow(c->crls, c->crl_count + 1, sizeof(*c->crls));
	c->crls[c->crl_count++] = crl;
	return 0;
}

static void check_own_chain(struct parse *p)
{
	const struct fl_credentials_pem *pem = p->pem;
	const struct fl_der_list *list = &p->c->chain;
	struct fl_span *chain = fl_new((list->count + 1) * sizeof(*chain));
	struct fl_err err;
	size_t index;

	for (size_t i = 0; i < list->count; i++) {
		chain[i] = span_of(&list->items[i]);
	}
	if (fl_credentials_revoked(p->c, 0, chain, list->count, &index, &err)) {
		(void)fl_err_prefix(&err,
				    "certificate %zu is revoked by `crl`, no peer that knows of it "
				    "takes it: have a new one issued for a new key",
				    index + 1);
		report(p, pem->cert_name ? pem->cert_name : pem->credential_bundle_name, &err);
	}
	free(chain);
}

static void parse_crls(struct parse *p)
{
	struct fl_span text = p->pem->crl;
	const char *name = p->pem->crl_name;
	struct fl_der_list all = {0};
	struct fl_err err;

	if (!text.data && !name) {
		return;
	}
	if (fl_pem_crls((const char *)text.data, text.len, &all, &err) < 0) {
		report(p, name, &err);
	}
	for (size_t i = 0; i < all.count; i++) {
		if (add_crl(p, &all.items[i], &err) < 0) {
			(void)fl_err_prefix(&err, "CRL %zu", i + 1);
			report(p, name, &err);
		}
	}
	fl_der_list_done(&all);
	check_own_chain(p);
}

size_t fl_credentials_bundle_of(const struct fl_credentials *c, const struct fl_spiffe_id *id)
{
	size_t i = 0;

	for (; i < c->bundle_count; i++) {
		const char *name = c->bundles[i].trust_domain;

		if (strlen(name) == id->trust_domain_len &&
		    memcmp(name, id->trust_domain, id->trust_domain_len) == 0) {
			break;
		}
	}
	return i;
}

/* A loose list names the certificate at the front of the chain. Has one of the CAs above it made the list? */
static bool is_vouched_for(const struct fl_crl *crl, const struct fl_span *chain, size_t count)
{
	for (size_t i = 1; i < count; i++) {
		if (fl_crl_names(crl, chain[i]) &&
		    fl_crl_check(crl, chain[i], NULL) != FL_ERR_INVALID) {
			return true;
		}
	}
	return false;
}

static bool is_on_a_list(const struct fl_credentials *c, size_t bundle, const struct fl_span *chain,
			 size_t count)
{
	for (size_t i = 0; i < c->crl_count; i++) {
		const struct fl_crl *crl = &c->crls[i];
		bool loose = crl->bundle == FL_CRL_LOOSE;

		if ((loose || crl->bundle == bundle) && fl_crl_revokes(crl, chain[0]) &&
		    (!loose || is_vouched_for(crl, chain, count))) {
			return true;
		}
	}
	return false;
}

bool fl_credentials_revoked(const struct fl_credentials *c, size_t bundle,
			    const struct fl_span *chain, size_t count, size_t *ret_index,
			    struct fl_err *detail)
{
	char serial[FL_SERIAL_TEXT];

	for (size_t i = 0; i < count; i++) {
		if (is_on_a_list(c, bundle, chain + i, count - i)) {
			(void)fl_err_set(detail, FL_ERR_DENIED, "its serial number is %s",
					 fl_crl_serial_text(chain[i], serial));
			*ret_index = i;
			return true;
		}
	}
	return false;
}

/* --- the interface ------------------------------------------------------------------------------ */

int fl_credentials_parse_all(const struct fl_credentials_pem *pem, int64_t now,
			     fl_credentials_problem_cb problem, void *user,
			     struct fl_credentials **ret)
{
	struct parse p = {.pem = pem, .now = now, .problem = problem, .user = user};

	p.c = fl_new(sizeof(*p.c));
	parse_chain(&p);
	parse_bundles(&p);
	parse_crls(&p);
	if (p.problems > 0) {
		fl_credentials_free(p.c);
		return FL_ERR_INVALID;
	}
	*ret = p.c;
	return 0;
}

struct first_problem {
	struct fl_err *err;
	bool is_set;
};

static void keep_first(void *user, const char *name, const char *text)
{
	struct first_problem *first = user;

	if (!first->is_set) {
		first->is_set = true;
		(void)fl_err_set(first->err, FL_ERR_INVALID, "%s%s%s", name ? name : "",
				 name ? ": " : "", text);
	}
}

int fl_credentials_parse(const struct fl_credentials_pem *pem, int64_t now,
			 struct fl_credentials **ret, struct fl_err *err)
{
	struct first_problem first = {.err = err};

	return fl_credentials_parse_all(pem, now, keep_first, &first, ret);
}

void fl_credentials_digest(const struct fl_credentials *c, uint8_t ret[FL_DIGEST_LEN])
{
	size_t count = 2 + c->chain.count + c->crl_count, n = 0;
	struct fl_span *parts;

	for (size_t i = 0; i < c->bundle_count; i++) {
		count += 2 + c->bundles[i].roots.count;
	}
	parts = fl_new(count * sizeof(*parts));
	for (size_t i = 0; i < c->chain.count; i++) {
		parts[n++] = span_of(&c->chain.items[i]);
	}
	parts[n++] = span_of(&c->key);
	parts[n++] = (struct fl_span){0};
	for (size_t i = 0; i < c->bundle_count; i++) {
		const struct fl_bundle *b = &c->bundles[i];

		parts[n++] = (struct fl_span){(uint8_t *)b->trust_domain, strlen(b->trust_domain)};
		for (size_t r = 0; r < b->roots.count; r++) {
			parts[n++] = span_of(&b->roots.items[r]);
		}
		/* No certificate and no name is empty: this ends a list. */
		parts[n++] = (struct fl_span){0};
	}
	for (size_t i = 0; i < c->crl_count; i++) {
		parts[n++] = span_of(&c->crls[i].der);
	}
	FL_REQUIRE(n == count);
	fl_digest(parts, count, ret);
	free(parts);
}

void fl_credentials_free(struct fl_credentials *c)
{
	if (!c) {
		return;
	}
	fl_der_list_done(&c->chain);
	fl_der_wipe(&c->key);
	for (size_t i = 0; i < c->bundle_count; i++) {
		free(c->bundles[i].trust_domain);
		fl_der_list_done(&c->bundles[i].roots);
	}
	for (size_t i = 0; i < c->crl_count; i++) {
		fl_crl_done(&c->crls[i]);
	}
	free(c->bundles);
	free(c->crls);
	free(c->id);
	free(c->trust_domain);
	free(c);
}
