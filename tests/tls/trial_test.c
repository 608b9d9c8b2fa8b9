/* SPDX-License-Identifier: GPL-3.0-or-later */
/* trial_test - credentials that parse but would fail are found before they are used. */
#include "pair.h"

#include <time.h>

static int try_set(const char *own, const char *const *bundles, size_t count, struct fl_err *err)
{
	cr_assert_eq(fl_tls_global_init(err), 0);
	struct fl_credentials *c = pki_credentials(own, bundles, count);
	int rc = fl_tls_trial(c, &default_options, err);
	pki_credentials_free(c);
	fl_tls_global_done();
	return rc;
}

Test(trial, good_sets)
{
	static const char *const good[] = {"p256",    "p384",         "ed25519",
					   "rsa2048", "intermediate", "two-intermediates",
					   "no-eku",  "uri-2048"};
	static const char *const two[] = {"prod.example=root", "other.example=other"};
	struct fl_err err = {0};
	for (size_t i = 0; i < FL_COUNT_OF(good); i++) {
		cr_assert_eq(try_set(good[i], two, 1, &err), 0, "%s: %s", good[i], err.text);
		cr_assert_eq(try_set(good[i], two, 2, &err), 0, "%s: %s", good[i], err.text);
	}
}

Test(trial, bad_sets__name_the_rule)
{
	static const struct {
		const char *own, *bundle;
		enum fl_rule rule;
	} bad[] = {
		{"p256", "prod.example=other", FL_RULE_UNKNOWN_ISSUER},
		{"p256", "prod.example=", FL_RULE_UNKNOWN_ISSUER},
		{"other-ca", "prod.example=root", FL_RULE_UNKNOWN_ISSUER},
		{"other-web", "prod.example=other", FL_RULE_TRUST_DOMAIN},
		{"expired-intermediate", "prod.example=root", FL_RULE_EXPIRED},
		{"chain-not-ca", "prod.example=root", FL_RULE_SIGNER_CA},
		{"chain-too-long", "prod.example=root", FL_RULE_PATH_LENGTH},
		{"chain-name-constraint", "prod.example=root", FL_RULE_NAME_CONSTRAINT},
		{"expired", "prod.example=root", FL_RULE_EXPIRED},
		{"eku-server", "prod.example=root", FL_RULE_EXT_KEY_USAGE},
		{"eku-client", "prod.example=root", FL_RULE_EXT_KEY_USAGE},
		{"leaf-ca", "prod.example=root", FL_RULE_LEAF_CA},
	};
	for (size_t i = 0; i < FL_COUNT_OF(bad); i++) {
		struct fl_err err = {0};
		cr_assert_eq(try_set(bad[i].own, &bad[i].bundle, 1, &err), FL_ERR_INVALID,
			     "%s passes", bad[i].own);
		cr_assert_not_null(strstr(err.text, fl_rule_name(bad[i].rule)), "%s: %s",
				   bad[i].own, err.text);
		cr_assert_not_null(strstr(err.text, "trial handshake"), "%s", err.text);
	}
}

Test(trial, key_of_another_certificate)
{
	struct fl_err err = {0};
	cr_assert_eq(fl_tls_global_init(&err), 0);
	struct fl_credentials *c = pki_credentials("p256", own_bundle, 1);
	fl_der_wipe(&c->key);
	pki_key("other-names", &c->key);
	cr_assert_eq(fl_tls_trial(c, &default_options, &err), FL_ERR_INVALID);
	cr_assert_not_null(strstr(err.text, "key"), "%s", err.text);
	pki_credentials_free(c);
	fl_tls_global_done();
}

/* Trap 2: wolfSSL would take any certificate of a bundle for an anchor, and let it sign. */
Test(trial, trap_bundle_with_leaf__refused_before_wolfssl_sees_it)
{
	struct fl_err err = {0};
	struct fl_credentials *c = NULL;
	struct fl_credentials_pem pem = {
		.cert_name = "tls.crt", .key_name = "tls.key", .bundle_name = "ca.crt"};
	char *cert = fl_fixture("p256.crt", &pem.cert.len),
	     *key = fl_fixture("p256.key", &pem.key.len);
	char *bundle = fl_fixture("root-not-ca.crt", &pem.bundle.len);
	pem.cert.data = (const uint8_t *)cert;
	pem.key.data = (const uint8_t *)key;
	pem.bundle.data = (const uint8_t *)bundle;
	cr_assert_eq(fl_credentials_parse(&pem, (int64_t)time(NULL), &c, &err), FL_ERR_INVALID);
	cr_assert_not_null(strstr(err.text, "ca.crt"), "%s", err.text);
	free(cert);
	free(key);
	free(bundle);
}

Test(trial, parsed_credentials_pass)
{
	struct fl_err err = {0};
	struct fl_credentials *c = NULL;
	struct fl_credentials_pem pem = {
		.cert_name = "tls.crt", .key_name = "tls.key", .bundle_name = "ca.crt"};
	char *cert = fl_fixture("p256.crt", &pem.cert.len),
	     *key = fl_fixture("p256.key", &pem.key.len);
	char *bundle = fl_fixture("root.crt", &pem.bundle.len);
	pem.cert.data = (const uint8_t *)cert;
	pem.key.data = (const uint8_t *)key;
	pem.bundle.data = (const uint8_t *)bundle;
	cr_assert_eq(fl_tls_global_init(&err), 0);
	cr_assert_eq(fl_credentials_parse(&pem, (int64_t)time(NULL), &c, &err), 0, "%s", err.text);
	cr_assert_eq(fl_tls_trial(c, &default_options, &err), 0, "%s", err.text);
	fl_credentials_free(c);
	free(cert);
	free(key);
	free(bundle);
	fl_tls_global_done();
}
