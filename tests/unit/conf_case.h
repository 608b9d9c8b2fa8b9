/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_TESTS_UNIT_CONF_CASE_H
#define FL_TESTS_UNIT_CONF_CASE_H
/* conf_case - INIs to start from, and checks of their results, for the tests of sidecar/conf. Header only: each test is a
 * program of its own. */
#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "conf/conf.h"

#define PATH "test.ini"

/* Five lines of identity and one service: good, and without a warning. */
#define IDENTITY "[identity]\ncert = /tls/tls.crt\nkey = /tls/tls.key\nbundle = /tls/ca.crt\n"
#define SERVICE "[service web]\nlisten = *:8443\napp = 127.0.0.1:8080\n"
#define RULE "[allow all]\nfrom = spiffe://td/**\n"
#define GOOD IDENTITY SERVICE RULE

static inline struct fl_conf *parse(const char *text, struct fl_problems *problems)
{
	struct fl_conf *conf = NULL;
	int rc = fl_conf_parse(PATH, text, strlen(text), &conf, problems);

	cr_assert_eq(rc, problems->errors == 0 ? 0 : FL_ERR_INVALID);
	cr_assert_eq(conf == NULL, problems->errors != 0);
	return conf;
}

static inline struct fl_conf *parse_good(const char *text)
{
	struct fl_problems problems = {0};
	struct fl_conf *conf = parse(text, &problems);

	cr_assert_eq(problems.count, 0, "line %u: %s", problems.items[0].line,
		     problems.items[0].text);
	fl_problems_done(&problems);
	return conf;
}

static inline size_t count_at(const struct fl_problems *problems, fl_conf_line line,
			      const char *part)
{
	size_t count = 0;

	for (size_t i = 0; i < problems->count; i++) {
		count += problems->items[i].line == line &&
			 strstr(problems->items[i].text, part) != NULL;
	}
	return count;
}

/* good, then `[section]` and the line: the problem is in line 11. */
static inline void expect_refused(const char *section, const char *line, const char *part)
{
	struct fl_problems problems = {0};
	char *text = fl_format("%s[%s]\n%s\n", GOOD, section, line);
	struct fl_conf *conf = parse(text, &problems);
	bool found = false;

	cr_expect_null(conf, "[%s] %s is accepted", section, line);
	for (size_t i = 0; i < problems.count; i++) {
		found = found || (problems.items[i].line == 11 &&
				  strstr(problems.items[i].text, part) != NULL);
	}
	cr_expect(found, "[%s] %s: no `%s` but, in line %u: %s", section, line, part,
		  problems.count > 0 ? problems.items[0].line : 0,
		  problems.count > 0 ? problems.items[0].text : "nothing");
	fl_problems_done(&problems);
	fl_conf_free(conf);
	free(text);
}

static inline void expect_taken(const char *section, const char *line)
{
	struct fl_problems problems = {0};
	char *text = fl_format("%s[%s]\n%s\n", GOOD, section, line);
	struct fl_conf *conf = parse(text, &problems);

	cr_expect_not_null(conf, "[%s] %s: %s", section, line,
			   problems.count > 0 ? problems.items[0].text : "");
	fl_problems_done(&problems);
	fl_conf_free(conf);
	free(text);
}

#endif
