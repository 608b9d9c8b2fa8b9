/* SPDX-License-Identifier: GPL-3.0-or-later */
/* generation_test - what a sidecar makes of the agent's message: refused as a whole or in force as a whole, and what of the one
 * before goes on. */
#include "generation/generation.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <wolfssl/wolfcrypt/settings.h>

#include <wolfssl/ssl.h>

#include "base/mem.h"
#include "fixture.h"
#include "generation/targets.h"

static struct fl_span span_of(const char *text)
{
	return (struct fl_span){(const uint8_t *)text, strlen(text)};
}

static char *read_file(const char *name, const char *suffix)
{
	char *file = fl_format("%s%s", name, suffix), *text = fl_fixture(file, NULL);

	free(file);
	return text;
}

/* What differs from a good message. */
struct change {
	const char *own;     /* of tests/lib/pki.py; NULL: p256 */
	const char *bundle;  /* PEM; NULL: root.crt */
	const char *crl;     /* of tests/lib/pki.py; NULL: none */
	const char *foreign; /* the roots of other.example, of tests/lib/pki.py; NULL: none */
	const char *ini;     /* lines after [identity]; NULL: none */
	bool misplaces_key; /* it has our key if the INI says that the agent keeps it, or the other way round */
};

static int try_build(const struct change *change, const struct fl_generation *current,
		     struct fl_generation **ret, struct fl_err *err)
{
	const char *own = change->own != NULL ? change->own : "p256";
	char *key = read_file(own, ".key"), *chain = read_file(own, ".crt");
	bool has_key = change->ini != NULL && strstr(change->ini, "key = sidecar") != NULL;
	char *credential = fl_format("%s%s", has_key != change->misplaces_key ? key : "", chain);
	char *root = read_file("root", ".crt");
	char *crl = change->crl != NULL ? read_file(change->crl, ".crl") : fl_strdup("");
	char *foreign = change->foreign != NULL ? read_file(change->foreign, ".crt") : NULL;
	char *ini = fl_format(
		"[identity]\ncredential_bundle = /tls/bundle.pem\nbundle = /tls/ca.crt\n%s",
		change->ini != NULL ? change->ini : "");
	struct fl_ctl_foreign other = {.trust_domain = span_of("other.example")};
	struct fl_ctl_generation message = {
		.number = current != NULL ? current->number + 1 : 1,
		.credential = span_of(credential),
		.bundle = span_of(change->bundle != NULL ? change->bundle : root),
		.crl = span_of(crl),
		.foreign = &other,
		.foreign_count = foreign != NULL,
		.ini_path = span_of("fairlead.ini"),
		.ini = span_of(ini),
	};
	int rc;

	if (foreign != NULL) {
		other.bundle = span_of(foreign);
	}
	rc = fl_generation_new(&message, time(NULL), current, ret, err);
	free(key);
	free(chain);
	free(credential);
	free(root);
	free(crl);
	free(foreign);
	free(ini);
	return rc;
}

static struct fl_generation *build(const struct change *change, const struct fl_generation *current)
{
	struct fl_generation *generation;
	struct fl_err err;

	cr_assert_eq(try_build(change, current, &generation, &err), 0, "%s", err.text);
	return generation;
}

static void expect_refusal(const struct change *change, const char *text)
{
	struct fl_generation *generation = NULL;
	struct fl_err err;

	cr_assert_neq(try_build(change, NULL, &generation, &err), 0, "not refused: %s", text);
	cr_assert_not_null(strstr(err.text, text), "%s", err.text);
	cr_assert_null(generation);
}

static void begin(void)
{
	struct fl_err err;

	cr_assert_eq(fl_tls_global_init(&err), 0, "%s", err.text);
}

TestSuite(generation, .init = begin, .fini = fl_tls_global_done);

/* --- refused ------------------------------------------------------------------------------------ */

Test(generation, key_where_it_should_not_be__refused)
{
	struct fl_generation *generation;

	expect_refusal(&(struct change){.misplaces_key = true}, "it is of an older release");
	expect_refusal(&(struct change){.ini = "[tls]\nkey = sidecar\n", .misplaces_key = true},
		       "did not send our private key");
	generation = build(&(struct change){.ini = "[tls]\nkey = sidecar\n"}, NULL);
	cr_assert_gt(generation->credentials->key.len, 0);
	fl_generation_unref(generation);
	generation = build(&(struct change){.own = NULL}, NULL);
	cr_assert_eq(generation->credentials->key.len, 0);
	fl_generation_unref(generation);
}

Test(generation, bad_ini__refused_with_its_first_line)
{
	expect_refusal(&(struct change){.ini = "[service web]\nlisten = 1\napp = 127.0.0.1:1\n"},
		       "fairlead.ini:5: ");
	expect_refusal(&(struct change){.ini = "[nothing]\n[of]\n[this]\n"},
		       "(and more: see `fairlead-agent check`)");
}

Test(generation, bad_credentials__refused)
{
	expect_refusal(&(struct change){.own = "expired"}, "expired");
	expect_refusal(&(struct change){.bundle = "no certificate at all\n"}, "bundle");
	expect_refusal(&(struct change){.bundle = "# nobody\n"}, "bundle: it is empty");
	expect_refusal(&(struct change){.ini = "crl = /tls/crl.pem\n"}, "crl");
	expect_refusal(&(struct change){.crl = "own"}, "revoked");
}

/* One root may vouch for two trust domains only if the INI says so; otherwise the other domain has none. */
Test(generation, shared_root__only_when_the_ini_permits_it)
{
	static const char shares[] = "[federate other.example]\nbundle = /tls/other.pem\n"
				     "shared_root = allow\n";
	static const char plain[] = "[federate other.example]\nbundle = /tls/other.pem\n";
	static const struct {
		const char *root, *ini;
		size_t roots;
	} cases[] = {{"root", plain, 0}, {"root", shares, 1}, {"other", plain, 1}};

	for (size_t i = 0; i < FL_COUNT_OF(cases); i++) {
		struct fl_generation *generation = build(
			&(struct change){.foreign = cases[i].root, .ini = cases[i].ini}, NULL);

		cr_assert_eq(generation->credentials->bundle_count, 2);
		cr_assert_eq(generation->credentials->bundles[1].roots.count, cases[i].roots,
			     "case %zu", i);
		fl_generation_unref(generation);
	}
}

static long allocations_left = -1;

static void *failing_malloc(size_t size)
{
	if (allocations_left == 0) {
		return NULL;
	}
	allocations_left -= allocations_left > 0;
	return malloc(size);
}

static void *failing_realloc(void *at, size_t size)
{
	return allocations_left == 0 ? NULL : realloc(at, size);
}

/* wolfSSL has no memory, from each of its allocations on. */
Test(generation, no_memory__nothing_comes_of_it)
{
	struct fl_generation *generation = build(&(struct change){0}, NULL), *next = NULL;
	struct fl_rule_counts *counts = fl_rule_counts_new(generation->conf->policy, 1);
	struct fl_share *share = NULL;
	unsigned refused[2] = {0, 0};
	struct fl_err err;

	cr_assert_eq(wolfSSL_SetAllocators(failing_malloc, free, failing_realloc), 0);
	for (long n = 0;; n++) {
		allocations_left = n;
		int rc = fl_share_new(generation, counts, 0, &share, &err);
		allocations_left = -1;
		if (rc == 0) {
			break;
		}
		refused[0]++;
		cr_assert_null(share);
		cr_assert_eq(generation->refs, 1);
	}
	fl_share_unref(share);
	for (long n = 0;; n++) {
		allocations_left = n;
		int rc = try_build(&(struct change){0}, generation, &next, &err);
		allocations_left = -1;
		if (rc == 0) {
			break;
		}
		refused[1]++;
		cr_assert_null(next);
	}
	cr_assert(refused[0] > 2 && refused[1] > 20, "%u, %u", refused[0], refused[1]);
	fl_generation_unref(next);
	fl_rule_counts_unref(counts);
	fl_generation_unref(generation);
}

/* --- what goes on -------------------------------------------------------------------------------- */

struct expected {
	bool trust, resumes;
	unsigned epochs; /* by which it is newer */
};

static void expect_after(const struct change *before, const struct change *after,
			 struct expected expected)
{
	struct fl_generation *first = build(before, NULL), *second = build(after, first);

	cr_assert_eq(second->number, 2);
	cr_assert_eq(fl_generation_same_trust(first, second), expected.trust);
	cr_assert_eq(fl_generation_may_resume(first, second), expected.resumes);
	cr_assert_eq(second->epoch, first->epoch + expected.epochs);
	cr_assert_eq(second->peers, first->peers);
	fl_generation_unref(first);
	fl_generation_unref(second);
}

Test(generation, same_again__all_goes_on)
{
	expect_after(&(struct change){0}, &(struct change){0}, (struct expected){true, true, 0});
}

/* Servers would keep seeing the old certificate of a client that resumes. */
Test(generation, renewed_certificate__keeps_trust_and_makes_clients_begin_anew)
{
	expect_after(&(struct change){0}, &(struct change){.own = "p256-renewed"},
		     (struct expected){true, false, 0});
}

Test(generation, another_id__another_trust)
{
	expect_after(&(struct change){0}, &(struct change){.own = "other-names"},
		     (struct expected){false, false, 0});
}

Test(generation, another_ini__another_trust_with_the_same_verdicts)
{
	expect_after(&(struct change){0},
		     &(struct change){.ini = "[allow mesh]\nfrom = spiffe://prod.example/**\n"},
		     (struct expected){false, false, 0});
}

Test(generation, crl_or_root_more__every_peer_is_judged_again)
{
	expect_after(&(struct change){0}, &(struct change){.crl = "root"},
		     (struct expected){false, false, 1});
	expect_after(&(struct change){.ini = "[federate other.example]\nbundle = /tls/other.pem\n",
				      .foreign = "other"},
		     &(struct change){.ini = "[federate other.example]\nbundle = /tls/other.pem\n",
				      .foreign = "p384-root"},
		     (struct expected){false, false, 1});
}

Test(generation, tickets_off__no_keys_for_them)
{
	struct fl_generation *off = build(&(struct change){.ini = "[tls]\ntickets = off\n"}, NULL);
	struct fl_generation *on = build(&(struct change){0}, NULL);

	cr_assert_null(fl_generation_tls_options(off).ticket_keys);
	cr_assert_not_null(fl_generation_tls_options(on).ticket_keys);
	fl_generation_unref(off);
	fl_generation_unref(on);
}

/* --- shares and targets ----------------------------------------------------------------------------- */

/* The key is there as long as a session uses it. */
Test(generation, share__keeps_the_generation_of_its_sessions)
{
	struct fl_generation *generation = build(&(struct change){0}, NULL);
	struct fl_rule_counts *counts = fl_rule_counts_new(generation->conf->policy, 1);
	struct fl_share *share;
	struct fl_err err;

	cr_assert_eq(fl_share_new(generation, counts, 0, &share, &err), 0, "%s", err.text);
	fl_rule_counts_unref(counts);
	cr_assert_eq(generation->refs, 2);
	cr_assert_eq(fl_share_ref(share), share);
	fl_share_retire(share);
	cr_assert_null(share->rule_counts);
	fl_share_unref(share);
	cr_assert_eq(generation->refs, 2);
	fl_share_unref(share);
	fl_share_unref(NULL);
	cr_assert_eq(generation->refs, 1);
	fl_generation_unref(generation);
	fl_generation_unref(NULL);
}

Test(generation, targets__equal_when_all_addresses_are)
{
	struct fl_targets *a = fl_targets_new(2), *b = fl_targets_new(2), *none = fl_targets_new(0);

	for (unsigned i = 0; i < 2; i++) {
		a->items[i] = fl_sockaddr_loopback(AF_INET6, (uint16_t)(80 + i));
		b->items[i] = fl_sockaddr_loopback(AF_INET6, (uint16_t)(80 + i));
	}
	cr_assert(fl_targets_equal(a, b));
	cr_assert_not(fl_targets_equal(a, none));
	b->items[1] = fl_sockaddr_loopback(AF_INET, 81);
	cr_assert_not(fl_targets_equal(a, b));
	cr_assert_eq(fl_targets_ref(a), a);
	fl_targets_unref(a);
	fl_targets_unref(a);
	fl_targets_unref(b);
	fl_targets_unref(none);
	fl_targets_unref(NULL);
}
