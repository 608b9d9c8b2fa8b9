/* SPDX-License-Identifier: GPL-3.0-or-later */
/* expiry - reads the validity of every certificate of a set. The set has already been judged, so a
 * certificate that does not parse is a bug of ours; it is left out.
 *
 * Our own identity ends when the first certificate of its chain expires; a bundle ends when the
 * last of its roots expires. */
#include "count/expiry.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/when.h"
#include "pki/judge.h"

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

	ret->kind = kind;
	ret->trust_domain = trust_domain;
	ret->index = (unsigned)place + 1;
	return fl_svid_validity(span, &ret->not_before, &ret->not_after, NULL) == 0;
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

	/* Other certificates in the file are not used. */
	for (size_t i = 0; i < credentials->own.count; i++) {
		size_t at = credentials->own.at[i];

		if (!read_one(&credentials->chain.items[at],
			      at == 0 ? FL_CERTIFICATE_LEAF : FL_CERTIFICATE_INTERMEDIATE,
			      credentials->trust_domain, at, &expiry)) {
			continue;
		}
		if (i == 0 || expiry.not_before > expiries->chain_not_before) {
			expiries->chain_not_before = expiry.not_before;
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

/* Sorts the items, so that those that expire first are shown if there are too many. */
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

		lists[i] = (struct fl_expiry){.kind = FL_CERTIFICATE_CRL,
					      .trust_domain =
						      fl_credentials_crl_domain(credentials, crl),
					      .index = (unsigned)i + 1,
					      .not_after = crl->next_update,
					      .not_before = crl->this_update};
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
	*expiries = (struct fl_expiries){.credentials = credentials,
					 .id = credentials->id,
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

/* When the path that was found at the start is not valid, there may be another one, for example to
 * the successor of its root, or by another certificate of its intermediate. */
static bool has_a_way(const struct fl_credentials *credentials, int64_t now, char *reason,
		      size_t size)
{
	struct fl_span *chain;
	struct fl_judgement judgement;
	struct fl_err why;
	bool good;

	chain = calloc(credentials->chain.count + 1, sizeof(*chain));
	if (chain == NULL) {
		(void)snprintf(reason, size,
			       "out of memory: cannot check whether our own chain is valid now");
		return false;
	}
	for (size_t i = 0; i < credentials->chain.count; i++) {
		chain[i] = (struct fl_span){credentials->chain.items[i].data,
					    credentials->chain.items[i].len};
	}
	good = fl_judge(credentials, chain, credentials->chain.count,
			(struct fl_moment){.now = now}, &judgement, &why) == 0 &&
	       judgement.rule == FL_RULE_NONE;
	if (!good) {
		(void)snprintf(reason, size,
			       "our own chain (%s) does not lead to our own bundle now, so no peer "
			       "accepts us: %s",
			       credentials->id, why.text);
	}
	free(chain);
	return good;
}

bool fl_expiries_usable(const struct fl_expiries *expiries, int64_t now, char *reason, size_t size)
{
	const struct fl_credentials *credentials = expiries->credentials;
	char when[FL_WHEN_TEXT], here[FL_WHEN_TEXT];
	bool as_found = credentials == NULL ||
			(now >= credentials->own.not_before && now <= credentials->own.not_after);

	if (!as_found && has_a_way(credentials, now, reason, size)) {
		return true;
	}
	if (expiries->chain_not_before > now) {
		(void)snprintf(
			reason, size,
			"our own certificate (%s), or one above it, is not valid before %s, and "
			"the clock here says %s: does one of the clocks run wrong?",
			expiries->id, fl_when_format(expiries->chain_not_before, when),
			fl_when_format(now, here));
	} else if (expiries->chain_index == 1 && expiries->chain_not_after < now) {
		(void)snprintf(
			reason, size,
			"our own certificate (%s) has expired at %s: renew it, or find out why "
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
		return as_found;
	}
	return false;
}
