/* SPDX-License-Identifier: GPL-3.0-or-later */
/* When a set of certificates can be used, and which certificate is the cause when it cannot. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "count/expiry.h"
#include "fixture.h"

#define NOW 1795250000 /* 2026-11-21T08:33:20Z */

static void check_usable(const struct fl_expiries *expiries, int64_t now, const char *expected)
{
	char reason[512] = "";
	bool usable = fl_expiries_usable(expiries, now, reason, sizeof(reason));

	if (expected == NULL) {
		cr_assert(usable, "%s", reason);
	} else {
		cr_assert_not(usable);
		cr_assert_not_null(strstr(reason, expected), "%s", reason);
	}
}

Test(expiry, our_own_certificate_is_of_the_future)
{
	char id[] = "spiffe://prod.example/x";
	struct fl_expiries expiries = {.id = id,
				       .trust_domain = "prod.example",
				       .chain_not_before = NOW + 1,
				       .chain_not_after = NOW + 10,
				       .chain_index = 1,
				       .own_roots = 1,
				       .own_roots_not_after = NOW + 10};

	check_usable(&expiries, NOW, "is not valid before");
	check_usable(&expiries, NOW + 1, NULL);
	check_usable(&expiries, NOW + 10, NULL);
	check_usable(&expiries, NOW + 11, "has expired at");
}

Test(expiry, which_certificate_is_in_the_way)
{
	struct fl_expiries e = {.id = "spiffe://prod.example/web",
				.trust_domain = "prod.example",
				.chain_not_after = NOW,
				.chain_index = 1,
				.own_roots = 2,
				.own_roots_not_after = NOW};

	check_usable(&e, NOW, NULL); /* the last second counts */
	check_usable(&e, NOW + 1, "our own certificate (spiffe://prod.example/web) has expired");
	e.chain_index = 3;
	check_usable(&e, NOW, NULL);
	check_usable(&e, NOW + 1,
		     "intermediate of our own certificate (spiffe://prod.example/web; "
		     "certificate 3 of its chain) has expired at 2026-11-21T08:33:20Z");
	e.chain_not_after = NOW + 10;
	check_usable(&e, NOW + 1,
		     "the last root of our own trust domain (prod.example) has expired");
	e.own_roots = 1;
	check_usable(&e, NOW + 1, "the root of our own trust domain (prod.example) has expired");
	e.own_roots = 0;
	check_usable(&e, NOW, "the bundle of our own trust domain (prod.example) is empty");
}

static void push_pem(struct fl_der_list *list, const char *name)
{
	struct fl_der_list more = {0};
	size_t len;
	char *pem = fl_fixture(name, &len);

	cr_assert_eq(fl_pem_certificates(pem, len, false, &more, NULL), 0);
	for (size_t i = 0; i < more.count; i++) {
		fl_der_list_push(list, more.items[i].data, more.items[i].len);
	}
	fl_der_list_done(&more);
	free(pem);
}

static int64_t end_of(const char *name)
{
	struct fl_der_list list = {0};
	int64_t not_before, not_after;

	push_pem(&list, name);
	cr_assert_eq(fl_svid_validity((struct fl_span){list.items[0].data, list.items[0].len},
				      &not_before, &not_after, NULL),
		     0);
	fl_der_list_done(&list);
	return not_after;
}

Test(expiry, of_a_set_of_credentials)
{
	char own[] = "prod.example", other[] = "other.example", id[] = "spiffe://prod.example/x";
	struct fl_bundle bundles[2] = {{.trust_domain = own}, {.trust_domain = other}};
	struct fl_credentials credentials = {.id = id,
					     .trust_domain = own,
					     .bundles = bundles,
					     .bundle_count = 2,
					     .own = {.at = {0, 1}, .count = 2}};
	struct fl_expiries e;

	push_pem(&credentials.chain, "expired-intermediate.crt");
	push_pem(&bundles[0].roots, "root-generalized.crt"); /* in the year 2060 */
	push_pem(&bundles[0].roots, "root-expired.crt");
	push_pem(&bundles[0].roots, "root-plain.crt");
	for (unsigned i = 0; i < 300; i++) {
		push_pem(&bundles[1].roots, i == 299 ? "root-expired.crt" : "other.crt");
	}
	fl_expiries_init(&e, &credentials);
	cr_assert_eq(e.count, 2 + 3 + FL_EXPIRY_SHOWN_PER_DOMAIN);
	cr_assert_eq(e.left_out, 300 - FL_EXPIRY_SHOWN_PER_DOMAIN);
	cr_assert_eq(e.items[0].kind, FL_CERTIFICATE_LEAF);
	cr_assert_eq(e.items[1].kind, FL_CERTIFICATE_INTERMEDIATE);
	cr_assert_eq(e.items[1].index, 2);
	cr_assert_eq(e.chain_index, 2, "the intermediate is the first to run out");
	cr_assert_eq(e.chain_not_after, e.items[1].not_after);
	/* Roots are in the order of their expiry, with their position in the file. */
	cr_assert_eq(e.items[2].index, 2);
	cr_assert_eq(e.items[2].not_after, end_of("root-expired.crt"));
	cr_assert_eq(e.items[3].index, 3);
	cr_assert_eq(e.items[4].index, 1);
	cr_assert_eq(e.own_roots, 3);
	cr_assert_eq(e.own_roots_not_after, end_of("root-generalized.crt"));
	cr_assert_eq(e.items[5].index, 300,
		     "the one that has expired is shown, whichever is left out");
	cr_assert_str_eq(e.items[5].trust_domain, "other.example");
	fl_expiries_done(&e);
	fl_der_list_done(&credentials.chain);
	fl_der_list_done(&bundles[0].roots);
	fl_der_list_done(&bundles[1].roots);
}

/* An expired root is a warning at any position in its file. */
Test(expiry, of_many_crls_those_that_run_out_first_are_shown)
{
	struct fl_crl crls[20] = {0};
	struct fl_credentials credentials = {.crls = crls, .crl_count = FL_COUNT_OF(crls)};
	struct fl_expiries expiries;

	for (size_t i = 0; i < FL_COUNT_OF(crls); i++) {
		crls[i].bundle = FL_CRL_LOOSE;
		crls[i].next_update = NOW + 20 - (int64_t)i;
	}
	fl_expiries_init(&expiries, &credentials);
	cr_assert_eq(expiries.count, FL_EXPIRY_SHOWN_PER_DOMAIN);
	cr_assert_eq(expiries.left_out, 4);
	cr_assert_eq(expiries.items[0].index, 20);
	cr_assert_eq(expiries.items[15].index, 5);
	fl_expiries_done(&expiries);
}
