/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_PKI_SPIFFE_H
#define FL_PKI_SPIFFE_H
/* spiffe - SPIFFE IDs: syntax only. SPIFFE-ID standard, sections 2 and 2.1 to 2.4.
 *
 * IDs are compared as bytes after validation; nothing is folded or decoded. Upper case in scheme or
 * trust domain, percent-encoding, user info, ports, queries, fragments, empty or dot segments and
 * trailing slashes are refused. Pure; thread: any. */
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

#define FL_SPIFFE_SCHEME "spiffe://"
#define FL_SPIFFE_ID_MAX 2048          /* bytes, SPIFFE-ID section 2.3 */
#define FL_SPIFFE_TRUST_DOMAIN_MAX 255 /* bytes */

/* A validated ID. Views into text that the caller keeps alive. */
struct fl_spiffe_id {
	const char *text; /* whole ID, not NUL-terminated by contract: use len */
	size_t len;
	const char *trust_domain;
	size_t trust_domain_len;
	const char *path; /* from the first '/' after the trust domain; NULL when absent */
	size_t path_len;
};

/* Validates text[0..len) (which may hold NULs: refused). Errors: FL_ERR_INVALID, sentence names the
 * rule and the offending character or segment. */
int fl_spiffe_id_parse(const char *text, size_t len, struct fl_spiffe_id *ret,
		       struct fl_err *err) FL_MUST_USE;

/* A bare trust domain name ("prod.example"). */
int fl_spiffe_trust_domain_check(const char *text, size_t len, struct fl_err *err) FL_MUST_USE;

/* The text behind FL_SPIFFE_SCHEME; NULL: text does not begin with that. */
const char *fl_spiffe_after_scheme(const char *text);
/* Of a text that begins with FL_SPIFFE_SCHEME: from the '/' after the trust domain to the end; "" where there is no path. */
const char *fl_spiffe_path(const char *id);
/* Is a validated ID, one with a path, of that trust domain? */
bool fl_spiffe_is_of_domain(const char *id, const char *trust_domain);

#endif
