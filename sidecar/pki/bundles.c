/* SPDX-License-Identifier: GPL-3.0-or-later */
/* bundles - the roots of our own trust domain, which must be good, and those of federated domains:
 * a fault in a federated bundle only means that this domain is not trusted.
 *
 * Shared roots can be found only when all bundles have been read. Bundles of thousands of roots
 * take milliseconds. */
#include "pki/parse.h"

#include <stdlib.h>
#include <string.h>

#include "base/when.h"
#include "pki/asn1.h"
#include "pki/name.h"

static uint64_t hash_of(struct fl_span bytes)
{
	uint64_t hash = 0xcbf29ce484222325u;

	for (size_t i = 0; i < bytes.len; i++) {
		hash = (hash ^ bytes.data[i]) * 0x100000001b3u;
	}
	return hash;
}

/* --- one bundle ------------------------------------------------------------------------------------- */

void fl_bundle_index(struct fl_bundle *bundle)
{
	struct fl_cert cert;

	fl_anchors_done(&bundle->anchors);
	for (size_t i = 0; i < bundle->roots.count; i++) {
		if (fl_cert_parse(fl_span_of(&bundle->roots.items[i]), &cert, NULL) ==
			    FL_RULE_NONE &&
		    fl_svid_check_anchor(&cert, NULL) == FL_RULE_NONE) {
			fl_anchors_add(&bundle->anchors, &cert, i);
		}
	}
	fl_anchors_sort(&bundle->anchors);
}

size_t fl_bundle_late_count(const struct fl_bundle *bundle, int64_t now)
{
	size_t count = 0;

	for (size_t i = 0; i < bundle->anchors.count; i++) {
		const struct fl_cert *cert = &bundle->anchors.items[i].cert;

		count += now < cert->not_before || now > cert->not_after;
	}
	return count;
}

/* Names a certificate of the file in an error. */
static void name_it(struct fl_span der, size_t i, struct fl_err *err)
{
	char name[FL_NAME_TEXT];
	struct fl_cert cert;

	if (fl_cert_parse(der, &cert, NULL) == FL_RULE_NONE) {
		(void)fl_err_prefix(err, "certificate %zu (%s)", i + 1,
				    fl_name_text(cert.subject, name));
	} else {
		(void)fl_err_prefix(err, "certificate %zu", i + 1);
	}
}

static int check_root(struct fl_span der, struct fl_err *err)
{
	struct fl_cert cert;
	enum fl_rule rule = fl_cert_parse(der, &cert, err);

	if (rule == FL_RULE_NONE) {
		rule = fl_svid_check_anchor(&cert, err);
	}
	if (rule == FL_RULE_NONE) {
		return 0;
	}
	return fl_parse_rule(rule,
			     rule == FL_RULE_SIGNER_CA
				     ? "a bundle has the roots of a trust domain, not leaves"
			     : rule == FL_RULE_MALFORMED || rule == FL_RULE_ALGORITHM
				     ? NULL
				     : "have the CA's certificate issued again",
			     err);
}

/* Bundles are often made with cat: skip duplicates. */
static bool is_in(const struct fl_der_list *list, const uint64_t *hashes, uint64_t hash,
		  struct fl_span der)
{
	for (size_t i = 0; i < list->count; i++) {
		if (hashes[i] == hash && fl_span_equal(fl_span_of(&list->items[i]), der)) {
			return true;
		}
	}
	return false;
}

/* Reports a problem: an error for our own bundle; a federated one is no longer trusted. */
static void refuse(struct fl_parse *p, struct fl_bundle *bundle, bool is_own, const char *name,
		   const struct fl_err *err)
{
	if (is_own) {
		fl_parse_error(p, name, err);
		return;
	}
	fl_parse_warning(p, name, "%s; until this is repaired, nobody of %s is trusted", err->text,
			 bundle->trust_domain);
	if (!bundle->refused) {
		bundle->refused = fl_strdup(err->text);
	}
}

void fl_parse_refuse(struct fl_parse *p, size_t bundle, const struct fl_err *why)
{
	refuse(p, &p->c->bundles[bundle], false, p->pem->foreign[bundle - 1].name, why);
}

void fl_parse_drop_refused(struct fl_parse *p)
{
	for (size_t i = 1; i < p->c->bundle_count; i++) {
		struct fl_bundle *bundle = &p->c->bundles[i];

		if (bundle->refused) {
			fl_anchors_done(&bundle->anchors);
			fl_der_list_done(&bundle->roots);
		}
	}
}

static void read_roots(struct fl_parse *p, struct fl_bundle *bundle, bool is_own,
		       const struct fl_der_list *all, const char *name)
{
	uint64_t *hashes = fl_new((all->count + 1) * sizeof(*hashes));
	struct fl_err err;

	for (size_t i = 0; i < all->count; i++) {
		struct fl_span der = fl_span_of(&all->items[i]);
		uint64_t hash = hash_of(der);

		if (is_in(&bundle->roots, hashes, hash, der)) {
			continue;
		}
		if (check_root(der, &err) < 0) {
			name_it(der, i, &err);
			refuse(p, bundle, is_own, name, &err);
		} else {
			hashes[bundle->roots.count] = hash;
			fl_der_list_push(&bundle->roots, der.data, der.len);
		}
	}
	free(hashes);
}

/* Reports roots that are out of date; they do not count. SPIRE leaves an expired CA in its bundle
 * for a day. */
static void tell_late(struct fl_parse *p, struct fl_bundle *bundle, bool is_own, const char *name)
{
	char when[FL_WHEN_TEXT], here[FL_WHEN_TEXT], subject[FL_NAME_TEXT];
	bool none_left = bundle->anchors.count > 0 &&
			 fl_bundle_late_count(bundle, p->now) == bundle->anchors.count;
	struct fl_err err;

	for (size_t i = 0; i < bundle->anchors.count; i++) {
		const struct fl_anchor *anchor = &bundle->anchors.items[i];
		bool early = p->now < anchor->cert.not_before;

		if (!early && p->now <= anchor->cert.not_after) {
			continue;
		}
		fl_parse_warning(
			p, name,
			"certificate %zu (%s) %s %s (the clock here says %s), and is not used%s",
			anchor->place + 1, fl_name_text(anchor->cert.subject, subject),
			early ? "is not valid before" : "has expired at",
			fl_when_format(early ? anchor->cert.not_before : anchor->cert.not_after,
				       when),
			fl_when_format(p->now, here),
			early ? " until then" : ": remove it from the bundle");
	}
	if (none_left && is_own) {
		(void)fl_err_set(
			&err, FL_ERR_INVALID,
			"it has no valid anchor, all are out of date (the clock here says %s), "
			"so nobody of our own trust domain could be trusted: add the CA's "
			"current certificate",
			fl_when_format(p->now, here));
		fl_parse_error(p, name, &err);
	} else if (none_left) {
		fl_parse_warning(p, name, "it has no valid anchor, so nobody of %s is trusted",
				 bundle->trust_domain);
	}
}

/* Adds a bundle; trust_domain is NULL if our own could not be read from the leaf. */
static void read_bundle(struct fl_parse *p, const char *trust_domain, struct fl_span pem,
			const char *name, const struct fl_err *refused)
{
	struct fl_credentials *c = p->c;
	bool is_own = c->bundle_count == 0;
	struct fl_bundle bundle = {.trust_domain = fl_strdup(trust_domain)};
	struct fl_der_list all = {0};
	struct fl_err err;

	if (refused) {
		refuse(p, &bundle, is_own, name, refused);
	}
	if (fl_pem_certificates((const char *)pem.data, pem.len, !is_own, &all, &err) < 0) {
		refuse(p, &bundle, is_own, name, &err);
	}
	read_roots(p, &bundle, is_own, &all, name);
	fl_der_list_done(&all);
	if (bundle.refused) {
		fl_der_list_done(&bundle.roots);
	}
	fl_bundle_index(&bundle);
	tell_late(p, &bundle, is_own, name);
	c->bundles = fl_grow(c->bundles, c->bundle_count + 1, sizeof(*c->bundles));
	c->bundles[c->bundle_count++] = bundle;
}

/* --- shared roots ------------------------------------------------------------------------------------- */

/* Two anchors are shared if one private key serves both, whatever name, dates or exponent their
 * certificates have. Their bytes can be compared, since no key has two forms. */
static bool same_holder(const struct fl_cert *a, const struct fl_cert *b)
{
	return fl_span_equal(fl_key_holder(&a->key), fl_key_holder(&b->key));
}

struct holding {
	uint64_t hash; /* of what same_holder() compares */
	const struct fl_cert *cert;
	size_t bundle;
};

static int compare_holdings(const void *a, const void *b)
{
	const struct holding *x = a, *y = b;

	if (x->hash != y->hash) {
		return x->hash < y->hash ? -1 : 1;
	}
	return x->bundle < y->bundle ? -1 : x->bundle > y->bundle;
}

/* Did its bundle have this key in the set in force? */
static bool had_it(const struct fl_parse *p, const struct holding *holding)
{
	const struct fl_credentials *in_force = p->pem->late.in_force;
	const char *trust_domain = p->c->bundles[holding->bundle].trust_domain;

	for (size_t i = 1; in_force && i < in_force->bundle_count; i++) {
		const struct fl_bundle *bundle = &in_force->bundles[i];

		for (size_t k = 0;
		     strcmp(bundle->trust_domain, trust_domain) == 0 && k < bundle->anchors.count;
		     k++) {
			if (same_holder(&bundle->anchors.items[k].cert, holding->cert)) {
				return true;
			}
		}
	}
	return false;
}

/* Is it one that another domain has just taken over, and that will be refused there? So a partner
 * cannot have another partner refused by putting its root into its own bundle. */
static bool is_taken_over(const struct fl_parse *p, const struct holding *holdings, size_t count,
			  size_t which)
{
	if (holdings[0].bundle == 0 || !had_it(p, &holdings[which])) {
		return false;
	}
	for (size_t i = 0; i < count; i++) {
		if (holdings[i].bundle != holdings[which].bundle &&
		    (p->pem->foreign[holdings[i].bundle - 1].shared_root ||
		     had_it(p, &holdings[i]))) {
			return false;
		}
	}
	return true;
}

/* holdings: of one key, by bundle. The owner of that key can issue identities of all these
 * domains. */
static void judge_shared(struct fl_parse *p, const struct holding *holdings, size_t count)
{
	char name[FL_NAME_TEXT];
	struct fl_err err;

	if (holdings[0].bundle == holdings[count - 1].bundle) {
		return;
	}
	for (size_t i = 0; i < count; i++) {
		size_t at = holdings[i].bundle,
		       with = i == 0 ? holdings[count - 1].bundle : holdings[0].bundle;
		struct fl_bundle *bundle = &p->c->bundles[at];

		if (at == 0 || p->pem->foreign[at - 1].shared_root || bundle->refused ||
		    is_taken_over(p, holdings, count, i)) {
			continue;
		}
		(void)fl_err_set(
			&err, FL_ERR_INVALID,
			"the root %s is also a root of %s: write `shared_root = allow` in "
			"[federate %s] if it is meant to vouch for both; otherwise use as anchor "
			"the CA below it that belongs to %s only",
			fl_name_text(holdings[i].cert->subject, name),
			with == 0 ? "our own trust domain" : p->c->bundles[with].trust_domain,
			bundle->trust_domain, bundle->trust_domain);
		fl_parse_refuse(p, at, &err);
	}
}

static void judge_sharing(struct fl_parse *p)
{
	struct fl_credentials *c = p->c;
	struct holding *holdings;
	size_t count = 0;

	for (size_t i = 0; i < c->bundle_count; i++) {
		count += c->bundles[i].anchors.count;
	}
	holdings = fl_new((count + 1) * sizeof(*holdings));
	count = 0;
	for (size_t i = 0; i < c->bundle_count; i++) {
		const struct fl_anchors *anchors = &c->bundles[i].anchors;

		for (size_t k = 0; k < anchors->count; k++) {
			const struct fl_cert *cert = &anchors->items[k].cert;

			holdings[count++] =
				(struct holding){hash_of(fl_key_holder(&cert->key)), cert, i};
		}
	}
	qsort(holdings, count, sizeof(*holdings), compare_holdings);
	for (size_t first = 0, end; first < count; first = end) {
		end = first + 1;
		while (end < count && same_holder(holdings[end].cert, holdings[first].cert)) {
			end++;
		}
		judge_shared(p, holdings + first, end - first);
	}
	free(holdings);
}

/* --- all ---------------------------------------------------------------------------------------------------- */

static int check_domain(const struct fl_parse *p, const char *trust_domain, struct fl_err *err)
{
	int rc = fl_spiffe_trust_domain_check(trust_domain, strlen(trust_domain), err);

	for (size_t i = 0; rc == 0 && i < p->c->bundle_count; i++) {
		const char *known = p->c->bundles[i].trust_domain;

		if (known && strcmp(known, trust_domain) == 0) {
			return fl_err_set(err, FL_ERR_INVALID,
					  i == 0 ? "%s is our own trust domain: put its roots into "
						   "[identity] bundle, not into [federate]"
						 : "%s is federated twice",
					  trust_domain);
		}
	}
	return rc;
}

void fl_parse_bundles(struct fl_parse *p)
{
	const struct fl_credentials_pem *pem = p->pem;
	struct fl_err err;

	read_bundle(p, p->c->trust_domain, pem->bundle, pem->bundle_name, NULL);
	for (size_t i = 0; i < pem->foreign_count; i++) {
		const struct fl_foreign_bundle *foreign = &pem->foreign[i];

		/* A bad name in the INI is our own error, not the partner's. */
		if (check_domain(p, foreign->trust_domain, &err) < 0) {
			fl_parse_error(p, foreign->name, &err);
		}
		if (foreign->refused) {
			(void)fl_err_set(&err, FL_ERR_INVALID, "%s", foreign->refused);
		}
		read_bundle(p, foreign->trust_domain, foreign->pem, foreign->name,
			    foreign->refused ? &err : NULL);
	}
	judge_sharing(p);
	fl_parse_drop_refused(p);
}
