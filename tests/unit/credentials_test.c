/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Whole sets: files that belong together, and each way in which they do not. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "fixture.h"
#include "pki/credentials.h"

#define FOREIGN_MAX 2

/* Fixture names; several separated by '+' become one file. NULL: that span stays empty. */
struct input {
	const char *cert, *key, *credential_bundle, *bundle;
	struct {
		const char *trust_domain, *bundle;
	} foreign[FOREIGN_MAX];
};

/* An input read; everything here is owned. */
struct set {
	struct fl_credentials_pem pem;
	struct fl_foreign_bundle foreign[FOREIGN_MAX];
	char *files[4 + FOREIGN_MAX];
	size_t file_count;
};

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
	set->files[set->file_count++] = joined;
	return (struct fl_span){(uint8_t *)joined, strlen(joined)};
}

static void set_read(struct set *set, const struct input *input)
{
	*set = (struct set){.pem = {.foreign = set->foreign}};
	if (input->cert) {
		set->pem.cert = read_joined(set, input->cert);
		set->pem.cert_name = "tls.crt";
	}
	if (input->key) {
		set->pem.key = read_joined(set, input->key);
		set->pem.key_name = "tls.key";
	}
	if (input->credential_bundle) {
		set->pem.credential_bundle = read_joined(set, input->credential_bundle);
		set->pem.credential_bundle_name = "bundle.pem";
	}
	set->pem.bundle = read_joined(set, input->bundle);
	set->pem.bundle_name = "ca.crt";
	for (size_t i = 0; i < FOREIGN_MAX && input->foreign[i].trust_domain; i++) {
		set->foreign[i] = (struct fl_foreign_bundle){
			.trust_domain = input->foreign[i].trust_domain,
			.pem = read_joined(set, input->foreign[i].bundle),
			.name = "foreign.crt",
		};
		set->pem.foreign_count++;
	}
}

static void set_done(struct set *set)
{
	for (size_t i = 0; i < set->file_count; i++) {
		free(set->files[i]);
	}
}

static int64_t now(void)
{
	return (int64_t)time(NULL);
}

#define CERT_KEY(name) .cert = name ".crt", .key = name ".key"
#define ROOT .bundle = "root.crt"
#define OTHER                                                                                      \
	{                                                                                          \
		"other.example", "other.crt"                                                       \
	}

static const struct {
	struct input input;
	size_t chain, roots;
} good[] = {
	{{CERT_KEY("p256"), ROOT}, 1, 1},
	{{CERT_KEY("p384"), ROOT}, 1, 1},
	{{CERT_KEY("ed25519"), ROOT}, 1, 1},
	{{CERT_KEY("rsa2048"), ROOT}, 1, 1},
	{{CERT_KEY("intermediate"), ROOT}, 2, 1},
	{{CERT_KEY("two-intermediates"), ROOT}, 3, 1},
	{{.cert = "p256.crt", .key = "p256.params.key", ROOT}, 1, 1},
	{{.credential_bundle = "p256.bundle", ROOT}, 1, 1},
	{{.credential_bundle = "p256.sec1.bundle", ROOT}, 1, 1},
	{{.credential_bundle = "intermediate.bundle", ROOT}, 2, 1},
	{{CERT_KEY("p256"), .bundle = "root.crt+root-second.crt+root-plain.crt"}, 1, 3},
	{{CERT_KEY("p256"), .bundle = "root.crt+root-slash.crt+serial-zero.crt"}, 1, 3},
	/* once is enough */
	{{CERT_KEY("p256"), .bundle = "root.crt+root-second.crt+root.crt"}, 1, 2},
	{{CERT_KEY("p256"), ROOT, .foreign = {OTHER}}, 1, 1},
	{{CERT_KEY("p256"), ROOT, .foreign = {{"nobody.example", ""}, OTHER}}, 1, 1},
};

Test(credentials, good)
{
	for (size_t i = 0; i < FL_COUNT_OF(good); i++) {
		struct fl_credentials *c = NULL;
		struct fl_err err = {.text = ""};
		struct set set;

		set_read(&set, &good[i].input);
		cr_assert_eq(fl_credentials_parse(&set.pem, now(), &c, &err), 0, "%zu: %s", i,
			     err.text);
		cr_assert_eq(c->chain.count, good[i].chain);
		cr_assert_gt(c->key.len, 0);
		cr_assert_str_eq(c->trust_domain, "prod.example");
		cr_assert_eq(strncmp(c->id, "spiffe://prod.example/ns/test/sa/", 33), 0);
		cr_assert(c->not_before < now() && c->not_after > now());
		cr_assert_eq(c->bundle_count, 1 + set.pem.foreign_count);
		cr_assert_str_eq(c->bundles[0].trust_domain, "prod.example");
		cr_assert_eq(c->bundles[0].roots.count, good[i].roots);
		for (size_t b = 1; b < c->bundle_count; b++) {
			cr_assert_str_eq(c->bundles[b].trust_domain,
					 set.foreign[b - 1].trust_domain);
			cr_assert_eq(c->bundles[b].roots.count,
				     set.foreign[b - 1].pem.len > 0 ? 1 : 0);
		}
		fl_credentials_free(c);
		set_done(&set);
	}
}

static const struct {
	struct input input;
	const char *says;
} bad[] = {
	/* chain */
	{{.cert = "", .key = "p256.key", ROOT}, "tls.crt: it is empty, a certificate belongs here"},
	{{.cert = "p256.key", .key = "p256.crt", ROOT},
	 "tls.crt: block 1 (line 1) is \"PRIVATE KEY\""},
	{{.cert = "root.crt+p256.crt", .key = "p256.key", ROOT}, "put the leaf first"},
	{{CERT_KEY("expired-intermediate"), ROOT},
	 "certificate 2 (CN=prod.example intermediate, O=Fairlead tests): it has expired at"},
	{{CERT_KEY("expired-intermediate"), ROOT}, "have the chain renewed"},
	{{CERT_KEY("other-ca"), ROOT},
	 "tls.crt: the chain does not end in the bundle of its trust domain (chain-"},
	{{CERT_KEY("chain-no-sign"), ROOT}, "signer-key-usage"},
	{{CERT_KEY("chain-too-long"), ROOT}, "chain-path-length"},
	{{CERT_KEY("expired"), ROOT}, "tls.crt: certificate 1, the leaf: it has expired at"},
	{{CERT_KEY("not-yet"), ROOT}, "does one of the clocks run wrong?"},
	{{CERT_KEY("ku-uncritical"), ROOT}, "(svid-key-usage): key usage is not critical; have it"},
	{{CERT_KEY("uri-two"), ROOT}, "svid-one-uri"},
	{{CERT_KEY("path-none"), ROOT}, "svid-path"},
	{{CERT_KEY("p521"), ROOT}, "certificate 1, the leaf: its key is EC P-521"},
	{{CERT_KEY("rsa1024"), ROOT}, "certificate 1, the leaf: its key is RSA of 1024 bits"},
	{{CERT_KEY("trailing-bytes"), ROOT}, "certificate-malformed"},
	/* key */
	{{.cert = "p256.crt", .key = "", ROOT}, "tls.key: it is empty, a private key belongs here"},
	{{.cert = "p256.crt", .key = "p256.encrypted.key", ROOT},
	 "tls.key: block 1 (line 1) is an encr"},
	{{.cert = "p256.crt", .key = "p384.key", ROOT}, "tls.key: the key does not belong"},
	{{.cert = "p256.crt", .key = "p256-renewed.key", ROOT}, "was only one of the two renewed"},
	{{.credential_bundle = "p256.crt+p256.key", ROOT},
	 "bundle.pem: a credential bundle has the key"},
	{{.credential_bundle = "p384.key+p256.crt", ROOT}, "bundle.pem: the key does not belong"},
	/* own bundle */
	{{CERT_KEY("p256"), .bundle = ""}, "ca.crt: it is empty, a certificate belongs here"},
	{{CERT_KEY("p256"), .bundle = "root.crt+p256.crt"}, "ca.crt: certificate 2 (CN=workload"},
	{{CERT_KEY("p256"), .bundle = "root-not-ca.crt"}, "roots of a trust domain, not leaves"},
	{{CERT_KEY("p256"), .bundle = "root.crt+root-ku-no-sign.crt"}, "signer-key-usage"},
	{{CERT_KEY("p256"), .bundle = "root.crt+root-path.crt"}, "signer-id"},
	{{CERT_KEY("p256"), .bundle = "root-expired.crt+root-not-yet.crt"},
	 "ca.crt: it has no valid anchor"},
	{{CERT_KEY("p256"), .bundle = "root.crt+root-p521.crt"},
	 "(chain-algorithm): its key is EC P-521"},
	{{CERT_KEY("p256"), .bundle = "root.crl"}, "the file that `crl` names"},
	{{CERT_KEY("p256"), .bundle = "root.crt+p256.key"}, "block 2"},
	/* federation */
	{{CERT_KEY("p256"), ROOT, .foreign = {{"prod.example", "other.crt"}}},
	 "is our own trust domain"},
	{{CERT_KEY("p256"), ROOT, .foreign = {OTHER, OTHER}}, "other.example is federated twice"},
	{{CERT_KEY("p256"), ROOT, .foreign = {{"Other.example", "other.crt"}}}, "lower case"},
};

Test(credentials, bad)
{
	for (size_t i = 0; i < FL_COUNT_OF(bad); i++) {
		struct fl_credentials *c = NULL;
		struct fl_err err = {.text = ""};
		struct set set;

		set_read(&set, &bad[i].input);
		cr_assert_eq(fl_credentials_parse(&set.pem, now(), &c, &err), FL_ERR_INVALID,
			     "%zu was let in: %s", i, bad[i].says);
		cr_assert(strstr(err.text, bad[i].says), "%zu: %s", i, err.text);
		cr_assert_null(c, "an out-parameter was touched");
		cr_assert_eq(fl_credentials_parse(&set.pem, now(), &c, NULL), FL_ERR_INVALID);
		set_done(&set);
	}
}

/* Both ends of the validity period are within it. */
Test(credentials, clock)
{
	const struct input input = {CERT_KEY("p256"), ROOT};
	struct fl_credentials *c, *again = NULL;
	struct fl_err err;
	struct set set;
	int64_t begin, end;

	set_read(&set, &input);
	cr_assert_eq(fl_credentials_parse(&set.pem, now(), &c, &err), 0, "%s", err.text);
	/* Made after the root, with the same period: the root's is the stricter one at the end. */
	begin = c->not_before;
	end = c->not_after;
	fl_credentials_free(c);
	cr_assert_eq(fl_credentials_parse(&set.pem, begin, &c, &err), 0, "%s", err.text);
	fl_credentials_free(c);
	cr_assert_eq(fl_credentials_parse(&set.pem, begin - 1, &again, &err), FL_ERR_INVALID);
	cr_assert(strstr(err.text, "the leaf: it is not valid before"), "%s", err.text);
	cr_assert_eq(fl_credentials_parse(&set.pem, end + 1, &again, &err), FL_ERR_INVALID);
	cr_assert(strstr(err.text, "the leaf: it has expired at"), "%s", err.text);
	cr_assert_null(again);
	set_done(&set);
}

struct seen {
	size_t count, errors;
	const char *names[16];
	char texts[16][768];
};

static void note(void *user, bool is_error, const char *name, const char *text)
{
	struct seen *seen = user;

	cr_assert_lt(seen->count, FL_COUNT_OF(seen->names));
	cr_assert_gt(strlen(text), 10);
	(void)snprintf(seen->texts[seen->count], sizeof(seen->texts[0]), "%s", text);
	seen->names[seen->count++] = name;
	seen->errors += is_error;
}

Test(credentials, all_problems_at_once)
{
	const struct input input = {
		.cert = "expired.crt+p384.crt",
		.key = "p256.key",
		.bundle = "root-expired.crt+root.crt+root-path.crt",
		.foreign = {{"prod.example", "other.crt"}, {"x.example", "p256.crt"}},
	};
	struct fl_credentials *c;
	struct seen seen = {0};
	struct set set;

	set_read(&set, &input);
	cr_assert_eq(fl_credentials_parse_all(&set.pem, now(), note, &seen, &c), FL_ERR_INVALID);
	cr_assert_eq(seen.count, 6);
	cr_assert_eq(seen.errors, 4);
	cr_assert_eq(seen.names[0], set.pem.cert_name);
	cr_assert_eq(seen.names[1], set.pem.key_name);
	cr_assert_eq(seen.names[2], set.pem.bundle_name);
	cr_assert_eq(seen.names[3], set.pem.bundle_name);
	cr_assert(strstr(seen.texts[3], "has expired at"), "%s", seen.texts[3]);
	cr_assert_eq(seen.names[4], set.foreign[0].name);
	cr_assert_eq(seen.names[5], set.foreign[1].name);
	cr_assert(strstr(seen.texts[5], "nobody of x.example is trusted"), "%s", seen.texts[5]);
	set_done(&set);
}

/* Problems that do not refuse the set. trusted: the number of roots in each bundle. */
static const struct {
	struct input input;
	const char *says;
	size_t own, foreign[FOREIGN_MAX];
	bool shared[FOREIGN_MAX];
} warned[] = {
	{.input = {CERT_KEY("p256"), .bundle = "root.crt+root-expired.crt"},
	 .says = "has expired at",
	 .own = 2},
	{.input = {CERT_KEY("p256"), .bundle = "root.crt+root-not-yet.crt"},
	 .says = "is not valid before",
	 .own = 2},
	{.input = {CERT_KEY("p256"), ROOT, .foreign = {{"other.example", "root-expired.crt"}}},
	 .says = "it has no valid anchor, so nobody of other.example",
	 .own = 1,
	 .foreign = {1}},
	{.input = {CERT_KEY("p256"), ROOT, .foreign = {{"other.example", "p256.der"}}},
	 .says = "nobody of other.example is trusted",
	 .own = 1},
	{.input = {CERT_KEY("p256"), ROOT, .foreign = {{"other.example", "other.crt+p256.crt"}}},
	 .says = "certificate 2 (CN=workload",
	 .own = 1},
	/* a root of two domains */
	{.input = {CERT_KEY("p256"), ROOT, .foreign = {{"other.example", "other.crt+root.crt"}}},
	 .says = "write `shared_root = allow` in [federate other.example]",
	 .own = 1},
	{.input = {CERT_KEY("p256"), ROOT, .foreign = {OTHER, {"third.example", "other.crt"}}},
	 .says = "is also a root of third.example",
	 .own = 1},
	{.input = {CERT_KEY("p256"), ROOT, .foreign = {OTHER, {"third.example", "other.crt"}}},
	 .says = "[federate third.example]",
	 .own = 1,
	 .foreign = {1},
	 .shared = {true}},
	{.input = {CERT_KEY("p256"), ROOT, .foreign = {OTHER, {"third.example", "other.crt"}}},
	 .says = NULL,
	 .own = 1,
	 .foreign = {1, 1},
	 .shared = {true, true}},
	{.input = {CERT_KEY("p256"), ROOT, .foreign = {{"other.example", "root.crt"}}},
	 .says = NULL,
	 .own = 1,
	 .foreign = {1},
	 .shared = {true}},
	/* the same key, in certificates that have nothing else in common */
	{.input = {CERT_KEY("p256"), ROOT, .foreign = {{"other.example", "other-root-key.crt"}}},
	 .says = "CN=other root-key, O=Fairlead tests is also a root of our own trust domain",
	 .own = 1},
	{.input = {CERT_KEY("under-rsa-root"), .bundle = "rsa-root.crt",
		   .foreign = {{"other.example", "other-rsa-key.crt"}}},
	 .says = "CN=other rsa-key, O=Fairlead tests is also a root of our own trust domain",
	 .own = 1},
	{.input = {CERT_KEY("under-rsa-root"), .bundle = "rsa-root.crt",
		   .foreign = {{"other.example", "other-rsa-exponent.crt"}}},
	 .says = "CN=other rsa-exponent, O=Fairlead tests is also a root of our own",
	 .own = 1},
	{.input = {CERT_KEY("p256"), ROOT,
		   .foreign = {{"other.example", "rsa-root.crt"},
			       {"third.example", "other-rsa-exponent.crt"}}},
	 .says = "is also a root of third.example",
	 .own = 1},
	/* unrelated, although their key identifiers match */
	{.input = {CERT_KEY("p256"), ROOT, .foreign = {{"other.example", "other-same-key-id.crt"}}},
	 .says = NULL,
	 .own = 1,
	 .foreign = {1}},
	{.input = {CERT_KEY("p256"), .bundle = "root.crt+other-same-key-id.crt"},
	 .says = NULL,
	 .own = 2},
	{.input = {CERT_KEY("chain-no-ku"), ROOT}, .says = "is a CA without key usage", .own = 1},
	{.input = {.cert = "p256.crt+p384.crt", .key = "p256.key", ROOT}, .says = NULL, .own = 1},
	{.input = {.cert = "p256.crt+root-expired.crt+root.crt", .key = "p256.key", ROOT},
	 .says = NULL,
	 .own = 1},
	{.input = {CERT_KEY("p256"),
		   .bundle = "root.crt+root-ku-absent.crt+root-ku-uncritical.crt"},
	 .says = NULL,
	 .own = 3},
};

Test(credentials, warned)
{
	for (size_t i = 0; i < FL_COUNT_OF(warned); i++) {
		struct fl_credentials *c = NULL;
		struct seen seen = {0};
		struct set set;
		bool said = warned[i].says == NULL;

		set_read(&set, &warned[i].input);
		for (size_t k = 0; k < FOREIGN_MAX; k++) {
			set.foreign[k].shared_root = warned[i].shared[k];
		}
		cr_assert_eq(fl_credentials_parse_all(&set.pem, now(), note, &seen, &c), 0,
			     "%zu: %s", i, seen.texts[0]);
		cr_assert_eq(seen.errors, 0);
		cr_assert(!said || seen.count == 0, "%zu: %s", i, seen.texts[0]);
		for (size_t k = 0; k < seen.count; k++) {
			said = said || strstr(seen.texts[k], warned[i].says) != NULL;
		}
		cr_assert(said, "%zu, not %s: %s", i, warned[i].says, seen.texts[0]);
		cr_assert_eq(c->bundles[0].roots.count, warned[i].own);
		cr_assert_eq(c->bundles[0].anchors.count, warned[i].own);
		for (size_t k = 1; k < c->bundle_count; k++) {
			cr_assert_eq(c->bundles[k].anchors.count, warned[i].foreign[k - 1],
				     "%zu: %zu", i, c->bundles[k].anchors.count);
			cr_assert_eq(c->bundles[k].refused != NULL, warned[i].foreign[k - 1] == 0);
		}
		fl_credentials_free(c);
		set_done(&set);
	}
}

static void digest(const struct input *input, uint8_t ret[FL_DIGEST_LEN])
{
	struct fl_credentials *c;
	struct fl_err err;
	struct set set;

	set_read(&set, input);
	cr_assert_eq(fl_credentials_parse(&set.pem, now(), &c, &err), 0, "%s", err.text);
	fl_credentials_digest(c, ret);
	fl_credentials_free(c);
	set_done(&set);
}

/* Equal content has an equal digest, however it was delivered; different content has another digest. */
Test(credentials, digest)
{
	static const struct input inputs[] = {
		{CERT_KEY("p256"), ROOT},
		{CERT_KEY("p256-renewed"), ROOT},
		{CERT_KEY("p256"), .bundle = "root.crt+root-second.crt"},
		{CERT_KEY("p256"), ROOT, .foreign = {OTHER}},
		{CERT_KEY("p256"), ROOT, .foreign = {{"other.example", ""}}},
		{CERT_KEY("p256"), ROOT, .foreign = {{"third.example", "other.crt"}}},
		{CERT_KEY("intermediate"), ROOT},
	};
	static const struct input same = {.credential_bundle = "p256.bundle",
					  .bundle = "root.crt+root.crt"};
	uint8_t digests[FL_COUNT_OF(inputs)][FL_DIGEST_LEN], other[FL_DIGEST_LEN];

	for (size_t i = 0; i < FL_COUNT_OF(inputs); i++) {
		digest(&inputs[i], digests[i]);
		for (size_t j = 0; j < i; j++) {
			cr_assert_neq(memcmp(digests[i], digests[j], FL_DIGEST_LEN), 0, "%zu, %zu",
				      i, j);
		}
	}
	digest(&same, other);
	cr_assert_arr_eq(other, digests[0], FL_DIGEST_LEN);
}

Test(credentials, free_nothing)
{
	fl_credentials_free(NULL);
}
