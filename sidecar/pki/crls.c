/* SPDX-License-Identifier: GPL-3.0-or-later */
/* crls - reads the CRLs of a set and ties each to the CA that signed it.
 *
 * A revoked certificate must not be accepted because a list could not be read. So an unusable list
 * makes the set invalid, unless nothing is lost by it; see the rule in credentials.h. */
#include "pki/parse.h"

#include <stdlib.h>

#include "base/when.h"
#include "pki/asn1.h"
#include "pki/name.h"

/* --- whose it is -------------------------------------------------------------------------------------- */

/* Tries the CAs in a list of certificates: 1 if one of them has signed the CRL, 0 if it names none
 * of them, otherwise the error of the last that it names. */
static int try_issuers(struct fl_crl *crl, size_t bundle, const struct fl_der_list *cas,
		       size_t first, struct fl_err *err)
{
	int rc = 0;

	for (size_t i = first; i < cas->count; i++) {
		struct fl_span ca = fl_span_of(&cas->items[i]);

		if (fl_crl_names(crl, ca)) {
			rc = crl->unusable ? 0 : fl_crl_verify(crl, bundle, ca, err);
			if (rc == 0) {
				return 1;
			}
		} else if (!crl->unusable && fl_crl_may_name(crl, ca) &&
			   fl_crl_verify(crl, bundle, ca, NULL) == 0) {
			return 1; /* its key, under another identifier */
		}
	}
	return rc;
}

/* Ties the list to the CA that signed it, or leaves it loose. Several CAs may have the name of its
 * issuer: one of them must have signed it. *ret_ours: it names a root, or an intermediate of our
 * chain. */
static int find_issuer(const struct fl_parse *p, struct fl_crl *crl, bool *ret_ours,
		       struct fl_err *err)
{
	const struct fl_credentials *c = p->c;
	int rc, problem = 0;
	size_t found = 0;

	for (size_t i = 0; i < c->bundle_count; i++) {
		rc = try_issuers(crl, i, &c->bundles[i].roots, 0, err);
		problem = rc < 0 ? rc : problem;
		found += rc > 0;
	}
	/* The list of a root that several domains share covers all of them. */
	if (found > 1) {
		crl->bundle = FL_CRL_EVERYWHERE;
	}
	if (found == 0) {
		rc = try_issuers(crl, 0, &c->chain, 1, err);
		problem = rc < 0 ? rc : problem;
		found += rc > 0;
	}
	*ret_ours = found > 0;
	return found > 0 ? 0 : problem;
}

/* --- lists that cannot be used ---------------------------------------------------------------------------- */

static bool is_of_same_ca(const struct fl_crl *a, const struct fl_crl *b)
{
	/* Two CAs may have the same name: a list that identifies its key does not cover one that
	 * does not. */
	return fl_name_equal(a->issuer, b->issuer) && fl_span_equal(a->authority, b->authority);
}

/* Do other lists cover all that its CA can have issued? */
static bool is_covered(const struct fl_credentials *c, const struct fl_crl *unusable)
{
	bool leaves = false, cas = false;

	for (size_t i = 0; i < c->crl_count; i++) {
		const struct fl_crl *crl = &c->crls[i];

		if (!crl->unusable && is_of_same_ca(crl, unusable)) {
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
static int add_crl(struct fl_parse *p, struct fl_der *der, bool *ret_ours, struct fl_err *err)
{
	struct fl_credentials *c = p->c;
	struct fl_crl crl;
	int rc = fl_crl_parse(der, &crl, err);

	if (rc < 0) {
		return rc;
	}
	rc = crl.unusable ? 0 : check_dates(&crl, &p->pem->late, p->now, err);
	if (rc == 0) {
		rc = find_issuer(p, &crl, ret_ours, err);
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
	struct fl_err err;
	size_t *places;
	bool *ours;

	if (!text.data && !name) {
		return;
	}
	if (fl_pem_crls((const char *)text.data, text.len, &all, &err) < 0) {
		fl_parse_error(p, name, &err);
	}
	ours = fl_new((all.count + 1) * sizeof(*ours));
	places = fl_new((all.count + 1) * sizeof(*places));
	for (size_t i = 0; i < all.count; i++) {
		places[p->c->crl_count] = i;
		if (add_crl(p, &all.items[i], &ours[p->c->crl_count], &err) < 0) {
			(void)fl_err_prefix(&err, "CRL %zu", i + 1);
			fl_parse_error(p, name, &err);
		}
	}
	judge_unusable(p, ours, places);
	free(ours);
	free(places);
	fl_der_list_done(&all);
}
