/* SPDX-License-Identifier: GPL-3.0-or-later */
/* SPIFFE IDs and the patterns of policy: against a naive reading of the rules, and against one another. */
#include "pki/spiffe.h"
#include "fuzz.h"
#include "policy/policy.h"

static bool is_one_of(char c, const char *set)
{
	return c != '\0' && strchr(set, c) != NULL;
}

#define LOWER "abcdefghijklmnopqrstuvwxyz0123456789.-_"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

static bool is_made_of(const char *text, size_t len, const char *set)
{
	for (size_t i = 0; i < len; i++) {
		if (!is_one_of(text[i], set)) {
			return false;
		}
	}
	return len > 0;
}

/* SPIFFE-ID sections 2.1 to 2.3, word by word. */
static bool is_spiffe_id(const char *text, size_t len)
{
	const char *end = text + len, *at = text + 9;

	if (len > 2048 || len < 10 || memcmp(text, "spiffe://", 9) != 0) {
		return false;
	}
	for (bool is_domain = true;; is_domain = false) {
		const char *slash = memchr(at, '/', (size_t)(end - at));
		size_t part = (size_t)((slash != NULL ? slash : end) - at);

		if (!is_made_of(at, part, is_domain ? LOWER : LOWER UPPER) ||
		    (is_domain && part > 255) || (!is_domain && part == 1 && at[0] == '.') ||
		    (!is_domain && part == 2 && memcmp(at, "..", 2) == 0)) {
			return false;
		}
		if (slash == NULL) {
			return true;
		}
		at = slash + 1;
	}
}

/* Segment by segment. */
static bool matches(const char *pattern, const char *id, size_t len)
{
	const char *end = id + len;

	for (;;) {
		size_t want = strcspn(pattern, "/");
		const char *slash = memchr(id, '/', (size_t)(end - id));
		size_t have = (size_t)((slash != NULL ? slash : end) - id);

		if (strcmp(pattern, "**") == 0) {
			return have > 0;
		}
		if (want == 1 && pattern[0] == '*'
			    ? have == 0
			    : want != have || memcmp(pattern, id, want) != 0) {
			return false;
		}
		if (pattern[want] == '\0' || slash == NULL) {
			return pattern[want] == '\0' && slash == NULL;
		}
		pattern += want + 1;
		id = slash + 1;
	}
}

static void try_id(const char *text, size_t len)
{
	struct fl_spiffe_id id;
	struct fl_err err;
	bool good = fl_spiffe_id_parse(text, len, &id, &err) == FL_OK;

	FL_REQUIRE(good == is_spiffe_id(text, len));
	if (good) {
		FL_REQUIRE(id.text == text && id.len == len);
		FL_REQUIRE(id.trust_domain == text + 9);
		FL_REQUIRE(9 + id.trust_domain_len + id.path_len == len);
		FL_REQUIRE((id.path == NULL) == (id.path_len == 0));
		FL_REQUIRE(fl_spiffe_trust_domain_check(id.trust_domain, id.trust_domain_len,
							NULL) == FL_OK);
	} else {
		FL_REQUIRE(err.text[0] != '\0');
	}
	(void)!fl_spiffe_trust_domain_check(text, len, &err);
}

static void try_pair(const struct fl_pattern *a, const struct fl_pattern *b, const char *id,
		     size_t len)
{
	FL_REQUIRE(fl_pattern_covers(a, a));
	if (is_spiffe_id(id, len) && fl_pattern_covers(a, b) && fl_pattern_match(b, id, len)) {
		FL_REQUIRE(fl_pattern_match(a, id, len));
	}
}

/* Three words: two patterns and an ID. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct fl_span in = {data, len};
	char *text[2] = {fuzz_string(fuzz_take_word(&in)), fuzz_string(fuzz_take_word(&in))};
	struct fl_pattern *pattern[2] = {NULL, NULL};
	char *id = (char *)fuzz_copy(in);
	struct fl_err err;

	try_id(id, in.len);
	for (int i = 0; i < 2; i++) {
		try_id(text[i], strlen(text[i]));
		if (fl_pattern_parse(text[i], &pattern[i], &err) == FL_OK) {
			FL_REQUIRE(strcmp(fl_pattern_text(pattern[i]), text[i]) == 0);
			bool is = fl_pattern_match(pattern[i], id, in.len);
			FL_REQUIRE(!is_spiffe_id(id, in.len) || is == matches(text[i], id, in.len));
		}
	}
	if (pattern[0] != NULL && pattern[1] != NULL) {
		try_pair(pattern[0], pattern[1], id, in.len);
		try_pair(pattern[1], pattern[0], id, in.len);
	}
	for (int i = 0; i < 2; i++) {
		fl_pattern_free(pattern[i]);
		free(text[i]);
	}
	free(id);
	return 0;
}
