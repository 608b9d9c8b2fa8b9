/* SPDX-License-Identifier: GPL-3.0-or-later */
/* spiffe - one pass from left to right: length, scheme, trust domain, path segments.
 *
 * Fails with FL_ERR_INVALID at the first byte that breaks a rule. The text may come from a peer:
 * messages quote only bytes that have been found printable. Nothing is allocated. */
#include "pki/spiffe.h"

#include <string.h>
#include <strings.h>

#define SCHEME FL_SPIFFE_SCHEME
#define SCHEME_LEN (sizeof(SCHEME) - 1)

static bool is_lower_or_digit(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_upper(char c)
{
	return c >= 'A' && c <= 'Z';
}

/* The bytes that the standard allows in both parts. */
static bool is_common(char c)
{
	return is_lower_or_digit(c) || c == '.' || c == '-' || c == '_';
}

/* Which rule of URIs a byte that belongs into neither part breaks; NULL: none in particular. */
static const char *forbidden_part(char c)
{
	switch (c) {
	case '?':
		return "a query";
	case '#':
		return "a fragment";
	case '%':
		return "percent-encoding";
	case '@':
		return "user information";
	case ':':
		return "a port";
	default:
		return NULL;
	}
}

static int refuse_byte(char c, const char *where, struct fl_err *err)
{
	const char *part = forbidden_part(c);

	if (part) {
		return fl_err_set(err, FL_ERR_INVALID, "%s must not have %s ('%c')", where, part,
				  c);
	}
	if (c > ' ' && c < 0x7f) {
		return fl_err_set(err, FL_ERR_INVALID, "%s must not contain '%c'", where, c);
	}
	return fl_err_set(err, FL_ERR_INVALID, "%s must not contain the byte 0x%02x", where,
			  (unsigned)(unsigned char)c);
}

static int check_trust_domain(const char *text, size_t len, struct fl_err *err)
{
	if (len == 0) {
		return fl_err_set(err, FL_ERR_INVALID, "the trust domain is empty");
	}
	for (size_t i = 0; i < len; i++) {
		if (is_common(text[i])) {
			continue;
		}
		if (is_upper(text[i])) {
			return fl_err_set(err, FL_ERR_INVALID,
					  "a trust domain must be in lower case, without '%c'",
					  text[i]);
		}
		return refuse_byte(text[i], "a trust domain", err);
	}
	/* Last, so that garbage is called by its name and not too long. */
	if (len > FL_SPIFFE_TRUST_DOMAIN_MAX) {
		return fl_err_set(err, FL_ERR_INVALID,
				  "the trust domain has %zu bytes, the maximum is %d", len,
				  FL_SPIFFE_TRUST_DOMAIN_MAX);
	}
	return 0;
}

static int check_segment(const char *text, size_t len, bool last, struct fl_err *err)
{
	if (len == 0) {
		return fl_err_set(err, FL_ERR_INVALID,
				  last ? "the path must not end in '/'"
				       : "the path must not have an empty segment (\"//\")");
	}
	for (size_t i = 0; i < len; i++) {
		if (!is_common(text[i]) && !is_upper(text[i])) {
			return refuse_byte(text[i], "the path", err);
		}
	}
	if ((len == 1 && text[0] == '.') || (len == 2 && text[0] == '.' && text[1] == '.')) {
		return fl_err_set(err, FL_ERR_INVALID,
				  "the path must not have the segment \"%.*s\"", (int)len, text);
	}
	return 0;
}

/* text begins with '/'. */
static int check_path(const char *text, size_t len, struct fl_err *err)
{
	size_t begin = 1;

	for (;;) {
		const char *slash = memchr(text + begin, '/', len - begin);
		size_t end = slash ? (size_t)(slash - text) : len;
		int rc = check_segment(text + begin, end - begin, !slash, err);

		if (rc < 0 || !slash) {
			return rc;
		}
		begin = end + 1;
	}
}

static int check_scheme(const char *text, size_t len, struct fl_err *err)
{
	if (len >= SCHEME_LEN && memcmp(text, SCHEME, SCHEME_LEN) == 0) {
		return 0;
	}
	if (len >= SCHEME_LEN && strncasecmp(text, SCHEME, SCHEME_LEN) == 0) {
		return fl_err_set(err, FL_ERR_INVALID,
				  "the scheme is written in lower case: " SCHEME);
	}
	return fl_err_set(err, FL_ERR_INVALID, "a SPIFFE ID begins with " SCHEME);
}

int fl_spiffe_id_parse(const char *text, size_t len, struct fl_spiffe_id *ret, struct fl_err *err)
{
	struct fl_spiffe_id id = {.text = text, .len = len};
	const char *slash;
	int rc;

	if (len == 0) {
		return fl_err_set(err, FL_ERR_INVALID, "the SPIFFE ID is empty");
	}
	if (len > FL_SPIFFE_ID_MAX) {
		return fl_err_set(err, FL_ERR_INVALID,
				  "the SPIFFE ID has %zu bytes, the maximum is %d", len,
				  FL_SPIFFE_ID_MAX);
	}
	rc = check_scheme(text, len, err);
	if (rc < 0) {
		return rc;
	}
	id.trust_domain = text + SCHEME_LEN;
	slash = memchr(id.trust_domain, '/', len - SCHEME_LEN);
	id.trust_domain_len = slash ? (size_t)(slash - id.trust_domain) : len - SCHEME_LEN;
	rc = check_trust_domain(id.trust_domain, id.trust_domain_len, err);
	if (rc < 0) {
		return rc;
	}
	if (slash) {
		id.path = slash;
		id.path_len = len - SCHEME_LEN - id.trust_domain_len;
		rc = check_path(id.path, id.path_len, err);
		if (rc < 0) {
			return rc;
		}
	}
	*ret = id;
	return 0;
}

int fl_spiffe_trust_domain_check(const char *text, size_t len, struct fl_err *err)
{
	if (len >= SCHEME_LEN && strncasecmp(text, SCHEME, SCHEME_LEN) == 0) {
		return fl_err_set(
			err, FL_ERR_INVALID,
			"a trust domain is a bare name such as prod.example, without " SCHEME);
	}
	return check_trust_domain(text, len, err);
}

/* --- parts of an ID --------------------------------------------------------------------------- */

const char *fl_spiffe_after_scheme(const char *text)
{
	return strncmp(text, SCHEME, SCHEME_LEN) == 0 ? text + SCHEME_LEN : NULL;
}

const char *fl_spiffe_path(const char *id)
{
	const char *domain = id + SCHEME_LEN;

	return domain + strcspn(domain, "/");
}

bool fl_spiffe_is_of_domain(const char *id, const char *trust_domain)
{
	const char *domain = fl_spiffe_after_scheme(id);
	size_t len = strlen(trust_domain);

	return domain != NULL && strncmp(domain, trust_domain, len) == 0 && domain[len] == '/';
}
