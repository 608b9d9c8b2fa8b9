/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Policy decisions: a truth table, the order of rules, and what a decision costs. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "policy/policy.h"

#define FILE_NAME "fairlead.ini"

struct rule_row {
	const char *name;
	enum fl_effect effect;
	const char *from[3];
	struct fl_port_range ports[2];
	const char *services[2];
};

static void add(struct fl_policy *policy, const struct rule_row *row, unsigned line)
{
	struct fl_pattern *from[3];
	struct fl_rule_spec spec = {.name = row->name,
				    .effect = row->effect,
				    .file = FILE_NAME,
				    .line = line,
				    .from = from,
				    .ports = row->ports,
				    .services = row->services};

	while (spec.from_count < 3 && row->from[spec.from_count] != NULL) {
		struct fl_err err = {0};

		cr_assert_eq(
			fl_pattern_parse(row->from[spec.from_count], &from[spec.from_count], &err),
			0, "%s", err.text);
		spec.from_count++;
	}
	while (spec.port_count < 2 && row->ports[spec.port_count].last != 0) {
		spec.port_count++;
	}
	while (spec.service_count < 2 && row->services[spec.service_count] != NULL) {
		spec.service_count++;
	}
	fl_policy_add(policy, &spec);
}

/* Rule i stands in line i + 1. */
static struct fl_policy *build(enum fl_effect fallback, const struct rule_row *rows, size_t count)
{
	struct fl_policy *policy = fl_policy_new(fallback, false);

	for (size_t i = 0; i < count; i++) {
		add(policy, &rows[i], (unsigned)i + 1);
	}
	return policy;
}

static struct fl_verdict ask(const struct fl_policy *policy, const char *id, uint16_t port,
			     const char *service)
{
	struct fl_request request = {
		.id = id, .id_len = strlen(id), .port = port, .service = service};

	return fl_policy_decide(policy, &request);
}

#define WEB "spiffe://prod.example/ns/web/sa/front"
#define OPS "spiffe://prod.example/ns/ops/sa/deploy"
#define BAD "spiffe://prod.example/ns/quarantine/sa/front"

static const struct rule_row truth_rules[] = {
	{.name = "web",
	 .from = {"spiffe://prod.example/ns/web/sa/*"},
	 .ports = {{8080, 8080}, {9000, 9010}}},
	{.name = "named", .from = {WEB}, .services = {"db"}},
	{.name = "ops", .from = {"spiffe://prod.example/ns/ops/**"}},
	{.name = "no-ops-on-22",
	 .effect = FL_DENY,
	 .from = {"spiffe://prod.example/ns/ops/**"},
	 .ports = {{22, 22}}},
	{.name = "quarantine",
	 .effect = FL_DENY,
	 .from = {"spiffe://prod.example/ns/quarantine/**"}},
	{.name = "everyone", .from = {"spiffe://prod.example/**"}, .ports = {{443, 443}}},
	{.name = "unix-only", .from = {BAD, OPS, WEB}, .services = {"sock"}},
};

Test(policy, test_policy__truth_table__both_sides_of_each_boundary)
{
	static const struct {
		const char *id;
		unsigned port;
		enum fl_effect effect;
		const char *service;
		const char *rule;
		unsigned line;
	} rows[] = {
		/* ports */
		{WEB, 8079, FL_DENY, NULL, NULL, 0},
		{WEB, 8080, FL_ALLOW, NULL, "web", 1},
		{WEB, 8081, FL_DENY, NULL, NULL, 0},
		{WEB, 8999, FL_DENY, NULL, NULL, 0},
		{WEB, 9000, FL_ALLOW, NULL, "web", 1},
		{WEB, 9005, FL_ALLOW, NULL, "web", 1},
		{WEB, 9010, FL_ALLOW, NULL, "web", 1},
		{WEB, 9011, FL_DENY, NULL, NULL, 0},
		{WEB, 0, FL_DENY, NULL, NULL, 0},
		{WEB, 65535, FL_DENY, NULL, NULL, 0},
		/* services */
		{WEB, 5432, FL_ALLOW, "db", "named", 2},
		{WEB, 5432, FL_DENY, "db2", NULL, 0},
		{WEB, 5432, FL_DENY, NULL, NULL, 0},
		{WEB, 8080, FL_ALLOW, "db", "web", 1},
		{WEB, 0, FL_ALLOW, "sock", "unix-only", 7},
		/* no target: all of them */
		{OPS, 1, FL_ALLOW, NULL, "ops", 3},
		{OPS, 65535, FL_ALLOW, "any", "ops", 3},
		{"spiffe://prod.example/ns/ops", 1, FL_DENY, NULL, NULL, 0},
		/* deny wins, wherever it stands */
		{OPS, 22, FL_DENY, NULL, "no-ops-on-22", 4},
		{OPS, 21, FL_ALLOW, NULL, "ops", 3},
		{OPS, 23, FL_ALLOW, NULL, "ops", 3},
		{BAD, 443, FL_DENY, NULL, "quarantine", 5},
		{BAD, 0, FL_DENY, "sock", "quarantine", 5},
		/* the first in the file is named */
		{OPS, 443, FL_ALLOW, NULL, "ops", 3},
		{WEB, 443, FL_ALLOW, NULL, "everyone", 6},
		/* identities next door */
		{"spiffe://prod.example/ns/web/sa/front/x", 8080, FL_DENY, NULL, NULL, 0},
		{"spiffe://prod.example/ns/web/sa", 8080, FL_DENY, NULL, NULL, 0},
		{"spiffe://prod.example/ns/webb/sa/front", 8080, FL_DENY, NULL, NULL, 0},
		{"spiffe://prod.examples/ns/web/sa/front", 443, FL_DENY, NULL, NULL, 0},
		{"spiffe://prod.example", 443, FL_DENY, NULL, NULL, 0},
		{"spiffe://partner.example/ns/web/sa/front", 8080, FL_DENY, NULL, NULL, 0},
	};
	struct fl_policy *policy = build(FL_DENY, truth_rules, FL_COUNT_OF(truth_rules));

	cr_expect_eq(fl_policy_rule_count(policy), FL_COUNT_OF(truth_rules));
	for (size_t i = 0; i < FL_COUNT_OF(rows); i++) {
		struct fl_verdict got =
			ask(policy, rows[i].id, (uint16_t)rows[i].port, rows[i].service);

		cr_expect_eq(got.effect, rows[i].effect, "row %zu: %s port %u", i, rows[i].id,
			     rows[i].port);
		cr_expect_eq(got.line, rows[i].line, "row %zu: line %u", i, got.line);
		if (rows[i].rule == NULL) {
			cr_expect_null(got.rule, "row %zu: %s", i, got.rule);
			cr_expect_null(got.file);
		} else {
			cr_assert_not_null(got.rule, "row %zu", i);
			cr_expect_str_eq(got.rule, rows[i].rule);
			cr_expect_str_eq(got.file, FILE_NAME);
		}
	}
	fl_policy_free(policy);
}

Test(policy, test_policy__no_rules__the_default_decides)
{
	static const enum fl_effect defaults[] = {FL_ALLOW, FL_DENY};

	for (size_t i = 0; i < FL_COUNT_OF(defaults); i++) {
		struct fl_policy *policy = fl_policy_new(defaults[i], false);
		struct fl_verdict got = ask(policy, WEB, 8080, NULL);

		cr_expect_eq(got.effect, defaults[i]);
		cr_expect_null(got.rule);
		fl_policy_free(policy);
	}
	fl_policy_free(NULL);
}

Test(policy, test_policy__default_allow__deny_rules_still_refuse)
{
	struct fl_policy *policy = build(FL_ALLOW, truth_rules, FL_COUNT_OF(truth_rules));

	cr_expect_eq(ask(policy, BAD, 1, NULL).effect, FL_DENY);
	cr_expect_eq(ask(policy, "spiffe://partner.example/x", 1, NULL).effect, FL_ALLOW);
	fl_policy_free(policy);
}

Test(policy, test_policy__spec_goes_away__rules_keep_their_own_copies)
{
	char name[] = "temporary";
	char service[] = "web";
	const char *services[] = {service};
	struct fl_pattern *from[1];
	struct fl_rule_spec spec = {.name = name,
				    .file = name,
				    .line = 1,
				    .from = from,
				    .from_count = 1,
				    .services = services,
				    .service_count = 1};
	struct fl_policy *policy = fl_policy_new(FL_DENY, false);
	struct fl_verdict got;

	cr_assert_eq(fl_pattern_parse(WEB, &from[0], NULL), 0);
	fl_policy_add(policy, &spec);
	memset(name, 'x', strlen(name));
	memset(service, 'x', strlen(service));
	got = ask(policy, WEB, 1, "web");
	cr_expect_eq(got.effect, FL_ALLOW);
	cr_expect_str_eq(got.rule, "temporary");
	fl_policy_free(policy);
}

/* Against a plain walk over the rules, with IDs and patterns from a small alphabet. */
static const char *const segments[] = {"a", "b", "ab", "*", "**"};

static void random_path(char *text, size_t size, bool pattern, unsigned *seed)
{
	size_t len =
		(size_t)snprintf(text, size, "spiffe://%s", rand_r(seed) % 4 != 0 ? "t" : "tt");
	int depth = rand_r(seed) % 4;

	for (int i = 0; i < depth; i++) {
		int last = i + 1 == depth;
		size_t choices = !pattern ? 3 : last ? 5 : 4;

		len += (size_t)snprintf(text + len, size - len, "/%s",
					segments[(size_t)rand_r(seed) % choices]);
	}
}

Test(policy, test_policy__random_rules__agrees_with_a_plain_walk)
{
	enum { RULES = 12 };
	unsigned seed = 20261121;

	for (int round = 0; round < 2000; round++) {
		struct fl_policy *policy = fl_policy_new(FL_DENY, false);
		struct fl_pattern *plain[RULES];
		enum fl_effect effects[RULES];

		for (unsigned i = 0; i < RULES; i++) {
			char text[64];
			struct rule_row row = {.name = "r", .from = {text}};

			random_path(text, sizeof(text), true, &seed);
			effects[i] = row.effect = rand_r(&seed) % 3 == 0 ? FL_DENY : FL_ALLOW;
			cr_assert_eq(fl_pattern_parse(text, &plain[i], NULL), 0, "%s", text);
			add(policy, &row, i + 1);
		}
		for (int k = 0; k < 10; k++) {
			char id[64];
			unsigned line[2] = {0, 0};
			struct fl_verdict got;

			random_path(id, sizeof(id), false, &seed);
			for (unsigned i = RULES; i-- > 0;) {
				if (fl_pattern_match(plain[i], id, strlen(id))) {
					line[effects[i]] = i + 1;
				}
			}
			got = ask(policy, id, 1, NULL);
			cr_assert_eq(got.line, line[FL_DENY] ? line[FL_DENY] : line[FL_ALLOW], "%s",
				     id);
		}
		for (unsigned i = 0; i < RULES; i++) {
			fl_pattern_free(plain[i]);
		}
		fl_policy_free(policy);
	}
}

static double seconds(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* A guard against a walk over all rules, not a benchmark: generous for sanitizers and slow machines. */
Test(policy, test_policy__thousand_rules__a_decision_takes_microseconds)
{
	enum { RULES = 1000, ROUNDS = 20000 };
	struct fl_policy *policy = fl_policy_new(FL_DENY, false);
	unsigned allowed = 0;
	double begin;
	double us;

	for (unsigned i = 0; i < RULES; i++) {
		char text[64];
		struct rule_row row = {
			.name = "r", .effect = i % 10 == 0 ? FL_DENY : FL_ALLOW, .from = {text}};

		(void)snprintf(text, sizeof(text), "spiffe://prod.example/ns/n%u/sa/%s", i,
			       i % 2 == 0 ? "front" : "*");
		add(policy, &row, i + 1);
	}
	begin = seconds();
	for (unsigned i = 0; i < ROUNDS; i++) {
		char id[64];

		(void)snprintf(id, sizeof(id), "spiffe://prod.example/ns/n%u/sa/front", i % RULES);
		allowed += ask(policy, id, 8080, NULL).effect == FL_ALLOW;
	}
	us = (seconds() - begin) / ROUNDS * 1e6;
	(void)fprintf(stderr, "%.3f us a decision\n", us);
	cr_expect_eq(allowed, ROUNDS / 10 * 9);
	cr_expect_lt(us, 20.0);
	fl_policy_free(policy);
}
