/* SPDX-License-Identifier: GPL-3.0-or-later */
/* svid - checks the rules one by one on a certificate that cert.h has parsed.
 *
 * Fails with the first rule broken; text of the certificate in messages is printable. Nothing outlives a
 * call. */
#include <wolfssl/wolfcrypt/settings.h>

#include <wolfssl/wolfcrypt/hash.h>

#include "pki/svid.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "pki/asn1.h"
#include "pki/general_name.h"
#include "pki/key.h"

/* How many URIs a message shows, and how much of each. */
#define URIS_SHOWN 3
#define URI_SHOWN 100

static enum fl_rule broken(enum fl_rule rule, struct fl_err *detail, const char *text)
{
	(void)fl_err_set(detail, FL_ERR_DENIED, "%s", text);
	return rule;
}

/* --- names -------------------------------------------------------------------------------------- */

/* The next URI; false: there are no more. A peer may send tens of thousands, so a search never
 * restarts at the first. */
static bool next_uri(struct fl_span *names, struct fl_span *ret)
{
	uint8_t form;

	while (fl_general_name_take(names, &form, ret)) {
		if (form == FL_NAME_URI) {
			return true;
		}
	}
	return false;
}

static size_t uri_count(const struct fl_cert *cert)
{
	struct fl_span names = cert->names, uri;
	size_t count = 0;

	while (next_uri(&names, &uri)) {
		count++;
	}
	return count;
}

/* Text from a peer may contain any bytes. */
static void printable(struct fl_span text, char buf[URI_SHOWN + 4])
{
	size_t len = text.len < URI_SHOWN ? text.len : URI_SHOWN;

	for (size_t i = 0; i < len; i++) {
		buf[i] = text.data[i] >= ' ' && text.data[i] <= '~' ? (char)text.data[i] : '?';
	}
	memcpy(buf + len, len < text.len ? "..." : "", len < text.len ? 4 : 1);
}

/* "it has 3 URI SANs: spiffe://a/x, spiffe://a/y, ..." */
static void tell_uris(const struct fl_cert *cert, struct fl_err *detail)
{
	char list[URIS_SHOWN * (URI_SHOWN + 8) + 8] = "", buf[URI_SHOWN + 4];
	size_t count = uri_count(cert), len = 0;
	struct fl_span names = cert->names, uri;

	for (size_t i = 0; i < URIS_SHOWN && next_uri(&names, &uri); i++) {
		printable(uri, buf);
		len += (size_t)snprintf(list + len, sizeof(list) - len, "%s%s", i ? ", " : "", buf);
	}
	(void)fl_err_set(detail, FL_ERR_DENIED, "it has %zu URI SANs: %s%s", count, list,
			 count > URIS_SHOWN ? ", ..." : "");
}

/* `spiffe://td/`: valid except for the slash. */
static bool is_lone_slash(struct fl_span uri)
{
	const char *text = (const char *)uri.data;
	struct fl_spiffe_id id;

	return uri.len > 0 && text[uri.len - 1] == '/' &&
	       fl_spiffe_id_parse(text, uri.len - 1, &id, NULL) == 0 && !id.path;
}

static enum fl_rule check_leaf_id(const struct fl_cert *cert, struct fl_spiffe_id *ret_id,
				  struct fl_err *detail)
{
	struct fl_span names = cert->names, uri;
	char buf[URI_SHOWN + 4];

	if (!next_uri(&names, &uri)) {
		return broken(FL_RULE_URI_COUNT, detail, "it has none");
	}
	if (uri_count(cert) > 1) {
		tell_uris(cert, detail);
		return FL_RULE_URI_COUNT;
	}
	printable(uri, buf);
	/* What a CA may have and a leaf may not: say so instead of "must not end in '/'". */
	if (is_lone_slash(uri)) {
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
	/* RFC 5280, section 4.1.2.6: without a subject the name is in the SAN, so the SAN must be
	 * critical. */
	if (cert->subject.len == 0 && !cert->names_critical) {
		return broken(FL_RULE_SAN_CRITICAL, detail,
			      "the subject is empty and the SAN extension is not critical");
	}
	return FL_RULE_NONE;
}

/* The bundle standard's own examples show `spiffe://td/`, so it is accepted here, and only here.
 * Other URIs are ignored. */
enum fl_rule fl_svid_check_signer_id(const struct fl_cert *cert, struct fl_err *detail)
{
	static const char scheme[] = "spiffe:";
	struct fl_span names = cert->names, uri;
	struct fl_spiffe_id id;
	char buf[URI_SHOWN + 4];

	while (next_uri(&names, &uri)) {
		const char *text = (const char *)uri.data;

		if (uri.len < strlen(scheme) || strncasecmp(text, scheme, strlen(scheme)) != 0) {
			continue;
		}
		if (uri_count(cert) > 1) {
			tell_uris(cert, detail);
			return FL_RULE_SIGNER_ID;
		}
		printable(uri, buf);
		if (is_lone_slash(uri)) {
			return FL_RULE_NONE;
		}
		if (fl_spiffe_id_parse(text, uri.len, &id, detail) < 0) {
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

static enum fl_rule check_leaf_usage(const struct fl_cert *cert, struct fl_err *detail)
{
	const uint8_t both = FL_EKU_SERVER | FL_EKU_CLIENT;

	if (!cert->has_key_usage) {
		return broken(FL_RULE_KEY_USAGE, detail, "key usage is absent");
	}
	if (!cert->key_usage_critical) {
		return broken(FL_RULE_KEY_USAGE, detail, "key usage is not critical");
	}
	if (cert->key_usage & FL_KU_CERT_SIGN) {
		return broken(FL_RULE_KEY_USAGE, detail, "key usage has keyCertSign");
	}
	if (!(cert->key_usage & FL_KU_DIGITAL_SIGNATURE)) {
		return broken(FL_RULE_KEY_USAGE, detail, "digitalSignature is missing");
	}
	if (cert->key_usage & FL_KU_CRL_SIGN) {
		return broken(FL_RULE_KEY_USAGE, detail, "key usage has cRLSign");
	}
	if (cert->has_ext_key_usage && (cert->ext_key_usage & both) != both) {
		return broken(FL_RULE_EXT_KEY_USAGE, detail,
			      cert->ext_key_usage & FL_EKU_SERVER   ? "clientAuth is missing"
			      : cert->ext_key_usage & FL_EKU_CLIENT ? "serverAuth is missing"
								    : "both are missing");
	}
	return FL_RULE_NONE;
}

/* --- the interface ------------------------------------------------------------------------------ */

enum fl_rule fl_svid_check_leaf(const struct fl_cert *cert, struct fl_spiffe_id *ret_id,
				struct fl_err *detail)
{
	struct fl_spiffe_id id;
	enum fl_rule rule = FL_RULE_NONE;

	/* Check this first: a CA breaks most other rules, too, and this rule names the real
	 * problem. */
	if (cert->is_ca) {
		rule = broken(FL_RULE_LEAF_CA, detail, "its basic constraints say CA:TRUE");
	}
	if (rule == FL_RULE_NONE && cert->unknown.len > 0) {
		rule = broken(FL_RULE_CRITICAL_EXTENSION, detail,
			      "it has a critical extension that is unknown here");
	}
	if (rule == FL_RULE_NONE) {
		rule = check_leaf_id(cert, &id, detail);
	}
	if (rule == FL_RULE_NONE) {
		rule = check_leaf_usage(cert, detail);
	}
	if (rule == FL_RULE_NONE) {
		*ret_id = id;
	}
	return rule;
}

enum fl_rule fl_svid_check_anchor(const struct fl_cert *cert, struct fl_err *detail)
{
	if (cert->unknown.len > 0) {
		return broken(FL_RULE_CRITICAL_EXTENSION, detail,
			      "it has a critical extension that is unknown here");
	}
	if (!fl_cert_is_ca(cert)) {
		return broken(FL_RULE_SIGNER_CA, detail,
			      cert->has_basic_constraints
				      ? "its basic constraints say that it is none"
				      : "basic constraints are absent");
	}
	if (cert->has_key_usage && !(cert->key_usage & FL_KU_CERT_SIGN)) {
		return broken(FL_RULE_SIGNER_KEY_USAGE, detail, "keyCertSign is missing");
	}
	if (fl_key_check_kind(&cert->key, detail) < 0) {
		return FL_RULE_ALGORITHM;
	}
	return fl_svid_check_signer_id(cert, detail);
}

/* After a refusal by fl_cert_parse(). */
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
	struct fl_cert cert;

	if (fl_cert_parse(der, &cert, err) != FL_RULE_NONE) {
		return does_not_parse(err);
	}
	*ret_not_before = cert.not_before;
	*ret_not_after = cert.not_after;
	return 0;
}

int fl_svid_key_id(struct fl_span der, uint8_t ret[20], struct fl_err *err)
{
	struct fl_cert cert;

	if (fl_cert_parse(der, &cert, err) != FL_RULE_NONE) {
		return does_not_parse(err);
	}
	if (cert.key_id.len == 20) {
		memcpy(ret, cert.key_id.data, 20);
	} else if (wc_ShaHash(cert.key.bits.data, (word32)cert.key.bits.len, ret) != 0) {
		return fl_err_set(err, FL_ERR_INVALID, "its key cannot be hashed");
	}
	return 0;
}
