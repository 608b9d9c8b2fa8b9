/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Policy decisions: a truth table, the order of rules, and what a decision costs. */
#include <arpa/inet.h>
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

static void fill_source(struct sockaddr_storage *source, const char *text)
{
	struct sockaddr_in *in = (struct sockaddr_in *)(void *)source;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)(void *)source;

	memset(source, 0, sizeof(*source));
	if (inet_pton(AF_INET, text, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
	} else {
		cr_assert_eq(inet_pton(AF_INET6, text, &in6->sin6_addr), 1, "%s", text);
		in6->sin6_family = AF_INET6;
	}
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

/* --- against a plain walk ------------------------------------------------------------------- */

/* Rules and requests from a small alphabet, so that much of it meets. */
static const char *const segments[] = {"a", "b", "ab", "*", "**"};
static const char *const service_names[] = {"web", "db", "sock"};
static const char *const networks[] = {"10.0.0.0/8", "10.1.0.0/16", "10.1.2.3",      "0.0.0.0/0",
				       "fd00::/8",   "fd00:1::/32", "fd00:1::2/127", "::/0"};
static const char *const addresses[] = {"10.1.2.3", "10.1.2.4",  "10.2.0.0",
					"11.0.0.0", "fd00:1::3", "fd00:1::4",
					"fd01::",   "fe00::",    "::ffff:10.1.2.3"};

static void random_path(char *text, size_t size, bool pattern, unsigned *seed)
{
	size_t len =
		(size_t)snprintf(text, size, "spiffe://%s", rand_r(seed) % 4 != 0 ? "t" : "tt");
	int depth = pattern ? 1 + rand_r(seed) % 3 : rand_r(seed) % 4;

	for (int i = 0; i < depth; i++) {
		int last = i + 1 == depth;
		size_t choices = !pattern ? 3 : last ? 5 : 4;

		len += (size_t)snprintf(text + len, size - len, "/%s",
					segments[(size_t)rand_r(seed) % choices]);
	}
}

/* A spec with its storage. */
struct random_rule {
	struct fl_rule_spec spec;
	struct fl_pattern *from[2], *except_from[1];
	const char *services[2], *except_services[1];
	struct fl_port_range ports[2], except_ports[1];
	struct fl_cidr sources[3], except_sources[2];
};

static size_t up_to(unsigned most, unsigned *seed)
{
	return (unsigned)rand_r(seed) % (most + 1);
}

static struct fl_port_range random_ports(unsigned *seed)
{
	uint16_t first = (uint16_t)up_to(5, seed);

	return (struct fl_port_range){first, (uint16_t)(first + up_to(2, seed))};
}

static struct fl_pattern *random_pattern(unsigned *seed)
{
	struct fl_pattern *pattern = NULL;
	char text[64];

	random_path(text, sizeof(text), true, seed);
	cr_assert_eq(fl_pattern_parse(text, &pattern, NULL), 0, "%s", text);
	return pattern;
}

static struct fl_cidr random_network(unsigned *seed)
{
	struct fl_cidr net;

	cr_assert_eq(fl_cidr_parse(networks[up_to(FL_COUNT_OF(networks) - 1, seed)], &net, NULL),
		     0);
	return net;
}

static void random_exceptions(struct random_rule *rule, unsigned *seed)
{
	struct fl_rule_exceptions *except = &rule->spec.except;

	*except = (struct fl_rule_exceptions){.from = rule->except_from,
					      .ports = rule->except_ports,
					      .services = rule->except_services,
					      .sources = rule->except_sources,
					      .from_count = rand_r(seed) % 3 == 0,
					      .port_count = rand_r(seed) % 3 == 0,
					      .service_count = rand_r(seed) % 4 == 0,
					      .source_count = rand_r(seed) % 3 == 0 ? 2 : 0};
	if (except->from_count > 0) {
		rule->except_from[0] = random_pattern(seed);
	}
	rule->except_ports[0] = random_ports(seed);
	rule->except_services[0] = service_names[up_to(2, seed)];
	rule->except_sources[0] = random_network(seed);
	rule->except_sources[1] = random_network(seed);
}

static void random_rule(struct random_rule *rule, unsigned line, unsigned *seed)
{
	*rule = (struct random_rule){.spec = {.name = "r",
					      .effect = rand_r(seed) % 3 == 0 ? FL_DENY : FL_ALLOW,
					      .audit = rand_r(seed) % 4 == 0,
					      .file = FILE_NAME,
					      .line = line,
					      .plaintext = rand_r(seed) % 4 == 0}};
	rule->spec.from = rule->from;
	rule->spec.ports = rule->ports;
	rule->spec.services = rule->services;
	rule->spec.sources = rule->sources;
	rule->spec.from_count = up_to(1, seed) + !rule->spec.plaintext;
	rule->spec.port_count = up_to(2, seed);
	rule->spec.service_count = up_to(2, seed);
	rule->spec.source_count = rand_r(seed) % 2 == 0 ? 0 : up_to(3, seed);
	for (size_t i = 0; i < rule->spec.from_count; i++) {
		rule->from[i] = random_pattern(seed);
	}
	for (size_t i = 0; i < rule->spec.port_count; i++) {
		rule->ports[i] = random_ports(seed);
	}
	for (size_t i = 0; i < rule->spec.service_count; i++) {
		rule->services[i] = service_names[up_to(2, seed)];
	}
	for (size_t i = 0; i < rule->spec.source_count; i++) {
		rule->sources[i] = random_network(seed);
	}
	random_exceptions(rule, seed);
}

static void random_request(struct fl_request *request, char *id, size_t id_size,
			   struct sockaddr_storage *source, unsigned *seed)
{
	size_t service = up_to(3, seed);
	size_t address = up_to(FL_COUNT_OF(addresses), seed);

	random_path(id, id_size, false, seed);
	*request = (struct fl_request){.id = rand_r(seed) % 4 == 0 ? NULL : id,
				       .id_len = strlen(id),
				       .port = (uint16_t)up_to(7, seed),
				       .service = service < 3 ? service_names[service] : NULL};
	if (address < FL_COUNT_OF(addresses)) {
		fill_source(source, addresses[address]);
		request->source = (const struct sockaddr *)(const void *)source;
	}
}

static bool plainly_excepts(const struct fl_rule_spec *rule, const struct fl_request *request)
{
	const struct fl_rule_exceptions *except = &rule->except;
	struct fl_cidr one;

	for (size_t i = 0; request->id != NULL && i < except->from_count; i++) {
		if (fl_pattern_match(except->from[i], request->id, request->id_len)) {
			return true;
		}
	}
	for (size_t i = 0; i < except->port_count; i++) {
		if (request->port >= except->ports[i].first &&
		    request->port <= except->ports[i].last) {
			return true;
		}
	}
	for (size_t i = 0; request->service != NULL && i < except->service_count; i++) {
		if (strcmp(except->services[i], request->service) == 0) {
			return true;
		}
	}
	for (size_t i = 0; i < except->source_count; i++) {
		if (request->source == NULL ? rule->effect == FL_ALLOW
					    : fl_cidr_of(request->source, &one) &&
						      fl_cidr_covers(&except->sources[i], &one)) {
			return true;
		}
	}
	return false;
}

static bool plainly_covers(const struct fl_rule_spec *rule, const struct fl_request *request)
{
	bool from = rule->plaintext && request->id == NULL;
	bool target = rule->port_count == 0 && rule->service_count == 0;
	bool source = rule->source_count == 0;
	struct fl_cidr one;

	for (size_t i = 0; request->id != NULL && i < rule->from_count; i++) {
		from = from || fl_pattern_match(rule->from[i], request->id, request->id_len);
	}
	for (size_t i = 0; i < rule->port_count; i++) {
		target = target || (request->port >= rule->ports[i].first &&
				    request->port <= rule->ports[i].last);
	}
	for (size_t i = 0; request->service != NULL && i < rule->service_count; i++) {
		target = target || strcmp(rule->services[i], request->service) == 0;
	}
	for (size_t i = 0; request->source != NULL && i < rule->source_count; i++) {
		source = source || (fl_cidr_of(request->source, &one) &&
				    fl_cidr_covers(&rule->sources[i], &one));
	}
	return from && target && source && !plainly_excepts(rule, request);
}

/* The first rule of the effect, or none; those in audit mode too? */
static const struct fl_rule_spec *first_of(const struct random_rule *rules, size_t count,
					   enum fl_effect effect, bool with_audit,
					   const struct fl_request *request)
{
	for (size_t i = 0; i < count; i++) {
		if (rules[i].spec.effect == effect && (with_audit || !rules[i].spec.audit) &&
		    plainly_covers(&rules[i].spec, request)) {
			return &rules[i].spec;
		}
	}
	return NULL;
}

static struct fl_verdict plain_walk(const struct random_rule *rules, size_t count,
				    enum fl_effect fallback, bool audit,
				    const struct fl_request *request)
{
	const struct fl_rule_spec *by[2]; /* in earnest; all of them */
	enum fl_effect effect[2];
	size_t said = 0;

	for (size_t i = 0; i < 2; i++) {
		by[i] = first_of(rules, count, FL_DENY, i == 1, request);
		if (by[i] == NULL) {
			by[i] = first_of(rules, count, FL_ALLOW, i == 1, request);
		}
		effect[i] = by[i] != NULL ? by[i]->effect : fallback;
	}
	if (audit) {
		said = effect[0] == FL_ALLOW && effect[1] == FL_DENY;
	} else {
		said = effect[0] != effect[1];
	}
	return (struct fl_verdict){.effect = audit ? FL_ALLOW : effect[0],
				   .audited = audit ? effect[said] == FL_DENY : said == 1,
				   .line = by[said] != NULL ? by[said]->line : 0};
}

Test(policy, test_policy__random_rules__agrees_with_a_plain_walk)
{
	enum { RULES = 12 };
	unsigned seed = 20261121;
	unsigned audited = 0;

	for (int round = 0; round < 4000; round++) {
		enum fl_effect fallback = rand_r(&seed) % 4 == 0 ? FL_ALLOW : FL_DENY;
		bool audit = rand_r(&seed) % 4 == 0;
		struct fl_policy *policy = fl_policy_new(fallback, audit);
		struct random_rule rules[RULES];

		for (unsigned i = 0; i < RULES; i++) {
			random_rule(&rules[i], i + 1, &seed);
			fl_policy_add(policy, &rules[i].spec);
		}
		for (int k = 0; k < 20; k++) {
			char id[64];
			struct sockaddr_storage source;
			struct fl_request request;
			struct fl_verdict got, want;

			random_request(&request, id, sizeof(id), &source, &seed);
			got = fl_policy_decide(policy, &request);
			want = plain_walk(rules, RULES, fallback, audit, &request);
			cr_assert_eq(got.effect, want.effect, "round %d, %s", round, id);
			cr_assert_eq(got.audited, want.audited, "round %d, %s", round, id);
			cr_assert_eq(got.line, want.line, "round %d, %s: %u, not %u", round, id,
				     got.line, want.line);
			audited += got.audited;
		}
		fl_policy_free(policy);
	}
	cr_expect_gt(audited, 1000, "%u", audited);
}

Test(policy, test_policy__verdict__index_names_the_rule)
{
	struct fl_policy *policy = build(FL_DENY, truth_rules, FL_COUNT_OF(truth_rules));
	struct fl_verdict got = ask(policy, OPS, 22, NULL);
	struct fl_rule_spec rule;

	fl_policy_rule(policy, got.index, &rule);
	cr_expect_str_eq(rule.name, "no-ops-on-22");
	got = ask(policy, OPS, 443, NULL);
	fl_policy_rule(policy, got.index, &rule);
	cr_expect_str_eq(rule.name, "ops");
	got = ask(policy, OPS "/x", 1, NULL);
	cr_expect_str_eq(got.rule, "ops");
	got = ask(policy, "spiffe://other.example/x", 1, NULL);
	cr_expect_eq(got.index, fl_policy_rule_count(policy));
	fl_policy_free(policy);
}

/* A rule with many networks, some inside others: sorted, each border is found. */
Test(policy, test_policy__many_sources__every_border_of_each_network)
{
	struct fl_pattern *from[1];
	struct fl_cidr nets[300];
	struct fl_rule_spec spec = {.name = "many",
				    .file = FILE_NAME,
				    .line = 1,
				    .from = from,
				    .from_count = 1,
				    .sources = nets};
	struct fl_policy *policy = fl_policy_new(FL_DENY, false);

	cr_assert_eq(fl_pattern_parse(WEB, &from[0], NULL), 0);
	for (unsigned i = 0; i < 100;
	     i++) { /* 10.i.16.0/20, and two inside of it, the widest last */
		char text[3][32];

		(void)snprintf(text[0], sizeof(text[0]), "10.%u.17.0/24", i);
		(void)snprintf(text[1], sizeof(text[1]), "10.%u.16.0/30", i);
		(void)snprintf(text[2], sizeof(text[2]), "10.%u.16.0/20", i);
		for (size_t k = 0; k < 3; k++) {
			cr_assert_eq(fl_cidr_parse(text[k], &nets[spec.source_count++], NULL), 0);
		}
	}
	fl_policy_add(policy, &spec);
	for (unsigned i = 0; i < 101; i++) {
		static const struct {
			const char *rest;
			bool in;
		} rows[] = {{"15.255", false}, {"16.0", true},   {"16.4", true},
			    {"17.1", true},    {"31.255", true}, {"32.0", false}};

		for (size_t k = 0; k < FL_COUNT_OF(rows); k++) {
			struct sockaddr_storage source;
			struct fl_request request = {
				.id = WEB,
				.id_len = strlen(WEB),
				.source = (const struct sockaddr *)(void *)&source};
			char text[32];

			(void)snprintf(text, sizeof(text), "10.%u.%s", i, rows[k].rest);
			fill_source(&source, text);
			cr_expect_eq(fl_policy_decide(policy, &request).effect,
				     rows[k].in && i < 100 ? FL_ALLOW : FL_DENY, "%s", text);
		}
	}
	fl_policy_free(policy);
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
