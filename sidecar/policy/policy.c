/* SPDX-License-Identifier: GPL-3.0-or-later */
/* policy - rules, indexed by the literal start of their patterns.
 *
 * The index key of a pattern is the text before its first wildcard (all of it, if it has none): the key of
 * `spiffe://td/ns/web/sa/` followed by a wildcard is just that text. decide.c reads the index.
 * Nothing here fails: conf has checked what it adds. */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "policy/policy_internal.h"

/* --- looking up ---------------------------------------------------------------------------- */

uint32_t fl_hash_tail(const char *text, size_t len)
{
	uint32_t hash = FL_HASH_INIT;

	while (len > 0 && text[len - 1] != '/') {
		hash = fl_hash_byte(hash, (uint8_t)text[--len]);
	}
	return hash == FL_ANY_TAIL ? FL_ANY_TAIL + 1 : hash;
}

/* NOLINTNEXTLINE(readability-function-size): what is large is uthash's macro */
struct fl_start *fl_start_find(const struct fl_rule_set *set, const char *text, size_t len,
			       uint32_t hash)
{
	struct fl_start *found = NULL;

	HASH_FIND_BYHASHVALUE(hh, set->starts, text, len, hash, found);
	return found;
}

/* NOLINTNEXTLINE(readability-function-size): what is large is uthash's macro */
uint32_t fl_service_id(const struct fl_policy *policy, const char *name)
{
	struct fl_service_id *found = NULL;

	if (policy->services != NULL && name != NULL) {
		HASH_FIND_STR(policy->services, name, found);
	}
	return found != NULL ? found->id : FL_OTHER_SERVICE;
}

uint32_t fl_net_start(const struct fl_cidr *net)
{
	uint32_t start;

	memcpy(&start, net->addr, sizeof(start));
	return ntohl(start);
}

/* The order of fl_rule_sources.nets. */
static int order_of(const struct fl_cidr *a, const struct fl_cidr *b)
{
	int order = (a->family > b->family) - (a->family < b->family);

	if (order == 0) {
		order = memcmp(a->addr, b->addr, sizeof(a->addr));
	}
	return order != 0 ? order : (a->bits > b->bits) - (a->bits < b->bits);
}

static bool targets_have(const struct fl_rule_targets *targets, uint32_t port, uint32_t service)
{
	for (size_t i = 0; i < targets->port_count; i++) {
		if (port >= targets->ports[i].first && port <= targets->ports[i].last) {
			return true;
		}
	}
	for (size_t i = 0; i < targets->service_count; i++) {
		if (targets->service_ids[i] == service) {
			return true;
		}
	}
	return false;
}

/* Among sorted networks that do not overlap, only the last one that begins at or before the address can contain it. */
bool fl_sources_have(const struct fl_rule_sources *sources, const struct fl_cidr *source)
{
	size_t low = 0, high = sources->net_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (order_of(&sources->nets[middle], source) <= 0) {
			low = middle + 1;
		} else {
			high = middle;
		}
	}
	return low > 0 && fl_cidr_covers(&sources->nets[low - 1], source);
}

bool fl_rule_covers_target(const struct fl_rule *rule, uint32_t port, uint32_t service)
{
	return (rule->to.port_count == 0 && rule->to.service_count == 0) ||
	       targets_have(&rule->to, port, service);
}

bool fl_rule_covers_source(const struct fl_rule *rule, const struct fl_cidr *source)
{
	return rule->sources.net_count == 0 || fl_sources_have(&rule->sources, source);
}

static bool excepts_identity(const struct fl_rule *rule, const struct fl_request *request)
{
	for (size_t i = 0; request->id != NULL && i < rule->except_from_count; i++) {
		if (fl_pattern_match(rule->except_from[i], request->id, request->id_len)) {
			return true;
		}
	}
	return false;
}

/* An unknown address may be an exception: an allow rule must not admit it, and a deny rule must still refuse it. */
static bool excepts_source(const struct fl_rule *rule, const struct fl_cidr *source)
{
	if (source->family == AF_UNSPEC) {
		return rule->except_sources.net_count > 0 && rule->effect == FL_ALLOW;
	}
	return fl_sources_have(&rule->except_sources, source);
}

unsigned fl_rule_excepts(const struct fl_rule *rule, const struct fl_request *request,
			 uint32_t service, const struct fl_cidr *source)
{
	unsigned excepts = 0;

	if (!rule->has_exceptions) {
		return 0;
	}
	if (excepts_identity(rule, request)) {
		excepts |= FL_MISS_EXCEPT_FROM;
	}
	if (targets_have(&rule->except_to, request->port, service)) {
		excepts |= FL_MISS_EXCEPT_TO;
	}
	if (excepts_source(rule, source)) {
		excepts |= FL_MISS_EXCEPT_SOURCE;
	}
	return excepts;
}

/* --- building ------------------------------------------------------------------------------ */

struct fl_policy *fl_policy_new(enum fl_effect default_effect, bool audit)
{
	struct fl_policy *policy = fl_new(sizeof(*policy));

	policy->default_effect = default_effect;
	policy->audit = audit;
	return policy;
}

/* NOLINTNEXTLINE(readability-function-size): what is large is uthash's macro */
static uint32_t add_service(struct fl_policy *policy, const char *name)
{
	uint32_t id = fl_service_id(policy, name);
	struct fl_service_id *service;

	if (id != FL_OTHER_SERVICE) {
		return id;
	}
	service = fl_new(sizeof(*service));
	service->name = name;
	service->id = HASH_COUNT(policy->services) + 1;
	HASH_ADD_KEYPTR(hh, policy->services, service->name, strlen(service->name), service);
	return service->id;
}

static void port_bounds(const struct fl_rule *rule, struct fl_candidate *candidate)
{
	uint32_t first = UINT16_MAX, last = 0;

	if (rule->to.port_count == 0) {
		candidate->port = rule->to.service_count == 0 ? 0 : FL_NO_PORT;
		candidate->port_span = rule->to.service_count == 0 ? UINT16_MAX : 0;
		return;
	}
	for (size_t i = 0; i < rule->to.port_count; i++) {
		const struct fl_port_range *range = &rule->to.ports[i];

		first = range->first < first ? range->first : first;
		last = range->last > last ? range->last : last;
	}
	candidate->port = first;
	candidate->port_span = last - first;
}

static uint32_t mask_of(unsigned bits)
{
	return bits == 0 ? 0 : UINT32_MAX << (bits < 32 ? 32 - bits : 0);
}

static void net_bounds(const struct fl_rule_sources *sources, struct fl_candidate *candidate)
{
	if (sources->net_count == 0) {
		return;
	}
	candidate->mask = UINT32_MAX;
	candidate->net = fl_net_start(&sources->nets[0]);
	for (size_t i = 0; i < sources->net_count; i++) {
		uint32_t start = fl_net_start(&sources->nets[i]);

		candidate->mask &= mask_of(sources->nets[i].bits);
		while (((start ^ candidate->net) & candidate->mask) != 0) {
			candidate->mask <<= 1;
		}
	}
	candidate->net &= candidate->mask;
}

static struct fl_candidate make_candidate(const struct fl_rule *rule, size_t index, size_t from)
{
	struct fl_candidate candidate = {
		.rule = (uint32_t)index, .from = (uint32_t)from, .tail = FL_ANY_TAIL};

	port_bounds(rule, &candidate);
	net_bounds(&rule->sources, &candidate);
	candidate.service = rule->to.service_count == 0   ? FL_NO_SERVICE
			    : rule->to.service_count == 1 ? rule->to.service_ids[0]
							  : FL_SOME_SERVICES;
	return candidate;
}

static void start_add(struct fl_start *start, const struct fl_candidate *candidate)
{
	start->candidates =
		fl_grow(start->candidates, start->count + 1, sizeof(*start->candidates));
	start->candidates[start->count++] = *candidate;
}

/* NOLINTNEXTLINE(readability-function-size): what is large is uthash's macro */
static void index_pattern(struct fl_rule_set *set, size_t rule, size_t from)
{
	const struct fl_pattern *pattern = set->rules[rule]->from[from];
	struct fl_candidate candidate = make_candidate(set->rules[rule], rule, from);
	size_t len = pattern->literal_len;
	uint32_t hash = fl_hash_bytes(FL_HASH_INIT, pattern->text, len);
	struct fl_start *start = fl_start_find(set, pattern->text, len, hash);

	if (start == NULL) {
		start = fl_new(sizeof(*start));
		/* The key lives as long as the pattern, which the rule owns. */
		HASH_ADD_KEYPTR_BYHASHVALUE(hh, set->starts, pattern->text, len, hash, start);
	}
	if (pattern->text[pattern->len - 1] != '*') {
		candidate.tail = fl_hash_tail(pattern->text, pattern->len);
	}
	start_add(start, &candidate);
	if (len > set->longest) {
		set->longest = len;
	}
}

static int compare_nets(const void *left, const void *right)
{
	return order_of(left, right);
}

static struct fl_rule_sources copy_sources(const struct fl_cidr *items, size_t count)
{
	struct fl_rule_sources sources = {.items = fl_grow(NULL, count, sizeof(struct fl_cidr)),
					  .count = count,
					  .nets = fl_grow(NULL, count, sizeof(struct fl_cidr))};

	for (size_t i = 0; i < count; i++) {
		sources.items[i] = sources.nets[i] = items[i];
	}
	if (count > 0) {
		qsort(sources.nets, count, sizeof(struct fl_cidr), compare_nets);
	}
	for (size_t i = 0; i < count; i++) {
		/* A network follows the one that contains it, or others inside that one. */
		if (sources.net_count == 0 ||
		    !fl_cidr_covers(&sources.nets[sources.net_count - 1], &sources.nets[i])) {
			sources.nets[sources.net_count++] = sources.nets[i];
		}
	}
	return sources;
}

static struct fl_rule_targets copy_targets(struct fl_policy *policy,
					   const struct fl_port_range *ports, size_t port_count,
					   const char *const *services, size_t service_count)
{
	struct fl_rule_targets targets = {
		.ports = fl_grow(NULL, port_count, sizeof(struct fl_port_range)),
		.port_count = port_count,
		.services = fl_grow(NULL, service_count, sizeof(char *)),
		.service_ids = fl_grow(NULL, service_count, sizeof(uint32_t)),
		.service_count = service_count};

	for (size_t i = 0; i < port_count; i++) {
		targets.ports[i] = ports[i];
	}
	for (size_t i = 0; i < service_count; i++) {
		targets.services[i] = fl_strdup(services[i]);
		targets.service_ids[i] = add_service(policy, targets.services[i]);
	}
	return targets;
}

static struct fl_pattern **copy_patterns(struct fl_pattern *const *patterns, size_t count)
{
	struct fl_pattern **copy = fl_grow(NULL, count, sizeof(struct fl_pattern *));

	for (size_t i = 0; i < count; i++) {
		copy[i] = patterns[i];
	}
	return copy;
}

static void copy_exceptions(struct fl_policy *policy, const struct fl_rule_exceptions *except,
			    struct fl_rule *rule)
{
	rule->has_exceptions = except->from_count > 0 || except->port_count > 0 ||
			       except->service_count > 0 || except->source_count > 0;
	rule->except_from = copy_patterns(except->from, except->from_count);
	rule->except_from_count = except->from_count;
	rule->except_to = copy_targets(policy, except->ports, except->port_count, except->services,
				       except->service_count);
	rule->except_sources = copy_sources(except->sources, except->source_count);
}

static struct fl_rule *copy_rule(struct fl_policy *policy, const struct fl_rule_spec *spec)
{
	struct fl_rule *rule = fl_new(sizeof(*rule));

	rule->effect = spec->effect;
	rule->name = fl_strdup(spec->name);
	rule->file = fl_strdup(spec->file);
	rule->line = spec->line;
	rule->audit = spec->audit;
	rule->plaintext = spec->plaintext;
	rule->from = copy_patterns(spec->from, spec->from_count);
	rule->from_count = spec->from_count;
	rule->to = copy_targets(policy, spec->ports, spec->port_count, spec->services,
				spec->service_count);
	rule->sources = copy_sources(spec->sources, spec->source_count);
	copy_exceptions(policy, &spec->except, rule);
	return rule;
}

void fl_policy_add(struct fl_policy *policy, const struct fl_rule_spec *spec)
{
	struct fl_rule_set *set = &policy->sets[spec->effect];
	struct fl_rule *rule;

	FL_REQUIRE(spec->from_count > 0 || spec->plaintext);
	rule = copy_rule(policy, spec);
	set->rules = fl_grow(set->rules, set->count + 1, sizeof(struct fl_rule *));
	set->rules[set->count] = rule;
	for (size_t i = 0; i < rule->from_count; i++) {
		index_pattern(set, set->count, i);
	}
	if (rule->plaintext) {
		struct fl_candidate candidate = make_candidate(rule, set->count, 0);

		start_add(&set->plaintext, &candidate);
	}
	set->count++;
}

static void patterns_free(struct fl_pattern **patterns, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		fl_pattern_free(patterns[i]);
	}
	free(patterns);
}

static void targets_done(struct fl_rule_targets *targets)
{
	for (size_t i = 0; i < targets->service_count; i++) {
		free(targets->services[i]);
	}
	free(targets->services);
	free(targets->service_ids);
	free(targets->ports);
}

static void sources_done(struct fl_rule_sources *sources)
{
	free(sources->items);
	free(sources->nets);
}

static void rule_free(struct fl_rule *rule)
{
	patterns_free(rule->from, rule->from_count);
	patterns_free(rule->except_from, rule->except_from_count);
	targets_done(&rule->to);
	targets_done(&rule->except_to);
	sources_done(&rule->sources);
	sources_done(&rule->except_sources);
	free(rule->file);
	free(rule->name);
	free(rule);
}

static void set_done(struct fl_rule_set *set)
{
	struct fl_start *start = set->starts;

	HASH_CLEAR(hh, set->starts); /* the table; the starts stay a list */
	while (start != NULL) {
		struct fl_start *next = start->hh.next;

		free(start->candidates);
		free(start);
		start = next;
	}
	free(set->plaintext.candidates);
	for (size_t i = 0; i < set->count; i++) {
		rule_free(set->rules[i]);
	}
	free(set->rules);
}

static void services_done(struct fl_policy *policy)
{
	struct fl_service_id *service = policy->services;

	HASH_CLEAR(hh, policy->services);
	while (service != NULL) {
		struct fl_service_id *next = service->hh.next;

		free(service);
		service = next;
	}
}

void fl_policy_free(struct fl_policy *policy)
{
	if (policy != NULL) {
		services_done(policy);
		set_done(&policy->sets[FL_ALLOW]);
		set_done(&policy->sets[FL_DENY]);
		free(policy);
	}
}

/* --- what stands in it --------------------------------------------------------------------- */

size_t fl_policy_rule_count(const struct fl_policy *policy)
{
	return policy->sets[FL_ALLOW].count + policy->sets[FL_DENY].count;
}

const struct fl_rule *fl_policy_rule_at(const struct fl_policy *policy, size_t index)
{
	size_t denies = policy->sets[FL_DENY].count;

	FL_REQUIRE(index < fl_policy_rule_count(policy));
	return index < denies ? policy->sets[FL_DENY].rules[index]
			      : policy->sets[FL_ALLOW].rules[index - denies];
}

bool fl_policy_has_rule(const struct fl_policy *policy, const char *name)
{
	for (size_t i = 0; i < fl_policy_rule_count(policy); i++) {
		if (strcmp(fl_policy_rule_at(policy, i)->name, name) == 0) {
			return true;
		}
	}
	return false;
}

void fl_policy_rule(const struct fl_policy *policy, size_t index, struct fl_rule_spec *ret)
{
	const struct fl_rule *rule = fl_policy_rule_at(policy, index);

	*ret = (struct fl_rule_spec){
		.name = rule->name,
		.effect = rule->effect,
		.audit = rule->audit,
		.file = rule->file,
		.line = rule->line,
		.from = rule->from,
		.from_count = rule->from_count,
		.plaintext = rule->plaintext,
		.ports = rule->to.ports,
		.port_count = rule->to.port_count,
		.services = (const char *const *)rule->to.services,
		.service_count = rule->to.service_count,
		.sources = rule->sources.items,
		.source_count = rule->sources.count,
		.except =
			{
				.from = rule->except_from,
				.from_count = rule->except_from_count,
				.ports = rule->except_to.ports,
				.port_count = rule->except_to.port_count,
				.services = (const char *const *)rule->except_to.services,
				.service_count = rule->except_to.service_count,
				.sources = rule->except_sources.items,
				.source_count = rule->except_sources.count,
			},
	};
}

enum fl_effect fl_policy_default(const struct fl_policy *policy)
{
	return policy->default_effect;
}

bool fl_policy_audit(const struct fl_policy *policy)
{
	return policy->audit;
}
