/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The form of public keys: the one that its RFC requires is accepted, others of the same key are
 * not. So no key has two forms, and equal keys have equal bytes. */
#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "fixture.h"
#include "pki/asn1.h"
#include "pki/cert.h"
#include "pki/pem.h"

struct bytes {
	uint8_t data[1024];
	size_t len;
};

static struct fl_span span(const struct bytes *bytes)
{
	return (struct fl_span){bytes->data, bytes->len};
}

static void add(struct bytes *to, struct fl_span more)
{
	cr_assert_leq(to->len + more.len, sizeof(to->data));
	for (size_t i = 0; i < more.len; i++) {
		to->data[to->len++] = more.data[i];
	}
}

/* Appends an element: its content is two spans, of less than 64 KiB. */
static void add_element(struct bytes *to, enum fl_asn1_tag tag, struct fl_span first,
			struct fl_span second)
{
	size_t len = first.len + second.len;
	const uint8_t longest[] = {(uint8_t)tag, 0x82, (uint8_t)(len >> 8), (uint8_t)len},
		      longer[] = {(uint8_t)tag, 0x81, (uint8_t)len},
		      shortest[] = {(uint8_t)tag, (uint8_t)len};

	add(to, len < 0x80  ? (struct fl_span){shortest, sizeof(shortest)}
		: len < 256 ? (struct fl_span){longer, sizeof(longer)}
			    : (struct fl_span){longest, sizeof(longest)});
	add(to, first);
	add(to, second);
}

static const struct fl_span nothing = {0}, zero = FL_OID(0x00), point_mark = FL_OID(0x40),
			    none = FL_OID(FL_ASN1_NULL, 0x00), one = FL_OID(FL_ASN1_INTEGER, 1, 1);

/* --- forms of the key itself: `key` is the content of the BIT STRING ----------------------------------- */

/* The contents of both INTEGERs: modulus with its zero byte, exponent. */
static void open_rsa(struct fl_span key, struct fl_span *ret_n, struct fl_span *ret_e)
{
	struct fl_span body;

	cr_assert(fl_asn1_take(&key, FL_ASN1_SEQUENCE, &body));
	cr_assert(fl_asn1_take(&body, FL_ASN1_INTEGER, ret_n));
	cr_assert(fl_asn1_take(&body, FL_ASN1_INTEGER, ret_e));
	cr_assert(ret_n->data[0] == 0 && ret_n->data[1] >= 0x80);
}

static void write_rsa(struct fl_span n_front, struct fl_span n, struct fl_span e_front,
		      struct fl_span e, struct fl_span more, struct bytes *ret)
{
	struct bytes integers = {0};

	add_element(&integers, FL_ASN1_INTEGER, n_front, n);
	add_element(&integers, FL_ASN1_INTEGER, e_front, e);
	add_element(ret, FL_ASN1_SEQUENCE, span(&integers), more);
}

/* Writes it anew: with something in front of modulus and exponent, and behind both. */
static void make_rsa(struct fl_span key, struct fl_span n_front, struct fl_span e_front,
		     struct fl_span more, struct bytes *ret)
{
	struct fl_span n, e;

	open_rsa(key, &n, &e);
	write_rsa(n_front, n, e_front, e, more, ret);
}

static void as_it_is(struct fl_span key, struct bytes *ret)
{
	add(ret, key);
}

static void rsa_anew(struct fl_span key, struct bytes *ret)
{
	make_rsa(key, nothing, nothing, nothing, ret);
}

static void rsa_three_integers(struct fl_span key, struct bytes *ret)
{
	make_rsa(key, nothing, nothing, one, ret);
}

static void rsa_long_modulus(struct fl_span key, struct bytes *ret)
{
	make_rsa(key, zero, nothing, nothing, ret);
}

static void rsa_long_exponent(struct fl_span key, struct bytes *ret)
{
	make_rsa(key, nothing, zero, nothing, ret);
}

static void rsa_negative_modulus(struct fl_span key, struct bytes *ret)
{
	struct fl_span n, e;

	open_rsa(key, &n, &e);
	write_rsa(nothing, (struct fl_span){n.data + 1, n.len - 1}, nothing, e, nothing, ret);
}

static void null_behind(struct fl_span key, struct bytes *ret)
{
	add(ret, key);
	add(ret, none);
}

static void zero_behind(struct fl_span key, struct bytes *ret)
{
	add(ret, key);
	add(ret, zero);
}

static void mark_before(struct fl_span key, struct bytes *ret)
{
	add(ret, point_mark);
	add(ret, key);
}

/* --- forms ------------------------------------------------------------------------------------------------------ */

#define RSA FL_ASN1_OID, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01
#define EC FL_ASN1_OID, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01
#define P256 FL_ASN1_OID, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07
#define P384 FL_ASN1_OID, 5, 0x2b, 0x81, 0x04, 0x00, 0x22
#define ED25519 FL_ASN1_OID, 3, 0x2b, 0x65, 0x70
#define NOTHING FL_ASN1_NULL, 0

/* algorithm: the content of the AlgorithmIdentifier. says: NULL: it is good, and the form of the certificate. */
static const struct {
	const char *name;
	struct fl_span algorithm;
	void (*change)(struct fl_span key, struct bytes *ret);
	const char *says;
} forms[] = {
	{"rsa2048", FL_OID(RSA, NOTHING), as_it_is, NULL},
	{"rsa2048", FL_OID(RSA, NOTHING), rsa_anew, NULL},
	{"p256", FL_OID(EC, P256), as_it_is, NULL},
	{"p384", FL_OID(EC, P384), as_it_is, NULL},
	{"ed25519", FL_OID(ED25519), as_it_is, NULL},

	{"rsa2048", FL_OID(RSA), as_it_is, "RSA and not written as RFC 3279 requires"},
	{"rsa2048", FL_OID(RSA, FL_ASN1_NULL, 1, 0), as_it_is, "RFC 3279"},
	{"rsa2048", FL_OID(RSA, NOTHING, NOTHING), as_it_is, "RFC 3279"},
	{"rsa2048", FL_OID(RSA, ED25519), as_it_is, "RFC 3279"},
	{"rsa2048", FL_OID(RSA, FL_ASN1_SEQUENCE, 0), as_it_is, "RFC 3279"},
	{"rsa2048", FL_OID(RSA, FL_ASN1_NULL), as_it_is, "RFC 3279"},
	{"rsa2048", FL_OID(RSA, NOTHING), rsa_three_integers, "RFC 3279"},
	{"rsa2048", FL_OID(RSA, NOTHING), rsa_long_modulus, "RFC 3279"},
	{"rsa2048", FL_OID(RSA, NOTHING), rsa_long_exponent, "RFC 3279"},
	{"rsa2048", FL_OID(RSA, NOTHING), rsa_negative_modulus, "RFC 3279"},
	{"rsa2048", FL_OID(RSA, NOTHING), null_behind, "RFC 3279"},
	{"p256", FL_OID(RSA, NOTHING), as_it_is, "RFC 3279"}, /* no RSAPublicKey at all */

	{"p256", FL_OID(EC, P256, NOTHING), as_it_is, "EC P-256 and not written as RFC 5480"},
	{"p256", FL_OID(EC, P256, P256), as_it_is, "RFC 5480"},
	{"p384", FL_OID(EC, P384, NOTHING), as_it_is, "EC P-384 and not written as RFC 5480"},
	{"p256", FL_OID(EC, P256), zero_behind, "uncompressed"},
	{"p256", FL_OID(EC), as_it_is, "another curve"},
	{"p256", FL_OID(EC, NOTHING), as_it_is, "another curve"},

	{"ed25519", FL_OID(ED25519, NOTHING), as_it_is, "Ed25519 and not written as RFC 8410"},
	{"ed25519", FL_OID(ED25519, ED25519), as_it_is, "RFC 8410"},
	{"ed25519", FL_OID(ED25519), mark_before, "RFC 8410"},
	{"ed25519", FL_OID(ED25519), zero_behind, "RFC 8410"},
};

static void read_certificate(const char *name, struct fl_der_list *ret_list, struct fl_cert *ret)
{
	char *file = fl_format("%s.crt", name);
	struct fl_err err;
	size_t len;
	char *text = fl_fixture(file, &len);

	cr_assert_eq(fl_pem_certificates(text, len, false, ret_list, &err), 0, "%s", err.text);
	cr_assert_eq(fl_cert_parse(fl_span_of(&ret_list->items[0]), ret, &err), FL_RULE_NONE, "%s",
		     err.text);
	free(text);
	free(file);
}

/* A SubjectPublicKeyInfo. */
static void make_info(struct fl_span algorithm, const struct bytes *key, struct bytes *ret)
{
	struct bytes body = {0};

	add_element(&body, FL_ASN1_SEQUENCE, algorithm, nothing);
	add_element(&body, FL_ASN1_BIT_STRING, zero, span(key));
	add_element(ret, FL_ASN1_SEQUENCE, span(&body), nothing);
}

Test(key, form)
{
	for (size_t i = 0; i < FL_COUNT_OF(forms); i++) {
		struct bytes key = {0}, info = {0};
		struct fl_err err = {.text = ""};
		struct fl_public_key read;
		struct fl_der_list list;
		struct fl_cert cert;
		int rc;

		read_certificate(forms[i].name, &list, &cert);
		forms[i].change(cert.key.bits, &key);
		make_info(forms[i].algorithm, &key, &info);
		cr_assert_eq(fl_key_of_info(span(&info), &read), 0, "%zu", i);
		rc = fl_key_check_kind(&read, &err);
		if (forms[i].says == NULL) {
			cr_assert_eq(rc, 0, "%zu: %s", i, err.text);
			cr_assert(fl_span_equal(span(&info), cert.key.info));
		} else {
			cr_assert_eq(rc, FL_ERR_INVALID, "%zu is accepted", i);
			cr_assert(strstr(err.text, forms[i].says), "%zu: %s", i, err.text);
			cr_assert_lt(strlen(err.text), 300, "the name of a file has to fit, too");
		}
		fl_der_list_done(&list);
	}
}

Test(key, holder)
{
	static const char *const names[] = {"rsa2048", "rsa-root",     "p256",
					    "p384",    "p256-renewed", "ed25519"};
	struct fl_der_list lists[FL_COUNT_OF(names)], list;
	struct fl_cert certs[FL_COUNT_OF(names)], twin;

	for (size_t i = 0; i < FL_COUNT_OF(names); i++) {
		read_certificate(names[i], &lists[i], &certs[i]);
		for (size_t k = 0; k < i; k++) {
			cr_assert(!fl_span_equal(fl_key_holder(&certs[i].key),
						 fl_key_holder(&certs[k].key)));
		}
	}
	read_certificate("other-rsa-exponent", &list, &twin);
	cr_assert(!fl_span_equal(twin.key.info, certs[1].key.info));
	cr_assert(fl_span_equal(fl_key_holder(&twin.key), fl_key_holder(&certs[1].key)));
	fl_der_list_done(&list);
	for (size_t i = 0; i < FL_COUNT_OF(names); i++) {
		fl_der_list_done(&lists[i]);
	}
}
