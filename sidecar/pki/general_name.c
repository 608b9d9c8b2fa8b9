/* SPDX-License-Identifier: GPL-3.0-or-later */
/* general_name - reads names, and compares a name with the base of a subtree.
 *
 * A doubtful comparison returns "unclear", and the caller refuses: for example a name that does not
 * parse, or a wildcard that would cover an excluded host. A DNS constraint may begin with a dot.
 * RFC 5280 does not provide for that, but people write it, and OpenSSL and Go read it as
 * "subdomains only". */
#include "pki/general_name.h"

#include <string.h>
#include <strings.h>

#include "pki/asn1.h"
#include "pki/name.h"

bool fl_general_name_take(struct fl_span *names, uint8_t *ret_form, struct fl_span *ret)
{
	struct fl_span rest = *names;
	uint8_t tag;

	/* Context tags; those of constructed forms have another bit set. */
	if (!fl_asn1_take_any(&rest, &tag, ret) || (tag & 0xc0) != 0x80 ||
	    (tag & 0x1f) >= FL_NAME_FORMS) {
		return false;
	}
	*ret_form = tag & 0x1f;
	*names = rest;
	return true;
}

/* --- text ------------------------------------------------------------------------------------------- */

static bool same_text(struct fl_span a, struct fl_span b)
{
	return a.len == b.len &&
	       (a.len == 0 || strncasecmp((const char *)a.data, (const char *)b.data, a.len) == 0);
}

static bool ends_with(struct fl_span text, struct fl_span end)
{
	return text.len >= end.len &&
	       same_text((struct fl_span){text.data + text.len - end.len, end.len}, end);
}

static struct fl_span from(struct fl_span text, size_t start)
{
	return (struct fl_span){text.data + start, text.len - start};
}

static size_t find_char(struct fl_span text, char c)
{
	const uint8_t *at = text.len > 0 ? memchr(text.data, c, text.len) : NULL;

	return at ? (size_t)(at - text.data) : text.len;
}

/* Labels of letters, digits and hyphens with a dot between; `also`: further characters. */
static bool is_host(struct fl_span text, const char *also)
{
	size_t label = 0;

	if (text.len == 0 || text.len > 253) {
		return false;
	}
	for (size_t i = 0; i < text.len; i++) {
		char c = (char)text.data[i];

		if (c == '.') {
			if (label == 0) {
				return false;
			}
			label = 0;
			continue;
		}
		if (c == '\0' || (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') &&
				  !(c >= '0' && c <= '9') && c != '-' && !strchr(also, c))) {
			return false;
		}
		label++;
	}
	return label > 0;
}

static bool has_dot_first(struct fl_span text)
{
	return text.len > 0 && text.data[0] == '.';
}

/* A host that begins with a dot, or does not. */
static bool is_host_or_domain(struct fl_span text)
{
	return is_host(has_dot_first(text) ? from(text, 1) : text, "_");
}

/* Host and domain of URIs and e-mail addresses: with a dot, the hosts below it; without, that host alone. */
static enum fl_name_match match_host(struct fl_span host, struct fl_span base)
{
	if (has_dot_first(base)) {
		return host.len > base.len && ends_with(host, base) ? FL_NAME_WITHIN
								    : FL_NAME_OUTSIDE;
	}
	return same_text(host, base) ? FL_NAME_WITHIN : FL_NAME_OUTSIDE;
}

/* --- forms ---------------------------------------------------------------------------------------------- */

/* Is name the base, or below it? */
static bool is_domain_within(struct fl_span name, struct fl_span base)
{
	if (base.len == 0 || same_text(name, base)) {
		return true;
	}
	return name.len > base.len && ends_with(name, base) &&
	       (has_dot_first(base) || name.data[name.len - base.len - 1] == '.');
}

static enum fl_name_match match_dns(struct fl_span name, struct fl_span base, bool excluded)
{
	bool wild = name.len > 2 && memcmp(name.data, "*.", 2) == 0;
	struct fl_span host = wild ? from(name, 2) : name;

	if (!is_host(host, "_")) {
		return FL_NAME_UNCLEAR;
	}
	if (!wild) {
		return is_domain_within(name, base) ? FL_NAME_WITHIN : FL_NAME_OUTSIDE;
	}
	/* "*.example" covers hosts of which one may be excluded; all of them are within any base
	 * that contains `example`. */
	if (excluded && base.len > 0 && !has_dot_first(base) && ends_with(base, host) &&
	    base.len > host.len && base.data[base.len - host.len - 1] == '.') {
		return FL_NAME_WITHIN;
	}
	return is_domain_within(host, base) ||
			       (has_dot_first(base) && same_text(host, from(base, 1)))
		       ? FL_NAME_WITHIN
		       : FL_NAME_OUTSIDE;
}

static enum fl_name_match match_email(struct fl_span name, struct fl_span base)
{
	size_t at = find_char(name, '@'), base_at = find_char(base, '@');
	struct fl_span host;

	if (at == 0 || at == name.len || !is_host(from(name, at + 1), "_")) {
		return FL_NAME_UNCLEAR;
	}
	host = from(name, at + 1);
	if (base_at == base.len) {
		return match_host(host, base);
	}
	/* A mailbox; case counts before the @. */
	return at == base_at && memcmp(name.data, base.data, at) == 0 &&
			       same_text(host, from(base, base_at + 1))
		       ? FL_NAME_WITHIN
		       : FL_NAME_OUTSIDE;
}

/* The host of a URI that has an authority. */
static bool host_of_uri(struct fl_span uri, struct fl_span *ret)
{
	size_t colon = find_char(uri, ':'), end = 0;
	struct fl_span rest;

	if (colon == 0 || uri.len < colon + 3 || memcmp(uri.data + colon, "://", 3) != 0) {
		return false;
	}
	rest = from(uri, colon + 3);
	while (end < rest.len && !strchr("/?#", rest.data[end])) {
		end++;
	}
	rest.len = end;
	end = find_char(rest, '@');
	if (end < rest.len) {
		rest = from(rest, end + 1);
	}
	rest.len = find_char(rest, ':');
	*ret = rest;
	return is_host(rest, "_");
}

/* Four numbers are an address, not a host. */
static bool is_address(struct fl_span host)
{
	for (size_t i = 0; i < host.len; i++) {
		if (host.data[i] != '.' && (host.data[i] < '0' || host.data[i] > '9')) {
			return false;
		}
	}
	return true;
}

static enum fl_name_match match_uri(struct fl_span name, struct fl_span base)
{
	struct fl_span host;

	if (!host_of_uri(name, &host) || is_address(host)) {
		return FL_NAME_UNCLEAR;
	}
	return match_host(host, base);
}

static enum fl_name_match match_ip(struct fl_span name, struct fl_span base)
{
	size_t len = base.len / 2;

	if (name.len != 4 && name.len != 16) {
		return FL_NAME_UNCLEAR;
	}
	if (name.len != len) {
		return FL_NAME_OUTSIDE;
	}
	for (size_t i = 0; i < len; i++) {
		if (((name.data[i] ^ base.data[i]) & base.data[len + i]) != 0) {
			return FL_NAME_OUTSIDE;
		}
	}
	return FL_NAME_WITHIN;
}

enum fl_name_match fl_general_name_match(const struct fl_general_name *name, struct fl_span base,
					 bool excluded)
{
	/* Some implementations read an empty base as "all hosts", others as "none". Choose the
	 * reading that admits no name. */
	if (base.len == 0 && (name->form == FL_NAME_EMAIL || name->form == FL_NAME_URI)) {
		return excluded ? FL_NAME_WITHIN : FL_NAME_OUTSIDE;
	}
	switch (name->form) {
	case FL_NAME_DIRECTORY:
		return fl_name_is_within(name->value, base) ? FL_NAME_WITHIN : FL_NAME_OUTSIDE;
	case FL_NAME_DNS:
		return match_dns(name->value, base, excluded);
	case FL_NAME_EMAIL:
		return match_email(name->value, base);
	case FL_NAME_URI:
		return match_uri(name->value, base);
	case FL_NAME_IP:
		return match_ip(name->value, base);
	default:
		return FL_NAME_UNCLEAR;
	}
}

/* --- subtrees --------------------------------------------------------------------------------------------- */

static bool is_mask(const uint8_t *mask, size_t len)
{
	bool zero = false;

	for (size_t i = 0; i < len * 8; i++) {
		bool bit = mask[i / 8] >> (7 - i % 8) & 1;

		if (bit && zero) {
			return false;
		}
		zero = !bit;
	}
	return true;
}

static bool is_good_base(const struct fl_general_name *base)
{
	struct fl_span text = base->value;
	size_t at = find_char(text, '@');

	switch (base->form) {
	case FL_NAME_DIRECTORY:
		return fl_name_is_good(text);
	case FL_NAME_DNS:
		return text.len == 0 || is_host_or_domain(text);
	case FL_NAME_EMAIL:
		return at == text.len ? text.len == 0 || is_host_or_domain(text)
				      : at > 0 && is_host(from(text, at + 1), "_");
	case FL_NAME_URI:
		return text.len == 0 || is_host_or_domain(text);
	case FL_NAME_IP:
		return (text.len == 8 || text.len == 32) &&
		       is_mask(text.data + text.len / 2, text.len / 2);
	default:
		return true; /* refused where a name of that form comes */
	}
}

bool fl_general_name_open(struct fl_general_name *name)
{
	struct fl_span value = name->value;

	return name->form != FL_NAME_DIRECTORY ||
	       (fl_asn1_take(&value, FL_ASN1_SEQUENCE, &name->value) && value.len == 0);
}

bool fl_subtree_take(struct fl_span *list, struct fl_general_name *ret)
{
	struct fl_span body, minimum;

	/* The minimum is 0, which DER omits; some CAs encode it anyway. */
	return fl_asn1_take(list, FL_ASN1_SEQUENCE, &body) &&
	       fl_general_name_take(&body, &ret->form, &ret->value) && fl_general_name_open(ret) &&
	       fl_asn1_take_optional(&body, (enum fl_asn1_tag)0x80, &minimum) &&
	       (minimum.len == 0 || (minimum.len == 1 && minimum.data[0] == 0)) && body.len == 0;
}

bool fl_subtrees_are_good(struct fl_span subtrees)
{
	struct fl_general_name base;

	while (subtrees.len > 0) {
		if (!fl_subtree_take(&subtrees, &base) || !is_good_base(&base)) {
			return false;
		}
	}
	return true;
}
