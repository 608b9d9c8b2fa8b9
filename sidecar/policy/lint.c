/* SPDX-License-Identifier: GPL-3.0-or-later */
/* lint - a rule that covers another one has a pattern that covers the other's first pattern, so its literal start is
 * a start of that one: the index of decisions finds it. */
#include "policy/lint.h"

#include <stdio.h>

#include "base/mem.h"
#include "policy/policy_internal.h"

#define TEXT_MAX 512

/* The maximum number of comparisons of two rules: a policy of a thousand rules needs a
 * fraction of it, and one that was made to be slow costs a tenth of a second. */
#define BUDGET 4000000

struct lint {
	const struct fl_policy *policy;
	size_t budget;
	fl_policy_lint_cb report;
	void *user;
};

static bool spend(struct lint *lint)
{
	return lint->budget > 0 && lint->budget-- > 0;
}

/* --- covering ------------------------------------------------------------------------------ */

static bool has_pattern(struct fl_pattern *const *wide, size_t count,
			const struct fl_pattern *narrow)
{
	for (size_t i = 0; i < count; i++) {
		if (fl_pattern_covers(wide[i], narrow)) {
			return true;
		}
	}
	return false;
}

static bool covers_identities(const struct fl_rule *wide, const struct fl_rule *narrow)
{
	if (narrow->plaintext && !wide->plaintext) {
		return false;
	}
	for (size_t i = 0; i < narrow->from_count; i++) {
		if (!has_pattern(wide->from, wide->from_count, narrow->from[i])) {
			return false;
		}
	}
	return true;
}

static bool has_service(const struct fl_rule_targets *targets, uint32_t service)
{
	for (size_t i = 0; i < targets->service_count; i++) {
		if (targets->service_ids[i] == service) {
			return true;
		}
	}
	return false;
}

static bool range_covers(const struct fl_port_range *wide, const struct fl_port_range *narrow)
{
	return wide->first <= narrow->first && narrow->last <= wide->last;
}

static bool has_range(const struct fl_rule_targets *targets, const struct fl_port_range *range)
{
	for (size_t i = 0; i < targets->port_count; i++) {
		if (range_covers(&targets->ports[i], range)) {
			return true;
		}
	}
	return false;
}

static bool is_empty(const struct fl_rule_targets *targets)
{
	return targets->port_count == 0 && targets->service_count == 0;
}

/* Does wide name everything that narrow names? */
static bool have_targets(const struct fl_rule_targets *wide, const struct fl_rule_targets *narrow)
{
	for (size_t i = 0; i < narrow->port_count; i++) {
		if (!has_range(wide, &narrow->ports[i])) {
			return false;
		}
	}
	for (size_t i = 0; i < narrow->service_count; i++) {
		if (!has_service(wide, narrow->service_ids[i])) {
			return false;
		}
	}
	return true;
}

static bool covers_targets(const struct fl_rule *wide, const struct fl_rule *narrow)
{
	if (is_empty(&wide->to) || is_empty(&narrow->to)) {
		return is_empty(&wide->to);
	}
	return have_targets(&wide->to, &narrow->to);
}

static bool have_sources(const struct fl_rule_sources *wide, const struct fl_rule_sources *narrow)
{
	for (size_t i = 0; i < narrow->net_count; i++) {
		if (!fl_sources_have(wide, &narrow->nets[i])) {
			return false;
		}
	}
	return true;
}

static bool covers_sources(const struct fl_rule *wide, const struct fl_rule *narrow)
{
	if (wide->sources.net_count == 0 || narrow->sources.net_count == 0) {
		return wide->sources.net_count == 0;
	}
	return have_sources(&wide->sources, &narrow->sources);
}

/* A rule with exceptions counts as covering nothing, so that every report is certain. The exceptions of the covered rule
 * only make it smaller. */
static bool rule_covers(const struct fl_rule *wide, const struct fl_rule *narrow)
{
	return !wide->audit && !wide->has_exceptions && covers_targets(wide, narrow) &&
	       covers_sources(wide, narrow) && covers_identities(wide, narrow);
}

/* --- searching ----------------------------------------------------------------------------- */

/* The first of the set's rules before `end` that covers all of rule; `end`: none does. */
static size_t search_start(struct lint *lint, const struct fl_rule_set *set,
			   const struct fl_start *start, const struct fl_rule *rule, size_t end)
{
	for (size_t i = 0; i < start->count && start->candidates[i].rule < end && spend(lint);
	     i++) {
		if (rule_covers(set->rules[start->candidates[i].rule], rule)) {
			return start->candidates[i].rule;
		}
	}
	return end;
}

static size_t search(struct lint *lint, const struct fl_rule_set *set, const struct fl_rule *rule,
		     size_t end)
{
	const struct fl_pattern *pattern = rule->from_count > 0 ? rule->from[0] : NULL;
	size_t found = end;
	uint32_t hash = FL_HASH_INIT;

	if (pattern == NULL) {
		return search_start(lint, set, &set->plaintext, rule, end);
	}
	for (size_t i = 0; i < pattern->literal_len; i++) {
		hash = fl_hash_byte(hash, (uint8_t)pattern->text[i]);
		if (pattern->text[i] == '/' || i + 1 == pattern->literal_len) {
			const struct fl_start *start =
				fl_start_find(set, pattern->text, i + 1, hash);

			if (start != NULL) {
				found = search_start(lint, set, start, rule, found);
			}
		}
	}
	return found;
}

/* Do its exceptions cover all of it? */
static const char *eaten_by(const struct fl_rule *rule)
{
	bool all = !rule->plaintext && rule->from_count > 0;

	for (size_t i = 0; i < rule->from_count && all; i++) {
		all = has_pattern(rule->except_from, rule->except_from_count, rule->from[i]);
	}
	if (all) {
		return "except_from";
	}
	if (!is_empty(&rule->to) && have_targets(&rule->except_to, &rule->to)) {
		return "except_to";
	}
	return rule->sources.net_count > 0 && have_sources(&rule->except_sources, &rule->sources)
		       ? "except_sources"
		       : NULL;
}

static void report_eaten(struct lint *lint, const struct fl_rule *rule, const char *key)
{
	char text[TEXT_MAX];

	(void)snprintf(text, sizeof(text),
		       "[%s %.64s] never applies: `%s` covers everything that the rule applies to",
		       rule->effect == FL_ALLOW ? "allow" : "deny", rule->name, key);
	lint->report(lint->user, rule->line, text);
}

/* --- exceptions that except nothing -------------------------------------------------------- */

static void report_idle(struct lint *lint, const struct fl_rule *rule, const char *key,
			const char *item)
{
	char text[TEXT_MAX];

	(void)snprintf(
		text, sizeof(text),
		"[%s %.64s]: `%.200s` in `%s` excepts nothing, because the rule does not apply to "
		"it anyway: is it mistyped?",
		rule->effect == FL_ALLOW ? "allow" : "deny", rule->name, item, key);
	lint->report(lint->user, rule->line, text);
}

static bool is_of_use(struct lint *lint, const struct fl_rule *rule,
		      const struct fl_pattern *pattern)
{
	for (size_t i = 0; i < rule->from_count; i++) {
		if (!spend(lint) || fl_pattern_overlaps(rule->from[i], pattern)) {
			return true;
		}
	}
	return false;
}

static bool ranges_meet(const struct fl_rule_targets *targets, const struct fl_port_range *range)
{
	for (size_t i = 0; i < targets->port_count; i++) {
		if (targets->ports[i].first <= range->last &&
		    range->first <= targets->ports[i].last) {
			return true;
		}
	}
	return false;
}

/* Which port a service has is not known here, so ports are compared with ports only, and services with services. */
static void check_idle_targets(struct lint *lint, const struct fl_rule *rule)
{
	const struct fl_rule_targets *to = &rule->to, *but = &rule->except_to;
	char text[16];

	for (size_t i = 0; i < but->port_count && to->port_count > 0 && to->service_count == 0;
	     i++) {
		if (!ranges_meet(to, &but->ports[i])) {
			(void)snprintf(text, sizeof(text), "%u", but->ports[i].first);
			report_idle(lint, rule, "except_to", text);
		}
	}
	for (size_t i = 0; i < but->service_count && to->service_count > 0 && to->port_count == 0;
	     i++) {
		if (!has_service(to, but->service_ids[i])) {
			report_idle(lint, rule, "except_to", but->services[i]);
		}
	}
}

static bool nets_meet(struct lint *lint, const struct fl_rule_sources *sources,
		      const struct fl_cidr *net)
{
	for (size_t i = 0; i < sources->count; i++) {
		if (!spend(lint) || fl_cidr_covers(&sources->items[i], net) ||
		    fl_cidr_covers(net, &sources->items[i])) {
			return true;
		}
	}
	return false;
}

/* A mistyped exception would otherwise admit, silently, whom it is meant to keep out. */
static void check_idle(struct lint *lint, const struct fl_rule *rule)
{
	const struct fl_rule_sources *but = &rule->except_sources;
	char text[FL_CIDR_TEXT];

	for (size_t i = 0; i < rule->except_from_count; i++) {
		if (!is_of_use(lint, rule, rule->except_from[i])) {
			report_idle(lint, rule, "except_from",
				    fl_pattern_text(rule->except_from[i]));
		}
	}
	check_idle_targets(lint, rule);
	for (size_t i = 0; i < but->count && rule->sources.count > 0; i++) {
		if (!nets_meet(lint, &rule->sources, &but->items[i])) {
			report_idle(lint, rule, "except_sources",
				    fl_cidr_format(&but->items[i], text));
		}
	}
}

/* --- rules that other rules hide ------------------------------------------------------------ */

static void report_hidden(struct lint *lint, const struct fl_rule *rule, enum fl_effect effect,
			  const struct fl_rule *by, enum fl_effect by_effect)
{
	char text[TEXT_MAX];

	if (effect == by_effect) {
		(void)snprintf(
			text, sizeof(text),
			"[%s %.64s] changes nothing: [%s %.64s] in line %u already covers all "
			"of it",
			effect == FL_ALLOW ? "allow" : "deny", rule->name,
			by_effect == FL_ALLOW ? "allow" : "deny", by->name, by->line);
	} else {
		(void)snprintf(
			text, sizeof(text),
			"[allow %.64s] admits nobody: [deny %.64s] in line %u refuses everything "
			"that it allows, and deny rules win",
			rule->name, by->name, by->line);
	}
	lint->report(lint->user, rule->line, text);
}

static void check_hidden(struct lint *lint, enum fl_effect effect, size_t index)
{
	const struct fl_rule_set *set = &lint->policy->sets[effect];
	const struct fl_rule_set *denies = &lint->policy->sets[FL_DENY];
	const struct fl_rule *rule = set->rules[index];
	const char *eaten = eaten_by(rule);
	size_t by;

	if (eaten != NULL) {
		report_eaten(lint, rule, eaten);
		return;
	}
	check_idle(lint, rule);
	if (effect == FL_ALLOW) {
		by = search(lint, denies, rule, denies->count);
		if (by < denies->count) {
			report_hidden(lint, rule, effect, denies->rules[by], FL_DENY);
			return;
		}
	}
	by = search(lint, set, rule, index);
	if (by < index) {
		report_hidden(lint, rule, effect, set->rules[by], effect);
	}
}

void fl_policy_lint(const struct fl_policy *policy, fl_policy_lint_cb report, void *user)
{
	static const enum fl_effect effects[] = {FL_DENY, FL_ALLOW};
	struct lint lint = {.policy = policy, .budget = BUDGET, .report = report, .user = user};

	for (size_t e = 0; e < FL_COUNT_OF(effects); e++) {
		const struct fl_rule_set *set = &policy->sets[effects[e]];

		for (size_t i = 0; i < set->count; i++) {
			check_hidden(&lint, effects[e], i);
		}
	}
}
