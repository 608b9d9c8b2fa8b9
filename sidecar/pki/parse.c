/* SPDX-License-Identifier: GPL-3.0-or-later */
/* parse - reads every file of a set, judges every certificate in it, and only then returns it.
 *
 * One walk serves both entry points: it reports each problem to a callback and continues as long as
 * the next check makes sense (no key match without a key). A set with a single problem is freed,
 * its key wiped, and the class of its first problem returned. */
#include "pki/parse.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/harden.h"
#include "base/when.h"
#include "pki/judge.h"
#include "pki/key.h"
#include "pki/name.h"

void fl_parse_error(struct fl_parse *p, const char *name, const struct fl_err *err)
{
	if (p->problems++ == 0) {
		p->first = err->code == FL_ERR_NOMEM ? FL_ERR_NOMEM : FL_ERR_INVALID;
	}
	p->finding(p->user, true, name, err->text);
}

void fl_parse_warning(struct fl_parse *p, const char *name, const char *fmt, ...)
{
	char text[sizeof(((struct fl_err *)NULL)->text) + 256];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	p->finding(p->user, false, name, text);
}

/* --- chain and key ------------------------------------------------------------------------------ */

/* RFC 5280: both ends are within the period. remedy: what to do about one that has expired. */
static int check_time(int64_t not_before, int64_t not_after, int64_t now, const char *remedy,
		      struct fl_err *err)
{
	char then[FL_WHEN_TEXT], here[FL_WHEN_TEXT];

	if (now > not_after) {
		return fl_err_set(
			err, FL_ERR_INVALID, "it has expired at %s (the clock here says %s): %s",
			fl_when_format(not_after, then), fl_when_format(now, here), remedy);
	}
	if (now < not_before) {
		return fl_err_set(
			err, FL_ERR_INVALID,
			"it is not valid before %s, in %lld seconds by the clock here (%s): does one "
			"of the clocks run wrong?",
			fl_when_format(not_before, then), (long long)(not_before - now),
			fl_when_format(now, here));
	}
	return 0;
}

int fl_parse_rule(enum fl_rule rule, const char *remedy, struct fl_err *err)
{
	struct fl_err detail = *err;

	return fl_err_set(err, FL_ERR_INVALID, "%s (%s): %s%s%s", fl_rule_text(rule),
			  fl_rule_name(rule), detail.text, remedy ? "; " : "",
			  remedy ? remedy : "");
}

/* Checks the leaf's own rules; fills in identity and validity. */
static int check_leaf(struct fl_parse *p, struct fl_span leaf, struct fl_err *err)
{
	struct fl_credentials *c = p->c;
	struct fl_spiffe_id id;
	struct fl_cert cert;
	enum fl_rule rule = fl_cert_parse(leaf, &cert, err);
	int rc;

	if (rule == FL_RULE_NONE) {
		rule = fl_svid_check_leaf(&cert, &id, err);
	}
	if (rule == FL_RULE_LEAF_CA) {
		return fl_parse_rule(rule, "put the leaf first in the file, then the intermediates",
				     err);
	}
	if (rule != FL_RULE_NONE) {
		return fl_parse_rule(rule, "have it issued as an X509-SVID", err);
	}
	rc = fl_key_check_kind(&cert.key, err);
	if (rc < 0) {
		return rc;
	}
	c->not_before = cert.not_before;
	c->not_after = cert.not_after;
	/* Set the ID even if the leaf has expired, because judging the bundles needs it. */
	c->id = fl_strndup(id.text, id.len);
	c->trust_domain = fl_strndup(id.trust_domain, id.trust_domain_len);
	if (cert.serial_is_zero) {
		fl_parse_warning(
			p, p->chain_name,
			"certificate 1, the leaf: its serial number is 0, which RFC 5280 "
			"forbids: some peers refuse it, and no CRL can name it unambiguously");
	}
	return check_time(c->not_before, c->not_after, p->now,
			  "renew it, or find out why its issuer no longer does", err);
}

/* Returns the name of the file that the chain came from; NULL: there is no chain. */
static const char *read_chain(struct fl_parse *p)
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
			fl_parse_error(p, name, &err);
		}
		return name;
	}
	if (fl_pem_certificates((const char *)pem->cert.data, pem->cert.len, false, &c->chain,
				&err) < 0) {
		fl_parse_error(p, pem->cert_name, &err);
	}
	if (!pem->key_is_elsewhere &&
	    fl_pem_private_key((const char *)pem->key.data, pem->key.len, &c->key, &err) < 0) {
		fl_parse_error(p, pem->key_name, &err);
	}
	return pem->cert_name;
}

static int check_key(const struct fl_credentials *c, struct fl_err *err)
{
	struct fl_cert leaf;

	if (fl_cert_parse(fl_span_of(&c->chain.items[0]), &leaf, NULL) != FL_RULE_NONE) {
		return 0; /* already reported */
	}
	return fl_key_check_private(&leaf.key, fl_span_of(&c->key), err);
}

/* Certificates that are not on the path to our bundle do no harm; fl_judge() handles the chain. */
static void parse_chain(struct fl_parse *p)
{
	const struct fl_credentials *c = p->c;
	struct fl_err err;

	p->chain_name = read_chain(p);
	if (c->chain.count == 0) {
		return;
	}
	if (check_leaf(p, fl_span_of(&c->chain.items[0]), &err) < 0) {
		(void)fl_err_prefix(&err, "certificate 1, the leaf");
		fl_parse_error(p, p->chain_name, &err);
	}
	if (c->key.data) {
		/* Not allowed on every system; a failure is no reason to refuse the key. */
		(void)fl_harden_memory(c->key.data, c->key.len);
	}
	if (c->key.data && check_key(c, &err) < 0) {
		fl_parse_error(p, p->pem->key_name ? p->pem->key_name : p->chain_name, &err);
	}
}

/* --- our own chain --------------------------------------------------------------------------------- */

static const struct {
	enum fl_rule rule;
	const char *remedy;
} remedies[] = {
	{FL_RULE_UNKNOWN_ISSUER,
	 "add that CA to `bundle`, or, if it is an intermediate, to `cert` after the leaf"},
	{FL_RULE_REVOKED,
	 "peers that know of the revocation refuse it: have a new one issued for a new key"},
	{FL_RULE_EXPIRED, "have the chain renewed"},
	{FL_RULE_NOT_YET_VALID, "does one of the clocks run wrong?"},
	{FL_RULE_SIGNER_CA, "put the CAs that issued it after the leaf"},
	{FL_RULE_TOO_MUCH,
	 "remove certificates that are not between our leaf and a root of `bundle`"},
};

static const char *remedy_of(enum fl_rule rule)
{
	for (size_t i = 0; i < FL_COUNT_OF(remedies); i++) {
		if (remedies[i].rule == rule) {
			return remedies[i].remedy;
		}
	}
	return "have it issued again without that";
}

/* Reports what is legal here but may cause trouble with other software. */
static void tell_oddities(struct fl_parse *p, const struct fl_span *chain,
			  const struct fl_path *path)
{
	char name[FL_NAME_TEXT];
	struct fl_cert cert;

	for (size_t i = 1; i < path->count; i++) {
		if (fl_cert_parse(chain[path->at[i]], &cert, NULL) != FL_RULE_NONE) {
			continue;
		}
		(void)fl_name_text(cert.subject, name);
		if (!cert.has_key_usage) {
			fl_parse_warning(p, p->chain_name,
					 "certificate %u (%s) is a CA without key usage, which "
					 "RFC 5280 requires: some peers refuse it",
					 path->at[i] + 1u, name);
		}
		if (cert.serial_is_zero) {
			fl_parse_warning(p, p->chain_name,
					 "certificate %u (%s): its serial number is 0, which RFC "
					 "5280 forbids: some peers refuse it",
					 path->at[i] + 1u, name);
		}
	}
}

/* Judges our chain as a peer with our own bundle will. */
static void judge_own(struct fl_parse *p)
{
	struct fl_credentials *c = p->c;
	struct fl_span *chain = fl_new((c->chain.count + 1) * sizeof(*chain));
	struct fl_judgement judgement;
	struct fl_err err, why;

	for (size_t i = 0; i < c->chain.count; i++) {
		chain[i] = fl_span_of(&c->chain.items[i]);
	}
	if (fl_judge(c, chain, c->chain.count, (struct fl_moment){.now = p->now}, &judgement,
		     &why) < 0) {
		fl_parse_error(p, p->chain_name, &why);
	} else if (judgement.rule != FL_RULE_NONE) {
		(void)fl_err_set(&err, FL_ERR_INVALID, "%s (%s): %s; %s",
				 fl_rule_text(judgement.rule), fl_rule_name(judgement.rule),
				 why.text, remedy_of(judgement.rule));
		fl_parse_error(p, p->chain_name, &err);
	} else {
		c->own = judgement.path;
		tell_oddities(p, chain, &judgement.path);
	}
	free(chain);
}

/* --- the interface ------------------------------------------------------------------------------ */

int fl_credentials_parse_all(const struct fl_credentials_pem *pem, int64_t now,
			     fl_credentials_finding_cb finding, void *user,
			     struct fl_credentials **ret)
{
	struct fl_parse p = {.pem = pem, .now = now, .finding = finding, .user = user};

	p.c = fl_new(sizeof(*p.c));
	parse_chain(&p);
	fl_parse_bundles(&p);
	fl_parse_crls(&p);
	/* A problem already reported for leaf, bundle or lists need not be reported again as a bad
	 * chain. */
	if (p.problems == 0) {
		judge_own(&p);
	}
	if (p.problems > 0) {
		fl_credentials_free(p.c);
		return p.first;
	}
	*ret = p.c;
	return 0;
}

struct first_problem {
	struct fl_err *err;
	bool is_set;
};

static void keep_first(void *user, bool is_error, const char *name, const char *text)
{
	struct first_problem *first = user;

	if (is_error && !first->is_set) {
		first->is_set = true;
		(void)fl_err_set(first->err, FL_ERR_INVALID, "%s%s%s", name ? name : "",
				 name ? ": " : "", text);
	}
}

int fl_credentials_parse(const struct fl_credentials_pem *pem, int64_t now,
			 struct fl_credentials **ret, struct fl_err *err)
{
	struct first_problem first = {.err = err};
	int rc = fl_credentials_parse_all(pem, now, keep_first, &first, ret);

	if (rc == FL_ERR_NOMEM && err != NULL) {
		err->code = FL_ERR_NOMEM;
	}
	return rc;
}
