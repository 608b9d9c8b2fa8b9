/* SPDX-License-Identifier: GPL-3.0-or-later */
/* policy - rules, indexed by the literal start of their patterns.
 *
 * Every pattern hangs under the text before its first wildcard (all of it, when it has none): one
 * that begins `spiffe://td/ns/web/sa/` and goes on with a wildcard, under just that. A decision
 * walks the ID once, hashes as it goes and looks its starts up at each '/' and at the end; of what
 * it finds, the rule that stands first in the file decides. Deny rules are asked before allow
 * rules. So a decision costs about as much as the ID has segments, not as the policy has rules,
 * unless many rules share one start.
 * Nothing here fails: conf has checked what it adds. */
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "base/mem.h"
#include "policy/pattern.h"
#include "policy/policy.h"

struct rule {
	char *name;
	char *file;
	unsigned line;
	struct fl_pattern **from;
	size_t from_count;
	struct fl_port_range *ports;
	size_t port_count;
	char **services;
	size_t service_count;
};

/* One pattern of one rule. */
struct candidate {
	const struct fl_pattern *pattern;
	size_t rule; /* index in the set: the order of the file */
};

/* All patterns with the same literal start, in the order of the file. */
struct start {
	UT_hash_handle hh;
	struct candidate *candidates;
	size_t count;
};

/* The rules of one effect. */
struct rule_set {
	struct rule **rules;
	size_t count;
	struct start *starts;
	size_t longest; /* bytes of the longest start: no need to look further */
};

struct fl_policy {
	enum fl_effect default_effect;
	bool audit;
	struct rule_set sets[2]; /* by enum fl_effect */
};

/* --- hashing ------------------------------------------------------------------------------- */

/* FNV-1a: the hash of a start is the hash of the ID on the way, so one pass makes them all. The
 * keys come from our own INI, nobody can flood the table. */
#define HASH_INIT 2166136261U

static unsigned hash_step(unsigned hash, char c)
{
	return (hash ^ (unsigned char)c) * 16777619U;
}

static unsigned hash_text(const char *text, size_t len)
{
	unsigned hash = HASH_INIT;

	for (size_t i = 0; i < len; i++) {
		hash = hash_step(hash, text[i]);
	}
	return hash;
}

/* NOLINTNEXTLINE(readability-function-size): what is large is uthash's macro */
static struct start *find_start(const struct rule_set *set, const char *text, size_t len,
				unsigned hash)
{
	struct start *found = NULL;

	HASH_FIND_BYHASHVALUE(hh, set->starts, text, len, hash, found);
	return found;
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
static void index_pattern(struct rule_set *set, const struct fl_pattern *pattern, size_t rule)
{
	size_t len = pattern->literal_len;
	unsigned hash = hash_text(pattern->text, len);
	struct start *start = find_start(set, pattern->text, len, hash);

	if (start == NULL) {
		start = fl_new(sizeof(*start));
		/* The key lives as long as the pattern, which the rule owns. */
		HASH_ADD_KEYPTR_BYHASHVALUE(hh, set->starts, pattern->text, len, hash, start);
	}
	start->candidates =
		fl_grow(start->candidates, start->count + 1, sizeof(*start->candidates));
	start->candidates[start->count++] = (struct candidate){pattern, rule};
	if (len > set->longest) {
		set->longest = len;
	}
}

static struct rule *copy_rule(const struct fl_rule_spec *spec)
{
	struct rule *rule = fl_new(sizeof(*rule));

	rule->name = fl_strdup(spec->name);
	rule->file = fl_strdup(spec->file);
	rule->line = spec->line;
	rule->from_count = spec->from_count;
	rule->from = fl_grow(NULL, spec->from_count, sizeof(struct fl_pattern *));
	for (size_t i = 0; i < spec->from_count; i++) {
		rule->from[i] = spec->from[i];
	}
	rule->port_count = spec->port_count;
	rule->ports = fl_grow(NULL, spec->port_count, sizeof(struct fl_port_range));
	for (size_t i = 0; i < spec->port_count; i++) {
		rule->ports[i] = spec->ports[i];
	}
	rule->service_count = spec->service_count;
	rule->services = fl_grow(NULL, spec->service_count, sizeof(char *));
	for (size_t i = 0; i < spec->service_count; i++) {
		rule->services[i] = fl_strdup(spec->services[i]);
	}
	return rule;
}

void fl_policy_add(struct fl_policy *policy, const struct fl_rule_spec *spec)
{
	struct rule_set *set = &policy->sets[spec->effect];
	struct rule *rule;

	FL_REQUIRE(spec->from_count > 0 || spec->plaintext);
	rule = copy_rule(spec);
	set->rules = fl_grow(set->rules, set->count + 1, sizeof(struct rule *));
	set->rules[set->count] = rule;
	for (size_t i = 0; i < rule->from_count; i++) {
		index_pattern(set, rule->from[i], set->count);
	}
	set->count++;
}

static void rule_free(struct rule *rule)
{
	for (size_t i = 0; i < rule->from_count; i++) {
		fl_pattern_free(rule->from[i]);
	}
	for (size_t i = 0; i < rule->service_count; i++) {
		free(rule->services[i]);
	}
	free(rule->from);
	free(rule->services);
	free(rule->ports);
	free(rule->file);
	free(rule->name);
	free(rule);
}

static void set_done(struct rule_set *set)
{
	struct start *start = set->starts;

	HASH_CLEAR(hh, set->starts); /* the table; the starts stay a list */
	while (start != NULL) {
		struct start *next = start->hh.next;

		free(start->candidates);
		free(start);
		start = next;
	}
	for (size_t i = 0; i < set->count; i++) {
		rule_free(set->rules[i]);
	}
	free(set->rules);
}

void fl_policy_free(struct fl_policy *policy)
{
	if (policy != NULL) {
		set_done(&policy->sets[FL_ALLOW]);
		set_done(&policy->sets[FL_DENY]);
		free(policy);
	}
}

size_t fl_policy_rule_count(const struct fl_policy *policy)
{
	return policy->sets[FL_ALLOW].count + policy->sets[FL_DENY].count;
}

void fl_policy_rule(const struct fl_policy *policy, size_t index, struct fl_rule_spec *ret)
{
	size_t denies = policy->sets[FL_DENY].count;
	enum fl_effect effect = index < denies ? FL_DENY : FL_ALLOW;
	const struct rule *rule;

	FL_REQUIRE(index < fl_policy_rule_count(policy));
	rule = policy->sets[effect].rules[effect == FL_DENY ? index : index - denies];
	*ret = (struct fl_rule_spec){
		.name = rule->name,
		.effect = effect,
		.file = rule->file,
		.line = rule->line,
		.from = rule->from,
		.from_count = rule->from_count,
		.ports = rule->ports,
		.port_count = rule->port_count,
		.services = (const char *const *)rule->services,
		.service_count = rule->service_count,
	};
}

enum fl_effect fl_policy_default(const struct fl_policy *policy)
{
	return policy->default_effect;
}

/* --- deciding ------------------------------------------------------------------------------ */

static bool covers_target(const struct rule *rule, const struct fl_request *request)
{
	if (rule->port_count == 0 && rule->service_count == 0) {
		return true;
	}
	for (size_t i = 0; i < rule->port_count; i++) {
		if (request->port >= rule->ports[i].first && request->port <= rule->ports[i].last) {
			return true;
		}
	}
	for (size_t i = 0; request->service != NULL && i < rule->service_count; i++) {
		if (strcmp(rule->services[i], request->service) == 0) {
			return true;
		}
	}
	return false;
}

/* The first rule under one start that covers the request and stands before `best`; else best. */
static size_t ask_start(const struct rule_set *set, const struct start *start,
			const struct fl_request *request, size_t best)
{
	for (size_t i = 0; i < start->count && start->candidates[i].rule < best; i++) {
		const struct candidate *candidate = &start->candidates[i];

		if (covers_target(set->rules[candidate->rule], request) &&
		    fl_pattern_match(candidate->pattern, request->id, request->id_len)) {
			return candidate->rule;
		}
	}
	return best;
}

static const struct rule *ask_set(const struct rule_set *set, const struct fl_request *request)
{
	unsigned hash = HASH_INIT;
	size_t best = set->count;

	for (size_t i = 0; i < request->id_len && i < set->longest; i++) {
		hash = hash_step(hash, request->id[i]);
		/* A start ends with the '/' before a wildcard, or it is a whole ID. */
		if (request->id[i] == '/' || i + 1 == request->id_len) {
			const struct start *start = find_start(set, request->id, i + 1, hash);

			if (start != NULL) {
				best = ask_start(set, start, request, best);
			}
		}
	}
	return best < set->count ? set->rules[best] : NULL;
}

struct fl_verdict fl_policy_decide(const struct fl_policy *policy, const struct fl_request *request)
{
	static const enum fl_effect order[] = {FL_DENY, FL_ALLOW};

	for (size_t i = 0; i < FL_COUNT_OF(order); i++) {
		const struct rule *rule = ask_set(&policy->sets[order[i]], request);

		if (rule != NULL) {
			return (struct fl_verdict){.effect = order[i],
						   .rule = rule->name,
						   .file = rule->file,
						   .line = rule->line};
		}
	}
	return (struct fl_verdict){.effect = policy->default_effect};
}
