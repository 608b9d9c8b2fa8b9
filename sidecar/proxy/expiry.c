/* SPDX-License-Identifier: GPL-3.0-or-later */
/* expiry - reads the validity of every certificate of a set that has been judged already, so that
 * one which does not parse is a defect of ours and left out.
 *
 * Our own identity ends with the first certificate of its chain; a bundle ends with the last of its
 * roots. */
#include "proxy/expiry.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/when.h"

const char *fl_certificate_kind_word(enum fl_certificate_kind kind)
{
	static const char *const words[] = {[FL_CERTIFICATE_LEAF] = "leaf",
					    [FL_CERTIFICATE_INTERMEDIATE] = "intermediate",
					    [FL_CERTIFICATE_ROOT] = "root",
					    [FL_CERTIFICATE_CRL] = "crl"};

	return words[kind];
}

static bool read_one(const struct fl_der *der, enum fl_certificate_kind kind,
		     const char *trust_domain, size_t place, struct fl_expiry *ret)
{
	struct fl_span span = {der->data, der->len};
	int64_t not_before;

	ret->kind = kind;
	ret->trust_domain = trust_domain;
	ret->index = (unsigned)place + 1;
	return fl_svid_validity(span, &not_before, &ret->not_after, NULL) == 0;
}

static void show(struct fl_expiries *expiries, const struct fl_expiry *expiry)
{
	if (expiries->count < FL_EXPIRY_SHOWN) {
		expiries->items[expiries->count++] = *expiry;
	} else {
		expiries->left_out++;
	}
}

static void add_chain(struct fl_expiries *expiries, const struct fl_credentials *credentials)
{
	struct fl_expiry expiry;

	for (size_t i = 0; i < credentials->chain.count; i++) {
		if (!read_one(&credentials->chain.items[i],
			      i == 0 ? FL_CERTIFICATE_LEAF : FL_CERTIFICATE_INTERMEDIATE,
			      credentials->trust_domain, i, &expiry)) {
			continue;
		}
		if (expiries->chain_index == 0 || expiry.not_after < expiries->chain_not_after) {
			expiries->chain_index = expiry.index;
			expiries->chain_not_after = expiry.not_after;
		}
		show(expiries, &expiry);
	}
}

static int by_time(const void *a, const void *b)
{
	const struct fl_expiry *first = a, *second = b;

	if (first->not_after != second->not_after) {
		return first->not_after < second->not_after ? -1 : 1;
	}
	return first->index < second->index ? -1 : 1;
}

/* Sorts them: where not all are shown it is those that run out first. */
static void show_first(struct fl_expiries *expiries, struct fl_expiry *items, size_t count)
{
	qsort(items, count, sizeof(*items), by_time);
	for (size_t i = 0; i < count && i < FL_EXPIRY_SHOWN_PER_DOMAIN; i++) {
		show(expiries, &items[i]);
	}
	if (count > FL_EXPIRY_SHOWN_PER_DOMAIN) {
		expiries->left_out += count - FL_EXPIRY_SHOWN_PER_DOMAIN;
	}
}

static void add_crls(struct fl_expiries *expiries, const struct fl_credentials *credentials)
{
	size_t count = credentials->crl_count;
	struct fl_expiry *lists = fl_new((count + 1) * sizeof(*lists));

	for (size_t i = 0; i < count; i++) {
		const struct fl_crl *crl = &credentials->crls[i];

		lists[i] = (struct fl_expiry){
			.kind = FL_CERTIFICATE_CRL,
			.trust_domain = crl->bundle == FL_CRL_LOOSE
						? ""
						: credentials->bundles[crl->bundle].trust_domain,
			.index = (unsigned)i + 1,
			.not_after = crl->next_update};
	}
	show_first(expiries, lists, count);
	free(lists);
}

static void add_bundle(struct fl_expiries *expiries, const struct fl_bundle *bundle, bool own)
{
	struct fl_expiry *roots = fl_new((bundle->roots.count + 1) * sizeof(*roots));
	size_t count = 0;

	for (size_t i = 0; i < bundle->roots.count; i++) {
		count += read_one(&bundle->roots.items[i], FL_CERTIFICATE_ROOT,
				  bundle->trust_domain, i, &roots[count]);
	}
	show_first(expiries, roots, count);
	if (own) {
		expiries->own_roots = count;
		expiries->own_roots_not_after = count > 0 ? roots[count - 1].not_after : 0;
	}
	free(roots);
}

void fl_expiries_init(struct fl_expiries *expiries, const struct fl_credentials *credentials)
{
	*expiries = (struct fl_expiries){.id = credentials->id,
					 .trust_domain = credentials->trust_domain};
	expiries->items = fl_new(FL_EXPIRY_SHOWN * sizeof(*expiries->items));
	add_chain(expiries, credentials);
	add_crls(expiries, credentials);
	for (size_t i = 0; i < credentials->bundle_count; i++) {
		add_bundle(expiries, &credentials->bundles[i], i == 0);
	}
	expiries->items = fl_grow(expiries->items, expiries->count + 1, sizeof(*expiries->items));
}

void fl_expiries_done(struct fl_expiries *expiries)
{
	free(expiries->items);
	*expiries = (struct fl_expiries){0};
}

bool fl_expiries_usable(const struct fl_expiries *expiries, int64_t now, char *reason, size_t size)
{
	char when[FL_WHEN_TEXT];

	if (expiries->chain_index == 1 && expiries->chain_not_after < now) {
		(void)snprintf(reason, size,
			       "our own certificate (%s) has expired at %s: renew it, or see why "
			       "its issuer no longer does",
			       expiries->id, fl_when_format(expiries->chain_not_after, when));
	} else if (expiries->chain_not_after < now) {
		(void)snprintf(reason, size,
			       "the intermediate of our own certificate (%s; certificate %u of its "
			       "chain) has expired at %s, so no peer accepts us: have the chain "
			       "renewed",
			       expiries->id, expiries->chain_index,
			       fl_when_format(expiries->chain_not_after, when));
	} else if (expiries->own_roots == 0) {
		(void)snprintf(reason, size,
			       "the bundle of our own trust domain (%s) is empty, so nobody is "
			       "trusted: put its roots there",
			       expiries->trust_domain);
	} else if (expiries->own_roots_not_after < now) {
		(void)snprintf(reason, size,
			       "%s of our own trust domain (%s) has expired at %s, so nobody is "
			       "trusted: put its new root into the bundle",
			       expiries->own_roots == 1 ? "the root" : "the last root",
			       expiries->trust_domain,
			       fl_when_format(expiries->own_roots_not_after, when));
	} else {
		return true;
	}
	return false;
}
