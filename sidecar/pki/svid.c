/* SPDX-License-Identifier: GPL-3.0-or-later */
/* svid - one parse of a certificate by wolfCrypt, then the rules one after the other.
 *
 * wolfCrypt parses without verifying (NO_VERIFY); it still refuses what is no proper X.509, and
 * those refusals are translated to rules in parse(). What it lets pass, among it a CA used as a
 * leaf, uncritical key usage and any number of URIs, is judged here. Fails with the first rule
 * broken; text of the certificate in messages is printable. Nothing outlives a call. */
#include <wolfssl/wolfcrypt/settings.h>

#include <wolfssl/wolfcrypt/asn.h>
#include <wolfssl/wolfcrypt/error-crypt.h>

#include "pki/svid.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "pki/asn1.h"
#include "pki/key.h"

/* How many URIs a message shows, and how much of each. */
#define URIS_SHOWN 3
#define URI_SHOWN 100

_Static_assert(KEYID_SIZE == 20, "fl_svid_key_id() promises 20 bytes");

static const struct {
	const char *name, *text;
	uint8_t alert;
} rules[] = {
#define FL_RULE_ROW(id, name, text, alert) {name, text, alert},
	FL_RULES(FL_RULE_ROW)
#undef FL_RULE_ROW
};

const char *fl_rule_name(enum fl_rule rule)
{
	FL_REQUIRE(rule < FL_COUNT_OF(rules));
	return rules[rule].name;
}

const char *fl_rule_text(enum fl_rule rule)
{
	FL_REQUIRE(rule < FL_COUNT_OF(rules));
	return rules[rule].text;
}

uint8_t fl_rule_alert(enum fl_rule rule)
{
	FL_REQUIRE(rule < FL_COUNT_OF(rules));
	return rules[rule].alert;
}

static enum fl_rule broken(enum fl_rule rule, struct fl_err *detail, const char *text)
{
	(void)fl_err_set(detail, FL_ERR_DENIED, "%s", text);
	return rule;
}

/* --- parsing ------------------------------------------------------------------------------------ */

/* Why wolfCrypt did not like it, in our words. is_leaf: which of two rules a refusal stands for. */
static enum fl_rule refusal(struct fl_span der, int rc, bool is_leaf, struct fl_err *detail)
{
	struct fl_public_key key = {.kind = FL_KEY_UNKNOWN};

	switch (rc) {
	case ASN_CRIT_EXT_E:
		return broken(FL_RULE_CRITICAL_EXTENSION, detail,
			      "it has a critical extension that is unknown here");
	case ASN_ALT_NAME_E:
		return broken(is_leaf ? FL_RULE_SPIFFE_ID : FL_RULE_SIGNER_ID, detail,
			      "a URI SAN is empty or has no scheme");
	case KEYUSAGE_E:
		return broken(is_leaf ? FL_RULE_KEY_USAGE : FL_RULE_SIGNER_CA, detail,
			      "key usage has keyCertSign although it is not a CA");
	default:
		break;
	}
	if (fl_key_of_certificate(der, &key, detail) == 0 && fl_key_check_kind(&key, detail) == 0) {
		(void)fl_err_set(detail, FL_ERR_DENIED, "%s (wolfSSL error %d)",
				 wc_GetErrorString(rc), rc);
	}
	return FL_RULE_MALFORMED;
}

/* Whatever it returns, the caller frees cert with wc_FreeDecodedCert(). */
static enum fl_rule parse(struct DecodedCert *cert, struct fl_span der, bool is_leaf,
			  struct fl_err *detail)
{
	struct fl_span rest = der, body;
	int rc;

	if (der.len > INT_MAX) {
		der.len = 0; /* refused below */
	}
	wc_InitDecodedCert(cert, der.data, (word32)der.len, NULL);
	if (!fl_asn1_take(&rest, FL_ASN1_SEQUENCE, &body) || der.len == 0) {
		return broken(FL_RULE_MALFORMED, detail, "it is not DER, or cut off");
	}
	if (rest.len > 0) {
		return broken(FL_RULE_MALFORMED, detail, "bytes follow the end of the certificate");
	}
	/* The type makes one difference: a self-signed CA may have serial number 0. */
	rc = wc_ParseCert(cert, is_leaf ? CERT_TYPE : CA_TYPE, NO_VERIFY, NULL);
	return rc == 0 ? FL_RULE_NONE : refusal(der, rc, is_leaf, detail);
}

/* --- names -------------------------------------------------------------------------------------- */

static bool is_uri(const DNS_entry *name)
{
	return name->type == ASN_URI_TYPE;
}

static size_t uri_count(const struct DecodedCert *cert)
{
	size_t count = 0;

	for (const DNS_entry *name = cert->altNames; name; name = name->next) {
		count += is_uri(name);
	}
	return count;
}

/* The i-th URI as it stands in the certificate; wolfCrypt's list is the other way round. */
static struct fl_span uri_at(const struct DecodedCert *cert, struct fl_span der, size_t i)
{
	size_t reversed = uri_count(cert) - 1 - i;
	const DNS_entry *name = cert->altNames;
	const uint8_t *at;

	while (!is_uri(name) || reversed-- > 0) {
		name = name->next;
	}
	/* The list holds copies; the bytes are in the DER, too, and there they outlive the parse. */
	at = memmem(der.data, der.len, name->name, (size_t)name->len);
	FL_REQUIRE(at && name->len > 0);
	return (struct fl_span){at, (size_t)name->len};
}

/* Text of a peer may hold anything. */
static void printable(struct fl_span text, char buf[URI_SHOWN + 4])
{
	size_t len = text.len < URI_SHOWN ? text.len : URI_SHOWN;

	for (size_t i = 0; i < len; i++) {
		buf[i] = text.data[i] >= ' ' && text.data[i] <= '~' ? (char)text.data[i] : '?';
	}
	memcpy(buf + len, len < text.len ? "..." : "", len < text.len ? 4 : 1);
}

/* "it has 3 URI SANs: spiffe://a/x, spiffe://a/y, ..." */
static void tell_uris(const struct DecodedCert *cert, struct fl_span der, struct fl_err *detail)
{
	char list[URIS_SHOWN * (URI_SHOWN + 8) + 8] = "", buf[URI_SHOWN + 4];
	size_t count = uri_count(cert), len = 0;

	for (size_t i = 0; i < count && i < URIS_SHOWN; i++) {
		printable(uri_at(cert, der, i), buf);
		len += (size_t)snprintf(list + len, sizeof(list) - len, "%s%s", i ? ", " : "", buf);
	}
	(void)fl_err_set(detail, FL_ERR_DENIED, "it has %zu URI SANs: %s%s", count, list,
			 count > URIS_SHOWN ? ", ..." : "");
}

/* `spiffe://td/`: valid but for the slash. */
static bool is_lone_slash(const char *uri, size_t len)
{
	struct fl_spiffe_id id;

	return uri[len - 1] == '/' && fl_spiffe_id_parse(uri, len - 1, &id, NULL) == 0 && !id.path;
}

static enum fl_rule check_leaf_id(const struct DecodedCert *cert, struct fl_span der,
				  struct fl_spiffe_id *ret_id, struct fl_err *detail)
{
	char buf[URI_SHOWN + 4];
	struct fl_span uri;

	if (uri_count(cert) == 0) {
		return broken(FL_RULE_URI_COUNT, detail, "it has none");
	}
	if (uri_count(cert) > 1) {
		tell_uris(cert, der, detail);
		return FL_RULE_URI_COUNT;
	}
	uri = uri_at(cert, der, 0);
	printable(uri, buf);
	/* What a CA may have and a leaf may not: say so instead of "must not end in '/'". */
	if (is_lone_slash((const char *)uri.data, uri.len)) {
		(void)fl_err_set(detail, FL_ERR_DENIED, "it is %s", buf);
		return FL_RULE_PATH;
	}
	if (fl_spiffe_id_parse((const char *)uri.data, uri.len, ret_id, detail) < 0) {
		(void)fl_err_prefix(detail, "%s", buf);
		return FL_RULE_SPIFFE_ID;
	}
	if (!ret_id->path) {
		(void)fl_err_set(detail, FL_ERR_DENIED, "it is %s", buf);
		return FL_RULE_PATH;
	}
	/* RFC 5280, section 4.1.2.6: without a subject the name is in the SAN, so nobody may skip it. */
	if (cert->subjectRawLen == 0 && !cert->extSubjAltNameCrit) {
		return broken(FL_RULE_SAN_CRITICAL, detail,
			      "the subject is empty and the SAN extension is not critical");
	}
	return FL_RULE_NONE;
}

/* A signer's SPIFFE ID is its trust domain. `spiffe://td/` is what the bundle standard's own
 * examples show, and is let pass here, and only here. Other URIs are none of our business. */
static enum fl_rule check_signer_id(const struct DecodedCert *cert, struct fl_span der,
				    struct fl_err *detail)
{
	static const char scheme[] = "spiffe:";
	struct fl_spiffe_id id;
	char buf[URI_SHOWN + 4];

	for (const DNS_entry *name = cert->altNames; name; name = name->next) {
		size_t len = (size_t)name->len;

		if (!is_uri(name) || len < strlen(scheme) ||
		    strncasecmp(name->name, scheme, strlen(scheme)) != 0) {
			continue;
		}
		if (uri_count(cert) > 1) {
			tell_uris(cert, der, detail);
			return FL_RULE_SIGNER_ID;
		}
		printable((struct fl_span){(const uint8_t *)name->name, len}, buf);
		if (is_lone_slash(name->name, len)) {
			return FL_RULE_NONE;
		}
		if (fl_spiffe_id_parse(name->name, len, &id, detail) < 0) {
			(void)fl_err_prefix(detail, "%s", buf);
			return FL_RULE_SIGNER_ID;
		}
		if (id.path) {
			(void)fl_err_set(detail, FL_ERR_DENIED, "it is %s", buf);
			return FL_RULE_SIGNER_ID;
		}
	}
	return FL_RULE_NONE;
}

/* --- what the key is for ------------------------------------------------------------------------ */

static enum fl_rule check_leaf_usage(const struct DecodedCert *cert, struct fl_err *detail)
{
	const word16 signer = KEYUSE_KEY_CERT_SIGN | KEYUSE_CRL_SIGN;
	const byte both = EXTKEYUSE_SERVER_AUTH | EXTKEYUSE_CLIENT_AUTH;

	if (!cert->extKeyUsageSet) {
		return broken(FL_RULE_KEY_USAGE, detail, "key usage is absent");
	}
	if (!cert->extKeyUsageCrit) {
		return broken(FL_RULE_KEY_USAGE, detail, "key usage is not critical");
	}
	if (!(cert->extKeyUsage & KEYUSE_DIGITAL_SIG)) {
		return broken(FL_RULE_KEY_USAGE, detail, "digitalSignature is missing");
	}
	if (cert->extKeyUsage & signer) {
		return broken(FL_RULE_KEY_USAGE, detail,
			      cert->extKeyUsage & KEYUSE_KEY_CERT_SIGN ? "key usage has keyCertSign"
								       : "key usage has cRLSign");
	}
	if (cert->extExtKeyUsageSet && (cert->extExtKeyUsage & both) != both) {
		return broken(FL_RULE_EXT_KEY_USAGE, detail,
			      cert->extExtKeyUsage & EXTKEYUSE_SERVER_AUTH ? "clientAuth is missing"
			      : cert->extExtKeyUsage & EXTKEYUSE_CLIENT_AUTH
				      ? "serverAuth is missing"
				      : "both are missing");
	}
	return FL_RULE_NONE;
}

static enum fl_rule check_signer_usage(const struct DecodedCert *cert, struct fl_err *detail)
{
	if (!cert->isCA) {
		return broken(FL_RULE_SIGNER_CA, detail,
			      cert->extBasicConstSet ? "its basic constraints say that it is none"
						     : "basic constraints are absent");
	}
	if (!cert->extKeyUsageSet) {
		return broken(FL_RULE_SIGNER_KEY_USAGE, detail, "key usage is absent");
	}
	if (!cert->extKeyUsageCrit) {
		return broken(FL_RULE_SIGNER_KEY_USAGE, detail, "key usage is not critical");
	}
	if (!(cert->extKeyUsage & KEYUSE_KEY_CERT_SIGN)) {
		return broken(FL_RULE_SIGNER_KEY_USAGE, detail, "keyCertSign is missing");
	}
	return FL_RULE_NONE;
}

/* --- the interface ------------------------------------------------------------------------------ */

enum fl_rule fl_svid_check_leaf(struct fl_span der, struct fl_spiffe_id *ret_id,
				struct fl_err *detail)
{
	struct DecodedCert cert;
	struct fl_spiffe_id id;
	enum fl_rule rule = parse(&cert, der, true, detail);

	/* First of all: a CA breaks most other rules, too, and this one says what is the matter. */
	if (rule == FL_RULE_NONE && cert.isCA) {
		rule = broken(FL_RULE_LEAF_CA, detail, "its basic constraints say CA:TRUE");
	}
	if (rule == FL_RULE_NONE) {
		rule = check_leaf_id(&cert, der, &id, detail);
	}
	if (rule == FL_RULE_NONE) {
		rule = check_leaf_usage(&cert, detail);
	}
	if (rule == FL_RULE_NONE) {
		*ret_id = id;
	}
	wc_FreeDecodedCert(&cert);
	return rule;
}

enum fl_rule fl_svid_check_signer(struct fl_span der, struct fl_err *detail)
{
	struct DecodedCert cert;
	enum fl_rule rule = parse(&cert, der, false, detail);

	if (rule == FL_RULE_NONE) {
		rule = check_signer_usage(&cert, detail);
	}
	if (rule == FL_RULE_NONE) {
		rule = check_signer_id(&cert, der, detail);
	}
	wc_FreeDecodedCert(&cert);
	return rule;
}

static bool seconds(const byte *date, int len, int64_t *ret)
{
	struct tm tm = {0};
	const byte *digits;
	byte format;
	int digits_len;

	if (wc_GetDateInfo(date, len, &digits, &format, &digits_len) != 0 ||
	    wc_GetDateAsCalendarTime(digits, digits_len, format, &tm) != 0) {
		return false;
	}
	*ret = (int64_t)timegm(&tm);
	return true;
}

/* After a refusal by parse(). */
static int does_not_parse(struct fl_err *err)
{
	(void)fl_err_prefix(err, "%s", fl_rule_text(FL_RULE_MALFORMED));
	if (err) {
		err->code = FL_ERR_INVALID;
	}
	return FL_ERR_INVALID;
}

int fl_svid_validity(struct fl_span der, int64_t *ret_not_before, int64_t *ret_not_after,
		     struct fl_err *err)
{
	struct DecodedCert cert;
	int64_t before, after;
	int rc = 0;

	if (parse(&cert, der, false, err) != FL_RULE_NONE) {
		rc = does_not_parse(err);
	} else if (!seconds(cert.beforeDate, cert.beforeDateLen, &before) ||
		   !seconds(cert.afterDate, cert.afterDateLen, &after)) {
		rc = fl_err_set(err, FL_ERR_INVALID, "its dates do not parse");
	} else {
		*ret_not_before = before;
		*ret_not_after = after;
	}
	wc_FreeDecodedCert(&cert);
	return rc;
}

bool fl_svid_is_issuer(struct fl_span issuer, struct fl_span certificate)
{
	struct DecodedCert above, below;
	bool good = parse(&above, issuer, false, NULL) == FL_RULE_NONE;

	good = parse(&below, certificate, true, NULL) == FL_RULE_NONE && good;
	good = good && memcmp(above.subjectHash, below.issuerHash, KEYID_SIZE) == 0 &&
	       (!below.extAuthKeyIdSet ||
		memcmp(above.extSubjKeyId, below.extAuthKeyId, KEYID_SIZE) == 0);
	wc_FreeDecodedCert(&above);
	wc_FreeDecodedCert(&below);
	return good;
}

int fl_svid_key_id(struct fl_span der, uint8_t ret[20], struct fl_err *err)
{
	struct DecodedCert cert;
	int rc = 0;

	if (parse(&cert, der, false, err) != FL_RULE_NONE) {
		rc = does_not_parse(err);
	} else {
		memcpy(ret, cert.extSubjKeyId, KEYID_SIZE);
	}
	wc_FreeDecodedCert(&cert);
	return rc;
}
