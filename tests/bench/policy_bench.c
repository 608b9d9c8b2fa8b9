/* SPDX-License-Identifier: GPL-3.0-or-later */
/* policy_bench - what a decision costs: nanoseconds, for policies of several sizes and shapes, and allocations,
 * which must be none.
 *
 *   policy_bench
 *
 * One thread; each figure is the best of many short runs. Requests change from one decision to the next, so that
 * neither the cache nor the branch predictor knows the answer. The shapes:
 *
 *   hit         an identity for each rule, asked for
 *   miss        the same rules, somebody from a namespace that no rule names
 *   wildcards   every rule is `/ns/NAME/sa/` and a wildcard
 *   same start  every rule begins with a wildcard (`/ns/<any>/sa/NAME`): all stand under one start
 *   ports       every rule is for the whole trust domain, each for one port
 *   ports, miss the same rules, a port that none names: all are looked at
 *   sources     every rule is for the whole trust domain, each for one network
 *   plaintext   every rule is for plaintext, each for one address
 *   networks    ten rules with as many networks each as the policy has rules otherwise
 *   audit       as hit, every second rule in audit mode
 *
 * Ends with 1 when a decision allocates. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "policy/policy.h"

#define RUNS 60
#define ASKED 1024 /* different requests */
#define DECISIONS 8192
#define TD "spiffe://prod.example"

/* --- counting allocations ------------------------------------------------------------------ */

/* NOLINTBEGIN(bugprone-reserved-identifier,readability-inconsistent-*): the names are glibc's */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *memory, size_t size);
static unsigned long allocations;

void *malloc(size_t size)
{
	allocations++;
	return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
	allocations++;
	return __libc_calloc(count, size);
}

void *realloc(void *memory, size_t size)
{
	allocations++;
	return __libc_realloc(memory, size);
}
/* NOLINTEND(bugprone-reserved-identifier,readability-inconsistent-*) */

/* --- policies ------------------------------------------------------------------------------ */

enum shape {
	HIT,
	MISS,
	WILDCARDS,
	SAME_START,
	PORTS,
	PORTS_MISS,
	SOURCES,
	PLAINTEXT,
	NETWORKS,
	AUDIT,
	SHAPES
};
static const char *const shape_names[SHAPES] = {
	"hit",         "miss",    "wildcards", "same start", "ports",
	"ports, miss", "sources", "plaintext", "networks",   "audit"};

static struct fl_cidr net_of(size_t number, unsigned bits)
{
	uint32_t addr = htonl((10u << 24) + (uint32_t)(number << (32 - bits)));
	struct fl_cidr net = {.family = AF_INET, .bits = (uint8_t)bits};

	memcpy(net.addr, &addr, sizeof(addr));
	return net;
}

static char *pattern_of(enum shape shape, size_t i)
{
	switch (shape) {
	case HIT:
	case MISS:
	case AUDIT:
		return fl_format(TD "/ns/n%zu/sa/front", i);
	case WILDCARDS:
		return fl_format(TD "/ns/n%zu/sa/*", i);
	case SAME_START:
		return fl_format(TD "/ns/*/sa/s%zu", i);
	case PORTS:
	case PORTS_MISS:
	case SOURCES:
	case NETWORKS:
		return fl_strdup(TD "/**");
	case PLAINTEXT:
	case SHAPES:
		break;
	}
	return NULL;
}

static void add_rule(struct fl_policy *policy, enum shape shape, size_t i, size_t rules)
{
	char *name = fl_format("rule-%zu", i), *text = pattern_of(shape, i);
	struct fl_pattern *pattern = NULL;
	struct fl_port_range port = {(uint16_t)(1000 + i), (uint16_t)(1000 + i)};
	struct fl_cidr *nets = fl_grow(NULL, rules, sizeof(*nets));
	struct fl_rule_spec spec = {.name = name,
				    .effect = i % 10 == 0 ? FL_DENY : FL_ALLOW,
				    .audit = shape == AUDIT && i % 2 == 0,
				    .file = "fairlead.ini",
				    .line = (unsigned)i + 1,
				    .from = &pattern,
				    .plaintext = shape == PLAINTEXT,
				    .ports = &port,
				    .port_count = shape == PORTS || shape == PORTS_MISS,
				    .sources = nets};

	if (text != NULL && fl_pattern_parse(text, &pattern, NULL) == 0) {
		spec.from_count = 1;
	}
	if (shape == SOURCES || shape == PLAINTEXT) {
		nets[spec.source_count++] = net_of(i, shape == SOURCES ? 24 : 32);
	}
	while (shape == NETWORKS && spec.source_count < rules) {
		nets[spec.source_count] = net_of(i * rules + spec.source_count, 28);
		spec.source_count++;
	}
	fl_policy_add(policy, &spec);
	free(nets);
	free(text);
	free(name);
}

static struct fl_policy *make_policy(enum shape shape, size_t rules)
{
	struct fl_policy *policy = fl_policy_new(FL_DENY, false);

	for (size_t i = 0; i < (shape == NETWORKS ? 10 : rules); i++) {
		add_rule(policy, shape, i, rules);
	}
	return policy;
}

/* --- asking -------------------------------------------------------------------------------- */

struct asked {
	struct fl_request request;
	struct sockaddr_in source;
	char *id;
};

static void make_request(struct asked *asked, enum shape shape, size_t rules, unsigned *seed)
{
	size_t i = (size_t)rand_r(seed) % rules;
	struct fl_cidr net = net_of(i, 32);

	if (shape == SOURCES) {
		net = net_of(i * 256 + 7, 32);
	} else if (shape == NETWORKS) {
		net = net_of(((size_t)rand_r(seed) % 10 * rules + i) * 16 + 3, 32);
	}
	asked->source = (struct sockaddr_in){.sin_family = AF_INET};
	memcpy(&asked->source.sin_addr, net.addr, 4);
	asked->id = shape == MISS         ? fl_format(TD "/ns/other%zu/sa/front", i)
		    : shape == SAME_START ? fl_format(TD "/ns/n%zu/sa/s%zu", i * 7, i)
					  : fl_format(TD "/ns/n%zu/sa/front", i);
	asked->request = (struct fl_request){
		.id = shape == PLAINTEXT ? NULL : asked->id,
		.id_len = strlen(asked->id),
		.port = (uint16_t)(1000 + i + (shape == PORTS_MISS ? 20000 : 0)),
		.service = "web",
		.source = (const struct sockaddr *)(const void *)&asked->source,
	};
}

static double now_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* ns a decision; *spoke: of all decisions, those that a rule made, in percent. */
static double measure(enum shape shape, size_t rules, double *spoke)
{
	static struct asked asked[ASKED];
	struct fl_policy *policy = make_policy(shape, rules);
	unsigned seed = 20261121;
	unsigned long before, ruled = 0;
	double best = 1e18;

	for (size_t i = 0; i < ASKED; i++) {
		make_request(&asked[i], shape, rules, &seed);
	}
	before = allocations;
	for (int run = 0; run < RUNS; run++) {
		double start = now_ns(), took;

		for (size_t i = 0; i < DECISIONS; i++) {
			struct fl_verdict verdict =
				fl_policy_decide(policy, &asked[i % ASKED].request);

			ruled += verdict.rule != NULL;
		}
		took = (now_ns() - start) / DECISIONS;
		best = took < best ? took : best;
	}
	if (allocations != before) {
		(void)fprintf(stderr, "policy_bench: %lu allocations in %s\n", allocations - before,
			      shape_names[shape]);
		exit(1);
	}
	for (size_t i = 0; i < ASKED; i++) {
		free(asked[i].id);
	}
	fl_policy_free(policy);
	*spoke = (double)ruled * 100 / (RUNS * DECISIONS);
	return best;
}

int main(void)
{
	static const size_t sizes[] = {10, 1000, 10000};

	(void)printf("%-12s", "ns, rules");
	for (size_t k = 0; k < FL_COUNT_OF(sizes); k++) {
		(void)printf(" %8zu", sizes[k]);
	}
	(void)printf(" %12s\n", "by a rule, %");
	for (enum shape shape = HIT; shape < SHAPES; shape++) {
		double spoke = 0;

		(void)printf("%-12s", shape_names[shape]);
		for (size_t k = 0; k < FL_COUNT_OF(sizes); k++) {
			(void)printf(" %8.0f", measure(shape, sizes[k], &spoke));
		}
		(void)printf(" %12.0f\n", spoke);
	}
	(void)printf("allocations in all decisions: 0\n");
	return 0;
}
