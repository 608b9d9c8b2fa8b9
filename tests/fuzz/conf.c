/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The INI: every problem has a sentence and a line of the file, what is accepted is accepted again, needs no restart against
 * itself, and its policy decides. */
#include "conf/conf.h"
#include "fuzz.h"

static void check_problems(const struct fl_problems *problems, size_t lines)
{
	size_t errors = 0;

	for (size_t i = 0; i < problems->count; i++) {
		FL_REQUIRE(problems->items[i].text[0] != '\0');
		FL_REQUIRE(problems->items[i].line <= lines);
		errors += problems->items[i].kind == FL_PROBLEM_ERROR;
	}
	FL_REQUIRE(errors == problems->errors ||
		   (errors == FL_PROBLEMS_MAX && problems->errors > errors));
	FL_REQUIRE(problems->count <= 2 * FL_PROBLEMS_MAX);
}

static void decide(const struct fl_conf *conf)
{
	static const char *const ids[] = {"spiffe://prod.example/ns/front/sa/x",
					  "spiffe://prod.example/ns/web/sa/y", "spiffe://a/b",
					  NULL};
	union fl_sockaddr from = {.in = {.sin_family = AF_INET, .sin_addr = {0x0100007f}}};

	for (size_t i = 0; i < FL_COUNT_OF(ids); i++) {
		struct fl_request request = {.id = ids[i],
					     .id_len = ids[i] != NULL ? strlen(ids[i]) : 0,
					     .port = 8443,
					     .service = i % 2 == 0 ? "web" : NULL,
					     .source = i == 0 ? NULL : &from.any};
		struct fl_verdict verdict = fl_policy_decide(conf->policy, &request);
		size_t rules = fl_policy_rule_count(conf->policy);

		FL_REQUIRE(verdict.index <= rules);
		FL_REQUIRE((verdict.rule == NULL) == (verdict.index == rules));
		(void)fl_decision_word(fl_verdict_decision(&verdict));
		for (size_t k = 0; k < rules; k++) {
			unsigned misses = fl_policy_misses(conf->policy, k, &request);

			FL_REQUIRE(misses != 0 || verdict.index <= k || verdict.audited);
		}
	}
}

static void compare(const struct fl_conf *a, const struct fl_conf *b)
{
	char *restart = fl_conf_restart_keys(a, b, FL_PROGRAM_BOTH),
	     *capture = fl_conf_capture_keys(a, b);

	FL_REQUIRE(restart == NULL && capture == NULL);
	FL_REQUIRE(fl_conf_capture_print(a) == fl_conf_capture_print(b));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct fl_problems problems = {0}, again = {0};
	struct fl_conf *conf = NULL, *twin = NULL;
	struct fl_span in = {data, len};
	char *text = (char *)fuzz_copy(in);
	size_t lines = 1;

	for (size_t i = 0; i < len; i++) {
		lines += data[i] == '\n';
	}
	if (fl_conf_parse("fuzz.ini", text, len, &conf, &problems) == FL_OK) {
		FL_REQUIRE(problems.errors == 0);
		decide(conf);
		FL_REQUIRE(fl_conf_parse("fuzz.ini", text, len, &twin, &again) == FL_OK);
		compare(conf, twin);
		fl_conf_free(conf);
		fl_conf_free(twin);
	} else {
		FL_REQUIRE(problems.errors > 0 && conf == NULL);
	}
	check_problems(&problems, lines);
	fl_problems_done(&problems);
	fl_problems_done(&again);
	free(text);
	return 0;
}
