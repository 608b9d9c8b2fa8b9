/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Rules that can never have an effect: each kind is reported, and no effective rule is. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "conf/conf.h"
#include "policy/lint.h"

#define TD "spiffe://prod.example"

static const char head[] = "[identity]\ncert = /x/c\nkey = /x/k\nbundle = /x/b\n"
			   "[service web]\nlisten = *:8443\napp = 127.0.0.1:1\n"
			   "[service db]\nlisten = *:8444\napp = 127.0.0.1:2\n";
#define FIRST_LINE 11 /* of the rules */

struct row {
	const char *rules;
	const char *found; /* part of the one warning; NULL: none */
	unsigned line;     /* within the rules, from 1 */
};

struct found {
	size_t count;
	unsigned line;
	char text[512]; /* of the first one */
};

static void collect(void *user, unsigned line, const char *text)
{
	struct found *found = user;

	if (found->count++ == 0) {
		found->line = line;
		(void)snprintf(found->text, sizeof(found->text), "%s", text);
	}
}

static void check(const struct row *row)
{
	char *text = fl_format("%s%s", head, row->rules);
	struct fl_problems problems = {0};
	struct fl_conf *conf = NULL;
	struct found found = {0};

	cr_assert_eq(fl_conf_parse("x.ini", text, strlen(text), &conf, &problems), 0, "%s: %s",
		     row->rules, problems.count > 0 ? problems.items[0].text : "");
	fl_policy_lint(conf->policy, collect, &found);
	cr_expect_eq(found.count, row->found != NULL, "%s\n%zu: %s", row->rules, found.count,
		     found.text);
	if (row->found != NULL) {
		cr_expect_not_null(strstr(found.text, row->found), "%s\n%s", row->rules,
				   found.text);
		cr_expect_eq(found.line, FIRST_LINE + row->line - 1, "%s\nline %u", row->rules,
			     found.line);
	}
	fl_problems_done(&problems);
	fl_conf_free(conf);
	fl_wipe_free(text, strlen(text));
}

#define ALLOW(name, rest) "[allow " name "]\n" rest "\n"
#define DENY(name, rest) "[deny " name "]\n" rest "\n"
#define OTHER ALLOW("other", "from = " TD "/other")

Test(lint, test_lint__allow_that_a_deny_refuses__is_found)
{
	static const struct row rows[] = {
		{ALLOW("a", "from = " TD "/a") OTHER DENY("d", "from = " TD "/a"),
		 "[allow a] admits nobody: [deny d] in line 15", 1},
		{DENY("d", "from = " TD "/**") OTHER, "[allow other] admits nobody", 3},
		{OTHER DENY("d", "from = " TD "/ns/*/x") ALLOW("a", "from = " TD "/ns/web/x"),
		 "[allow a] admits nobody", 5},
		{OTHER DENY("d", "from = " TD "/ns/**")
			 ALLOW("a", "from = " TD "/ns/*/x, " TD "/ns/b"),
		 "[allow a] admits nobody", 5},
		{OTHER DENY("d", "from = " TD "/a\nto = 80-90, web")
			 ALLOW("a", "from = " TD "/a\nto = 85, web"),
		 "[allow a] admits nobody", 6},
		{OTHER DENY("d", "from = " TD "/a\nsources = 10.0.0.0/8, fd00::/8")
			 ALLOW("a", "from = " TD "/a\nsources = 10.1.0.0/16, fd00::1"),
		 "[allow a] admits nobody", 6},
		{OTHER DENY("d", "from = plaintext") ALLOW("a", "from = plaintext\nto = db"),
		 "[allow a] admits nobody", 5},
		{OTHER DENY("d", "from = " TD "/a") ALLOW("a", "mode = audit\nfrom = " TD "/a"),
		 "[allow a] admits nobody", 5},
	};

	for (size_t i = 0; i < FL_COUNT_OF(rows); i++) {
		check(&rows[i]);
	}
}

Test(lint, test_lint__deny_that_leaves_something__is_not)
{
	static const struct row rows[] = {
		{OTHER DENY("d", "from = " TD "/a") ALLOW("a", "from = " TD "/*"), NULL, 0},
		{OTHER DENY("d", "from = " TD "/ns/*") ALLOW("a", "from = " TD "/ns/**"), NULL, 0},
		{OTHER DENY("d", "from = " TD "/ns/*/x") ALLOW("a", "from = " TD "/ns/*/*"), NULL,
		 0},
		{OTHER DENY("d", "from = " TD "/a/**") ALLOW("a", "from = " TD "/a"), NULL, 0},
		{OTHER DENY("d", "from = spiffe://prod.example.other/**")
			 ALLOW("a", "from = " TD "/a"),
		 NULL, 0},
		{OTHER DENY("d", "from = " TD "/a") ALLOW("a", "from = " TD "/a, " TD "/b"), NULL,
		 0},
		{OTHER DENY("d", "from = " TD "/a\nto = 80") ALLOW("a", "from = " TD "/a"), NULL,
		 0},
		{OTHER DENY("d", "from = " TD "/a\nto = 80-90")
			 ALLOW("a", "from = " TD "/a\nto = 85-91"),
		 NULL, 0},
		{OTHER DENY("d", "from = " TD "/a\nto = web")
			 ALLOW("a", "from = " TD "/a\nto = web, db"),
		 NULL, 0},
		{OTHER DENY("d", "from = " TD "/a\nto = web")
			 ALLOW("a", "from = " TD "/a\nto = 80"),
		 NULL, 0},
		{OTHER DENY("d", "from = " TD "/a\nsources = 10.0.0.0/8")
			 ALLOW("a", "from = " TD "/a"),
		 NULL, 0},
		{OTHER DENY("d", "from = " TD "/a\nsources = 10.0.0.0/8")
			 ALLOW("a", "from = " TD "/a\nsources = 8.0.0.0/6"),
		 NULL, 0},
		{OTHER DENY("d", "from = " TD "/**") ALLOW("a", "from = " TD "/a, plaintext"),
		 "[allow other] admits nobody", 1}, /* and a does not: plaintext */
		{OTHER DENY("d", "mode = audit\nfrom = " TD "/**"), NULL, 0},
		{OTHER DENY("d", "from = plaintext") ALLOW("a", "from = " TD "/**"), NULL, 0},
	};

	for (size_t i = 0; i < FL_COUNT_OF(rows); i++) {
		check(&rows[i]);
	}
}

Test(lint, test_lint__rule_that_an_earlier_one_covers__is_found)
{
	static const struct row rows[] = {
		{ALLOW("a", "from = " TD "/a") ALLOW("b", "from = " TD "/a"),
		 "[allow b] changes nothing: [allow a] in line 11 already covers all of it", 3},
		{ALLOW("a", "from = " TD "/**") ALLOW("b", "from = " TD "/a\nto = 80"),
		 "[allow b] changes nothing", 3},
		{OTHER DENY("a", "from = " TD "/x/**") DENY("b", "from = " TD "/x/*/y"),
		 "[deny b] changes nothing: [deny a] in line 13 already covers", 5},
		{ALLOW("a", "from = " TD "/a") ALLOW("b", "mode = audit\nfrom = " TD "/a"),
		 "[allow b] changes nothing", 3},
		{ALLOW("a", "from = plaintext, " TD "/a")
			 ALLOW("b", "from = plaintext\nsources = 10.0.0.1"),
		 "[allow b] changes nothing", 3},
	};

	for (size_t i = 0; i < FL_COUNT_OF(rows); i++) {
		check(&rows[i]);
	}
}

Test(lint, test_lint__rule_that_its_own_exceptions_take_back__is_found)
{
	static const struct row rows[] = {
		{ALLOW("a", "from = " TD "/a, " TD "/b\nexcept_from = " TD "/*"),
		 "[allow a] never applies: `except_from` covers everything that the rule applies to",
		 1},
		{OTHER DENY("a", "from = " TD "/a\nto = 80-90, web\nexcept_to = web, 1-100"),
		 "[deny a] never applies: `except_to`", 3},
		{ALLOW("a", "from = plaintext\nsources = 10.1.0.0/16\nexcept_sources = 10.0.0.0/8"),
		 "[allow a] never applies: `except_sources`", 1},
	};

	for (size_t i = 0; i < FL_COUNT_OF(rows); i++) {
		check(&rows[i]);
	}
}

Test(lint, test_lint__exception_that_excepts_nothing__is_found)
{
	static const struct row rows[] = {
		{ALLOW("a", "from = " TD "/a/**\nexcept_from = " TD "/b/x, " TD "/a/x"),
		 "[allow a]: `" TD "/b/x` in `except_from` excepts nothing", 1},
		{OTHER DENY("a", "from = " TD "/a\nexcept_from = spiffe://prod.exmaple/**"),
		 "[deny a]: `spiffe://prod.exmaple/**` in `except_from`", 3},
		{ALLOW("a", "from = " TD "/a/*\nexcept_from = " TD "/a/*/c"), "excepts nothing", 1},
		{ALLOW("a", "from = plaintext\nexcept_from = " TD "/**"), "excepts nothing", 1},
		{ALLOW("a", "from = " TD "/a\nto = 80-90, 443\nexcept_to = 85, 91-442"),
		 "[allow a]: `91` in `except_to`", 1},
		{ALLOW("a", "from = " TD "/a\nto = web\nexcept_to = db"), "`db` in `except_to`", 1},
		{ALLOW("a", "from = " TD "/a\nsources = 10.0.0.0/8, fd00::/8\n"
			    "except_sources = 10.1.0.0/16, 11.0.0.0/8, fd00::1"),
		 "`11.0.0.0/8` in `except_sources`", 1},
	};

	for (size_t i = 0; i < FL_COUNT_OF(rows); i++) {
		check(&rows[i]);
	}
}

Test(lint, test_lint__rules_that_each_say_something__are_not)
{
	static const struct row rows[] = {
		/* The second rule may be about the exceptions of the first. */
		{ALLOW("a", "from = " TD "/**\nexcept_from = " TD "/x")
			 ALLOW("b", "from = " TD "/a"),
		 NULL, 0},
		{OTHER DENY("d", "from = " TD "/**\nexcept_to = 81") ALLOW("a", "from = " TD "/a"),
		 NULL, 0},
		{ALLOW("a", "from = " TD "/a, plaintext\nexcept_from = " TD "/a"), NULL, 0},
		{ALLOW("a", "from = " TD "/a\nexcept_to = 1-65535"), NULL, 0},
		{ALLOW("a", "from = " TD "/*/x, plaintext\nexcept_from = " TD "/y/*"), NULL, 0},
		{ALLOW("a", "from = " TD "/*/x/z\nexcept_from = " TD "/y/**"), NULL, 0},
		{ALLOW("a", "from = " TD "/a\nto = web, 80\nexcept_to = db, 81"), NULL, 0},
		{ALLOW("a", "from = " TD "/a\nto = web\nexcept_to = 8443"), NULL, 0},
		{ALLOW("a", "from = " TD "/a\nto = 80-90\nexcept_to = 90-100, db"), NULL, 0},
		{ALLOW("a", "from = " TD "/a\nsources = 10.1.0.0/16\nexcept_sources = 10.1.2.0/24"),
		 NULL, 0},
		/* The narrow one first: it has the verdict's name. */
		{ALLOW("b", "from = " TD "/a") ALLOW("a", "from = " TD "/**"), NULL, 0},
		{ALLOW("a", "from = " TD "/a\nto = 80") ALLOW("b", "from = " TD "/a\nto = 81"),
		 NULL, 0},
		{ALLOW("a", "from = " TD "/a\nto = 80") ALLOW("b", "from = " TD "/a"), NULL, 0},
		{ALLOW("a", "from = " TD "/a/*") ALLOW("b", "from = " TD "/*/a"), NULL, 0},
		{ALLOW("a", "from = " TD "/a/*") ALLOW("b", "from = " TD "/a/**"), NULL, 0},
		{ALLOW("a", "mode = audit\nfrom = " TD "/**") ALLOW("b", "from = " TD "/a"), NULL,
		 0},
		{ALLOW("a", "from = " TD "/**") ALLOW("b", "from = plaintext"), NULL, 0},
		{ALLOW("a", "from = " TD "/**") DENY("b", "from = " TD "/a"), NULL, 0},
		{ALLOW("a", "from = " TD "/a\nsources = 10.0.0.0/8")
			 ALLOW("b", "from = " TD "/a\nsources = 11.0.0.0/8"),
		 NULL, 0},
		{ALLOW("a", "from = " TD "/a") ALLOW("b", "from = " TD "/ab"), NULL, 0},
	};

	for (size_t i = 0; i < FL_COUNT_OF(rows); i++) {
		check(&rows[i]);
	}
}

Test(lint, test_lint__conf__warns_at_the_line)
{
	static const char rules[] = ALLOW("a", "from = " TD "/a") ALLOW("b", "from = " TD "/a");
	char *text = fl_format("%s%s", head, rules);
	struct fl_problems problems = {0};
	struct fl_conf *conf = NULL;

	cr_assert_eq(fl_conf_parse("x.ini", text, strlen(text), &conf, &problems), 0);
	cr_assert_eq(problems.count, 1);
	cr_expect_eq(problems.items[0].kind, FL_PROBLEM_WARNING);
	cr_expect_eq(problems.items[0].line, FIRST_LINE + 2);
	fl_problems_done(&problems);
	fl_conf_free(conf);
	fl_wipe_free(text, strlen(text));
}

/* Thousands of rules alike: it ends. */
Test(lint, test_lint__many_rules__ends)
{
	struct fl_policy *policy = fl_policy_new(FL_DENY, false);
	struct found found = {0};

	for (unsigned i = 0; i < 6000; i++) {
		struct fl_port_range port = {(uint16_t)(i + 1), (uint16_t)(i + 1)};
		struct fl_pattern *from[1];
		struct fl_rule_spec spec = {.name = "r",
					    .file = "x",
					    .line = i,
					    .from = from,
					    .from_count = 1,
					    .ports = &port,
					    .port_count = 1};

		cr_assert_eq(fl_pattern_parse(TD "/**", &from[0], NULL), 0);
		fl_policy_add(policy, &spec);
	}
	fl_policy_lint(policy, collect, &found);
	cr_expect_eq(found.count, 0);
	fl_policy_free(policy);
}

Test(lint, test_lint__pattern_covers__agrees_with_matching)
{
	static const char *const patterns[] = {
		TD "/a",       TD "/b",        TD "/*",        TD "/**",  TD "/a/a",
		TD "/a/b",     TD "/a/*",      TD "/*/a",      TD "/*/*", TD "/a/**",
		TD "/*/**",    TD "/*/a/**",   TD "/a/*/b",    TD "x/a",  TD "/a/b/b",
		TD "/a/a/b/c", "spiffe://o/a", "spiffe://o/**"};
	static const char *const ids[] = {TD,
					  TD "/a",
					  TD "/b",
					  TD "/c",
					  TD "/a/a",
					  TD "/a/b",
					  TD "/a/c",
					  TD "/b/a",
					  TD "/c/c",
					  TD "/a/b/b",
					  TD "/a/a/b/c",
					  TD "/b/a/x",
					  TD "/x/y/z",
					  TD "/x/y/z/z",
					  TD "x/a",
					  "spiffe://o/a",
					  "spiffe://o/b/c",
					  TD "/a/c/b",
					  TD "/a/x/y/z",
					  TD "/b/a/a/b"};

	for (size_t i = 0; i < FL_COUNT_OF(patterns); i++) {
		for (size_t k = 0; k < FL_COUNT_OF(patterns); k++) {
			struct fl_pattern *wide = NULL, *narrow = NULL;
			bool outside = false;

			cr_assert_eq(fl_pattern_parse(patterns[i], &wide, NULL), 0);
			cr_assert_eq(fl_pattern_parse(patterns[k], &narrow, NULL), 0);
			for (size_t n = 0; n < FL_COUNT_OF(ids); n++) {
				outside = outside ||
					  (fl_pattern_match(narrow, ids[n], strlen(ids[n])) &&
					   !fl_pattern_match(wide, ids[n], strlen(ids[n])));
			}
			cr_expect_eq(fl_pattern_covers(wide, narrow), !outside, "%s %s",
				     patterns[i], patterns[k]);
			fl_pattern_free(wide);
			fl_pattern_free(narrow);
		}
	}
}
