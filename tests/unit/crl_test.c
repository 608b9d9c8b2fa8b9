/* SPDX-License-Identifier: GPL-3.0-or-later */
/* CRLs as part of a set: which are accepted, which certificates they revoke, and that damaged ones do no harm. */
#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "fixture.h"
#include "pki/credentials.h"
#include "pki/judge.h"

/* --- a set with CRLs ---------------------------------------------------------------------------- */

struct set {
	struct fl_credentials_pem pem;
	char *files[8];
	size_t count;
};

/* Fixture names, several separated by '+'. */
static struct fl_span read_joined(struct set *set, const char *names)
{
	char *joined = fl_strdup(""), *copy = fl_strdup(names), *rest = copy;

	for (char *name = strtok_r(copy, "+", &rest); name; name = strtok_r(NULL, "+", &rest)) {
		char *text = fl_fixture(name, NULL), *longer = fl_format("%s%s", joined, text);

		free(text);
		free(joined);
		joined = longer;
	}
	free(copy);
	cr_assert_lt(set->count, FL_COUNT_OF(set->files));
	set->files[set->count++] = joined;
	return (struct fl_span){(uint8_t *)joined, strlen(joined)};
}

static void set_read(struct set *set, const char *own, const char *bundle, const char *crl)
{
	char *cert = fl_format("%s.crt", own), *key = fl_format("%s.key", own);

	*set = (struct set){.pem = {.cert_name = "tls.crt",
				    .key_name = "tls.key",
				    .bundle_name = "ca.crt",
				    .crl_name = "crl.pem"}};
	set->pem.cert = read_joined(set, cert);
	set->pem.key = read_joined(set, key);
	set->pem.bundle = read_joined(set, bundle);
	set->pem.crl = read_joined(set, crl);
	free(cert);
	free(key);
}

static void set_done(struct set *set)
{
	for (size_t i = 0; i < set->count; i++) {
		free(set->files[i]);
	}
}

static int64_t now(void)
{
	return (int64_t)time(NULL);
}

static struct fl_credentials *parsed(const char *own, const char *bundle, const char *crl)
{
	struct fl_credentials *c = NULL;
	struct fl_err err = {.text = ""};
	struct set set;

	set_read(&set, own, bundle, crl);
	cr_assert_eq(fl_credentials_parse(&set.pem, now(), &c, &err), 0, "%s, %s, %s: %s", own,
		     bundle, crl, err.text);
	set_done(&set);
	return c;
}

/* A chain, presented from its certificate `from` on. bundle: of its trust domain. */
static bool is_revoked_in(const struct fl_credentials *c, size_t bundle, const char *name,
			  size_t from, size_t *ret_index, struct fl_err *detail)
{
	char *file = fl_format("%s.crt", name), *text = fl_fixture(file, NULL);
	struct fl_der_list chain = {0};
	struct fl_span spans[5] = {0};
	bool revoked;

	cr_assert_eq(fl_pem_certificates(text, strlen(text), false, &chain, NULL), 0);
	cr_assert(from < chain.count && chain.count < FL_COUNT_OF(spans));
	for (size_t i = 0; i < chain.count; i++) {
		spans[i] = (struct fl_span){chain.items[i].data, chain.items[i].len};
	}
	revoked = fl_judge_revoked(c, bundle, spans + from, chain.count - from, ret_index, detail);
	fl_der_list_done(&chain);
	free(text);
	free(file);
	return revoked;
}

static bool is_revoked(const struct fl_credentials *c, const char *name, size_t from,
		       struct fl_err *detail)
{
	size_t index;

	return is_revoked_in(c, 0, name, from, &index, detail);
}

/* --- whom they revoke --------------------------------------------------------------------------- */

static const struct {
	const char *bundle, *crl, *name;
	size_t index;
	bool revoked;
} judged[] = {
	{"root.crt", "root.crl", "p384", 0, true},
	{"root.crt", "root.crl", "ed25519", 0, false},
	{"root.crt", "root.crl", "p256", 0, false},
	{"root.crt", "far.crl", "p384", 0, true},
	{"root.crt", "none.crl", "p384", 0, false},
	{"root.crt", "none.crl+root.crl", "p384", 0, true},
	{"root.crt", "root.crl+none.crl", "p384", 0, true},
	{"root.crt", "root.crl+root.crl", "p384", 0, true},
	{"root.crt", "root.crl+middle.crl", "p384", 0, true},
	/* its own issuer revokes an intermediate; the certificates below it are on no list */
	{"root.crt", "middle.crl", "intermediate", 1, true},
	{"root.crt", "middle.crl", "intermediate", 0, true},
	{"root.crt", "middle.crl", "p384", 0, false},
	/* an issuer without a list is not covered, nor is another one of the same name */
	{"root.crt+other.crt", "root.crl", "other-web", 0, false},
	{"root.crt+rsa-root.crt", "rsa-root.crl", "p384", 0, false},
	{"root.crt+root-namesake.crt", "root.crl", "same-serial", 0, false},
	{"root-namesake.crt+root.crt", "root.crl", "same-serial", 0, false},
	{"root.crt+root-namesake.crt", "same-serial.crl", "same-serial", 0, true},
	{"root.crt+root-namesake.crt", "same-serial.crl", "p384", 0, false},
	/* kinds of signature */
	{"root.crt+rsa-root.crt", "rsa-root.crl+root.crl", "p384", 0, true},
	{"root.crt+p384-root.crt", "p384-root.crl+root.crl", "p384", 0, true},
	{"root.crt+ed25519-root.crt", "root.crl+ed25519-root.crl", "p384", 0, true},
	{"root.crt+rsa-root.crt", "rsa-root-pss.crl", "under-rsa-root", 0, true},
	{"root.crt+rsa-root.crt", "rsa-root-pss.crl", "p384", 0, false},
	/* a list whose CA is in no bundle counts where a chain presents that CA, and only there */
	{"root.crt", "lower.crl", "intermediate", 0, true},
	{"root.crt", "lower.crl", "intermediate", 1, false},
	{"root.crt", "lower.crl", "two-intermediates", 0, false},
	{"root.crt", "lower.crl+root.crl", "p384", 0, true},
	{"root.crt", "lower-forged.crl", "intermediate", 0, false},
	{"root.crt", "lower-namesake.crl", "intermediate", 0, false},
	{"root.crt", "elsewhere.crl", "p384", 0, false},
	{"root.crt", "lower-key.crl", "intermediate", 0, true},
	/* lists for only a part of the certificates of their CA */
	{"root.crt", "scope-url.crl", "p384", 0, true},
	{"root.crt", "scope-users.crl", "p384", 0, true},
	{"root.crt", "scope-users.crl", "intermediate", 1, false},
	{"root.crt", "scope-cas.crl", "p384", 0, false},
	{"root.crt", "scope-cas.crl", "intermediate", 1, true},
	{"root.crt", "scope-users.crl+scope-cas.crl", "intermediate", 1, true},
	/* an unusable CRL does not affect usable ones */
	{"root.crt", "scope-indirect.crl+root.crl", "p384", 0, true},
	{"root.crt", "none.crl+scope-indirect.crl", "p384", 0, false},
	{"root.crt", "scope-cas.crl+scope-indirect.crl+scope-users.crl", "p384", 0, true},
	/* of a CA that is known only by name: its revocations cannot be verified */
	{"root.crt", "elsewhere-indirect.crl", "p384", 0, false},
};

Test(crl, judged)
{
	for (size_t i = 0; i < FL_COUNT_OF(judged); i++) {
		struct fl_credentials *c = parsed("p256", judged[i].bundle, judged[i].crl);
		struct fl_err detail = {.text = ""};

		cr_assert_eq(is_revoked(c, judged[i].name, judged[i].index, &detail),
			     judged[i].revoked, "%zu", i);
		cr_assert_eq(is_revoked(c, judged[i].name, judged[i].index, NULL),
			     judged[i].revoked);
		if (judged[i].revoked) {
			cr_assert(strstr(detail.text, "its serial number is 0x"), "%s",
				  detail.text);
		}
		fl_credentials_free(c);
	}
}

static const struct {
	const char *crl;
	bool refused;
} unusable[] = {
	{"lower-reasons.crl", true},
	{"lower-reasons-key.crl", true},
	{"lower-both.crl", true},
	{"lower-reasons.crl+lower.crl", true},
	{"lower-reasons-namesake.crl", false},
};

/* Of a CA that only comes with a peer: whatever that CA has issued is refused, and nobody else. */
Test(crl, unusable_of_a_peers_ca)
{
	for (size_t i = 0; i < FL_COUNT_OF(unusable); i++) {
		struct fl_credentials *c = parsed("p256", "root.crt", unusable[i].crl);
		struct fl_err detail = {.text = "its serial number is"};
		bool is_out = is_revoked(c, "intermediate", 0, &detail);

		cr_assert_eq(is_out, unusable[i].refused, "%s", unusable[i].crl);
		cr_assert(!is_out || strstr(detail.text, "the CRL of its CA cannot be used") ||
				  strstr(detail.text, "its serial number is"),
			  "%s", detail.text);
		cr_assert_not(is_revoked(c, "intermediate", 1, NULL));
		cr_assert_not(is_revoked(c, "p384", 0, NULL));
		fl_credentials_free(c);
	}
}

/* Lists of a federated domain count in its bundle, and in no other. */
Test(crl, of_a_federated_domain)
{
	static const char *const lists[] = {"elsewhere-web.crl", "root.crl+elsewhere-web.crl",
					    "elsewhere-chain.crl"};

	for (size_t i = 0; i < FL_COUNT_OF(lists); i++) {
		struct fl_foreign_bundle other = {.trust_domain = "other.example", .name = "other"};
		struct fl_credentials *c = NULL;
		struct fl_err err = {.text = ""};
		struct set set;
		size_t index = 9;

		set_read(&set, "p256", "root.crt", lists[i]);
		other.pem = read_joined(&set, "other.crt");
		set.pem.foreign = &other;
		set.pem.foreign_count = 1;
		cr_assert_eq(fl_credentials_parse(&set.pem, now(), &c, &err), 0, "%s", err.text);
		cr_assert_eq(c->crls[c->crl_count - 1].bundle, i < 2 ? 1 : FL_CRL_LOOSE);
		cr_assert_eq(is_revoked_in(c, 1, "other-web", 0, &index, NULL), i < 2);
		cr_assert_not(is_revoked_in(c, 0, "other-web", 0, &index, NULL),
			      "a list counts in another domain");
		cr_assert_eq(is_revoked_in(c, 1, "other-chain", 0, &index, NULL), i == 2);
		cr_assert_eq(is_revoked(c, "p384", 0, NULL), i == 1);
		fl_credentials_free(c);
		set_done(&set);
	}
}

Test(crl, tells_which_certificate)
{
	struct fl_credentials *c = parsed("p256", "root.crt", "middle.crl");
	size_t index = 9;

	cr_assert(is_revoked_in(c, 0, "intermediate", 0, &index, NULL));
	cr_assert_eq(index, 1);
	fl_credentials_free(c);
	c = parsed("p256", "root.crt", "lower.crl");
	cr_assert(is_revoked_in(c, 0, "intermediate", 0, &index, NULL));
	cr_assert_eq(index, 0);
	cr_assert_eq(c->crls[0].bundle, FL_CRL_LOOSE);
	fl_credentials_free(c);
}

Test(crl, no_list_revokes_nobody)
{
	struct fl_credentials *c = NULL;
	struct set set;

	set_read(&set, "p256", "root.crt", "root.crl");
	set.pem.crl = (struct fl_span){0};
	set.pem.crl_name = NULL;
	cr_assert_eq(fl_credentials_parse(&set.pem, now(), &c, NULL), 0);
	cr_assert_eq(c->crl_count, 0);
	cr_assert_not(is_revoked(c, "p384", 0, NULL));
	fl_credentials_free(c);
	set_done(&set);
}

Test(crl, what_is_no_certificate_counts_as_revoked)
{
	struct fl_credentials *c = parsed("p256", "root.crt", "root.crl");

	const struct fl_span bad[2] = {{(const uint8_t *)"0", 1}}, none[2] = {0};
	size_t index;

	cr_assert(fl_judge_revoked(c, 0, bad, 1, &index, NULL));
	cr_assert(fl_judge_revoked(c, 0, none, 1, &index, NULL));
	fl_credentials_free(c);
}

/* --- which are refused -------------------------------------------------------------------------- */

static const struct {
	const char *own, *bundle, *crl, *says;
} refused[] = {
	{"p256", "root.crt", "", "crl.pem: it is empty, a CRL belongs here; without CRLs"},
	{"p256", "root.crt", "root.crt",
	 "crl.pem: block 1 (line 1) is \"CERTIFICATE\": a certificate"},
	{"p256", "root.crt", "root.crl+p256.key", "is \"PRIVATE KEY\": only CRLs belong here"},
	{"p256", "root.crt", "none.crl+late.crl", "crl.pem: CRL 2: its successor was due at"},
	{"p256", "root.crt", "early.crl", "crl.pem: CRL 1: it is not valid before"},
	{"p256", "root.crt", "early.crl", "does one of the clocks run wrong?"},
	{"p256", "root.crt", "forged.crl", "CRL 1: its signature does not verify under the CA"},
	{"p256", "root.crt", "forged-unsaid.crl", "its signature does not verify under the CA"},
	{"intermediate", "root.crt", "lower-forged.crl", "its signature does not verify"},
	{"p256", "root.crt+rsa-root.crt", "rsa-root-pss-sha1.crl", "algorithm is not supported"},
	{"p256", "root.crt+root-no-crl.crt", "no-sign.crl", "its key usage lacks cRLSign"},
	{"p256", "root.crt", "critical.crl", "it has an unknown critical extension"},
	{"p256", "root.crt", "critical-entry.crl", "entry 1: it has an unknown critical extension"},
	{"p256", "root.crt", "delta.crl", "it is a delta CRL"},
	{"p256", "root.crt", "scope-reasons.crl", "onlySomeReasons"},
	{"p256", "root.crt", "scope-indirect.crl", "indirectCRL"},
	{"p256", "root.crt", "scope-attributes.crl", "onlyContainsAttributeCerts"},
	{"p256", "root.crt", "scope-indirect.crl+scope-users.crl",
	 "CRL 1 (of CN=prod.example root"},
	{"p256", "root.crt", "nameless.crl", "the name of its issuer does not parse"},
	/* the key that has signed it decides whose it is, whatever identifier it gives */
	{"p256", "root.crt+root-no-crl.crt", "no-sign-key.crl", "its key usage lacks cRLSign"},
	{"p256", "root.crt", "scope-reasons-key.crl", "onlySomeReasons"},
	/* a list of another CA, or of another distribution point, is no substitute */
	{"p256", "root.crt+root-namesake.crt", "namesake-unsaid.crl+scope-reasons-unsaid.crl",
	 "CRL 2 (of CN=prod.example root"},
	{"p256", "root.crt", "namesake-key.crl+scope-reasons-key.crl",
	 "CRL 2 (of CN=prod.example root"},
	{"p256", "root.crt", "scope-url.crl+scope-reasons-2.crl", "CRL 2 (of CN=prod.example root"},
	{"p256", "root.crt+other.crt", "elsewhere-indirect.crl+root.crl", "indirectCRL"},
	{"p256", "root.crt", "own.crl",
	 "tls.crt: a certificate of the chain is revoked (certificate-revoked): it claims to be "},
	{"intermediate", "root.crt", "middle.crl",
	 "certificate 2 (CN=prod.example intermediate, O=Fairlead tests): its serial number is"},
	{"intermediate", "root.crt", "lower.crl",
	 "tls.crt: a certificate of the chain is revoked (certificate-revoked): it claims to be "},
};

Test(crl, refused)
{
	for (size_t i = 0; i < FL_COUNT_OF(refused); i++) {
		struct fl_credentials *c = NULL;
		struct fl_err err = {.text = ""};
		struct set set;

		set_read(&set, refused[i].own, refused[i].bundle, refused[i].crl);
		cr_assert_eq(fl_credentials_parse(&set.pem, now(), &c, &err), FL_ERR_INVALID,
			     "%zu was let in: %s", i, refused[i].says);
		cr_assert(strstr(err.text, refused[i].says), "%zu: %s", i, err.text);
		cr_assert_null(c);
		set_done(&set);
	}
}

/* Reads a list by itself, and returns when it begins and ends. */
static void read_period(const struct set *set, int64_t *ret_begin, int64_t *ret_end)
{
	struct fl_der_list list = {0};
	struct fl_crl crl;

	cr_assert_eq(fl_pem_crls((const char *)set->pem.crl.data, set->pem.crl.len, &list, NULL),
		     0);
	cr_assert_eq(fl_crl_parse(&list.items[0], &crl, NULL), 0);
	*ret_begin = crl.this_update;
	*ret_end = crl.next_update;
	fl_crl_done(&crl);
	fl_der_list_done(&list);
}

static void at(const struct set *set, int64_t when, const char *says)
{
	struct fl_credentials *c = NULL;
	struct fl_err err = {.text = ""};
	int rc = fl_credentials_parse(&set->pem, when, &c, &err);

	cr_assert_eq(rc, says ? FL_ERR_INVALID : 0, "%s", err.text);
	cr_assert(!says || strstr(err.text, says), "%s", err.text);
	fl_credentials_free(c);
}

/* Both ends are within. */
Test(crl, clock)
{
	struct set set;
	int64_t begin, end;

	set_read(&set, "p256", "root.crt", "late.crl");
	read_period(&set, &begin, &end);
	cr_assert_lt(begin, end);
	at(&set, end, NULL);
	at(&set, end + 1, "crl.pem: CRL 1: its successor was due");
	set_done(&set);
	set_read(&set, "p256", "root.crt", "early.crl");
	read_period(&set, &begin, &end);
	at(&set, begin, NULL);
	at(&set, begin - 1, "crl.pem: CRL 1: it is not valid before");
	set_done(&set);
}

/* An expired list is accepted only if it is the one in force, and it still revokes. */
Test(crl, late)
{
	struct fl_credentials *in_force = NULL, *c = NULL;
	int64_t begin, end;
	struct set set, other;
	struct fl_err err;

	set_read(&set, "p256", "root.crt", "late.crl+root.crl");
	set_read(&other, "p256", "root.crt", "none.crl");
	read_period(&set, &begin, &end);
	cr_assert_eq(fl_credentials_parse(&set.pem, end, &in_force, &err), 0, "%s", err.text);
	cr_assert_not(fl_crl_is_late(&in_force->crls[0], end));
	cr_assert(fl_crl_is_late(&in_force->crls[0], end + 1));
	set.pem.late.in_force = in_force;
	cr_assert_eq(fl_credentials_parse(&set.pem, end + 1, &c, &err), 0, "%s", err.text);
	cr_assert(is_revoked(c, "p384", 0, NULL));
	/* Another set without this list: as if no list were in force. */
	fl_credentials_free(in_force);
	cr_assert_eq(fl_credentials_parse(&other.pem, end, &in_force, &err), 0, "%s", err.text);
	set.pem.late.in_force = in_force;
	at(&set, end + 1, "crl.pem: CRL 1: its successor was due");
	set.pem.late.all = true;
	at(&set, end + 1, NULL);
	fl_credentials_free(in_force);
	fl_credentials_free(c);
	set_done(&other);
	set_done(&set);
}

/* --- content ------------------------------------------------------------------------------------ */

Test(crl, digest_covers_them)
{
	static const char *const lists[] = {"none.crl", "root.crl", "root.crl+none.crl"};
	uint8_t digests[FL_COUNT_OF(lists)][FL_DIGEST_LEN];

	for (size_t i = 0; i < FL_COUNT_OF(lists); i++) {
		struct fl_credentials *c = parsed("p256", "root.crt", lists[i]);

		fl_credentials_digest(c, digests[i]);
		fl_credentials_free(c);
		for (size_t k = 0; k < i; k++) {
			cr_assert_neq(memcmp(digests[i], digests[k], FL_DIGEST_LEN), 0);
		}
	}
}

/* --- damage ------------------------------------------------------------------------------------- */

static void read_der(const char *name, struct fl_der_list *ret)
{
	char *text = fl_fixture(name, NULL);

	cr_assert_eq(fl_pem_crls(text, strlen(text), ret, NULL), 0);
	free(text);
}

static void read_root(struct fl_der_list *ret)
{
	char *text = fl_fixture("root.crt", NULL);

	cr_assert_eq(fl_pem_certificates(text, strlen(text), false, ret, NULL), 0);
	free(text);
}

/* A list with any byte changed or cut off does not verify. */
Test(crl, every_change_shows)
{
	static const uint8_t masks[] = {0x01, 0x80, 0xff, 0x20};
	struct fl_der_list list = {0}, roots = {0};
	struct fl_span root;

	read_der("root.crl", &list);
	read_root(&roots);
	root = (struct fl_span){roots.items[0].data, roots.items[0].len};
	for (size_t i = 0; i < list.items[0].len * (FL_COUNT_OF(masks) + 1); i++) {
		size_t at = i / (FL_COUNT_OF(masks) + 1), kind = i % (FL_COUNT_OF(masks) + 1);
		struct fl_crl crl;
		struct fl_der der;

		fl_der_copy(&der, list.items[0].data,
			    kind == FL_COUNT_OF(masks) ? at : list.items[0].len);
		if (kind < FL_COUNT_OF(masks)) {
			der.data[at] ^= masks[kind];
		}
		if (fl_crl_parse(&der, &crl, NULL) == 0) {
			(void)fl_crl_may_be_by(&crl, root);
			cr_assert(!fl_crl_names(&crl, root) ||
					  fl_crl_verify(&crl, 0, root, NULL) < 0,
				  "byte %zu, change %zu", at, kind);
			fl_crl_done(&crl);
		}
		cr_assert_null(der.data);
	}
	fl_der_list_done(&list);
	fl_der_list_done(&roots);
}

/* The same with a certificate to be judged: nothing is read beyond its end. */
Test(crl, damaged_certificates)
{
	struct fl_credentials *c = parsed("p256", "root.crt", "root.crl");
	char *text = fl_fixture("p384.crt", NULL);
	struct fl_der_list chain = {0};

	cr_assert_eq(fl_pem_certificates(text, strlen(text), false, &chain, NULL), 0);
	for (size_t i = 0; i < chain.items[0].len * 3; i++) {
		struct fl_der der;
		char serial[FL_SERIAL_TEXT];
		size_t at = i / 3;

		fl_der_copy(&der, chain.items[0].data, i % 3 == 2 ? at : chain.items[0].len);
		if (i % 3 < 2) {
			der.data[at] ^= i % 3 == 0 ? 0x01 : 0xff;
		}
		struct fl_span span[2] = {{der.data, der.len}};
		size_t index;
		bool revoked = fl_judge_revoked(c, 0, span, 1, &index, NULL);
		cr_assert(i % 3 < 2 || revoked, "cut off at %zu", at);
		cr_assert_lt(strlen(fl_crl_serial_text(span[0], serial)), FL_SERIAL_TEXT);
		free(der.data);
	}
	fl_der_list_done(&chain);
	free(text);
	fl_credentials_free(c);
}
