/* SPDX-License-Identifier: GPL-3.0-or-later */
/* policy - an AuthorizationPolicy of Istio.
 *
 * Each of its rules has a list of sources, a list of operations and a list of conditions. One source, one operation and all
 * conditions must match, so each pair of a source and an operation becomes one of our rules. Within a source or operation
 * all fields must match; the items of a field are alternatives; a field that begins with `not` is an exception.
 *
 * A CUSTOM policy lets an external authorizer refuse what it matches, so it becomes a DENY policy.
 *
 * For what cannot be expressed, the translation errs on the safe side:
 *
 *                 in an ALLOW rule        in a DENY rule
 *   alternative   it is left out          the rule matches everything
 *   exception     the rule is left out    it is left out
 *   condition     the rule is left out    it is left out */
#include <stdlib.h>
#include <string.h>

#include "agent/import/draft.h"
#include "agent/import/principal.h"
#include "base/mem.h"

struct translation {
	struct fl_import_draft *draft;
	const struct fl_import_object *object;
	struct fl_import_rule *rule;
	bool any_from;    /* nothing has restricted it yet */
	const char *kind; /* "ALLOW" */
};

/* --- addresses and ports ------------------------------------------------------------------------ */

static bool say_address(const struct fl_import_say *say, const char *text,
			struct fl_import_words *ret)
{
	char *network = fl_import_network(text);

	(void)say;
	return network != NULL && fl_import_words_add(ret, network);
}

static bool say_port(const struct fl_import_say *say, const char *text, struct fl_import_words *ret)
{
	unsigned port = fl_import_port_number(text);

	(void)say;
	return port != 0 && fl_import_words_add(ret, fl_format("%u", port));
}

/* --- fields ------------------------------------------------------------------------------------ */

static void lose(struct translation *t, struct fl_yaml where, const char *what)
{
	if (t->rule->deny) {
		fl_import_miss(t->draft, t->object, where,
			       "%s cannot be expressed: this %s rule refuses more than before",
			       what, t->kind);
	} else {
		fl_import_miss(t->draft, t->object, where,
			       "%s cannot be expressed: this ALLOW rule is left out", what);
		t->rule->lost = true;
	}
}

/* The end of the sentence that reports keys which are not known. */
static const char *effect_on_rule(bool deny)
{
	return deny ? "this rule refuses more than before" : "this ALLOW rule is left out";
}

/* Where an item of a list stands. An exception of a rule has the opposite effect. */
static struct fl_import_say say_at(const struct translation *t, struct fl_yaml item,
				   bool is_exception)
{
	return (struct fl_import_say){.draft = t->draft,
				      .object = t->object,
				      .where = item,
				      .refuses = t->rule->deny != is_exception};
}

/* Translates all items of a list into ret. False: one could not be expressed and was left out. */
static bool say_all(struct translation *t, struct fl_yaml list, fl_import_say_fn fn,
		    bool is_exception, struct fl_import_words *ret)
{
	bool all = true;

	for (size_t i = 0; i < fl_yaml_count(list); i++) {
		struct fl_yaml item = fl_yaml_item(list, i);
		struct fl_import_say say = say_at(t, item, is_exception);

		if (!fn(&say, fl_yaml_text(item), ret)) {
			all = false;
		}
	}
	return all;
}

/* Reports the items of the list that cannot be expressed. effect: the consequence. */
static void report_unsaid(struct translation *t, struct fl_yaml list, fl_import_say_fn fn,
			  bool is_exception, const char *effect)
{
	for (size_t i = 0; i < fl_yaml_count(list); i++) {
		struct fl_yaml item = fl_yaml_item(list, i);
		struct fl_import_say say = say_at(t, item, is_exception);
		struct fl_import_words ignored = {0};

		if (!fn(&say, fl_yaml_text(item), &ignored)) {
			fl_import_miss(t->draft, t->object, item, "`%s` cannot be expressed: %s",
				       fl_yaml_text(item), effect);
		}
		fl_import_words_done(&ignored);
	}
}

/* A list under a key of map, as fl_import_list(), except that an empty one is only reported: Kubernetes refuses it, and what
 * it would mean is not the same everywhere. */
static struct fl_yaml list_of(struct translation *t, struct fl_yaml map, const char *key)
{
	struct fl_yaml list = fl_yaml_get(map, key);

	if (fl_yaml_is_list(list) && fl_yaml_count(list) == 0) {
		lose(t, fl_yaml_key_of(map, key), "an empty list");
		return (struct fl_yaml){0};
	}
	return fl_import_list(t->draft, t->object, map, key);
}

/* A list of alternatives under a key of map. ret must be empty: two lists that both have to match cannot be expressed. */
static void narrow(struct translation *t, struct fl_yaml map, const char *key, fl_import_say_fn say,
		   struct fl_import_words *ret)
{
	struct fl_yaml list = list_of(t, map, key);
	struct fl_import_words words = {0};
	/* Istio leaves out an ALLOW rule with an address or port that is none. */
	bool is_all = say == say_address || say == say_port;

	if (!fl_yaml_is_given(list)) {
		return;
	}
	if (ret->count > 0) {
		lose(t, fl_yaml_key_of(map, key), "a second condition on the same property");
		return;
	}
	if (say_all(t, list, say, false, &words)) {
		*ret = words;
		return;
	}
	if (t->rule->deny) {
		report_unsaid(t, list, say, false,
			      "this DENY rule does not depend on it, and refuses more");
		fl_import_words_done(&words);
		return;
	}
	report_unsaid(t, list, say, false,
		      is_all ? "this ALLOW rule is left out" : "left out of this ALLOW rule");
	t->rule->lost = t->rule->lost || is_all || words.count == 0;
	*ret = words;
}

static void narrow_from(struct translation *t, struct fl_yaml map, const char *key,
			fl_import_say_fn say)
{
	struct fl_import_words narrowed = {0};

	if (!t->any_from && fl_yaml_is_given(fl_yaml_get(map, key))) {
		lose(t, fl_yaml_key_of(map, key), "a second condition on the identity");
		return;
	}
	narrow(t, map, key, say, &narrowed);
	if (narrowed.count > 0) {
		fl_import_words_done(&t->rule->from);
		t->rule->from = narrowed;
		t->rule->plaintext = false;
		t->any_from = false;
	}
}

static void except(struct translation *t, struct fl_yaml map, const char *key, fl_import_say_fn say,
		   struct fl_import_words *ret)
{
	struct fl_yaml list = list_of(t, map, key);

	if (say_all(t, list, say, true, ret)) {
		return;
	}
	if (t->rule->deny) {
		report_unsaid(t, list, say, true, "this DENY rule refuses it, too");
	} else {
		report_unsaid(t, list, say, true, "this ALLOW rule is left out");
		t->rule->lost = true;
	}
}

static void read_source(struct translation *t, struct fl_yaml source)
{
	static const char *const known[] = {"principals",
					    "notPrincipals",
					    "namespaces",
					    "notNamespaces",
					    "ipBlocks",
					    "notIpBlocks",
					    "serviceAccounts",
					    "notServiceAccounts",
					    "trustDomains",
					    "notTrustDomains",
					    NULL};
	struct fl_import_rule *rule = t->rule;

	narrow_from(t, source, "principals", fl_import_say_principal);
	narrow_from(t, source, "serviceAccounts", fl_import_say_account);
	narrow_from(t, source, "namespaces", fl_import_say_namespace);
	narrow_from(t, source, "trustDomains", fl_import_say_domain);
	narrow(t, source, "ipBlocks", say_address, &rule->sources);
	except(t, source, "notPrincipals", fl_import_say_principal, &rule->except_from);
	except(t, source, "notServiceAccounts", fl_import_say_account, &rule->except_from);
	except(t, source, "notNamespaces", fl_import_say_namespace, &rule->except_from);
	except(t, source, "notTrustDomains", fl_import_say_domain, &rule->except_from);
	except(t, source, "notIpBlocks", say_address, &rule->except_sources);
	if (fl_import_unknown_keys(t->draft, t->object, source, known,
				   effect_on_rule(rule->deny)) &&
	    !rule->deny) {
		rule->lost = true;
	}
}

static void read_operation(struct translation *t, struct fl_yaml operation)
{
	static const char *const known[] = {"ports", "notPorts", NULL};
	struct fl_import_rule *rule = t->rule;

	narrow(t, operation, "ports", say_port, &rule->to);
	except(t, operation, "notPorts", say_port, &rule->except_to);
	if (fl_import_unknown_keys(t->draft, t->object, operation, known,
				   effect_on_rule(rule->deny)) &&
	    !rule->deny) {
		rule->lost = true;
	}
}

static void read_condition(struct translation *t, struct fl_yaml condition)
{
	static const struct {
		const char *key;
		fl_import_say_fn say;
	} identities[] = {{"source.principal", fl_import_say_principal},
			  {"source.namespace", fl_import_say_namespace},
			  {"source.serviceAccount", fl_import_say_account},
			  {"source.trustDomain", fl_import_say_domain}};
	struct fl_import_rule *rule = t->rule;
	const char *key = fl_yaml_text(fl_yaml_get(condition, "key"));
	char *what;

	for (size_t i = 0; i < FL_COUNT_OF(identities); i++) {
		if (strcmp(key, identities[i].key) == 0) {
			narrow_from(t, condition, "values", identities[i].say);
			except(t, condition, "notValues", identities[i].say, &rule->except_from);
			return;
		}
	}
	if (strcmp(key, "source.ip") == 0) {
		narrow(t, condition, "values", say_address, &rule->sources);
		except(t, condition, "notValues", say_address, &rule->except_sources);
		return;
	}
	if (strcmp(key, "destination.port") == 0) {
		narrow(t, condition, "values", say_port, &rule->to);
		except(t, condition, "notValues", say_port, &rule->except_to);
		return;
	}
	what = fl_format("the condition `%.100s`", key);
	lose(t, fl_yaml_get(condition, "key"), what);
	free(what);
}

/* --- rules -------------------------------------------------------------------------------------- */

/* The `source` of an item of `from`, or the `operation` of one of `to`. */
static struct fl_yaml part_of(struct translation *t, struct fl_yaml item, const char *part)
{
	struct fl_yaml value = fl_import_map(t->draft, t->object, item, part);

	if (fl_yaml_is_map(value) && fl_yaml_count(value) == 0) {
		lose(t, fl_yaml_key_of(item, part), "an empty mapping");
	}
	return value;
}

static void add_rule(struct fl_import_draft *draft, const struct fl_import_object *object,
		     struct fl_yaml where, const struct translation *of,
		     const struct fl_yaml parts[3])
{
	static const char *const known[] = {"from", "to", "when", NULL};
	struct translation t = *of;

	t.rule = fl_import_rule_add(draft, object, where, of->rule->deny);
	t.rule->audit = of->rule->audit;
	/* Without a restriction the rule is for every peer, with or without an identity. */
	(void)fl_import_words_add(&t.rule->from, fl_strdup(FL_IMPORT_ANY_DOMAIN "**"));
	t.rule->plaintext = true;
	for (size_t i = 0; known[i] != NULL; i++) {
		(void)list_of(&t, where, known[i]);
	}
	read_source(&t, part_of(&t, parts[0], "source"));
	read_operation(&t, part_of(&t, parts[1], "operation"));
	for (size_t i = 0; i < fl_yaml_count(parts[2]); i++) {
		read_condition(&t, fl_yaml_item(parts[2], i));
	}
	if (fl_import_unknown_keys(draft, object, where, known, effect_on_rule(t.rule->deny)) &&
	    !t.rule->deny) {
		t.rule->lost = true;
	}
}

/* Each item of `from` must have a source, of `to` an operation, of `when` a key and values, and nothing else. Kubernetes
 * refuses other ones; here, a rule without its restriction would admit everybody. */
static bool is_complete(struct fl_import_draft *draft, const struct fl_import_object *object,
			struct fl_yaml item, const char *part)
{
	struct fl_yaml values = fl_yaml_get(item, "values");
	struct fl_yaml not_values = fl_yaml_get(item, "notValues");
	bool is_condition = strcmp(part, "key") == 0;
	bool is = fl_yaml_count(item) == 1 && fl_yaml_is_map(fl_yaml_get(item, part));

	if (is_condition) {
		size_t lists = (fl_yaml_is_given(values) ? 1 : 0) +
			       (fl_yaml_is_given(not_values) ? 1U : 0U);

		is = fl_yaml_text(fl_yaml_get(item, part))[0] != '\0' && lists > 0 &&
		     fl_yaml_count(item) == 1 + lists;
	}
	if (!is) {
		fl_import_refuse(draft, object, item,
				 "each item here must have `%s`%s, and nothing else", part,
				 is_condition ? " and `values` or `notValues`" : "");
	}
	return is;
}

static struct fl_yaml read_items(struct fl_import_draft *draft,
				 const struct fl_import_object *object, struct fl_yaml rule,
				 const char *key, const char *part)
{
	struct fl_yaml list = fl_yaml_get(rule, key);
	bool is = fl_import_are_maps(draft, object, list, key);

	for (size_t i = 0; is && i < fl_yaml_count(list); i++) {
		is = is_complete(draft, object, fl_yaml_item(list, i), part);
	}
	return list;
}

static size_t at_least_one(size_t count)
{
	return count > 0 ? count : 1;
}

static void read_rule(struct fl_import_draft *draft, const struct fl_import_object *object,
		      struct fl_yaml rule, const struct translation *of)
{
	struct fl_yaml from = read_items(draft, object, rule, "from", "source");
	struct fl_yaml to = read_items(draft, object, rule, "to", "operation");
	struct fl_yaml when = read_items(draft, object, rule, "when", "key");

	for (size_t f = 0; f < at_least_one(fl_yaml_count(from)); f++) {
		for (size_t o = 0; o < at_least_one(fl_yaml_count(to)); o++) {
			struct fl_yaml parts[3] = {fl_yaml_item(from, f), fl_yaml_item(to, o),
						   when};

			if (draft->refused > 0) {
				return;
			}
			add_rule(draft, object, rule, of, parts);
		}
	}
}

/* Is it for this workload? If that is not known, a denying policy is applied, and an ALLOW policy admits nothing. */
static bool is_about_us(struct fl_import_draft *draft, const struct fl_import_object *object,
			bool deny)
{
	static const char *const targets[] = {"targetRefs", "targetRef"};
	struct fl_yaml selector = fl_yaml_key_of(object->spec, "selector");
	const char *effect = deny ? "this policy is applied to yours"
				  : "this ALLOW policy is left out, and admits nothing";

	for (size_t i = 0; i < FL_COUNT_OF(targets); i++) {
		if (fl_yaml_is_given(fl_yaml_get(object->spec, targets[i]))) {
			fl_import_miss(draft, object, fl_yaml_key_of(object->spec, targets[i]),
				       "it is for a gateway or a waypoint, which do not exist "
				       "here: %s",
				       effect);
			draft->restricted = draft->restricted || !deny;
			return deny;
		}
	}
	switch (fl_import_select(draft, object, object->spec, "selector")) {
	case FL_IMPORT_YES:
		return true;
	case FL_IMPORT_UNKNOWN:
		fl_import_miss(draft, object, selector, FL_IMPORT_NAME_LABELS ": %s", effect);
		draft->restricted = draft->restricted || !deny;
		return deny;
	case FL_IMPORT_NO:
	default:
		return false;
	}
}

/* Is a word of YAML true? As Go's strconv.ParseBool, with which Istio reads annotations. */
static bool is_true(const char *text)
{
	static const char *const words[] = {"1", "t", "T", "true", "TRUE", "True"};

	for (size_t i = 0; i < FL_COUNT_OF(words); i++) {
		if (strcmp(text, words[i]) == 0) {
			return true;
		}
	}
	return false;
}

static void read_rules(struct fl_import_draft *draft, const struct fl_import_object *object,
		       const struct translation *of)
{
	struct fl_yaml rules = fl_yaml_get(object->spec, "rules");

	if (fl_yaml_is_given(rules) && !fl_yaml_is_list(rules)) {
		fl_import_refuse(draft, object, fl_yaml_key_of(object->spec, "rules"),
				 "`rules` is no list");
		return;
	}
	if (!fl_import_are_maps(draft, object, rules, "rules")) {
		return;
	}
	for (size_t i = 0; i < fl_yaml_count(rules) && draft->refused == 0; i++) {
		read_rule(draft, object, fl_yaml_item(rules, i), of);
	}
}

void fl_import_istio_policy(struct fl_import_draft *draft, const struct fl_import_object *object)
{
	static const char *const known[] = {"selector",   "rules",    "action", "targetRef",
					    "targetRefs", "provider", NULL};
	struct fl_yaml action = fl_yaml_get(object->spec, "action");
	struct fl_yaml notes = fl_yaml_get(fl_yaml_get(object->root, "metadata"), "annotations");
	bool dry_run = is_true(fl_yaml_text(fl_yaml_get(notes, "istio.io/dry-run")));
	const char *word = fl_yaml_is_given(action) ? fl_yaml_text(action) : "ALLOW";
	bool allow = strcmp(word, "ALLOW") == 0, custom = strcmp(word, "CUSTOM") == 0;
	struct fl_import_rule like = {.deny = !allow, .audit = dry_run};
	struct translation t = {
		.draft = draft, .object = object, .rule = &like, .any_from = true, .kind = word};

	if (strcmp(word, "AUDIT") == 0) {
		fl_import_miss(draft, object, action,
			       "the action AUDIT has no counterpart: left out, it neither admits "
			       "nor refuses anything");
		return;
	}
	if (!allow && !custom && strcmp(word, "DENY") != 0) {
		fl_import_refuse(draft, object, action, "the action `%.40s` is not known", word);
		return;
	}
	if (!is_about_us(draft, object, !allow)) {
		return;
	}
	if (custom) {
		fl_import_miss(draft, object, action,
			       "nobody is asked for the action CUSTOM: what this policy matches is "
			       "refused%s",
			       dry_run ? " in the audit only" : "");
	}
	(void)fl_import_unknown_keys(draft, object, object->spec, known, "left out");
	/* A policy in dry run admits nothing, refuses nothing, and does not restrict what others admit. */
	draft->restricted = draft->restricted || (allow && !dry_run);
	read_rules(draft, object, &t);
}
