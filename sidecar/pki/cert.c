/* SPDX-License-Identifier: GPL-3.0-or-later */
/* cert - one walk over the DER.
 *
 * Strict where RFC 5280 is clear and other parsers are strict as well, or where an attacker could
 * exploit an ambiguity: duplicate extensions, lengths, dates, empty lists, name constraints. Fails
 * with FL_RULE_MALFORMED and a sentence that names the part. */
#include "pki/cert.h"

#include <string.h>

#include "pki/asn1.h"
#include "pki/general_name.h"
#include "pki/name.h"

#define EXTENSIONS_MAX 64u
#define SERIAL_MAX 20u /* bytes, RFC 5280 section 4.1.2.2 */

/* How an extension may be marked. */
enum marking { EITHER, UNCRITICAL, CRITICAL };

/* Each reads the value of an extension into the certificate; false: it is broken. */
typedef bool (*read_fn)(struct fl_span value, bool critical, struct fl_cert *cert);

static bool broken(struct fl_err *detail, const char *text)
{
	(void)fl_err_set(detail, FL_ERR_DENIED, "%s", text);
	return false;
}

/* A SEQUENCE and nothing behind it. */
static bool open_sequence(struct fl_span value, struct fl_span *ret)
{
	return fl_asn1_take(&value, FL_ASN1_SEQUENCE, ret) && value.len == 0;
}

/* Reads a small non-negative number; a large one counts as no limit. */
static bool small_number(struct fl_span content, int32_t *ret)
{
	int32_t value = 0;

	if (content.len == 0 || content.data[0] >= 0x80) {
		return false;
	}
	for (size_t i = 0; i < content.len; i++) {
		value = value > 0x7fffff ? FL_CERT_NO_LIMIT : value << 8 | content.data[i];
	}
	*ret = value;
	return true;
}

/* --- extensions ------------------------------------------------------------------------------------ */

static bool read_basic_constraints(struct fl_span value, bool critical, struct fl_cert *cert)
{
	struct fl_span body, flag, number;

	(void)critical;
	if (!open_sequence(value, &body) || !fl_asn1_take_optional(&body, FL_ASN1_BOOLEAN, &flag) ||
	    flag.len > 1 ||
	    (fl_asn1_is_next(body, FL_ASN1_INTEGER) &&
	     (!fl_asn1_take(&body, FL_ASN1_INTEGER, &number) ||
	      !small_number(number, &cert->path_length))) ||
	    body.len > 0) {
		return false;
	}
	cert->has_basic_constraints = true;
	cert->is_ca = flag.len == 1 && flag.data[0] != 0;
	return true;
}

static bool read_key_usage(struct fl_span value, bool critical, struct fl_cert *cert)
{
	struct fl_span bits;

	if (!fl_asn1_take(&value, FL_ASN1_BIT_STRING, &bits) || value.len > 0 || bits.len == 0 ||
	    bits.data[0] > 7) {
		return false;
	}
	cert->has_key_usage = true;
	cert->key_usage_critical = critical;
	cert->key_usage = bits.len > 1 ? bits.data[1] : 0;
	return true;
}

static const struct {
	struct fl_span oid;
	uint8_t bit;
} uses[] = {
	{FL_OID(0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01), FL_EKU_SERVER},
	{FL_OID(0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x02), FL_EKU_CLIENT},
	{FL_OID(0x55, 0x1d, 0x25, 0x00), FL_EKU_ANY},
};

static bool read_ext_key_usage(struct fl_span value, bool critical, struct fl_cert *cert)
{
	struct fl_span list, oid;

	(void)critical;
	if (!open_sequence(value, &list) || list.len == 0) {
		return false;
	}
	while (list.len > 0) {
		if (!fl_asn1_take(&list, FL_ASN1_OID, &oid)) {
			return false;
		}
		for (size_t i = 0; i < FL_COUNT_OF(uses); i++) {
			if (fl_span_equal(oid, uses[i].oid)) {
				cert->ext_key_usage |= uses[i].bit;
			}
		}
	}
	cert->has_ext_key_usage = true;
	return true;
}

static bool read_names(struct fl_span value, bool critical, struct fl_cert *cert)
{
	struct fl_span list, name;
	uint8_t form;

	if (!open_sequence(value, &list) || list.len == 0) {
		return false;
	}
	cert->names = list;
	cert->names_critical = critical;
	while (list.len > 0) {
		/* Other parsers could read such a name as a shorter one. */
		if (!fl_general_name_take(&list, &form, &name) ||
		    ((form == FL_NAME_DNS || form == FL_NAME_EMAIL || form == FL_NAME_URI) &&
		     name.len > 0 && memchr(name.data, '\0', name.len) != NULL) ||
		    (form == FL_NAME_DIRECTORY && !open_sequence(name, &name)) ||
		    (form == FL_NAME_DIRECTORY && !fl_name_is_good(name))) {
			return false;
		}
	}
	return true;
}

static bool read_name_constraints(struct fl_span value, bool critical, struct fl_cert *cert)
{
	struct fl_span body;

	(void)critical;
	if (!open_sequence(value, &body) ||
	    !fl_asn1_take_optional(&body, FL_ASN1_CONTEXT_0, &cert->permitted) ||
	    !fl_asn1_take_optional(&body, FL_ASN1_CONTEXT_1, &cert->excluded) || body.len > 0 ||
	    (cert->permitted.len == 0 && cert->excluded.len == 0)) {
		return false;
	}
	cert->has_name_constraints = true;
	return fl_subtrees_are_good(cert->permitted) && fl_subtrees_are_good(cert->excluded);
}

static bool read_key_id(struct fl_span value, bool critical, struct fl_cert *cert)
{
	(void)critical;
	return fl_asn1_take(&value, FL_ASN1_OCTET_STRING, &cert->key_id) && value.len == 0;
}

static bool read_authority(struct fl_span value, bool critical, struct fl_cert *cert)
{
	struct fl_span body;

	(void)critical;
	return open_sequence(value, &body) &&
	       fl_asn1_take_optional(&body, FL_ASN1_KEY_ID, &cert->authority_key_id);
}

static bool read_policies(struct fl_span value, bool critical, struct fl_cert *cert)
{
	struct fl_span list, item, oid;

	(void)critical;
	if (!open_sequence(value, &list) || list.len == 0) {
		return false;
	}
	cert->policies = list;
	while (list.len > 0) {
		if (!fl_asn1_take(&list, FL_ASN1_SEQUENCE, &item) ||
		    !fl_asn1_take(&item, FL_ASN1_OID, &oid)) {
			return false;
		}
	}
	return true;
}

static bool read_policy_mappings(struct fl_span value, bool critical, struct fl_cert *cert)
{
	struct fl_span list;

	(void)critical;
	cert->maps_policies = true;
	return open_sequence(value, &list) && list.len > 0;
}

static bool read_policy_constraints(struct fl_span value, bool critical, struct fl_cert *cert)
{
	struct fl_span body, explicit, mapping;

	(void)critical;
	return open_sequence(value, &body) && body.len > 0 &&
	       fl_asn1_take_optional(&body, (enum fl_asn1_tag)0x80, &explicit) &&
	       fl_asn1_take_optional(&body, (enum fl_asn1_tag)0x81, &mapping) && body.len == 0 &&
	       (explicit.len == 0 || small_number(explicit, &cert->require_explicit_policy));
}

static bool read_inhibit_any(struct fl_span value, bool critical, struct fl_cert *cert)
{
	struct fl_span number;

	(void)critical;
	return fl_asn1_take(&value, FL_ASN1_INTEGER, &number) && value.len == 0 &&
	       small_number(number, &cert->inhibit_any_policy);
}

/* For extensions that do not affect whether a chain is good: where to find something, other names
 * of the issuer, uses that we do not require. */
static bool read_nothing(struct fl_span value, bool critical, struct fl_cert *cert)
{
	(void)value;
	(void)critical;
	(void)cert;
	return true;
}

static const struct {
	struct fl_span oid;
	const char *name;
	enum marking marking;
	read_fn read;
} known_extensions[] = {
	{FL_OID(0x55, 0x1d, 0x13), "basic constraints", EITHER, read_basic_constraints},
	{FL_OID(0x55, 0x1d, 0x0f), "key usage", EITHER, read_key_usage},
	{FL_OID(0x55, 0x1d, 0x25), "extended key usage", EITHER, read_ext_key_usage},
	{FL_OID(0x55, 0x1d, 0x11), "subject alternative name", EITHER, read_names},
	{FL_OID(0x55, 0x1d, 0x1e), "name constraints", EITHER, read_name_constraints},
	{FL_OID(0x55, 0x1d, 0x0e), "subject key identifier", UNCRITICAL, read_key_id},
	{FL_OID(0x55, 0x1d, 0x23), "authority key identifier", UNCRITICAL, read_authority},
	{FL_OID(0x55, 0x1d, 0x20), "certificate policies", EITHER, read_policies},
	{FL_OID(0x55, 0x1d, 0x21), "policy mappings", EITHER, read_policy_mappings},
	{FL_OID(0x55, 0x1d, 0x24), "policy constraints", CRITICAL, read_policy_constraints},
	{FL_OID(0x55, 0x1d, 0x36), "inhibit any policy", CRITICAL, read_inhibit_any},
	{FL_OID(0x55, 0x1d, 0x12), "issuer alternative name", EITHER, read_nothing},
	{FL_OID(0x55, 0x1d, 0x1f), "CRL distribution points", EITHER, read_nothing},
	{FL_OID(0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x01, 0x01), "authority information access",
	 UNCRITICAL, read_nothing},
	/* from Netscape; older than key usage, which has replaced it */
	{FL_OID(0x60, 0x86, 0x48, 0x01, 0x86, 0xf8, 0x42, 0x01, 0x01), "Netscape certificate type",
	 EITHER, read_nothing},
};

static bool read_extension(struct fl_span oid, bool critical, struct fl_span value,
			   struct fl_cert *cert, struct fl_err *detail)
{
	for (size_t i = 0; i < FL_COUNT_OF(known_extensions); i++) {
		const char *name = known_extensions[i].name;

		if (!fl_span_equal(oid, known_extensions[i].oid)) {
			continue;
		}
		if (known_extensions[i].marking != EITHER &&
		    critical != (known_extensions[i].marking == CRITICAL)) {
			(void)fl_err_set(detail, FL_ERR_DENIED, "its %s may %sbe critical", name,
					 critical ? "not " : "only ");
			return false;
		}
		if (!known_extensions[i].read(value, critical, cert)) {
			(void)fl_err_set(detail, FL_ERR_DENIED, "its %s is broken", name);
			return false;
		}
		return true;
	}
	if (critical && cert->unknown.len == 0) {
		cert->unknown = oid;
	}
	return true;
}

static bool read_extensions(struct fl_span list, struct fl_cert *cert, struct fl_err *detail)
{
	struct fl_span seen[EXTENSIONS_MAX], body, flag, value;
	size_t count = 0;

	while (list.len > 0) {
		if (count == EXTENSIONS_MAX) {
			return broken(detail, "it has too many extensions");
		}
		if (!fl_asn1_take(&list, FL_ASN1_SEQUENCE, &body) ||
		    !fl_asn1_take(&body, FL_ASN1_OID, &seen[count]) ||
		    !fl_asn1_take_optional(&body, FL_ASN1_BOOLEAN, &flag) || flag.len > 1 ||
		    !fl_asn1_take(&body, FL_ASN1_OCTET_STRING, &value) || body.len > 0) {
			return broken(detail, "an extension does not parse");
		}
		for (size_t i = 0; i < count; i++) {
			if (fl_span_equal(seen[i], seen[count])) {
				return broken(detail, "it has an extension twice");
			}
		}
		if (!read_extension(seen[count], flag.len > 0 && flag.data[0] != 0, value, cert,
				    detail)) {
			return false;
		}
		count++;
	}
	return true;
}

/* --- the rest ----------------------------------------------------------------------------------------- */

static bool read_version(struct fl_span *tbs, struct fl_cert *cert, struct fl_err *detail)
{
	struct fl_span wrapped, number;

	cert->version = 1;
	if (!fl_asn1_is_next(*tbs, FL_ASN1_CONTEXT_0)) {
		return true;
	}
	if (!fl_asn1_take(tbs, FL_ASN1_CONTEXT_0, &wrapped) ||
	    !fl_asn1_take(&wrapped, FL_ASN1_INTEGER, &number) || wrapped.len > 0 ||
	    number.len != 1 || number.data[0] > 2) {
		return broken(detail, "its version is unknown");
	}
	cert->version = (uint8_t)(number.data[0] + 1);
	return true;
}

static bool read_serial(struct fl_span *tbs, struct fl_cert *cert, struct fl_err *detail)
{
	if (!fl_asn1_take(tbs, FL_ASN1_INTEGER, &cert->serial) || cert->serial.len == 0) {
		return broken(detail, "its serial number does not parse");
	}
	if (cert->serial.data[0] >= 0x80) {
		return broken(detail, "its serial number is negative");
	}
	if (cert->serial.len > 1 && cert->serial.data[0] == 0) {
		if (cert->serial.data[1] < 0x80) {
			return broken(detail, "its serial number is padded");
		}
		/* The leading zero belongs to the encoding and does not count. */
		cert->serial.data++;
		cert->serial.len--;
	}
	if (cert->serial.len > SERIAL_MAX) {
		return broken(detail, "its serial number has more than 20 bytes");
	}
	cert->serial_is_zero = cert->serial.len == 1 && cert->serial.data[0] == 0;
	return true;
}

static bool read_names_and_dates(struct fl_span *tbs, struct fl_cert *cert, struct fl_err *detail)
{
	struct fl_span validity;

	if (!fl_asn1_take(tbs, FL_ASN1_SEQUENCE, &cert->issuer) || !fl_name_is_good(cert->issuer)) {
		return broken(detail, "the name of its issuer does not parse");
	}
	if (cert->issuer.len == 0) {
		return broken(detail, "it does not name its issuer");
	}
	if (!fl_asn1_take(tbs, FL_ASN1_SEQUENCE, &validity) ||
	    !fl_asn1_take_time(&validity, &cert->not_before) ||
	    !fl_asn1_take_time(&validity, &cert->not_after) || validity.len > 0) {
		return broken(detail, "its dates do not parse");
	}
	if (!fl_asn1_take(tbs, FL_ASN1_SEQUENCE, &cert->subject) ||
	    !fl_name_is_good(cert->subject)) {
		return broken(detail, "its subject does not parse");
	}
	cert->issuer_hash = fl_name_hash(cert->issuer);
	cert->subject_hash = fl_name_hash(cert->subject);
	cert->is_self_issued = cert->issuer_hash == cert->subject_hash &&
			       fl_name_equal(cert->issuer, cert->subject);
	return true;
}

static bool read_key(struct fl_span *tbs, struct fl_cert *cert, struct fl_err *detail)
{
	const uint8_t *start = tbs->data;
	struct fl_span content;

	if (!fl_asn1_take(tbs, FL_ASN1_SEQUENCE, &content) ||
	    fl_key_of_info((struct fl_span){start, (size_t)(tbs->data - start)}, &cert->key) < 0) {
		return broken(detail, "its public key does not parse");
	}
	return true;
}

static bool read_tbs(struct fl_span tbs, struct fl_cert *cert, struct fl_err *detail)
{
	struct fl_span algorithm, skip, wrapped, extensions = {0};

	if (!read_version(&tbs, cert, detail) || !read_serial(&tbs, cert, detail)) {
		return false;
	}
	if (!fl_asn1_take(&tbs, FL_ASN1_SEQUENCE, &algorithm)) {
		return broken(detail, "its signature algorithm does not parse");
	}
	if (!fl_span_equal(algorithm, cert->algorithm)) {
		return broken(detail, "it names two different signature algorithms");
	}
	if (!read_names_and_dates(&tbs, cert, detail) || !read_key(&tbs, cert, detail)) {
		return false;
	}
	if (!fl_asn1_take_optional(&tbs, FL_ASN1_UNIQUE_1, &skip) ||
	    !fl_asn1_take_optional(&tbs, FL_ASN1_UNIQUE_2, &skip) ||
	    !fl_asn1_take_optional(&tbs, FL_ASN1_CONTEXT_3, &wrapped) || tbs.len > 0 ||
	    (wrapped.len > 0 && (!open_sequence(wrapped, &extensions) || extensions.len == 0))) {
		return broken(detail, "what follows its public key does not parse");
	}
	if (wrapped.len > 0 && cert->version != 3) {
		return broken(detail, "it has extensions, and is not of version 3");
	}
	return read_extensions(extensions, cert, detail);
}

/* Checks for contradictions that no certificate may contain. */
static bool is_coherent(const struct fl_cert *cert, struct fl_err *detail)
{
	if (cert->is_ca && cert->subject.len == 0) {
		return broken(detail, "it is a CA without a subject");
	}
	if (cert->has_name_constraints && !cert->is_ca) {
		return broken(detail, "it has name constraints, and is not a CA");
	}
	return true;
}

enum fl_rule fl_cert_parse(struct fl_span der, struct fl_cert *ret, struct fl_err *detail)
{
	struct fl_span rest = der, body, tbs;

	*ret = (struct fl_cert){
		.der = der,
		.path_length = FL_CERT_NO_LIMIT,
		.require_explicit_policy = FL_CERT_NO_LIMIT,
		.inhibit_any_policy = FL_CERT_NO_LIMIT,
	};
	if (!fl_asn1_take(&rest, FL_ASN1_SEQUENCE, &body)) {
		(void)broken(detail, "it is not DER, or cut off");
		return FL_RULE_MALFORMED;
	}
	if (rest.len > 0) {
		(void)broken(detail, "bytes follow the end of the certificate");
		return FL_RULE_MALFORMED;
	}
	ret->tbs.data = body.data;
	if (!fl_asn1_take(&body, FL_ASN1_SEQUENCE, &tbs)) {
		(void)broken(detail, "it is not the DER of a certificate");
		return FL_RULE_MALFORMED;
	}
	ret->tbs.len = (size_t)(body.data - ret->tbs.data);
	if (!fl_asn1_take(&body, FL_ASN1_SEQUENCE, &ret->algorithm) ||
	    !fl_asn1_take_bytes(&body, &ret->signature) || body.len > 0) {
		(void)broken(detail, "it is not the DER of a certificate");
		return FL_RULE_MALFORMED;
	}
	return read_tbs(tbs, ret, detail) && is_coherent(ret, detail) ? FL_RULE_NONE
								      : FL_RULE_MALFORMED;
}

/* --- questions ------------------------------------------------------------------------------------------ */

bool fl_cert_is_ca(const struct fl_cert *cert)
{
	return cert->is_ca || (cert->version == 1 && cert->is_self_issued);
}

/* Compares two names that have the same hash. */
static bool same_name(struct fl_span a, struct fl_span b, size_t *letters)
{
	if (fl_span_equal(a, b)) {
		return true;
	}
	*letters += a.len;
	return fl_name_equal(a, b);
}

bool fl_cert_same_entity(const struct fl_cert *a, const struct fl_cert *b, size_t *letters)
{
	return a->subject_hash == b->subject_hash && fl_span_equal(a->key.info, b->key.info) &&
	       same_name(a->subject, b->subject, letters);
}

bool fl_cert_may_have_issued(const struct fl_cert *issuer, const struct fl_cert *cert,
			     size_t *letters)
{
	return issuer->subject_hash == cert->issuer_hash &&
	       same_name(issuer->subject, cert->issuer, letters);
}

bool fl_cert_differs_in_key_id(const struct fl_cert *issuer, const struct fl_cert *cert)
{
	return issuer->key_id.len > 0 && cert->authority_key_id.len > 0 &&
	       !fl_span_equal(issuer->key_id, cert->authority_key_id);
}
