/* SPDX-License-Identifier: GPL-3.0-or-later */
/* crls - reads the CRLs of a set and ties each to the CA that signed it.
 *
 * A revoked certificate must not be accepted because a list could not be read. So such a list makes the set invalid, or has a
 * partner refused, unless nothing is lost by it; see the table in credentials.h. */
#include "pki/parse.h"

#include <stdlib.h>

#include "base/when.h"
#include "pki/asn1.h"
#include "pki/name.h"
#include "pki/signature.h"

/* How many keys of one domain that have not signed a list are tried, in a whole set. More CAs of
 * one name than that leave lists loose, which are then verified when they are needed (judge.h). */
#define FOREIGN_KEYS_MAX 1000u

/* --- whose it is -------------------------------------------------------------------------------------- */

/* What the CAs of one trust domain say of a list. */
struct answer {
	/* 1: one of them has signed it. 0: it is of none of them. Otherwise, it claims to be of one of them, and cannot be
	 * verified. */
	int rc;
	struct fl_err err;
	/* Tried on lists that they have not signed. Each domain has a bound of its own, so a partner cannot use up ours. */
	unsigned foreign_keys;
};

/* Has this CA, which has the name of its issuer, made the list? named: only where the list names it by its key identifier or gives
 * none; otherwise, only where it gives another one, which is no proof. Returns as answer.rc; if 1, the list is now tied to it. */
static int try_ca(struct fl_crl *crl, size_t bundle, struct fl_span ca, bool named,
		  struct answer *answer)
{
	int rc = 0;

	if (fl_crl_names(crl, ca) != named || answer->foreign_keys == FOREIGN_KEYS_MAX) {
		return 0;
	}
	if (named || fl_crl_may_be_by(crl, ca)) {
		rc = fl_crl_verify(crl, bundle, ca, &answer->err);
		if (rc == 0) {
			return 1;
		}
	}
	answer->foreign_keys++;
	return rc;
}

static int try_roots(const struct fl_credentials *c, struct fl_crl *crl, size_t bundle, bool named,
		     struct answer *answer)
{
	const struct fl_anchors *anchors = &c->bundles[bundle].anchors;
	int rc = 0;

	for (size_t i = fl_anchors_find(anchors, crl->issuer_hash);
	     i < anchors->count && anchors->items[i].cert.subject_hash == crl->issuer_hash; i++) {
		int one = try_ca(crl, bundle, anchors->items[i].cert.der, named, answer);

		if (one > 0) {
			return one;
		}
		rc = one < 0 ? one : rc;
	}
	return rc;
}

/* The intermediates of our own chain. */
static int try_chain(const struct fl_credentials *c, struct fl_crl *crl, bool named,
		     struct answer *answer)
{
	struct fl_cert cert;
	int rc = 0;

	for (size_t i = 1; i < c->chain.count; i++) {
		struct fl_span ca = fl_span_of(&c->chain.items[i]);
		int one;

		if (fl_cert_parse(ca, &cert, NULL) != FL_RULE_NONE ||
		    cert.subject_hash != crl->issuer_hash) {
			continue;
		}
		one = try_ca(crl, 0, ca, named, answer);
		if (one > 0) {
			return one;
		}
		rc = one < 0 ? one : rc;
	}
	return rc;
}

/* Several CAs of a domain may have the name of the issuer: one of them must have signed the list. */
static int ask_domain(const struct fl_credentials *c, struct fl_crl *crl, size_t bundle,
		      struct answer *answer)
{
	int rc = 0;

	for (int named = 1; named >= 0; named--) {
		int roots = try_roots(c, crl, bundle, named != 0, answer);
		int chain = bundle == 0 && roots <= 0 ? try_chain(c, crl, named != 0, answer) : 0;

		if (roots > 0 || chain > 0) {
			return 1;
		}
		rc = roots < 0 ? roots : chain < 0 ? chain : rc;
	}
	return rc;
}

/* Asks all domains, and ties the list to the CA that signed it, or leaves it loose. Ours comes last, so no partner's certificate
 * takes the place of ours. Returns how many have signed it. */
static size_t ask_all(const struct fl_credentials *c, struct fl_crl *crl, struct answer *answers)
{
	size_t found = 0;

	for (size_t i = c->bundle_count; i-- > 0;) {
		answers[i].rc = ask_domain(c, crl, i, &answers[i]);
		found += answers[i].rc > 0;
	}
	/* The list of a root that several domains share covers all of them. */
	if (found > 1) {
		crl->bundle = FL_CRL_EVERYWHERE;
	}
	return found;
}

/* The list names a root of this bundle, and nobody known has signed it. If it is a damaged list of that root, its entries do not
 * count. Whether the list or the root is at fault does not show; but who owns the bundle chooses what is named in it. */
static void refuse_partner(struct fl_parse *p, size_t bundle, const struct fl_crl *crl,
			   size_t number, const struct fl_err *why)
{
	char name[FL_NAME_TEXT];
	struct fl_err err;

	(void)fl_err_set(&err, FL_ERR_INVALID, "CRL %zu of %s names the root %s: %s", number,
			 p->pem->crl_name ? p->pem->crl_name : "the set",
			 fl_name_text(crl->issuer, name), why->text);
	fl_parse_refuse(p, bundle, &err);
}

/* See the table in credentials.h. *ret_ours: it is of a root of ours, or of an intermediate of our chain; one that is unusable
 * also if it only claims to be, and is nobody else's. */
static int find_issuer(struct fl_parse *p, struct fl_crl *crl, size_t number,
		       struct answer *answers, bool *ret_ours, struct fl_err *err)
{
	size_t found = ask_all(p->c, crl, answers);

	*ret_ours = answers[0].rc > 0 || (found == 0 && answers[0].rc < 0);
	for (size_t i = 0; found == 0 && i < p->c->bundle_count; i++) {
		const struct answer *answer = &answers[i];

		if (answer->rc == FL_ERR_NOMEM || (i == 0 && answer->rc < 0 && !crl->unusable)) {
			*err = answer->err;
			return answer->rc;
		}
	}
	for (size_t i = 1; found == 0 && !crl->unusable && i < p->c->bundle_count; i++) {
		if (answers[i].rc < 0) {
			refuse_partner(p, i, crl, number, &answers[i].err);
		}
	}
	return 0;
}

/* --- lists that cannot be used ---------------------------------------------------------------------------- */

/* Two CAs may have the same name: the keys that have signed the lists decide. Of CAs that are not
 * known, and of lists whose signature cannot be checked, only key identifiers can. */
static bool is_of_same_ca(const struct fl_crl *usable, const struct fl_crl *other)
{
	bool decided = other->signer.len > 0 ||
		       (usable->signer.len > 0 &&
			fl_signature_check_algorithm(other->algorithm) == FL_RULE_NONE);

	if (usable->issuer_hash != other->issuer_hash ||
	    !fl_name_equal(usable->issuer, other->issuer)) {
		return false;
	}
	return decided ? fl_span_equal(fl_span_of(&usable->signer), fl_span_of(&other->signer))
		       : usable->authority.len > 0 &&
				 fl_span_equal(usable->authority, other->authority);
}

/* Do other lists cover all that its CA can have issued? A list of one distribution point need not
 * have what that of another one has. */
static bool is_covered(const struct fl_credentials *c, const struct fl_crl *unusable)
{
	bool leaves = false, cas = false;

	for (size_t i = 0; i < c->crl_count; i++) {
		const struct fl_crl *crl = &c->crls[i];

		if (!crl->unusable && is_of_same_ca(crl, unusable) &&
		    (crl->point.len == 0 || fl_span_equal(crl->point, unusable->point))) {
			leaves = leaves || !crl->only_cas;
			cas = cas || !crl->only_leaves;
		}
	}
	return leaves && cas;
}

/* ours, places: parallel to the lists. */
static void judge_unusable(struct fl_parse *p, const bool *ours, const size_t *places)
{
	struct fl_credentials *c = p->c;
	size_t kept = 0;

	for (size_t i = 0; i < c->crl_count; i++) {
		struct fl_crl *crl = &c->crls[i];
		char ca[FL_NAME_TEXT];
		struct fl_err err;

		(void)fl_name_text(crl->issuer, ca);
		if (crl->unusable && is_covered(c, crl)) {
			fl_parse_warning(
				p, p->pem->crl_name,
				"CRL %zu (of %s): %s; it is not used, because another list of "
				"that CA covers the same certificates",
				places[i] + 1, ca, crl->unusable);
			fl_crl_done(crl);
			continue;
		}
		if (crl->unusable && ours[i]) {
			(void)fl_err_set(&err, FL_ERR_INVALID, "CRL %zu (of %s): %s", places[i] + 1,
					 ca, crl->unusable);
			fl_parse_error(p, p->pem->crl_name, &err);
		} else if (crl->unusable) {
			fl_parse_warning(
				p, p->pem->crl_name,
				"CRL %zu (of %s): %s; its CA is none of ours, and while it is in "
				"the file, every certificate of that CA is refused",
				places[i] + 1, ca, crl->unusable);
		}
		c->crls[kept++] = *crl;
	}
	c->crl_count = kept;
}

/* --- dates ---------------------------------------------------------------------------------------------------- */

static bool may_be_late(const struct fl_late_crls *late, const struct fl_crl *crl)
{
	size_t count = late->in_force ? late->in_force->crl_count : 0;

	for (size_t i = 0; i < count; i++) {
		if (fl_span_equal(fl_span_of(&late->in_force->crls[i].der),
				  fl_span_of(&crl->der))) {
			return true;
		}
	}
	return late->all;
}

static int check_dates(const struct fl_crl *crl, const struct fl_late_crls *late, int64_t now,
		       struct fl_err *err)
{
	char then[FL_WHEN_TEXT], here[FL_WHEN_TEXT];

	if (fl_crl_is_late(crl, now) && !may_be_late(late, crl)) {
		return fl_err_set(
			err, FL_ERR_INVALID,
			"its successor was due at %s (the clock here says %s), and only a list "
			"that is already in force may be that old: have its CA issue a new one, "
			"and find out why it is overdue",
			fl_when_format(crl->next_update, then), fl_when_format(now, here));
	}
	if (now < crl->this_update) {
		return fl_err_set(
			err, FL_ERR_INVALID,
			"it is not valid before %s, in %lld seconds by the clock here (%s): does one "
			"of the clocks run wrong?",
			fl_when_format(crl->this_update, then), (long long)(crl->this_update - now),
			fl_when_format(now, here));
	}
	return 0;
}

/* --- all -------------------------------------------------------------------------------------------------------- */

/* Takes der over. */
static int add_crl(struct fl_parse *p, struct fl_der *der, size_t number, struct answer *answers,
		   bool *ret_ours, struct fl_err *err)
{
	struct fl_credentials *c = p->c;
	struct fl_crl crl;
	int rc = fl_crl_parse(der, &crl, err);

	if (rc < 0) {
		return rc;
	}
	rc = crl.unusable ? 0 : check_dates(&crl, &p->pem->late, p->now, err);
	if (rc == 0) {
		rc = find_issuer(p, &crl, number, answers, ret_ours, err);
	}
	if (rc < 0) {
		fl_crl_done(&crl);
		return rc;
	}
	c->crls = fl_grow(c->crls, c->crl_count + 1, sizeof(*c->crls));
	c->crls[c->crl_count++] = crl;
	return 0;
}

void fl_parse_crls(struct fl_parse *p)
{
	struct fl_span text = p->pem->crl;
	const char *name = p->pem->crl_name;
	struct fl_der_list all = {0};
	struct answer *answers;
	struct fl_err err;
	size_t *places;
	bool *ours;

	if (!text.data && !name) {
		return;
	}
	if (fl_pem_crls((const char *)text.data, text.len, &all, &err) < 0) {
		fl_parse_error(p, name, &err);
	}
	answers = fl_new(p->c->bundle_count * sizeof(*answers));
	ours = fl_new((all.count + 1) * sizeof(*ours));
	places = fl_new((all.count + 1) * sizeof(*places));
	for (size_t i = 0; i < all.count; i++) {
		places[p->c->crl_count] = i;
		if (add_crl(p, &all.items[i], i + 1, answers, &ours[p->c->crl_count], &err) < 0) {
			(void)fl_err_prefix(&err, "CRL %zu", i + 1);
			fl_parse_error(p, name, &err);
		}
	}
	judge_unusable(p, ours, places);
	fl_parse_drop_refused(p);
	free(answers);
	free(ours);
	free(places);
	fl_der_list_done(&all);
}
