/* SPDX-License-Identifier: GPL-3.0-or-later */
/* decide - the decision of the rules about one request.
 *
 * A decision walks the ID once, hashes it on the way, and looks up each start of it, at each '/' and at the end. Of the
 * rules that match, the first in the file decides. Deny rules come before allow rules. So the cost of a decision grows with
 * the number of segments of the ID, not with that of rules; among rules with the same start (or `plaintext`), those whose
 * port, service, source or last segment does not match cost about a nanosecond each. Nothing here allocates, and nothing
 * fails. */
#include "policy/policy_internal.h"

/* A request, as the candidates are compared with it. */
struct asked {
	const struct fl_request *request;
	struct fl_cidr source; /* family AF_UNSPEC: unknown */
	uint32_t net_start;
	uint32_t service;
	uint32_t tail;
};

/* The first rules of a set that match: the first of all, and the first that is not in audit mode; the set's count: none.
 * first <= enforced. */
struct answer {
	size_t first, enforced;
};

static struct asked prepare(const struct fl_policy *policy, const struct fl_request *request)
{
	struct asked asked = {.request = request,
			      .service = fl_service_id(policy, request->service)};

	if (request->source != NULL && fl_cidr_of(request->source, &asked.source)) {
		asked.net_start = fl_net_start(&asked.source);
	} else {
		asked.source.family = AF_UNSPEC;
	}
	if (request->id != NULL) {
		asked.tail = fl_hash_tail(request->id, request->id_len);
	}
	return asked;
}

static bool may_fit(const struct fl_candidate *candidate, const struct asked *asked)
{
	return (asked->request->port - candidate->port <= candidate->port_span ||
		candidate->service == asked->service || candidate->service == FL_SOME_SERVICES) &&
	       (asked->net_start & candidate->mask) == candidate->net &&
	       (candidate->tail == FL_ANY_TAIL || candidate->tail == asked->tail);
}

static bool fits(const struct fl_rule *rule, const struct fl_candidate *candidate,
		 const struct asked *asked)
{
	const struct fl_request *request = asked->request;

	return fl_rule_covers_target(rule, request->port, asked->service) &&
	       fl_rule_covers_source(rule, &asked->source) &&
	       (request->id == NULL ||
		fl_pattern_match(rule->from[candidate->from], request->id, request->id_len)) &&
	       fl_rule_excepts(rule, request, asked->service, &asked->source) == 0;
}

static void ask_start(const struct fl_rule_set *set, const struct fl_start *start,
		      const struct asked *asked, struct answer *answer)
{
	for (size_t i = 0; i < start->count; i++) {
		const struct fl_candidate *candidate = &start->candidates[i];
		size_t index = candidate->rule;

		if (index >= answer->enforced) {
			return;
		}
		if (!may_fit(candidate, asked) || !fits(set->rules[index], candidate, asked)) {
			continue;
		}
		if (index < answer->first) {
			answer->first = index;
		}
		if (!set->rules[index]->audit) {
			answer->enforced = index;
			return;
		}
	}
}

static struct answer ask_set(const struct fl_rule_set *set, const struct asked *asked)
{
	const char *id = asked->request->id;
	size_t len = asked->request->id_len;
	struct answer answer = {set->count, set->count};
	uint32_t hash = FL_HASH_INIT;

	if (id == NULL) {
		ask_start(set, &set->plaintext, asked, &answer);
		return answer;
	}
	for (size_t i = 0; i < len && i < set->longest; i++) {
		hash = fl_hash_byte(hash, (uint8_t)id[i]);
		/* A start ends with the '/' before a wildcard, or it is a whole ID. */
		if (id[i] == '/' || i + 1 == len) {
			const struct fl_start *start = fl_start_find(set, id, i + 1, hash);

			if (start != NULL) {
				ask_start(set, start, asked, &answer);
			}
		}
	}
	return answer;
}

static struct fl_verdict spoken(const struct fl_policy *policy, enum fl_effect effect, size_t rule)
{
	const struct fl_rule_set *set = &policy->sets[effect];
	struct fl_verdict verdict = {.effect = effect};

	FL_REQUIRE(rule < set->count);
	verdict.rule = set->rules[rule]->name;
	verdict.file = set->rules[rule]->file;
	verdict.line = set->rules[rule]->line;
	verdict.index = (effect == FL_DENY ? 0 : policy->sets[FL_DENY].count) + rule;
	return verdict;
}

static struct fl_verdict unspoken(const struct fl_policy *policy)
{
	return (struct fl_verdict){.effect = policy->default_effect,
				   .index = fl_policy_rule_count(policy)};
}

static struct fl_verdict combine(const struct fl_policy *policy, size_t deny, size_t allow)
{
	if (deny < policy->sets[FL_DENY].count) {
		return spoken(policy, FL_DENY, deny);
	}
	if (allow < policy->sets[FL_ALLOW].count) {
		return spoken(policy, FL_ALLOW, allow);
	}
	return unspoken(policy);
}

struct fl_verdict fl_policy_decide(const struct fl_policy *policy, const struct fl_request *request)
{
	struct asked asked = prepare(policy, request);
	struct answer deny = ask_set(&policy->sets[FL_DENY], &asked);
	struct answer allow = {policy->sets[FL_ALLOW].count, policy->sets[FL_ALLOW].count};
	struct fl_verdict enforced, earnest;

	if (deny.enforced == policy->sets[FL_DENY].count) {
		allow = ask_set(&policy->sets[FL_ALLOW], &asked);
	}
	enforced = combine(policy, deny.enforced, allow.enforced);
	earnest = combine(policy, deny.first, allow.first);
	if (policy->audit) {
		struct fl_verdict said = enforced.effect == FL_ALLOW ? earnest : enforced;

		said = said.effect == FL_ALLOW ? enforced : said;
		said.audited = said.effect == FL_DENY;
		said.effect = FL_ALLOW;
		return said;
	}
	if (earnest.effect != enforced.effect) {
		earnest.audited = true;
		earnest.effect = enforced.effect;
		return earnest;
	}
	return enforced;
}

static bool names_identity(const struct fl_rule *rule, const struct fl_request *request)
{
	if (request->id == NULL) {
		return rule->plaintext;
	}
	for (size_t i = 0; i < rule->from_count; i++) {
		if (fl_pattern_match(rule->from[i], request->id, request->id_len)) {
			return true;
		}
	}
	return false;
}

unsigned fl_policy_misses(const struct fl_policy *policy, size_t index,
			  const struct fl_request *request)
{
	const struct fl_rule *rule = fl_policy_rule_at(policy, index);
	struct asked asked = prepare(policy, request);
	unsigned misses = 0;

	if (!names_identity(rule, request)) {
		misses |= FL_MISS_FROM;
	}
	if (!fl_rule_covers_target(rule, request->port, asked.service)) {
		misses |= FL_MISS_TO;
	}
	if (!fl_rule_covers_source(rule, &asked.source)) {
		misses |= FL_MISS_SOURCE;
	}
	return misses | fl_rule_excepts(rule, request, asked.service, &asked.source);
}

enum fl_decision fl_verdict_decision(const struct fl_verdict *verdict)
{
	if (verdict->effect == FL_ALLOW) {
		return verdict->audited ? FL_DECISION_WOULD_DENY : FL_DECISION_ALLOW;
	}
	return verdict->audited ? FL_DECISION_WOULD_ALLOW : FL_DECISION_DENY;
}

const char *fl_decision_word(enum fl_decision decision)
{
	static const char *const words[FL_DECISIONS] = {"allow", "deny", "would_deny",
							"would_allow"};

	return words[decision];
}
