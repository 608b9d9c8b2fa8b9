/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Identity patterns: which texts are patterns, and what they match. */
#include <criterion/criterion.h>
#include <string.h>

#include "base/mem.h"
#include "policy/policy.h"

static bool matches(const char *text, const char *id)
{
	struct fl_pattern *pattern = NULL;
	struct fl_err err = {0};
	bool match;

	cr_assert_eq(fl_pattern_parse(text, &pattern, &err), 0, "%s: %s", text, err.text);
	cr_assert_str_eq(fl_pattern_text(pattern), text);
	match = fl_pattern_match(pattern, id, strlen(id));
	fl_pattern_free(pattern);
	return match;
}

Test(pattern, test_pattern__every_form__matches_whole_segments_only)
{
	static const struct {
		const char *pattern;
		const char *id;
		bool match;
	} rows[] = {
		/* literal */
		{"spiffe://td/ns/web/sa/front", "spiffe://td/ns/web/sa/front", true},
		{"spiffe://td/ns/web/sa/front", "spiffe://td/ns/web/sa/fron", false},
		{"spiffe://td/ns/web/sa/front", "spiffe://td/ns/web/sa/front2", false},
		{"spiffe://td/ns/web/sa/front", "spiffe://td/ns/web/sa/front/x", false},
		{"spiffe://td/ns/web/sa/front", "spiffe://td/ns/web/sa", false},
		{"spiffe://td/ns/web/sa/front", "spiffe://td/ns/web/sa/Front", false},
		{"spiffe://td/a", "spiffe://tdd/a", false},
		{"spiffe://td/a", "spiffe://other/a", false},
		/* one segment */
		{"spiffe://td/*", "spiffe://td/a", true},
		{"spiffe://td/*", "spiffe://td", false},
		{"spiffe://td/*", "spiffe://td/", false},
		{"spiffe://td/*", "spiffe://td/a/b", false},
		{"spiffe://td/*", "spiffe://td.evil/a", false},
		{"spiffe://td/ns/*/sa/x", "spiffe://td/ns/web/sa/x", true},
		{"spiffe://td/ns/*/sa/x", "spiffe://td/ns/web/db/sa/x", false},
		{"spiffe://td/ns/*/sa/x", "spiffe://td/ns//sa/x", false},
		{"spiffe://td/ns/*/sa/x", "spiffe://td/ns/web/sa/y", false},
		{"spiffe://td/ns/*/sa/x", "spiffe://td/ns/web/sa/xx", false},
		{"spiffe://td/ns/*/sa/x", "spiffe://td/ns/web/sa", false},
		{"spiffe://td/ns/web/sa/*", "spiffe://td/ns/web/sa/a", true},
		{"spiffe://td/ns/web/sa/*", "spiffe://td/ns/web/sa", false},
		{"spiffe://td/ns/web/sa/*", "spiffe://td/ns/web/sab/a", false},
		{"spiffe://td/*/*", "spiffe://td/a/b", true},
		{"spiffe://td/*/*", "spiffe://td/a", false},
		{"spiffe://td/*/*", "spiffe://td/a/b/c", false},
		/* one or more at the end */
		{"spiffe://td/**", "spiffe://td/a", true},
		{"spiffe://td/**", "spiffe://td/a/b/c", true},
		{"spiffe://td/**", "spiffe://td", false},
		{"spiffe://td/**", "spiffe://td/", false},
		{"spiffe://td/ns/ops/**", "spiffe://td/ns/ops/sa/x", true},
		{"spiffe://td/ns/ops/**", "spiffe://td/ns/ops", false},
		{"spiffe://td/ns/ops/**", "spiffe://td/ns/opsx/sa", false},
		{"spiffe://td/ns/*/sa/**", "spiffe://td/ns/a/sa/b/c", true},
		{"spiffe://td/ns/*/sa/**", "spiffe://td/ns/a/sa", false},
		{"spiffe://td/ns/*/sa/**", "spiffe://td/ns/a/sb/b", false},
		/* never text to match */
		{"spiffe://td/a", "", false},
		{"spiffe://td/*", "", false},
	};

	for (size_t i = 0; i < FL_COUNT_OF(rows); i++) {
		cr_expect_eq(matches(rows[i].pattern, rows[i].id), rows[i].match, "%s %s %s",
			     rows[i].pattern, rows[i].match ? "misses" : "matches", rows[i].id);
	}
}

Test(pattern, test_pattern__id_without_terminator__is_read_up_to_its_length)
{
	struct fl_pattern *pattern = NULL;

	cr_assert_eq(fl_pattern_parse("spiffe://td/*", &pattern, NULL), 0);
	cr_expect(fl_pattern_match(pattern, "spiffe://td/ab/c", strlen("spiffe://td/ab")));
	cr_expect_not(fl_pattern_match(pattern, "spiffe://td/ab/c", strlen("spiffe://td/ab/c")));
	fl_pattern_free(pattern);
	fl_pattern_free(NULL);
}

Test(pattern, test_pattern__what_is_none__is_refused_with_the_remedy)
{
	static const struct {
		const char *text;
		const char *part; /* of the message */
	} rows[] = {
		{"", "SPIFFE"},
		{"*", "spiffe://"},
		{"**", "spiffe://"},
		{"prod.example/ns/web", "spiffe://"},
		{"https://td/a", "spiffe://"},
		{"spiffe://", "trust domain"},
		{"spiffe://*/a", "trust domain must be literal"},
		{"spiffe://*.example/a", "trust domain must be literal"},
		{"spiffe://prod.*", "trust domain must be literal"},
		{"spiffe://Prod/a", "lower case"},
		{"spiffe://td/", "must not end"},
		{"spiffe://td/a/", "must not end"},
		{"spiffe://td/*/", "must not end"},
		{"spiffe://td//a", "empty segment"},
		{"spiffe://td/a/../b", "segment"},
		{"spiffe://td/a b", "0x20"},
		{"spiffe://td/a%41", "percent"},
		{"spiffe://td:80/a", "port"},
		{"spiffe://td/web-*", "whole segment"},
		{"spiffe://td/*web/x", "whole segment"},
		{"spiffe://td/***", "whole segment"},
		{"spiffe://td/a**", "whole segment"},
		{"spiffe://td/**/a", "only at the end"},
		{"spiffe://td/**/*", "only at the end"},
		{"spiffe://td/**/**", "only at the end"},
		{"spiffe://td/a?b", "query"},
		{"spiffe://td", "add `/**`"},
	};

	for (size_t i = 0; i < FL_COUNT_OF(rows); i++) {
		struct fl_pattern *pattern = NULL;
		struct fl_err err = {0};

		cr_expect_eq(fl_pattern_parse(rows[i].text, &pattern, &err), FL_ERR_INVALID,
			     "`%s` is accepted", rows[i].text);
		cr_expect_null(pattern);
		cr_expect_not_null(strstr(err.text, rows[i].part), "`%s`: %s", rows[i].text,
				   err.text);
		cr_expect_not_null(strstr(err.text, rows[i].text), "not named: %s", err.text);
	}
}

Test(pattern, test_pattern__longest_id__is_accepted_and_one_byte_more_is_not)
{
	char text[2048 + 2] = "spiffe://td/";
	struct fl_pattern *pattern = NULL;

	memset(text + strlen(text), 'a', sizeof(text) - 1 - strlen(text));
	cr_expect_eq(fl_pattern_parse(text, &pattern, NULL), FL_ERR_INVALID);
	text[2048] = '\0';
	cr_expect_eq(fl_pattern_parse(text, &pattern, NULL), 0);
	fl_pattern_free(pattern);
}
