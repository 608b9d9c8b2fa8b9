/* SPDX-License-Identifier: GPL-3.0-or-later */
/* crl - read with the cursor of asn1.h; only dates and signatures are wolfCrypt's business.
 *
 * Two CAs may have one name (all of SPIRE's have), so a list is tied to the key that signed it: a
 * certificate whose authority key identifier tells of another key is not meant. One without that
 * extension is judged by the issuer's name alone. Names are compared byte by byte, as wolfSSL does
 * when it looks for issuers.
 *
 * Fails with FL_ERR_INVALID and a sentence. Judging a certificate cannot fail: what does not parse
 * counts as revoked, and no memory is needed. */
#include <wolfssl/wolfcrypt/settings.h>

#include <wolfssl/wolfcrypt/asn.h>
#include <wolfssl/wolfcrypt/error-crypt.h>

#include "pki/crl.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "pki/asn1.h"
#include "pki/key.h"

#define OID(...)                                                                                   \
	{                                                                                          \
		(const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__})             \
	}

static const struct fl_span oid_subject_key_id = OID(0x55, 0x1d, 0x0e);
static const struct fl_span oid_authority_key_id = OID(0x55, 0x1d, 0x23);
static const struct fl_span oid_delta = OID(0x55, 0x1d, 0x1b);

static const struct {
	struct fl_span oid;
	word32 wolf;
} algorithms[] = {
	{OID(0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02), CTC_SHA256wECDSA},
	{OID(0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03), CTC_SHA384wECDSA},
	{OID(0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x04), CTC_SHA512wECDSA},
	{OID(0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b), CTC_SHA256wRSA},
	{OID(0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0c), CTC_SHA384wRSA},
	{OID(0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0d), CTC_SHA512wRSA},
	{OID(0x2b, 0x65, 0x70), CTC_ED25519},
	{OID(0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a), CTC_RSASSAPSS},
};

/* Hashes that RSA-PSS may name; what it does not name is SHA-1 (RFC 4055 section 3.1). */
static const struct fl_span pss_hashes[] = {
	OID(0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01),
	OID(0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02),
	OID(0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03),
};

/* --- pieces ------------------------------------------------------------------------------------- */

static struct fl_span span_of(const struct fl_der *der)
{
	return (struct fl_span){der->data, der->len};
}

static bool is_next(struct fl_span in, enum fl_asn1_tag tag)
{
	return in.len > 0 && in.data[0] == tag;
}

/* Takes an element that may be absent; *ret is then empty. False: it is there, and broken. */
static bool take_optional(struct fl_span *in, enum fl_asn1_tag tag, struct fl_span *ret)
{
	*ret = (struct fl_span){0};
	return !is_next(*in, tag) || fl_asn1_take(in, tag, ret);
}

/* How the same number may be written twice shall make no difference. */
static struct fl_span without_zeros(struct fl_span number)
{
	while (number.len > 1 && number.data[0] == 0) {
		number.data++;
		number.len--;
	}
	return number;
}

static bool take_serial(struct fl_span *in, struct fl_span *ret)
{
	struct fl_span number;

	if (!fl_asn1_take(in, FL_ASN1_INTEGER, &number) || number.len == 0) {
		return false;
	}
	*ret = without_zeros(number);
	return true;
}

static int compare_spans(const void *a, const void *b)
{
	const struct fl_span *first = a, *second = b;

	if (first->len != second->len) {
		return first->len < second->len ? -1 : 1;
	}
	return memcmp(first->data, second->data, first->len);
}

static bool take_time(struct fl_span *in, int64_t *ret)
{
	enum fl_asn1_tag tag =
		is_next(*in, FL_ASN1_UTC_TIME) ? FL_ASN1_UTC_TIME : FL_ASN1_GENERALIZED_TIME;
	/* What wolfCrypt reads has to have all of its digits, and a Z. */
	size_t len = tag == FL_ASN1_UTC_TIME ? 13 : 15;
	struct fl_span text;
	struct tm tm = {0};

	if (!fl_asn1_take(in, tag, &text) || text.len != len || text.data[len - 1] != 'Z') {
		return false;
	}
	for (size_t i = 0; i < len - 1; i++) {
		if (text.data[i] < '0' || text.data[i] > '9') {
			return false;
		}
	}
	if (wc_GetDateAsCalendarTime(text.data, (int)len, (byte)tag, &tm) != 0) {
		return false;
	}
	*ret = (int64_t)timegm(&tm);
	return true;
}

/* --- extensions --------------------------------------------------------------------------------- */

struct extension {
	struct fl_span oid, value;
	bool critical;
};

static bool take_extension(struct fl_span *list, struct extension *ret)
{
	struct fl_span body, flag;

	*ret = (struct extension){0};
	if (!fl_asn1_take(list, FL_ASN1_SEQUENCE, &body) ||
	    !fl_asn1_take(&body, FL_ASN1_OID, &ret->oid) ||
	    !take_optional(&body, FL_ASN1_BOOLEAN, &flag) ||
	    !fl_asn1_take(&body, FL_ASN1_OCTET_STRING, &ret->value) || body.len > 0) {
		return false;
	}
	ret->critical = flag.len > 0 && flag.data[0] != 0;
	return true;
}

/* The value of an extension; empty: it is not there. False: the list is broken. */
static bool find_extension(struct fl_span list, struct fl_span oid, struct fl_span *ret)
{
	struct extension extension;

	*ret = (struct fl_span){0};
	while (list.len > 0) {
		if (!take_extension(&list, &extension)) {
			return false;
		}
		if (fl_span_equal(extension.oid, oid)) {
			*ret = extension.value;
		}
	}
	return true;
}

static int check_extensions(struct fl_span list, struct fl_err *err)
{
	struct extension extension;

	while (list.len > 0) {
		if (!take_extension(&list, &extension)) {
			return fl_err_set(err, FL_ERR_INVALID, "an extension does not parse");
		}
		if (fl_span_equal(extension.oid, oid_delta)) {
			return fl_err_set(err, FL_ERR_INVALID,
					  "it is a delta CRL, have the CA make a complete one");
		}
		if (extension.critical) {
			return fl_err_set(err, FL_ERR_INVALID,
					  "it has a critical extension that is unknown here; lists "
					  "of one CA that cover all of its certificates are "
					  "supported, and no others");
		}
	}
	return 0;
}

/* --- a certificate ------------------------------------------------------------------------------ */

struct certificate {
	struct fl_span serial, issuer, extensions;
};

static bool read_certificate(struct fl_span der, struct certificate *ret)
{
	struct fl_span body, tbs, skip, wrapped;

	ret->extensions = (struct fl_span){0};
	/* version, serial number, signature, issuer, validity, subject, key, two unique IDs */
	if (!fl_asn1_take(&der, FL_ASN1_SEQUENCE, &body) ||
	    !fl_asn1_take(&body, FL_ASN1_SEQUENCE, &tbs) ||
	    !take_optional(&tbs, FL_ASN1_CONTEXT_0, &skip) || !take_serial(&tbs, &ret->serial) ||
	    !fl_asn1_take(&tbs, FL_ASN1_SEQUENCE, &skip) ||
	    !fl_asn1_take(&tbs, FL_ASN1_SEQUENCE, &ret->issuer) ||
	    !fl_asn1_take(&tbs, FL_ASN1_SEQUENCE, &skip) ||
	    !fl_asn1_take(&tbs, FL_ASN1_SEQUENCE, &skip) ||
	    !fl_asn1_take(&tbs, FL_ASN1_SEQUENCE, &skip) ||
	    !take_optional(&tbs, FL_ASN1_UNIQUE_1, &skip) ||
	    !take_optional(&tbs, FL_ASN1_UNIQUE_2, &skip) ||
	    !take_optional(&tbs, FL_ASN1_CONTEXT_3, &wrapped)) {
		return false;
	}
	return wrapped.len == 0 || fl_asn1_take(&wrapped, FL_ASN1_SEQUENCE, &ret->extensions);
}

/* Whose key signed what has these extensions, as far as they say; empty: they do not. False: broken. */
static bool authority_key_id(struct fl_span extensions, struct fl_span *ret)
{
	struct fl_span value, body;

	*ret = (struct fl_span){0};
	if (!find_extension(extensions, oid_authority_key_id, &value)) {
		return false;
	}
	return value.len == 0 || (fl_asn1_take(&value, FL_ASN1_SEQUENCE, &body) &&
				  take_optional(&body, FL_ASN1_KEY_ID, ret));
}

static bool subject_key_id(const struct certificate *certificate, struct fl_span *ret)
{
	struct fl_span value;

	*ret = (struct fl_span){0};
	return find_extension(certificate->extensions, oid_subject_key_id, &value) &&
	       (value.len == 0 || fl_asn1_take(&value, FL_ASN1_OCTET_STRING, ret));
}

/* --- parsing ------------------------------------------------------------------------------------ */

static int parse_entries(struct fl_span list, struct fl_crl *crl, struct fl_err *err)
{
	size_t cap = 0;

	while (list.len > 0) {
		struct fl_span entry, extensions;
		int64_t when;
		int rc;

		if (crl->count == cap) {
			cap = cap * 2 + 16;
			crl->serials = fl_grow(crl->serials, cap, sizeof(*crl->serials));
		}
		if (!fl_asn1_take(&list, FL_ASN1_SEQUENCE, &entry) ||
		    !take_serial(&entry, &crl->serials[crl->count]) || !take_time(&entry, &when) ||
		    !take_optional(&entry, FL_ASN1_SEQUENCE, &extensions) || entry.len > 0) {
			return fl_err_set(err, FL_ERR_INVALID, "entry %zu does not parse",
					  crl->count + 1);
		}
		rc = check_extensions(extensions, err);
		if (rc < 0) {
			return fl_err_prefix(err, "entry %zu", crl->count + 1);
		}
		crl->count++;
	}
	if (crl->count > 0) {
		qsort(crl->serials, crl->count, sizeof(*crl->serials), compare_spans);
	}
	return 0;
}

static int parse_dates(struct fl_span *tbs, struct fl_crl *crl, struct fl_err *err)
{
	if (!take_time(tbs, &crl->this_update)) {
		return fl_err_set(err, FL_ERR_INVALID, "its thisUpdate does not parse");
	}
	if (!is_next(*tbs, FL_ASN1_UTC_TIME) && !is_next(*tbs, FL_ASN1_GENERALIZED_TIME)) {
		return fl_err_set(
			err, FL_ERR_INVALID,
			"it does not say when the next one is due (nextUpdate), which RFC "
			"5280 asks of every CRL");
	}
	if (!take_time(tbs, &crl->next_update)) {
		return fl_err_set(err, FL_ERR_INVALID, "its nextUpdate does not parse");
	}
	return 0;
}

/* The content of the part that is signed. */
static int parse_tbs(struct fl_span tbs, struct fl_crl *crl, struct fl_err *err)
{
	struct fl_span version, algorithm, entries, wrapped, extensions = {0};
	int rc;

	if (!take_optional(&tbs, FL_ASN1_INTEGER, &version) ||
	    !fl_asn1_take(&tbs, FL_ASN1_SEQUENCE, &algorithm) ||
	    !fl_asn1_take(&tbs, FL_ASN1_SEQUENCE, &crl->issuer)) {
		return fl_err_set(err, FL_ERR_INVALID, "it is not the DER of a CRL");
	}
	/* Version 2 is the number 1; the first version is not written. */
	if (version.len > 0 && (version.len != 1 || version.data[0] != 1)) {
		return fl_err_set(err, FL_ERR_INVALID, "its version is unknown");
	}
	if (!fl_span_equal(algorithm, crl->algorithm)) {
		return fl_err_set(err, FL_ERR_INVALID,
				  "it names two different signature algorithms");
	}
	rc = parse_dates(&tbs, crl, err);
	if (rc < 0) {
		return rc;
	}
	if (!take_optional(&tbs, FL_ASN1_SEQUENCE, &entries) ||
	    !take_optional(&tbs, FL_ASN1_CONTEXT_0, &wrapped) || tbs.len > 0 ||
	    (wrapped.len > 0 && !fl_asn1_take(&wrapped, FL_ASN1_SEQUENCE, &extensions)) ||
	    wrapped.len > 0) {
		return fl_err_set(err, FL_ERR_INVALID, "it is not the DER of a CRL");
	}
	rc = check_extensions(extensions, err);
	if (rc == 0 && !authority_key_id(extensions, &crl->authority)) {
		rc = fl_err_set(err, FL_ERR_INVALID, "its authority key identifier does not parse");
	}
	return rc < 0 ? rc : parse_entries(entries, crl, err);
}

static int parse(struct fl_crl *crl, struct fl_err *err)
{
	struct fl_span rest = span_of(&crl->der), body, tbs, bits;

	if (!fl_asn1_take(&rest, FL_ASN1_SEQUENCE, &body) || rest.len > 0 ||
	    crl->der.len > INT_MAX) {
		return fl_err_set(err, FL_ERR_INVALID, "it is not the DER of a CRL, or cut off");
	}
	crl->tbs.data = body.data;
	if (!fl_asn1_take(&body, FL_ASN1_SEQUENCE, &tbs)) {
		return fl_err_set(err, FL_ERR_INVALID, "it is not the DER of a CRL");
	}
	crl->tbs.len = (size_t)(body.data - crl->tbs.data);
	if (!fl_asn1_take(&body, FL_ASN1_SEQUENCE, &crl->algorithm) ||
	    !fl_asn1_take(&body, FL_ASN1_BIT_STRING, &bits) || body.len > 0 || bits.len < 2 ||
	    bits.data[0] != 0) {
		return fl_err_set(err, FL_ERR_INVALID, "it is not the DER of a CRL");
	}
	/* The first byte counts unused bits. */
	crl->signature = (struct fl_span){bits.data + 1, bits.len - 1};
	return parse_tbs(tbs, crl, err);
}

int fl_crl_parse(struct fl_der *der, struct fl_crl *ret, struct fl_err *err)
{
	int rc;

	*ret = (struct fl_crl){.der = *der, .bundle = FL_CRL_LOOSE};
	*der = (struct fl_der){0};
	rc = parse(ret, err);
	if (rc < 0) {
		fl_crl_done(ret);
	}
	return rc;
}

void fl_crl_done(struct fl_crl *crl)
{
	free(crl->der.data);
	free(crl->issuer_key_id.data);
	free(crl->serials);
	*crl = (struct fl_crl){0};
}

/* --- whose it is -------------------------------------------------------------------------------- */

bool fl_crl_names(const struct fl_crl *crl, struct fl_span ca)
{
	struct fl_public_key key = {.kind = FL_KEY_UNKNOWN};
	struct certificate certificate;
	struct fl_span key_id;

	if (fl_key_of_certificate(ca, &key, NULL) != 0 ||
	    !fl_span_equal(key.subject, crl->issuer) || !read_certificate(ca, &certificate) ||
	    !subject_key_id(&certificate, &key_id)) {
		return false;
	}
	return crl->authority.len == 0 || key_id.len == 0 || fl_span_equal(crl->authority, key_id);
}

/* wolfCrypt takes whatever RSA-PSS says, and SHA-1 where it says nothing. */
static bool has_good_pss_hash(struct fl_span parameters)
{
	struct fl_span fields, wrapped, algorithm, oid;

	if (!fl_asn1_take(&parameters, FL_ASN1_SEQUENCE, &fields) ||
	    !fl_asn1_take(&fields, FL_ASN1_CONTEXT_0, &wrapped) ||
	    !fl_asn1_take(&wrapped, FL_ASN1_SEQUENCE, &algorithm) ||
	    !fl_asn1_take(&algorithm, FL_ASN1_OID, &oid)) {
		return false;
	}
	for (size_t i = 0; i < FL_COUNT_OF(pss_hashes); i++) {
		if (fl_span_equal(oid, pss_hashes[i])) {
			return true;
		}
	}
	return false;
}

/* wolfCrypt's number of the algorithm; 0: not supported. */
static word32 algorithm_of(const struct fl_crl *crl, struct fl_span *ret_parameters)
{
	struct fl_span oid;
	word32 wolf = 0;

	*ret_parameters = crl->algorithm;
	if (!fl_asn1_take(ret_parameters, FL_ASN1_OID, &oid)) {
		return 0;
	}
	for (size_t i = 0; i < FL_COUNT_OF(algorithms) && wolf == 0; i++) {
		wolf = fl_span_equal(oid, algorithms[i].oid) ? algorithms[i].wolf : 0;
	}
	return wolf == CTC_RSASSAPSS && !has_good_pss_hash(*ret_parameters) ? 0 : wolf;
}

/* 0 or a wolfCrypt error. */
static int verify_signature(const struct fl_crl *crl, word32 algorithm, struct fl_span parameters,
			    struct fl_span ca)
{
	struct DecodedCert cert;
	SignatureCtx context;
	int rc;

	wc_InitDecodedCert(&cert, ca.data, (word32)ca.len, NULL);
	rc = wc_ParseCert(&cert, CA_TYPE, NO_VERIFY, NULL);
	if (rc == 0 && (cert.extKeyUsage & KEYUSE_CRL_SIGN) == 0) {
		rc = ASN_CRL_NO_SIGNER_E;
	}
	if (rc == 0) {
		/* VerifyCRL_Signature() does the same, and hides why it has failed. */
		InitSignatureCtx(&context, NULL, INVALID_DEVID);
		rc = ConfirmSignature(&context, crl->tbs.data, (word32)crl->tbs.len, cert.publicKey,
				      cert.pubKeySize, cert.keyOID, crl->signature.data,
				      (word32)crl->signature.len, algorithm, parameters.data,
				      (word32)parameters.len, NULL);
	}
	wc_FreeDecodedCert(&cert);
	return rc;
}

int fl_crl_check(const struct fl_crl *crl, struct fl_span ca, struct fl_err *err)
{
	struct fl_span parameters;
	word32 algorithm = algorithm_of(crl, &parameters);

	if (algorithm == 0) {
		return fl_err_set(
			err, FL_ERR_INVALID,
			"its signature algorithm is not supported; ECDSA and RSA (PKCS #1 "
			"v1.5 or PSS) with SHA-256, SHA-384 or SHA-512, and Ed25519 are");
	}
	switch (verify_signature(crl, algorithm, parameters, ca)) {
	case 0:
		return 0;
	case WC_NO_ERR_TRACE(MEMORY_E):
		return fl_err_set(err, FL_ERR_NOMEM, "out of memory");
	case WC_NO_ERR_TRACE(ASN_CRL_NO_SIGNER_E):
		return fl_err_set(err, FL_ERR_INVALID,
				  "its CA may not sign CRLs, its key usage lacks cRLSign: have the "
				  "CA's certificate made anew with it");
	default:
		return fl_err_set(err, FL_ERR_INVALID,
				  "its signature does not verify under the CA that it names: it is "
				  "damaged, or another CA of that name has made it");
	}
}

int fl_crl_verify(struct fl_crl *crl, size_t bundle, struct fl_span ca, struct fl_err *err)
{
	struct certificate certificate;
	struct fl_span key_id;
	int rc = fl_crl_check(crl, ca, err);

	if (rc == 0 &&
	    (!read_certificate(ca, &certificate) || !subject_key_id(&certificate, &key_id))) {
		rc = fl_err_set(err, FL_ERR_INVALID, "the certificate of its CA does not parse");
	}
	if (rc == 0) {
		free(crl->issuer_key_id.data);
		fl_der_copy(&crl->issuer_key_id, key_id.data, key_id.len);
		crl->bundle = bundle;
	}
	return rc;
}

/* --- judging ------------------------------------------------------------------------------------ */

bool fl_crl_revokes(const struct fl_crl *crl, struct fl_span certificate)
{
	struct certificate read;
	struct fl_span key_id;

	if (!read_certificate(certificate, &read)) {
		return true;
	}
	if (crl->count == 0 || !fl_span_equal(read.issuer, crl->issuer) ||
	    bsearch(&read.serial, crl->serials, crl->count, sizeof(*crl->serials), compare_spans) ==
		    NULL) {
		return false;
	}
	return !authority_key_id(read.extensions, &key_id) || key_id.len == 0 ||
	       crl->issuer_key_id.len == 0 || fl_span_equal(key_id, span_of(&crl->issuer_key_id));
}

bool fl_crl_is_late(const struct fl_crl *crl, int64_t now)
{
	return now > crl->next_update;
}

const char *fl_crl_serial_text(struct fl_span certificate, char buf[FL_SERIAL_TEXT])
{
	static const char digits[] = "0123456789abcdef";
	struct certificate read = {0};
	size_t at = 2;

	(void)read_certificate(certificate, &read);
	memcpy(buf, "0x", 2);
	/* RFC 5280: no more than 20 bytes. */
	for (size_t i = 0; i < read.serial.len && i < 20; i++) {
		buf[at++] = digits[read.serial.data[i] >> 4];
		buf[at++] = digits[read.serial.data[i] & 15];
	}
	memcpy(buf + at, read.serial.len > 20 ? "..." : "", read.serial.len > 20 ? 4 : 1);
	return buf;
}
