/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The INI as a text and a file: many problems, long lines, odd bytes, and paths that are not files. */
#include "conf_case.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- all of them at once ------------------------------------------------------------------- */

static const struct {
	const char *line;
	const char *parts[2]; /* part of the report about it; none: it is accepted */
} broken[] = {
	{"orphan = 1", {"before the first [SECTION]"}},
	{"[identity]", {"has no `bundle`"}},
	{"cert = tls.crt", {"not an absolute path"}},
	{"key = \"/tls/tls.key\"", {"without quotes"}},
	{"bundel = /tls/ca.crt", {"did you mean `bundle`?"}},
	{"crl = crl.pem", {"not an absolute path"}},
	{"credential_bundle = /tls/both.pem", {"replaces `cert` and `key` (line 3)"}},
	{"[sidecar]", {NULL}},
	{"inbound = *:15006, 15007", {"`15007` is not an address"}},
	{"drain = 30", {"has no unit"}},
	{"drain = 40s", {"`drain` already exists in line 10"}},
	{"workers = 0", {"out of range (1 to 256)"}},
	{"[servcie api]", {"did you mean `service`?"}},
	{"this is not looked at = x", {NULL}},
	{"[service web]", {NULL}},
	{"listen = *:8443", {NULL}},
	{"app = localhost:8080", {"names are not resolved"}},
	{"mode = permissiv", {"did you mean `permissive`?"}},
	{"port = 8080", {"`listen` (line 16) for a fixed listener"}},
	{"[service web2]", {"has no `app`"}},
	{"listen = 127.0.0.1:8443", {"also used by [service web] listen in line 16"}},
	{"[upstream ledger]", {NULL}},
	{"to = 10.0.0.1/8:80, x:90, y", {"bits set after its prefix", "`y` has no port"}},
	{"   z:90", {"cannot continue in the next line"}},
	{"peer = spiffe://prod.example/web-*, spiffe://*/x", {"whole segment", "must be literal"}},
	{"[sidecar]", {"[sidecar] already exists in line 8"}},
	{"admin = 15020", {"not an address"}},
	{"[allow a]", {"has no `from`"}},
	{"to = 99999, wbe", {"1 to 65535", "did you mean `web`?"}},
	{"[deny a]", {"rule name `a` already exists in line 28"}},
	{"from = front", {"spiffe://"}},
	{"[limits]", {NULL}},
	{"buffer = 64K", {"not a unit"}},
	{"connections = 20000    handshakes = 512", {"not a whole number"}},
	{"max_age = 5", {"has no unit"}},
	{"[log", {"`]`"}},
	{"level = nobody's", {NULL}},
	{"[log] ; comment", {NULL}},
	{"level = warning", {"did you mean `warn`?"}},
	{"format json", {"neither [SECTION] nor KEY = VALUE"}},
	{"[redirect]", {NULL}},
	{"mode = proxy", {"did you mean `tproxy`?"}},
	{"[federate Partner]", {"lower case", "has no `bundle`"}},
	{"[federate]", {"needs a name"}},
	{"[tls]", {NULL}},
	{"groups = X25519, Kyber", {"`Kyber` is not one of"}},
	{"tickets = yes", {"`yes` is not one of"}},
	{"[rotation]", {NULL}},
	{"on_expiry = closed", {"did you mean `close`?"}},
};

static char *join_broken(void)
{
	char *text = fl_strdup("");

	for (size_t i = 0; i < FL_COUNT_OF(broken); i++) {
		char *more = fl_format("%s%s\n", text, broken[i].line);

		free(text);
		text = more;
	}
	return text;
}

Test(conf, test_conf__file_full_of_problems__has_each_reported_with_its_line)
{
	struct fl_problems problems = {0};
	char *text = join_broken();
	size_t expected = 0;

	cr_expect_null(parse(text, &problems));
	for (size_t i = 0; i < FL_COUNT_OF(broken); i++) {
		for (size_t k = 0; k < 2 && broken[i].parts[k] != NULL; k++) {
			expected++;
			cr_expect_eq(count_at(&problems, (fl_conf_line)i + 1, broken[i].parts[k]),
				     1, "line %zu `%s`: not exactly one `%s`", i + 1,
				     broken[i].line, broken[i].parts[k]);
		}
	}
	cr_expect_geq(expected, 25);
	cr_expect_eq(problems.count, expected, "%zu problems, %zu expected", problems.count,
		     expected);
	for (size_t i = 1; i < problems.count; i++) {
		cr_expect_leq(problems.items[i - 1].line, problems.items[i].line, "not sorted");
	}
	fl_problems_done(&problems);
	free(text);
}

static char *print(const struct fl_problems *problems)
{
	char *shown = NULL;
	size_t len = 0;
	FILE *stream = open_memstream(&shown, &len);

	fl_problems_print(problems, "/etc/x.ini", stream);
	cr_assert_eq(fclose(stream), 0);
	return shown;
}

/* The text, count times. */
static char *repeat(const char *text, size_t count)
{
	size_t len = strlen(text);
	char *all = fl_new(count * len + 1);

	for (size_t i = 0; i < count; i++) {
		memcpy(all + i * len, text, len);
	}
	return all;
}

Test(conf, test_conf__many_problems__are_counted_and_not_all_listed)
{
	struct fl_problems problems = {0};
	char *lines = repeat("nonsense\n", 150), *text = fl_format(GOOD "%s", lines), *shown;

	cr_expect_null(parse(text, &problems));
	cr_expect_eq(problems.errors, 150);
	cr_expect_eq(problems.count, FL_PROBLEMS_MAX);
	for (size_t i = 0; i < 120;
	     i++) { /* warnings take no place of an error, nor an error of theirs */
		fl_problem_warning(&problems, 1, "careful");
	}
	cr_expect_eq(problems.warnings, 120);
	cr_expect_eq(problems.count, 2 * FL_PROBLEMS_MAX);
	shown = print(&problems);
	cr_expect_not_null(strstr(shown, "/etc/x.ini: 50 more errors and 20 more warnings are not "
					 "listed\n"),
			   "%s", shown);
	fl_problems_done(&problems);
	free(shown);
	free(text);
	free(lines);
}

static void expect_bounded(const char *head, const char *unit)
{
	struct fl_problems problems = {0};
	char *units = repeat(unit, (FL_CONF_MAX_SIZE - strlen(head)) / strlen(unit));
	char *text = fl_format("%s%s", head, units), *shown;

	cr_expect_null(parse(text, &problems), "%s", unit);
	cr_expect_eq(problems.count, FL_PROBLEMS_MAX, "%s", unit);
	cr_expect_geq(problems.errors, FL_PROBLEMS_ENOUGH, "%s", unit);
	cr_expect_leq(problems.errors, FL_PROBLEMS_ENOUGH + 1, "%s: it is read to its end", unit);
	shown = print(&problems);
	cr_expect_not_null(strstr(shown, "/etc/x.ini: at least 90"), "%s", shown);
	/* Nothing is looked at any more, and so nothing is good. */
	cr_expect_null(parse(GOOD, &problems), "%s", unit);
	fl_problems_done(&problems);
	free(shown);
	free(text);
	free(units);
}

Test(conf, test_conf__file_that_is_no_INI__is_not_read_to_its_end)
{
	expect_bounded("", "x\n");
	expect_bounded("", "time=now level=info\n");
	expect_bounded(GOOD "[log]\n", "a=\n");
	expect_bounded(GOOD, "[allow]\n");
	expect_bounded(GOOD, "[nonsense]\n");
}

Test(conf, test_conf__printing__is_file_line_and_harmless_to_terminals)
{
	struct fl_problems problems = {0};
	char *shown;

	(void)parse("[log]\nlevel = \xc2\x9b"
		    "1m\n[x]\n",
		    &problems);
	shown = print(&problems);
	cr_expect_not_null(strstr(shown, "/etc/x.ini: [identity] is missing"), "%s", shown);
	cr_expect_not_null(strstr(shown, "/etc/x.ini:2: `level`: "), "%s", shown);
	cr_expect_not_null(strstr(shown, "/etc/x.ini:3: unknown section [x]\n"), "%s", shown);
	cr_expect_null(strstr(shown, "\xc2\x9b"), "%s", shown);
	fl_problems_done(&problems);
	free(shown);
}

/* --- long and odd texts -------------------------------------------------------------------- */

/* A rule with so many identities that its line has just about size bytes. */
static char *with_long_line(size_t size)
{
	static const char more[] = ", spiffe://td/abcd";
	char *list = fl_new(size + sizeof(more));
	size_t len = (size_t)snprintf(list, size, "from = spiffe://td/x");
	char *text;

	while (len < size - strlen(more)) {
		len += (size_t)snprintf(list + len, size + sizeof(more) - len, "%s", more);
	}
	text = fl_format(IDENTITY SERVICE "[allow many]\n%s\n", list);
	free(list);
	return text;
}

Test(conf, test_conf__long_line__is_read_in_full_or_refused_but_never_cut)
{
	static const size_t sizes[] = {190, 200, 210, 300, 5000, 60000};
	struct fl_problems problems = {0};
	char *text;

	for (size_t i = 0; i < FL_COUNT_OF(sizes); i++) {
		struct fl_request request = {.id = "spiffe://td/abcd", .id_len = 16, .port = 1};
		struct fl_conf *conf;

		text = with_long_line(sizes[i]);
		conf = parse_good(text);
		cr_expect_eq(fl_policy_decide(conf->policy, &request).effect, FL_ALLOW);
		fl_conf_free(conf);
		free(text);
	}
	text = with_long_line(70000);
	cr_expect_null(parse(text, &problems));
	cr_expect_eq(count_at(&problems, 9, "bytes, the maximum is 65534"), 1);
	fl_problems_done(&problems);
	free(text);
}

Test(conf, test_conf__long_names__are_not_cut)
{
	struct fl_conf *conf = parse_good(
		GOOD
		"[federate a-trust-domain-with-a-name-of-more-than-fifty-bytes.partner.example]\n"
		"bundle = /ca\n"
		"[federate a-trust-domain-with-a-name-of-more-than-fifty-bytes.partner.other]\n"
		"bundle = /ca\n");

	cr_expect_str_eq(conf->federate[0].trust_domain,
			 "a-trust-domain-with-a-name-of-more-than-fifty-bytes.partner.example");
	fl_conf_free(conf);
	expect_refused(
		"limits",
		"handshake_timeout_but_with_a_very_long_tail_that_inih_might_well_cut = 1s",
		"unknown key `handshake_timeout_but_with_a_very_long_tail_that_inih_might_well_cut`");
}

/* The message would fill the terminal and the log. */
Test(conf, test_conf__endless_words__are_cut_in_messages)
{
	static const struct {
		const char *before, *between, *after, *part; /* between: NULL: the word once */
	} rows[] = {{"[log]\n", NULL, " = 1\n", "unknown key"},
		    {"[log]\n", " = 1\n", " = 1\n", "already exists"},
		    {"[", NULL, "]\n", "unknown section"},
		    {"[", "]\n[", "]\n", "already exists"},
		    {"[service ", NULL, "]\nport = 1\n", "has 60000 bytes"},
		    {"[federate ", NULL, "]\n", "has no `bundle`"},
		    {"[log] ", NULL, "\n", "only a `;` comment"},
		    {"[allow x]\nfrom = spiffe://td/x\nto = ", NULL, "\n", "no [service"},
		    {"[log]\nlevel = ", NULL, "\n", "is not one of"}};
	char *word = fl_new(60001);

	memset(word, 'k', 60000);
	for (size_t i = 0; i < FL_COUNT_OF(rows); i++) {
		struct fl_problems problems = {0};
		bool twice = rows[i].between != NULL;
		char *text =
			fl_format("%s%s%s%s%s%s", GOOD, rows[i].before, word,
				  twice ? rows[i].between : "", twice ? word : "", rows[i].after);
		size_t found = 0;

		fl_conf_free(parse(text, &problems));
		for (size_t k = 0; k < problems.count; k++) {
			cr_expect_lt(strlen(problems.items[k].text), 2000, "%s", rows[i].part);
			found += strstr(problems.items[k].text, rows[i].part) != NULL;
		}
		cr_expect_gt(found, 0, "%s", rows[i].part);
		fl_problems_done(&problems);
		free(text);
	}
	free(word);
}

Test(conf, test_conf__empty_and_oversized_texts__are_refused)
{
	struct fl_problems problems = {0};
	struct fl_conf *conf = NULL;
	char *big = fl_new(FL_CONF_MAX_SIZE + 1);

	cr_expect_eq(fl_conf_parse(PATH, NULL, 0, &conf, &problems), FL_ERR_INVALID);
	cr_expect_geq(problems.errors, 1);
	fl_problems_done(&problems);

	memset(big, '\n', FL_CONF_MAX_SIZE + 1);
	memcpy(big, GOOD, sizeof(GOOD) - 1);
	cr_expect_eq(fl_conf_parse(PATH, big, FL_CONF_MAX_SIZE + 1, &conf, &problems),
		     FL_ERR_INVALID);
	cr_expect_not_null(strstr(problems.items[0].text, "the maximum is 1048576"));
	fl_problems_done(&problems);
	cr_expect_null(conf);

	cr_expect_eq(fl_conf_parse(PATH, big, FL_CONF_MAX_SIZE, &conf, &problems), 0);
	fl_problems_done(&problems);
	fl_conf_free(conf);
	free(big);
}

Test(conf, test_conf__nul_byte__does_not_hide_what_follows)
{
	static const char text[] = GOOD "[log]\nlevel = info\0\nformat = xml\n";
	struct fl_problems problems = {0};
	struct fl_conf *conf = NULL;

	cr_expect_eq(fl_conf_parse(PATH, text, sizeof(text) - 1, &conf, &problems), FL_ERR_INVALID);
	cr_expect_eq(count_at(&problems, 11, "0x00"), 1);
	cr_expect_eq(count_at(&problems, 12, "json, text"), 1);
	fl_problems_done(&problems);
}

/* --- files --------------------------------------------------------------------------------- */

static void expect_unreadable(const char *path, int code, const char *part)
{
	struct fl_problems problems = {0};
	struct fl_conf *conf = NULL;
	char *text = NULL;
	size_t len = 0;

	cr_expect_eq(fl_conf_load(path, &conf, &text, &len, &problems), code);
	cr_assert_geq(problems.count, 1);
	cr_expect_eq(problems.items[0].line, 0);
	cr_expect_not_null(strstr(problems.items[0].text, part), "%s", problems.items[0].text);
	cr_expect_null(conf);
	cr_expect_null(text);
	fl_problems_done(&problems);
}

static void write_file(const char *path, const char *text, off_t size)
{
	FILE *file = fopen(path, "w");

	cr_assert_not_null(file);
	cr_assert_geq(fputs(text, file), 0);
	cr_assert_eq(fclose(file), 0);
	cr_assert(size == 0 || truncate(path, size) == 0);
}

Test(conf, test_conf__files__are_loaded_or_refused_in_words)
{
	char folder[] = "/tmp/fairlead-conf-XXXXXX";
	struct fl_problems problems = {0};
	struct fl_conf *conf = NULL;
	char *text = NULL;
	size_t len = 0;
	char *path;

	cr_assert_not_null(mkdtemp(folder));
	path = fl_format("%s/fairlead.ini", folder);
	expect_unreadable(path, FL_ERR_IO, "there is no such file");
	expect_unreadable(folder, FL_ERR_IO, "not a regular file");
	cr_assert_eq(mkfifo(path, 0600), 0);
	expect_unreadable(path, FL_ERR_IO, "not a regular file");
	cr_assert_eq(unlink(path), 0);
	write_file(path, "", 0);
	expect_unreadable(path, FL_ERR_INVALID, "[identity] is missing");
	write_file(path, GOOD, FL_CONF_MAX_SIZE + 1);
	expect_unreadable(path, FL_ERR_INVALID, "has 1048577 bytes, the maximum is 1048576");
	write_file(path, GOOD, 3 * FL_CONF_MAX_SIZE);
	expect_unreadable(path, FL_ERR_INVALID, "has 3145728 bytes, the maximum is 1048576");
	write_file(path, GOOD, 0);
	cr_expect_eq(fl_conf_load(path, &conf, &text, &len, &problems), 0);
	cr_expect_str_eq(conf->path, path);
	cr_expect_eq(len, strlen(GOOD));
	cr_expect_str_eq(text, GOOD);
	fl_conf_free(conf);
	free(text);
	cr_expect_eq(fl_conf_load(path, &conf, NULL, NULL, &problems), 0);
	fl_conf_free(conf);
	fl_problems_done(&problems);
	(void)unlink(path);
	(void)rmdir(folder);
	free(path);
}

static struct fl_conf *parse_lenient(const char *text)
{
	struct fl_problems problems = {0};
	struct fl_conf *conf = NULL;

	cr_assert_eq(fl_conf_parse_lenient(PATH, text, strlen(text), &conf, &problems), FL_OK);
	cr_assert_gt(problems.errors, 0);
	fl_problems_done(&problems);
	return conf;
}

Test(conf, test_conf__lenient__tells_what_is_doubtful)
{
	struct fl_conf *conf = parse_lenient(
		GOOD "\n[sidecar]\ninbound = x, *:1\noutbound = *:2\n"
		     "[agent]\nuid = 3\n[tls]\ngroups = X25519, x\n"
		     "[redirect]\noutbound = 10.0.0.0/8, x\nexclude_outbound = *:1, x\n"
		     "[federate a.example]\nbundle = /a\n"
		     "[federate b.example]\nbundle = /b\nshared = x\n"
		     "[federate c.example]\nbundle = c\n"
		     "[federate D.example]\nbundle = /d\n"
		     "[federate e.example]\n");

	cr_expect(!conf->agent.doubtful);
	cr_expect_eq(conf->sidecar.inbound_count, 1);
	cr_expect_eq(conf->sidecar.inbound[0].port, 15006,
		     "the default, and not a part of the value");
	cr_expect_eq(conf->redirect.outbound.count, 1);
	cr_expect(conf->redirect.outbound.items[0].any_net, "the default");
	cr_expect_eq(conf->redirect.exclude_outbound.count, 0);
	cr_expect_eq(conf->agent.uid, 3);
	cr_expect_eq(conf->tls.group_count, 3, "the default");
	cr_expect_str_eq(conf->tls.group_names[0], "X25519MLKEM768");
	cr_assert_eq(conf->federate_count, 2);
	cr_expect(!conf->federate[0].doubtful && conf->federate[1].doubtful);
	cr_expect_str_eq(conf->federate[1].path, "/b");
	fl_conf_free(conf);
	conf = parse_lenient(GOOD "\n[agent]\nsocket = x\n");
	cr_expect(conf->agent.doubtful);
	fl_conf_free(conf);
}

Test(conf, test_conf__lenient__leaves_out_what_has_an_error)
{
	char path[] = "/tmp/fairlead-lenient-XXXXXX";
	struct fl_problems problems = {0};
	struct fl_conf *conf = NULL;
	struct fl_rule_spec rule;
	char *summary;

	cr_assert_geq(mkstemp(path), 0);
	write_file(path,
		   GOOD "\n[sidecr]\nx = 1\n"
			"[sidecar]\nadmin = 127.0.0.1:9\ncontrol = relative\n"
			"[agent]\nsidecar_uid = 7\n"
			"[service]\nport = 1\n"
			"[service a]\nport = 2\n"
			"[service a]\nport = 3\n"
			"[upstream]\nto = x\n"
			"[federate]\nbundle = /x\n"
			"[allow bad]\nfrom = nonsense\n"
			"[allow lost]\nfrom = spiffe://a.example/x\nto = nothing\n"
			"[allow good]\nfrom = spiffe://a.example/x\n",
		   0);
	cr_assert_eq(fl_conf_load_lenient(path, &conf, NULL, NULL, &problems), FL_OK);
	cr_expect_geq(problems.errors, 7);
	cr_expect_eq(conf->sidecar.admin.port, 9);
	cr_expect_eq(conf->agent.sidecar_uid, 7);
	cr_expect_str_eq(conf->sidecar.control, "/run/fairlead/sidecar.sock");
	cr_expect_eq(conf->service_count, 2, "that of GOOD, and the first a");
	cr_expect_not_null(fl_conf_find_service(conf, "a"));
	cr_expect_null(fl_conf_find_service(conf, "b"));
	cr_expect_null(fl_conf_find_upstream(conf, "b"));
	cr_expect_eq(conf->federate_count, 0);
	cr_expect(conf->agent.doubtful, "[sidecr] may have been meant to be it");
	cr_assert_eq(fl_policy_rule_count(conf->policy), 2);
	fl_policy_rule(conf->policy, 1, &rule);
	cr_expect_str_eq(rule.name, "good");
	summary = fl_problems_summary(&problems, path);
	cr_expect_not_null(strstr(summary, "more: see `fairlead-agent check`)"));
	cr_expect_eq(strncmp(summary, path, strlen(path)), 0);
	free(summary);
	fl_conf_free(conf);
	fl_problems_done(&problems);
	(void)unlink(path);
}
