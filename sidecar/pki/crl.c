/* SPDX-License-Identifier: GPL-3.0-or-later */
/* crl - reads CRLs with the cursor of asn1.h; signature.h verifies signatures.
 *
 * Two CAs may have the same name (all CAs of SPIRE do), so a list is tied to the key that signed
 * it. It covers what that key has issued, and certificates from an issuer of that name that name no
 * key or this key, because a CA may have a new key. Key identifiers and key usage only say what a
 * list claims: one CA may have several certificates, which differ in both.
 *
 * Fails with FL_ERR_INVALID and a sentence. Judging a certificate cannot fail: one that does not
 * parse counts as revoked, and no memory is needed. */
#include "pki/crl.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "pki/asn1.h"
#include "pki/cert.h"
#include "pki/name.h"
#include "pki/signature.h"

#define SERIAL_BYTES 20u /* RFC 5280 section 4.1.2.2: no more */

static const struct fl_span oid_authority_key_id = FL_OID(0x55, 0x1d, 0x23);
static const struct fl_span oid_delta = FL_OID(0x55, 0x1d, 0x1b);
static const struct fl_span oid_distribution_point = FL_OID(0x55, 0x1d, 0x1c);

/* --- pieces ------------------------------------------------------------------------------------- */

static struct fl_span span_of(const struct fl_der *der)
{
	return (struct fl_span){der->data, der->len};
}

/* Two encodings of the same number must compare as equal. */
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
	    !fl_asn1_take_optional(&body, FL_ASN1_BOOLEAN, &flag) ||
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

/* Can we use a list of this kind? RFC 5280 section 5.2.5 defines several. */
static int read_distribution_point(struct fl_span value, struct fl_crl *crl, struct fl_err *err)
{
	static const char *const scopes[] = {NULL,
					     "onlyContainsUserCerts",
					     "onlyContainsCACerts",
					     "onlySomeReasons",
					     "indirectCRL",
					     "onlyContainsAttributeCerts"};
	struct fl_span body, content;
	uint8_t tag;

	if (!fl_asn1_take(&value, FL_ASN1_SEQUENCE, &body) || value.len > 0) {
		return fl_err_set(err, FL_ERR_INVALID,
				  "its issuing distribution point does not parse");
	}
	while (body.len > 0) {
		if (!fl_asn1_take_any(&body, &tag, &content) ||
		    (tag & 0x1fu) >= FL_COUNT_OF(scopes)) {
			return fl_err_set(err, FL_ERR_INVALID,
					  "its issuing distribution point does not parse");
		}
		tag &= 0x1f;
		/* 0: where to get the list. A flag that is false counts as absent. */
		if (tag == 0 || (tag != 3 && content.len == 1 && content.data[0] == 0)) {
			continue;
		}
		if (tag > 2) {
			return fl_err_set(
				err, FL_ERR_INVALID,
				"it covers only a part of the CA's certificates, or those of "
				"others (issuing distribution point, %s), which is not "
				"supported: have the CA issue a complete list",
				scopes[tag]);
		}
		crl->only_leaves = crl->only_leaves || tag == 1;
		crl->only_cas = crl->only_cas || tag == 2;
	}
	if (crl->only_leaves && crl->only_cas) {
		/* It counts against all of them. */
		crl->only_leaves = crl->only_cas = false;
		return fl_err_set(err, FL_ERR_INVALID,
				  "it covers nothing: its issuing distribution point says both "
				  "onlyContainsUserCerts and onlyContainsCACerts");
	}
	return 0;
}

/* crl: NULL for the extensions of an entry. */
static int check_extensions(struct fl_span list, struct fl_crl *crl, struct fl_err *err)
{
	struct extension extension;

	while (list.len > 0) {
		if (!take_extension(&list, &extension)) {
			return fl_err_set(err, FL_ERR_INVALID, "an extension does not parse");
		}
		if (fl_span_equal(extension.oid, oid_delta)) {
			return fl_err_set(err, FL_ERR_INVALID,
					  "it is a delta CRL: have the CA issue a complete list");
		}
		if (crl && fl_span_equal(extension.oid, oid_distribution_point)) {
			int rc = read_distribution_point(extension.value, crl, err);

			if (rc < 0) {
				return rc;
			}
		} else if (extension.critical) {
			return fl_err_set(err, FL_ERR_INVALID,
					  "it has an unknown critical extension; only lists of "
					  "one CA that cover all of its certificates are "
					  "supported");
		}
	}
	return 0;
}

/* Finds the identifier of the signing key in these extensions; empty: there is none. False: they
 * are malformed. */
static bool authority_key_id(struct fl_span extensions, struct fl_span *ret)
{
	struct fl_span value, body;

	*ret = (struct fl_span){0};
	if (!find_extension(extensions, oid_authority_key_id, &value)) {
		return false;
	}
	return value.len == 0 || (fl_asn1_take(&value, FL_ASN1_SEQUENCE, &body) &&
				  fl_asn1_take_optional(&body, FL_ASN1_KEY_ID, ret));
}

/* A CA may have a list for each of several distribution points (RFC 5280 section 5.2.5). Empty: this
 * list names none, or is broken; check_extensions() handles that. */
static struct fl_span point_of(struct fl_span extensions)
{
	struct fl_span value, body, point = {0};

	if (find_extension(extensions, oid_distribution_point, &value) &&
	    fl_asn1_take(&value, FL_ASN1_SEQUENCE, &body)) {
		(void)fl_asn1_take_optional(&body, FL_ASN1_CONTEXT_0, &point);
	}
	return point;
}

/* --- parsing ------------------------------------------------------------------------------------ */

/* Records that we cannot use the list. */
static int note_unusable(struct fl_crl *crl, const struct fl_err *why)
{
	crl->unusable = fl_strdup(why->text);
	return 0;
}

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
		    !take_serial(&entry, &crl->serials[crl->count]) ||
		    !fl_asn1_take_time(&entry, &when) ||
		    !fl_asn1_take_optional(&entry, FL_ASN1_SEQUENCE, &extensions) ||
		    entry.len > 0) {
			return fl_err_set(err, FL_ERR_INVALID, "entry %zu does not parse",
					  crl->count + 1);
		}
		rc = check_extensions(extensions, NULL, err);
		if (rc < 0) {
			(void)fl_err_prefix(err, "entry %zu", crl->count + 1);
			return note_unusable(crl, err);
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
	if (!fl_asn1_take_time(tbs, &crl->this_update)) {
		return fl_err_set(err, FL_ERR_INVALID, "its thisUpdate does not parse");
	}
	if (!fl_asn1_is_next(*tbs, FL_ASN1_UTC_TIME) &&
	    !fl_asn1_is_next(*tbs, FL_ASN1_GENERALIZED_TIME)) {
		return fl_err_set(
			err, FL_ERR_INVALID,
			"it does not say when the next one is due (nextUpdate), which RFC 5280 "
			"requires of every CRL");
	}
	if (!fl_asn1_take_time(tbs, &crl->next_update)) {
		return fl_err_set(err, FL_ERR_INVALID, "its nextUpdate does not parse");
	}
	return 0;
}

/* The content of the part that is signed. */
static int parse_tbs(struct fl_span tbs, struct fl_crl *crl, struct fl_err *err)
{
	struct fl_span version, algorithm, entries, wrapped, extensions = {0};
	int rc;

	if (!fl_asn1_take_optional(&tbs, FL_ASN1_INTEGER, &version) ||
	    !fl_asn1_take(&tbs, FL_ASN1_SEQUENCE, &algorithm) ||
	    !fl_asn1_take(&tbs, FL_ASN1_SEQUENCE, &crl->issuer)) {
		return fl_err_set(err, FL_ERR_INVALID, "it is not the DER of a CRL");
	}
	if (crl->issuer.len == 0 || !fl_name_is_good(crl->issuer)) {
		return fl_err_set(err, FL_ERR_INVALID, "the name of its issuer does not parse");
	}
	crl->issuer_hash = fl_name_hash(crl->issuer);
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
	if (!fl_asn1_take_optional(&tbs, FL_ASN1_SEQUENCE, &entries) ||
	    !fl_asn1_take_optional(&tbs, FL_ASN1_CONTEXT_0, &wrapped) || tbs.len > 0 ||
	    (wrapped.len > 0 && !fl_asn1_take(&wrapped, FL_ASN1_SEQUENCE, &extensions)) ||
	    wrapped.len > 0) {
		return fl_err_set(err, FL_ERR_INVALID, "it is not the DER of a CRL");
	}
	if (!authority_key_id(extensions, &crl->authority)) {
		return fl_err_set(err, FL_ERR_INVALID,
				  "its authority key identifier does not parse");
	}
	/* An unusable list still shows which certificates it covers. */
	crl->point = point_of(extensions);
	rc = check_extensions(extensions, crl, err);
	if (rc < 0) {
		return note_unusable(crl, err);
	}
	rc = parse_entries(entries, crl, err);
	if (rc == 0 && !crl->unusable &&
	    fl_signature_check_algorithm(crl->algorithm) != FL_RULE_NONE) {
		(void)fl_err_set(err, FL_ERR_INVALID,
				 "its signature algorithm is not supported; ECDSA and RSA (PKCS #1 "
				 "v1.5 or PSS) with SHA-256, SHA-384 or SHA-512, and Ed25519 are");
		return note_unusable(crl, err);
	}
	return rc;
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
	struct fl_err local;
	int rc;

	*ret = (struct fl_crl){.der = *der, .bundle = FL_CRL_LOOSE};
	*der = (struct fl_der){0};
	rc = parse(ret, err ? err : &local);
	if (rc < 0) {
		fl_crl_done(ret);
	}
	return rc;
}

void fl_crl_done(struct fl_crl *crl)
{
	free(crl->der.data);
	free(crl->issuer_key_id.data);
	free(crl->signer.data);
	free(crl->unusable);
	free(crl->serials);
	*crl = (struct fl_crl){0};
}

/* --- whose it is -------------------------------------------------------------------------------- */

static bool is_named(const struct fl_crl *crl, const struct fl_cert *ca)
{
	return fl_name_equal(ca->subject, crl->issuer) &&
	       (crl->authority.len == 0 || ca->key_id.len == 0 ||
		fl_span_equal(crl->authority, ca->key_id));
}

bool fl_crl_names(const struct fl_crl *crl, struct fl_span ca)
{
	struct fl_cert cert;

	return fl_cert_parse(ca, &cert, NULL) == FL_RULE_NONE && is_named(crl, &cert);
}

/* Whether key usage allows it is another question. */
static int check_signature(const struct fl_crl *crl, const struct fl_cert *ca, enum fl_rule *ret)
{
	const struct fl_signed what = {crl->tbs, crl->algorithm, crl->signature};

	return fl_signature_check(&what, &ca->key, ret);
}

int fl_crl_verify(struct fl_crl *crl, size_t bundle, struct fl_span ca, struct fl_err *err)
{
	enum fl_rule rule = FL_RULE_NONE;
	struct fl_cert cert;

	if (fl_cert_parse(ca, &cert, err) != FL_RULE_NONE) {
		return fl_err_set(err, FL_ERR_INVALID, "the certificate of its CA does not parse");
	}
	if (cert.has_key_usage && !(cert.key_usage & FL_KU_CRL_SIGN)) {
		return fl_err_set(err, FL_ERR_INVALID,
				  "its CA may not sign CRLs, because its key usage lacks "
				  "cRLSign: have the CA's certificate issued again with it");
	}
	if (check_signature(crl, &cert, &rule) < 0) {
		return fl_err_set(err, FL_ERR_NOMEM, "out of memory");
	}
	if (rule != FL_RULE_NONE) {
		return fl_err_set(err, FL_ERR_INVALID,
				  "its signature does not verify under the CA that it names: it "
				  "is damaged, or another CA of that name has signed it");
	}
	free(crl->issuer_key_id.data);
	fl_der_copy(&crl->issuer_key_id, cert.key_id.data, cert.key_id.len);
	free(crl->signer.data);
	fl_der_copy(&crl->signer, cert.key.info.data, cert.key.info.len);
	crl->bundle = bundle;
	return 0;
}

bool fl_crl_may_be_by(const struct fl_crl *crl, struct fl_span ca)
{
	enum fl_rule rule = FL_RULE_NONE;
	struct fl_cert cert;

	if (fl_cert_parse(ca, &cert, NULL) != FL_RULE_NONE ||
	    !fl_name_equal(cert.subject, crl->issuer)) {
		return false;
	}
	return (crl->signer.len > 0 && fl_span_equal(cert.key.info, span_of(&crl->signer))) ||
	       check_signature(crl, &cert, &rule) < 0 || rule != FL_RULE_SIGNATURE;
}

/* --- judging ------------------------------------------------------------------------------------ */

bool fl_crl_lists(const struct fl_crl *crl, const struct fl_cert *cert)
{
	struct fl_span serial = without_zeros(cert->serial);

	if (cert->issuer_hash != crl->issuer_hash || (crl->only_leaves && cert->is_ca) ||
	    (crl->only_cas && !cert->is_ca) || !fl_name_equal(cert->issuer, crl->issuer)) {
		return false;
	}
	return crl->unusable != NULL ||
	       (crl->count > 0 && bsearch(&serial, crl->serials, crl->count, sizeof(*crl->serials),
					  compare_spans) != NULL);
}

bool fl_crl_fits_key_id(const struct fl_crl *crl, const struct fl_cert *cert)
{
	return cert->authority_key_id.len == 0 || crl->issuer_key_id.len == 0 ||
	       fl_span_equal(cert->authority_key_id, span_of(&crl->issuer_key_id));
}

bool fl_crl_is_late(const struct fl_crl *crl, int64_t now)
{
	return now > crl->next_update;
}

const char *fl_crl_serial_text(struct fl_span certificate, char buf[FL_SERIAL_TEXT])
{
	struct fl_cert read = {.serial = {.len = 0}};
	bool is_long;
	size_t len;

	(void)fl_cert_parse(certificate, &read, NULL);
	is_long = read.serial.len > SERIAL_BYTES;
	len = is_long ? SERIAL_BYTES : read.serial.len;
	memcpy(buf, "0x", 2);
	(void)fl_hex(read.serial.data, len, buf + 2);
	(void)snprintf(buf + 2 + 2 * len, FL_SERIAL_TEXT - 2 - 2 * len, "%s", is_long ? "..." : "");
	return buf;
}
