/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Every rule of the X509-SVID standard that needs no issuer: certificates that keep it, and
 * certificates that break it and nothing else. */
#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fixture.h"
#include "leaf.h"
#include "pki/pem.h"
#include "pki/svid.h"

/* The first certificate of a fixture. */
static struct fl_der certificate(const char *name)
{
	char *file = fl_format("%s.crt", name);
	struct fl_der_list list;
	struct fl_der first;
	struct fl_err err;
	size_t len;
	char *text = fl_fixture(file, &len);

	cr_assert_eq(fl_pem_certificates(text, len, false, &list, &err), 0, "%s: %s", file,
		     err.text);
	fl_der_copy(&first, list.items[0].data, list.items[0].len);
	fl_der_list_done(&list);
	free(text);
	free(file);
	return first;
}

static struct fl_der private_key(const char *file)
{
	struct fl_der key;
	struct fl_err err;
	size_t len;
	char *text = fl_fixture(file, &len);

	cr_assert_eq(fl_pem_private_key(text, len, &key, &err), 0, "%s: %s", file, err.text);
	free(text);
	return key;
}

static struct fl_span span(struct fl_der der)
{
	return (struct fl_span){der.data, der.len};
}

static const struct {
	const char *name;
	enum fl_rule rule;
	const char *says; /* part of the sentence; NULL: good */
} leaves[] = {
	{"p256", FL_RULE_NONE, NULL},
	{"p384", FL_RULE_NONE, NULL},
	{"ed25519", FL_RULE_NONE, NULL},
	{"rsa2048", FL_RULE_NONE, NULL},
	{"intermediate", FL_RULE_NONE, NULL},
	{"two-intermediates", FL_RULE_NONE, NULL},
	{"no-eku", FL_RULE_NONE, NULL},
	{"other-names", FL_RULE_NONE, NULL},
	{"key-encipherment", FL_RULE_NONE, NULL},
	{"empty-subject", FL_RULE_NONE, NULL},
	{"uri-2048", FL_RULE_NONE, NULL},
	/* These keep every rule of this layer: the rest is for the clock, the chain, the key. */
	{"p521", FL_RULE_NONE, NULL},
	{"rsa1024", FL_RULE_NONE, NULL},
	{"expired", FL_RULE_NONE, NULL},
	{"not-yet", FL_RULE_NONE, NULL},
	{"foreign-td", FL_RULE_NONE, NULL},
	{"other-ca", FL_RULE_NONE, NULL},

	{"uri-none", FL_RULE_URI_COUNT, "it has none"},
	{"no-san", FL_RULE_URI_COUNT, "it has none"},
	{"uri-two", FL_RULE_URI_COUNT,
	 "2 URI SANs: spiffe://prod.example/ns/test/sa/one, spiffe://prod.example/ns/test/sa/two"},
	{"uri-two-https", FL_RULE_URI_COUNT, "sa/one, https://prod.example/two"},
	{"uri-four", FL_RULE_URI_COUNT, "sa/3?, ..."},
	{"uri-https", FL_RULE_SPIFFE_ID, "begins with spiffe://"},
	{"uri-2049", FL_RULE_SPIFFE_ID, "2049 bytes"},
	{"scheme-upper", FL_RULE_SPIFFE_ID, "scheme is written in lower case"},
	{"td-upper", FL_RULE_SPIFFE_ID, "lower case, without 'P'"},
	{"percent", FL_RULE_SPIFFE_ID, "percent-encoding"},
	{"query", FL_RULE_SPIFFE_ID, "a query"},
	{"fragment", FL_RULE_SPIFFE_ID, "a fragment"},
	{"userinfo", FL_RULE_SPIFFE_ID, "user information"},
	{"port", FL_RULE_SPIFFE_ID, "a port"},
	{"dot-segment", FL_RULE_SPIFFE_ID, "segment \"..\""},
	{"double-slash", FL_RULE_SPIFFE_ID, "empty segment"},
	{"trailing-slash", FL_RULE_SPIFFE_ID, "must not end in '/'"},
	{"non-ascii", FL_RULE_SPIFFE_ID, "byte 0xc3"},
	{"uri-relative", FL_RULE_SPIFFE_ID, "begins with spiffe://"},
	{"uri-empty", FL_RULE_SPIFFE_ID, "is empty"},
	{"path-none", FL_RULE_PATH, "it is spiffe://prod.example"},
	{"path-slash", FL_RULE_PATH, "it is spiffe://prod.example/"},
	{"san-uncritical", FL_RULE_SAN_CRITICAL, "subject is empty"},
	{"leaf-ca", FL_RULE_LEAF_CA, "CA:TRUE"},
	{"root", FL_RULE_LEAF_CA, "CA:TRUE"},
	{"ku-absent", FL_RULE_KEY_USAGE, "is absent"},
	{"ku-uncritical", FL_RULE_KEY_USAGE, "not critical"},
	{"ku-no-signature", FL_RULE_KEY_USAGE, "digitalSignature is missing"},
	{"ku-cert-sign", FL_RULE_KEY_USAGE, "keyCertSign"},
	{"ku-crl-sign", FL_RULE_KEY_USAGE, "cRLSign"},
	{"eku-client", FL_RULE_EXT_KEY_USAGE, "serverAuth is missing"},
	{"eku-server", FL_RULE_EXT_KEY_USAGE, "clientAuth is missing"},
	{"eku-any", FL_RULE_EXT_KEY_USAGE, "both are missing"},
	{"eku-none", FL_RULE_EXT_KEY_USAGE, "both are missing"},
	{"critical-ext", FL_RULE_CRITICAL_EXTENSION, "critical extension"},
	{"san-nul", FL_RULE_MALFORMED, "subject alternative name is broken"},
	{"trailing-bytes", FL_RULE_MALFORMED, "bytes follow"},
	{"ed448", FL_RULE_NONE, NULL}, /* other tests check keys */
};

Test(svid, leaf)
{
	for (size_t i = 0; i < FL_COUNT_OF(leaves); i++) {
		struct fl_der der = certificate(leaves[i].name);
		struct fl_spiffe_id id = {.len = 77};
		struct fl_err detail = {.text = ""};
		enum fl_rule rule = leaf_check(span(der), &id, &detail);

		cr_assert_eq(rule, leaves[i].rule, "%s: %s, not %s: %s", leaves[i].name,
			     fl_rule_name(rule), fl_rule_name(leaves[i].rule), detail.text);
		if (leaves[i].says) {
			cr_assert(strstr(detail.text, leaves[i].says), "%s: %s", leaves[i].name,
				  detail.text);
			cr_assert_eq(id.len, 77, "%s: an out-parameter was touched",
				     leaves[i].name);
		} else {
			/* It lives on in the DER. */
			cr_assert(id.text > (char *)der.data &&
				  id.text + id.len < (char *)der.data + der.len);
			cr_assert_not_null(id.path);
			cr_assert(memcmp(id.text, "spiffe://", 9) == 0);
		}
		cr_assert_eq(leaf_check(span(der), &id, NULL), leaves[i].rule);
		free(der.data);
	}
}

static const struct {
	const char *name;
	enum fl_rule rule;
	const char *says;
} anchors[] = {
	{"root", FL_RULE_NONE, NULL},
	{"root-second", FL_RULE_NONE, NULL},
	{"root-plain", FL_RULE_NONE, NULL},
	{"root-slash", FL_RULE_NONE, NULL},
	{"root-https", FL_RULE_NONE, NULL},
	{"root-generalized", FL_RULE_NONE, NULL},
	{"other", FL_RULE_NONE, NULL},
	{"serial-zero", FL_RULE_NONE, NULL},
	{"rsa-root", FL_RULE_NONE, NULL},
	{"p384-root", FL_RULE_NONE, NULL},
	{"ed25519-root", FL_RULE_NONE, NULL},
	{"root-expired", FL_RULE_NONE, NULL}, /* other tests check dates */
	{"root-not-ca", FL_RULE_SIGNER_CA, "basic constraints say that it is none"},
	{"root-no-constraints", FL_RULE_SIGNER_CA, "basic constraints are absent"},
	{"p256", FL_RULE_SIGNER_CA, "is none"},
	{"ku-cert-sign", FL_RULE_SIGNER_CA, "is none"},
	{"root-ku-absent", FL_RULE_NONE, NULL}, /* leniently */
	{"root-ku-uncritical", FL_RULE_NONE, NULL},
	{"root-ku-no-sign", FL_RULE_SIGNER_KEY_USAGE, "keyCertSign is missing"},
	{"root-path", FL_RULE_SIGNER_ID, "it is spiffe://prod.example/ca"},
	{"root-bad-id", FL_RULE_SIGNER_ID, "lower case"},
	{"root-two-ids", FL_RULE_SIGNER_ID, "2 URI SANs"},
	{"root-p521", FL_RULE_ALGORITHM, "its key is EC P-521"},
};

/* Does the key belong to the leaf? */
static int check_key(struct fl_der leaf, struct fl_der key, struct fl_err *err)
{
	struct fl_cert cert;

	return fl_cert_parse(span(leaf), &cert, err) == FL_RULE_NONE
		       ? fl_key_check_private(&cert.key, span(key), err)
		       : FL_ERR_INVALID;
}

static enum fl_rule check_anchor(struct fl_der der, struct fl_err *detail)
{
	struct fl_cert cert;
	enum fl_rule rule = fl_cert_parse(span(der), &cert, detail);

	return rule == FL_RULE_NONE ? fl_svid_check_anchor(&cert, detail) : rule;
}

Test(svid, anchor)
{
	for (size_t i = 0; i < FL_COUNT_OF(anchors); i++) {
		struct fl_der der = certificate(anchors[i].name);
		struct fl_err detail = {.text = ""};
		enum fl_rule rule = check_anchor(der, &detail);

		cr_assert_eq(rule, anchors[i].rule, "%s: %s, not %s: %s", anchors[i].name,
			     fl_rule_name(rule), fl_rule_name(anchors[i].rule), detail.text);
		cr_assert(!anchors[i].says || strstr(detail.text, anchors[i].says), "%s: %s",
			  anchors[i].name, detail.text);
		free(der.data);
	}
}

Test(svid, rules_are_named)
{
	cr_assert_str_eq(fl_rule_name(FL_RULE_URI_COUNT), "svid-one-uri");
	cr_assert_str_eq(fl_rule_text(FL_RULE_LEAF_CA), "a leaf is not a CA");
	cr_assert_eq(fl_rule_alert(FL_RULE_EXPIRED), 45);
	cr_assert_str_eq(fl_rule_name(FL_RULE_CHAIN), "chain-invalid");
}

/* Every prefix of a certificate, and every certificate with one byte changed, is judged in peace. */
Test(svid, damaged)
{
	struct fl_der der = certificate("intermediate"), copy;
	struct fl_spiffe_id id;
	int64_t before, after;
	uint8_t key_id[20];

	for (size_t len = 0; len < der.len; len++) {
		fl_der_copy(&copy, der.data, len);
		cr_assert_eq(leaf_check(span(copy), &id, NULL), FL_RULE_MALFORMED);
		cr_assert_eq(check_anchor(copy, NULL), FL_RULE_MALFORMED);
		cr_assert_eq(fl_svid_validity(span(copy), &before, &after, NULL), FL_ERR_INVALID);
		cr_assert_eq(fl_svid_key_id(span(copy), key_id, NULL), FL_ERR_INVALID);
		free(copy.data);
	}
	for (size_t i = 0; i < der.len; i++) {
		for (unsigned change = 1; change < 256; change = change * 3 + 1) {
			fl_der_copy(&copy, der.data, der.len);
			copy.data[i] = (uint8_t)(copy.data[i] ^ change);
			(void)leaf_check(span(copy), &id, NULL);
			(void)check_anchor(copy, NULL);
			(void)!fl_svid_validity(span(copy), &before, &after, NULL);
			(void)check_key(copy, der, NULL);
			free(copy.data);
		}
	}
	free(der.data);
}

Test(svid, validity)
{
	struct fl_der der = certificate("p256");
	int64_t before, after, now = (int64_t)time(NULL);
	struct fl_err err;

	cr_assert_eq(fl_svid_validity(span(der), &before, &after, &err), 0, "%s", err.text);
	/* Made some time ago, an hour back and ten years ahead. */
	cr_assert_eq(after - before, 3650LL * 86400 + 3600);
	cr_assert(before < now && after > now);
	free(der.data);

	der = certificate("root-generalized");
	cr_assert_eq(fl_svid_validity(span(der), &before, &after, &err), 0, "%s", err.text);
	cr_assert_eq(after, 2840238245, "%lld", (long long)after); /* 2060-01-02 03:04:05 */
	free(der.data);
}

Test(svid, key_id)
{
	struct fl_der root = certificate("root"), same = certificate("other-same-key-id"),
		      other = certificate("other");
	uint8_t a[20], b[20], c[20];

	cr_assert_eq(fl_svid_key_id(span(root), a, NULL), 0);
	cr_assert_eq(fl_svid_key_id(span(same), b, NULL), 0);
	cr_assert_eq(fl_svid_key_id(span(other), c, NULL), 0);
	cr_assert_arr_eq(a, b, 20);
	cr_assert_neq(memcmp(a, c, 20), 0);
	free(root.data);
	free(same.data);
	free(other.data);
}

static const struct {
	const char *certificate, *key, *says; /* NULL: they belong together */
} pairs[] = {
	{"p256", "p256.key", NULL},
	{"p256", "p256.sec1.key", NULL},
	{"p256", "p256.params.key", NULL},
	{"p256-twin", "p256.key", NULL},
	{"p384", "p384.key", NULL},
	{"ed25519", "ed25519.key", NULL},
	{"rsa2048", "rsa2048.key", NULL},
	{"rsa2048", "rsa2048.pkcs1.key", NULL},
	{"p256", "p384.key", "the key is EC P-384, the certificate's is EC P-256"},
	{"p256", "rsa2048.pkcs1.key", "the key is RSA"},
	{"rsa2048", "p256.sec1.key", "the key is EC P-256"},
	{"p256", "p256-renewed.key", "public keys differ"},
	{"p521", "p521.key", "its key is EC P-521"},
	{"p256", "p521.key", "the key is EC P-521"},
	{"ed448", "ed448.key", "its key is Ed448"},
	{"secp256k1", "secp256k1.key", "another curve"},
	{"rsa1024", "rsa1024.key", "RSA of 1024 bits"},
};

Test(svid, key_match)
{
	for (size_t i = 0; i < FL_COUNT_OF(pairs); i++) {
		struct fl_der leaf = certificate(pairs[i].certificate);
		struct fl_der key = private_key(pairs[i].key);
		struct fl_err err = {.text = ""};
		int rc = check_key(leaf, key, &err);

		cr_assert_eq(rc, pairs[i].says ? FL_ERR_INVALID : 0, "%s + %s: %s",
			     pairs[i].certificate, pairs[i].key, err.text);
		cr_assert(!pairs[i].says || strstr(err.text, pairs[i].says), "%s + %s: %s",
			  pairs[i].certificate, pairs[i].key, err.text);
		free(leaf.data);
		fl_der_wipe(&key);
	}
}

/* A key that parses no more: cut off, or with another private half. */
Test(svid, key_damaged)
{
	static const char *const names[] = {"p256", "p384", "ed25519", "rsa2048"};

	for (size_t i = 0; i < FL_COUNT_OF(names); i++) {
		char *file = fl_format("%s.key", names[i]);
		struct fl_der leaf = certificate(names[i]), key = private_key(file), copy;
		struct fl_err err;

		for (size_t len = 0; len < key.len; len++) {
			fl_der_copy(&copy, key.data, len);
			cr_assert_eq(check_key(leaf, copy, &err), FL_ERR_INVALID, "%s, %zu bytes",
				     file, len);
			fl_der_wipe(&copy);
		}
		free(file);
		free(leaf.data);
		fl_der_wipe(&key);
	}
}
