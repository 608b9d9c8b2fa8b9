/* SPDX-License-Identifier: GPL-3.0-or-later */
/* PEM as people and tools leave it: the good forms, and every kind of damage with its sentence. */
#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "fixture.h"
#include "pki/pem.h"

/* "Man" in base64; what is inside does not matter here. */
#define BODY "TWFu\n"
#define BLOCK(label, body) "-----BEGIN " label "-----\n" body "-----END " label "-----\n"
#define CERTIFICATE BLOCK("CERTIFICATE", BODY)
#define KEY BLOCK("PRIVATE KEY", BODY)

static const struct {
	const char *text;
	size_t count;
} good[] = {
	{CERTIFICATE, 1},
	{CERTIFICATE CERTIFICATE CERTIFICATE, 3},
	{"-----BEGIN CERTIFICATE-----\r\nTWFu\r\n-----END CERTIFICATE-----\r\n", 1},
	{"-----BEGIN CERTIFICATE-----\nTWFu\n-----END CERTIFICATE-----", 1},
	{"-----BEGIN CERTIFICATE-----  \n  TWFu\t\n-----END CERTIFICATE-----\t\n", 0},
	{"-----BEGIN CERTIFICATE-----  \nTWFu\t\n\nTWE=  \n-----END CERTIFICATE-----\t\n", 1},
	{"Subject: CN = x\n" CERTIFICATE "# and another\n" CERTIFICATE "the end", 2},
	{BLOCK("CERTIFICATE", "TW\nFu\n"), 1},
	{BLOCK("CERTIFICATE", "TQ==\n"), 1},
};

Test(pem, certificates)
{
	for (size_t i = 0; i < FL_COUNT_OF(good); i++) {
		struct fl_der_list list = {.count = 77};
		struct fl_err err;
		int rc =
			fl_pem_certificates(good[i].text, strlen(good[i].text), false, &list, &err);

		if (good[i].count == 0) { /* blanks before base64 are none */
			cr_assert_eq(rc, FL_ERR_INVALID);
			continue;
		}
		cr_assert_eq(rc, 0, "%s: %s", good[i].text, err.text);
		cr_assert_eq(list.count, good[i].count, "%s", good[i].text);
		cr_assert_eq(list.items[0].data[0], 'M');
		fl_der_list_done(&list);
		cr_assert_null(list.items);
	}
}

Test(pem, decoded)
{
	static const char text[] = BLOCK("CERTIFICATE", "+/+/\nTWE=\n");
	struct fl_der_list list;

	cr_assert_eq(fl_pem_certificates(text, strlen(text), false, &list, NULL), 0);
	cr_assert_eq(list.items[0].len, 5);
	cr_assert_arr_eq(list.items[0].data, "\xfb\xff\xbfMa", 5);
	fl_der_list_done(&list);
}

static const struct {
	const char *text, *says;
} bad[] = {
	{"", "it is empty"},
	{" \n\t\r\n# nothing\n", "it is empty"},
	{"hello\n", "text but no PEM block"},
	{"\x30\x82\x01\x0a...", "openssl x509 -inform DER"},
	{"\xef\xbb\xbf" CERTIFICATE, "byte-order mark"},
	{" " CERTIFICATE, "line 1 begins with blanks: remove the indentation"},
	{CERTIFICATE "\t  " CERTIFICATE, "line 4 begins with blanks"},
	{"----BEGIN CERTIFICATE-----\n" BODY, "line 1: a BEGIN line is damaged"},
	{"-----BEGIN CERTIFICATE----\n" BODY, "line 1: a BEGIN line is damaged"},
	{"-----BEGIN -----\n" BODY, "line 1: a BEGIN line is damaged"},
	{"-----BEGIN A\x01-----\n" BODY, "line 1: a BEGIN line is damaged"},
	{"\n-----END CERTIFICATE-----\n", "line 2: an END line without BEGIN"},
	{CERTIFICATE "-----END CERTIFICATE-----\n", "line 4: an END line without BEGIN"},
	{"-----BEGIN CERTIFICATE-----\n", "block 1 (line 1) is cut off"},
	{CERTIFICATE "\n-----BEGIN CERTIFICATE-----\n" BODY, "block 2 (line 5) is cut off"},
	{"-----BEGIN CERTIFICATE-----\n" BODY CERTIFICATE, "block 1 (line 1) is cut off"},
	{"-----BEGIN CERTIFICATE-----\n" BODY "-----END CERT", "line 3 does not end it"},
	{"-----BEGIN CERTIFICATE-----\n" BODY "-----END PRIVATE KEY-----\n",
	 "line 3 does not end it"},
	{"-----BEGIN CERTIFICATE-----\n" BODY
	 "-----END CERTIFICATE----------BEGIN CERTIFICATE-----\n",
	 "line 3: two blocks meet on one line"},
	{BLOCK("CERTIFICATE", ""), "block 1 (line 1) is empty"},
	{BLOCK("CERTIFICATE", "\n \n"), "block 1 (line 1) is empty"},
	{BLOCK("CERTIFICATE", "TWF\n"), "incomplete"},
	{BLOCK("CERTIFICATE", "TWFuT\n"), "incomplete"},
	{BLOCK("CERTIFICATE", "T===\n"), "incomplete"},
	{BLOCK("CERTIFICATE", "TWE=TWFu\n"), "line 2 is not base64"},
	{BLOCK("CERTIFICATE", "TWFu\nTW-u\n"), "line 3 is not base64"},
	{BLOCK("CERTIFICATE", "TW*u\n"), "line 2 is not base64"},
	{BLOCK("CERTIFICATE", "TW\xc3\xa4u\n"), "line 2 is not base64"},
	{BLOCK("CERTIFICATE", "X-Header: 1\n\nTWFu\n"), "line 2 is not base64"},
	{CERTIFICATE KEY,
	 "block 2 (line 4) is \"PRIVATE KEY\": a private key where certificates belong"},
	{BLOCK("EC PRIVATE KEY", BODY), "are `cert` and `key` swapped"},
	{BLOCK("ENCRYPTED PRIVATE KEY", BODY), "are `cert` and `key` swapped"},
	{BLOCK("CERTIFICATE REQUEST", BODY), "have a CA sign it"},
	{BLOCK("TRUSTED CERTIFICATE", BODY), "openssl x509"},
	{BLOCK("PKCS7", BODY), "openssl pkcs7"},
	{BLOCK("X509 CRL", BODY), "the file that `crl` names"},
	{BLOCK("X509 CERTIFICATE", BODY), "only certificates belong here"},
	{BLOCK("certificate", BODY), "only certificates belong here"},
};

Test(pem, bad_certificates)
{
	for (size_t i = 0; i < FL_COUNT_OF(bad); i++) {
		struct fl_der_list list = {.count = 77};
		struct fl_err err;

		cr_assert_eq(
			fl_pem_certificates(bad[i].text, strlen(bad[i].text), false, &list, &err),
			FL_ERR_INVALID, "%s was let in", bad[i].text);
		cr_assert(strstr(err.text, bad[i].says), "%s: %s", bad[i].text, err.text);
		cr_assert_eq(list.count, 77, "an out-parameter was touched");
	}
}

/* An empty bundle must be intended; garbage is not an empty bundle. */
Test(pem, empty_bundle)
{
	static const char *const empty[] = {"", "\n\n", " \n", "# nobody\n"};
	static const char *const garbage[] = {"nobody\n", "\x30\x82\x01\x0a",
					      "-----BEGIN X-----\n"};
	struct fl_der_list list;

	for (size_t i = 0; i < FL_COUNT_OF(empty); i++) {
		cr_assert_eq(fl_pem_certificates(empty[i], strlen(empty[i]), true, &list, NULL), 0);
		cr_assert_eq(list.count, 0);
		fl_der_list_done(&list);
	}
	for (size_t i = 0; i < FL_COUNT_OF(garbage); i++) {
		cr_assert_eq(fl_pem_certificates(garbage[i], strlen(garbage[i]), true, &list, NULL),
			     FL_ERR_INVALID);
	}
}

#define PARAMETERS BLOCK("EC PARAMETERS", "BggqhkjOPQMBBw==\n")

static const struct {
	const char *text, *says; /* NULL: good */
} keys[] = {
	{KEY, NULL},
	{BLOCK("EC PRIVATE KEY", BODY), NULL},
	{BLOCK("RSA PRIVATE KEY", BODY), NULL},
	{PARAMETERS BLOCK("EC PRIVATE KEY", BODY), NULL},
	{"some text\n" KEY "more text\n", NULL},
	{"", "it is empty, a private key belongs here"},
	{"\x30\x82\x01\x0a", "openssl pkey -inform DER"},
	{"secret\n", "text but no PEM block"},
	{PARAMETERS, "EC PARAMETERS only"},
	{CERTIFICATE, "block 1 (line 1) is \"CERTIFICATE\": a certificate where the private key"},
	{KEY CERTIFICATE, "block 2 (line 4) is \"CERTIFICATE\": a certificate where"},
	{KEY KEY, "block 2 (line 4) is a second private key"},
	{BLOCK("PUBLIC KEY", BODY), "a public key: its private half belongs here"},
	{BLOCK("OPENSSH PRIVATE KEY", BODY), "ssh-keygen -p -m PKCS8"},
	{BLOCK("DSA PRIVATE KEY", BODY), "one private key belongs here"},
	{BLOCK("ENCRYPTED PRIVATE KEY", BODY), "openssl pkey -in FILE -out FILE.plain"},
	{BLOCK("EC PRIVATE KEY", "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\n" BODY),
	 "openssl pkey -in FILE -out FILE.plain"},
	{"-----BEGIN PRIVATE KEY-----\n" BODY, "is cut off"},
	{BLOCK("PRIVATE KEY", "TW\n"), "incomplete"},
	{KEY "-----BEGIN PRIVATE KEY-----\n", "block 2 (line 4) is cut off"},
};

Test(pem, private_key)
{
	for (size_t i = 0; i < FL_COUNT_OF(keys); i++) {
		struct fl_der key = {.len = 77};
		struct fl_err err = {.text = ""};
		int rc = fl_pem_private_key(keys[i].text, strlen(keys[i].text), &key, &err);

		cr_assert_eq(rc, keys[i].says ? FL_ERR_INVALID : 0, "%s: %s", keys[i].text,
			     err.text);
		if (keys[i].says) {
			cr_assert(strstr(err.text, keys[i].says), "%s: %s", keys[i].text, err.text);
			cr_assert_eq(key.len, 77);
		} else {
			cr_assert_eq(key.len, 3);
			cr_assert_arr_eq(key.data, "Man", 3);
			fl_der_wipe(&key);
			cr_assert_null(key.data);
		}
	}
}

static const struct {
	const char *text, *says; /* NULL: good */
	size_t chain;
} bundles[] = {
	{KEY CERTIFICATE, NULL, 1},
	{KEY CERTIFICATE CERTIFICATE, NULL, 2},
	{BLOCK("EC PRIVATE KEY", BODY) CERTIFICATE, NULL, 1},
	{"", "key first and then the chain: it is empty", 0},
	{KEY, "certificates that follow the key", 0},
	{CERTIFICATE KEY, "key first and then the chain", 0},
	{KEY CERTIFICATE KEY, "block 3 (line 7) is \"PRIVATE KEY\"", 0},
	{KEY BLOCK("X509 CRL", BODY) CERTIFICATE, "block 2 (line 4) is \"X509 CRL\"", 0},
	{BLOCK("ENCRYPTED PRIVATE KEY", BODY) CERTIFICATE, "encrypted key", 0},
	{KEY "-----BEGIN CERTIFICATE-----\n" BODY, "block 2 (line 4) is cut off", 0},
};

Test(pem, credential_bundle)
{
	for (size_t i = 0; i < FL_COUNT_OF(bundles); i++) {
		struct fl_der key = {.len = 77};
		struct fl_der_list chain = {.count = 77};
		struct fl_err err = {.text = ""};
		int rc = fl_pem_credential_bundle(bundles[i].text, strlen(bundles[i].text), &key,
						  &chain, &err);

		cr_assert_eq(rc, bundles[i].says ? FL_ERR_INVALID : 0, "%s: %s", bundles[i].text,
			     err.text);
		if (bundles[i].says) {
			cr_assert(strstr(err.text, bundles[i].says), "%s: %s", bundles[i].text,
				  err.text);
			cr_assert(key.len == 77 && chain.count == 77);
		} else {
			cr_assert_eq(key.len, 3);
			cr_assert_eq(chain.count, bundles[i].chain);
			fl_der_wipe(&key);
			fl_der_list_done(&chain);
		}
	}
}

/* The same as real tools write it. */
static const struct {
	const char *file, *says; /* NULL: a key */
} key_files[] = {
	{"p256.key", NULL},
	{"p256.sec1.key", NULL},
	{"p256.params.key", NULL},
	{"rsa2048.pkcs1.key", NULL},
	{"p256.encrypted.key", "is an encrypted key"},
	{"rsa2048.encrypted.key", "is an encrypted key"},
	{"p256.key.der", "this is binary (DER)"},
	{"p256.crt", "a certificate where the private key belongs"},
	{"p256.pub", "a public key"},
	{"p256.csr", "a certificate where"},
	{"p256.bundle", "block 2"},
};

Test(pem, key_files)
{
	for (size_t i = 0; i < FL_COUNT_OF(key_files); i++) {
		struct fl_err err = {.text = ""};
		struct fl_der key;
		size_t len;
		char *text = fl_fixture(key_files[i].file, &len);
		int rc = fl_pem_private_key(text, len, &key, &err);

		cr_assert_eq(rc, key_files[i].says ? FL_ERR_INVALID : 0, "%s: %s",
			     key_files[i].file, err.text);
		cr_assert(!key_files[i].says || strstr(err.text, key_files[i].says), "%s: %s",
			  key_files[i].file, err.text);
		if (rc == 0) {
			fl_der_wipe(&key);
		}
		free(text);
	}
}

/* No prefix of a chain passes for a shorter chain unless it ends between two blocks (or within the
 * first four dashes of the next, which could be text). */
Test(pem, truncated)
{
	static const char end[] = "-----END CERTIFICATE-----";
	size_t len, passed = 0;
	char *text = fl_fixture("two-intermediates.crt", &len);
	struct fl_der_list list;

	for (size_t cut = 1; cut < len; cut++) {
		char *copy = fl_strndup(text, cut);

		if (fl_pem_certificates(copy, cut, false, &list, NULL) == 0) {
			cr_assert(strstr(copy + cut - sizeof(end) - 4, end), "cut at %zu", cut);
			passed++;
			fl_der_list_done(&list);
		}
		free(copy);
	}
	/* END's last dash, its line end, four dashes; twice, and END's last dash of the third. */
	cr_assert_eq(passed, 2 * 6 + 1);
	free(text);
}
