/* SPDX-License-Identifier: GPL-3.0-or-later */
/* pattern - SPIFFE IDs with wildcards for whole path segments.
 *
 * With each wildcard replaced by ordinary bytes, a pattern is a SPIFFE ID, so pki/spiffe checks
 * the rest of its syntax. Fails with FL_ERR_INVALID, with the pattern in the text. Matching compares
 * the literal start at once, and then walks segment by segment, without backtracking. */
#include "policy/pattern_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "pki/spiffe.h"

/* --- parsing ------------------------------------------------------------------------------- */

static size_t segment_len(const char *text, size_t len)
{
	const char *slash = memchr(text, '/', len);

	return slash != NULL ? (size_t)(slash - text) : len;
}

static bool is_wildcard(const char *segment, size_t len)
{
	return (len == 1 && segment[0] == '*') ||
	       (len == 2 && segment[0] == '*' && segment[1] == '*');
}

/* path: after the first '/' of the path. *ret_literal: what precedes the first wildcard, if any. */
static int check_wildcards(const char *text, const char *path, size_t *ret_literal,
			   struct fl_err *err)
{
	size_t left = strlen(path);
	bool literal = true;

	while (left > 0) {
		size_t len = segment_len(path, left);

		if (is_wildcard(path, len)) {
			if (literal) {
				*ret_literal = (size_t)(path - text);
				literal = false;
			}
			if (len == 2 && len < left) {
				return fl_err_set(
					err, FL_ERR_INVALID,
					"`%.100s`: `**` is allowed only at the end: write `*` for "
					"each segment before it",
					text);
			}
		} else if (memchr(path, '*', len) != NULL) {
			return fl_err_set(
				err, FL_ERR_INVALID,
				"`%.100s`: `*` stands for a whole segment, but `%.*s` mixes it with "
				"other characters",
				text, (int)(len < 100 ? len : 100), path);
		}
		if (len == left) {
			break;
		}
		path += len + 1;
		left -= len + 1;
	}
	return 0;
}

/* Checks everything except the wildcards by the SPIFFE rules. A trust domain alone is a SPIFFE ID, but no certificate of a
 * peer has one (pki/svid.h). */
static int check_id(const char *text, size_t len, struct fl_err *err)
{
	char *id = fl_strndup(text, len);
	struct fl_spiffe_id parsed;
	int rc;

	for (size_t i = 0; i < len; i++) {
		if (id[i] == '*') {
			id[i] = 'x';
		}
	}
	rc = fl_spiffe_id_parse(id, len, &parsed, err);
	if (rc == 0 && parsed.path_len == 0) {
		rc = fl_err_set(
			err, FL_ERR_INVALID,
			"this is a trust domain, and no peer has that identity: add `/**` for all of its identities");
	}
	free(id);
	return rc;
}

int fl_pattern_parse(const char *text, struct fl_pattern **ret, struct fl_err *err)
{
	size_t len = strlen(text);
	size_t literal = len;
	const char *domain = fl_spiffe_after_scheme(text);
	struct fl_pattern *pattern;
	int rc;

	if (domain != NULL) {
		const char *path = fl_spiffe_path(text);

		if (memchr(domain, '*', (size_t)(path - domain)) != NULL) {
			return fl_err_set(
				err, FL_ERR_INVALID,
				"`%.100s`: the trust domain must be literal, `*` is for path "
				"segments only",
				text);
		}
		if (path[0] == '/') {
			rc = check_wildcards(text, path + 1, &literal, err);
			if (rc != 0) {
				return rc;
			}
		}
	}
	rc = check_id(text, len, err);
	if (rc != 0) {
		(void)fl_err_prefix(err, "`%.100s`", text);
		return rc;
	}
	pattern = fl_new(sizeof(*pattern));
	pattern->text = fl_strndup(text, len);
	pattern->len = len;
	pattern->literal_len = literal;
	*ret = pattern;
	return 0;
}

/* --- matching ------------------------------------------------------------------------------ */

/* Both begin at a segment. */
static bool match_segments(const char *pattern, size_t pattern_len, const char *id, size_t id_len)
{
	for (;;) {
		size_t want = segment_len(pattern, pattern_len);
		size_t have = segment_len(id, id_len);

		if (have == 0) {
			return false;
		}
		if (want == 2 && pattern[0] == '*' && pattern[1] == '*') {
			return true; /* the last segment: it covers everything that follows */
		}
		if (!(want == 1 && pattern[0] == '*') &&
		    (want != have || memcmp(pattern, id, want) != 0)) {
			return false;
		}
		if (want == pattern_len || have == id_len) {
			return want == pattern_len && have == id_len;
		}
		pattern += want + 1;
		pattern_len -= want + 1;
		id += have + 1;
		id_len -= have + 1;
	}
}

bool fl_pattern_match(const struct fl_pattern *pattern, const char *id, size_t id_len)
{
	size_t literal = pattern->literal_len;

	if (id_len < literal || memcmp(pattern->text, id, literal) != 0) {
		return false;
	}
	if (literal == pattern->len) {
		return id_len == literal;
	}
	return match_segments(pattern->text + literal, pattern->len - literal, id + literal,
			      id_len - literal);
}

/* Segment by segment, as in matching; only `**` covers another `**`. */
bool fl_pattern_covers(const struct fl_pattern *wide, const struct fl_pattern *narrow)
{
	const char *w = wide->text, *n = narrow->text;
	size_t w_len = wide->len, n_len = narrow->len;

	for (;;) {
		size_t want = segment_len(w, w_len);
		size_t have = segment_len(n, n_len);

		if (want == 2 && w[0] == '*' && w[1] == '*') {
			return true;
		}
		if (have == 2 && n[0] == '*' && n[1] == '*') {
			return false;
		}
		if (!(want == 1 && w[0] == '*') && (want != have || memcmp(w, n, want) != 0)) {
			return false;
		}
		if (want == w_len || have == n_len) {
			return want == w_len && have == n_len;
		}
		w += want + 1;
		w_len -= want + 1;
		n += have + 1;
		n_len -= have + 1;
	}
}

static bool is_rest(const char *segment, size_t len)
{
	return len == 2 && segment[0] == '*' && segment[1] == '*';
}

/* Segment by segment, too. Neither has a wildcard in front of its path, and `**` stands for at least one segment. */
bool fl_pattern_overlaps(const struct fl_pattern *a, const struct fl_pattern *b)
{
	const char *left = a->text, *right = b->text;
	size_t left_len = a->len, right_len = b->len;

	for (;;) {
		size_t one = segment_len(left, left_len);
		size_t other = segment_len(right, right_len);

		if (is_rest(left, one) || is_rest(right, other)) {
			return true;
		}
		if (!is_wildcard(left, one) && !is_wildcard(right, other) &&
		    (one != other || memcmp(left, right, one) != 0)) {
			return false;
		}
		if (one == left_len || other == right_len) {
			return one == left_len && other == right_len;
		}
		left += one + 1;
		left_len -= one + 1;
		right += other + 1;
		right_len -= other + 1;
	}
}

const char *fl_pattern_text(const struct fl_pattern *pattern)
{
	return pattern->text;
}

void fl_pattern_free(struct fl_pattern *pattern)
{
	if (pattern != NULL) {
		free(pattern->text);
		free(pattern);
	}
}
