/* SPDX-License-Identifier: GPL-3.0-or-later */
/* policy - an AuthorizationPolicy of Istio.
 *
 * Each of its rules has a list of sources, a list of operations and a list of conditions. One source, one operation and all
 * conditions must match, so each pair of a source and an operation becomes one of our rules. Within a source or operation
 * all fields must match; the items of a field are alternatives; a field that begins with `not` is an exception.
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
#include "base/cidr.h"
#include "base/mem.h"
#include "pki/spiffe.h"

struct translation {
	struct fl_import_draft *draft;
	const struct fl_import_object *object;
	struct fl_import_rule *rule;
	bool any_from; /* nothing has restricted it yet */
};

/* Translates an item of a list into words of the INI. False: it cannot be expressed. */
typedef bool (*say_fn)(const struct translation *t, const char *text, struct fl_import_words *ret);

/* --- words of Istio ----------------------------------------------------------------------------- */

static bool take_pattern(struct fl_import_words *ret, char *pattern)
{
	if (!fl_import_is_pattern(pattern)) {
		free(pattern);
		return false;
	}
	fl_import_words_add(ret, pattern);
	return true;
}

static char *everybody(const struct translation *t)
{
	return fl_format("spiffe://%s/**", t->draft->trust_domain);
}

/* In Istio, cluster.local stands for the trust domain, whatever its name. */
static const char *domain_of(const struct translation *t, const char *text, const char **ret_rest)
{
	static const char any[] = "cluster.local/";

	if (strncmp(text, any, sizeof(any) - 1) == 0) {
		*ret_rest = text + sizeof(any) - 1;
		return t->draft->trust_domain;
	}
	*ret_rest = NULL;
	return NULL;
}

static bool say_prefix(const struct translation *t, const char *text, struct fl_import_words *ret)
{
	size_t len = strlen(text);
	const char *rest, *domain = domain_of(t, text, &rest);
	char *pattern;

	/* A pattern can leave only whole segments open: everything below a namespace, but not names with a common prefix. */
	if (len < 2 || text[len - 2] != '/') {
		return false;
	}
	pattern = domain != NULL ? fl_format("spiffe://%s/%s*", domain, rest)
				 : fl_format("spiffe://%s*", text);
	return take_pattern(ret, pattern);
}

/* IDs of Istio have the form TD/ns/NAMESPACE/sa/ACCOUNT, so the end of an ID can be completed to a whole one. */
static bool say_suffix(const struct translation *t, const char *text, struct fl_import_words *ret)
{
	if (strncmp(text, "*/ns/", strlen("*/ns/")) == 0) {
		return take_pattern(ret,
				    fl_format("spiffe://%s%s", t->draft->trust_domain, text + 1));
	}
	if (strncmp(text, "*/sa/", strlen("*/sa/")) == 0 && strchr(text + 5, '/') == NULL) {
		return take_pattern(ret,
				    fl_format("spiffe://%s/ns/%s", t->draft->trust_domain, text));
	}
	return false;
}

static bool say_principal(const struct translation *t, const char *text,
			  struct fl_import_words *ret)
{
	const char *id = fl_spiffe_after_scheme(text), *rest, *domain;
	size_t len;

	text = id != NULL ? id : text;
	len = strlen(text);
	if (strcmp(text, "*") == 0) {
		return take_pattern(ret, everybody(t));
	}
	if (len > 0 && text[0] == '*') {
		return text[len - 1] != '*' && say_suffix(t, text, ret);
	}
	if (len > 0 && text[len - 1] == '*') {
		return say_prefix(t, text, ret);
	}
	domain = domain_of(t, text, &rest);
	return strchr(text, '*') == NULL &&
	       take_pattern(ret, domain != NULL ? fl_format("spiffe://%s/%s", domain, rest)
						: fl_format("spiffe://%s", text));
}

static bool say_namespace(const struct translation *t, const char *text,
			  struct fl_import_words *ret)
{
	if (strcmp(text, "*") == 0) {
		return take_pattern(ret,
				    fl_format("spiffe://%s/ns/*/sa/*", t->draft->trust_domain));
	}
	return strchr(text, '*') == NULL && strchr(text, '/') == NULL &&
	       take_pattern(ret, fl_format("spiffe://%s/ns/%s/sa/*", t->draft->trust_domain, text));
}

/* `NAMESPACE/ACCOUNT`, or an account of the policy's own namespace. */
static bool say_account(const struct translation *t, const char *text, struct fl_import_words *ret)
{
	const char *slash = strchr(text, '/');
	int ns_len = slash != NULL ? (int)(slash - text) : (int)strlen(t->object->ns);

	return strchr(text, '*') == NULL &&
	       take_pattern(ret, fl_format("spiffe://%s/ns/%.*s/sa/%s", t->draft->trust_domain,
					   ns_len, slash != NULL ? text : t->object->ns,
					   slash != NULL ? slash + 1 : text));
}

static bool say_address(const struct translation *t, const char *text, struct fl_import_words *ret)
{
	struct fl_cidr net;
	bool is = fl_cidr_parse(text, &net, NULL) == FL_OK;

	(void)t;
	if (is) {
		fl_import_words_add(ret, fl_strdup(text));
	}
	return is;
}

static bool say_port(const struct translation *t, const char *text, struct fl_import_words *ret)
{
	bool is = fl_import_port_number(text) != 0;

	(void)t;
	if (is) {
		fl_import_words_add(ret, fl_strdup(text));
	}
	return is;
}

/* --- fields ------------------------------------------------------------------------------------ */

static void lose(struct translation *t, struct fl_yaml where, const char *what)
{
	if (t->rule->deny) {
		fl_import_miss(t->draft, t->object, where,
			       "%s cannot be expressed: this DENY rule refuses more than before",
			       what);
	} else {
		fl_import_miss(t->draft, t->object, where,
			       "%s cannot be expressed: this ALLOW rule is left out", what);
		t->rule->lost = true;
	}
}

/* Translates all items of a list into ret. False: one could not be expressed and was left out. */
static bool say_all(struct translation *t, struct fl_yaml list, say_fn say,
		    struct fl_import_words *ret)
{
	bool all = true;

	for (size_t i = 0; i < fl_yaml_count(list); i++) {
		struct fl_yaml item = fl_yaml_item(list, i);

		if (!say(t, fl_yaml_text(item), ret)) {
			all = false;
		}
	}
	return all;
}

/* Reports the items of the list that cannot be expressed. effect: the consequence. */
static void report_unsaid(struct translation *t, struct fl_yaml list, say_fn say,
			  const char *effect)
{
	for (size_t i = 0; i < fl_yaml_count(list); i++) {
		struct fl_yaml item = fl_yaml_item(list, i);
		struct fl_import_words ignored = {0};

		if (!say(t, fl_yaml_text(item), &ignored)) {
			fl_import_miss(t->draft, t->object, item, "`%s` cannot be expressed: %s",
				       fl_yaml_text(item), effect);
		}
		fl_import_words_done(&ignored);
	}
}

/* A list of alternatives. ret must be empty: two lists that both have to match cannot be expressed. */
static void narrow(struct translation *t, struct fl_yaml list, say_fn say, const char *what,
		   struct fl_import_words *ret)
{
	struct fl_import_words words = {0};

	if (!fl_yaml_is_there(list) || fl_yaml_count(list) == 0) {
		return;
	}
	if (ret->count > 0) {
		lose(t, list, what);
		return;
	}
	if (say_all(t, list, say, &words)) {
		*ret = words;
		return;
	}
	if (t->rule->deny) {
		report_unsaid(t, list, say, "this DENY rule matches everything");
		fl_import_words_done(&words);
		return;
	}
	report_unsaid(t, list, say, "left out of this ALLOW rule");
	t->rule->lost = t->rule->lost || words.count == 0;
	*ret = words;
}

static void narrow_from(struct translation *t, struct fl_yaml list, say_fn say, const char *what)
{
	struct fl_import_words narrowed = {0};

	if (!fl_yaml_is_there(list) || fl_yaml_count(list) == 0) {
		return;
	}
	if (!t->any_from) {
		lose(t, list, what);
		return;
	}
	narrow(t, list, say, what, &narrowed);
	if (narrowed.count > 0) {
		fl_import_words_done(&t->rule->from);
		t->rule->from = narrowed;
		t->rule->plaintext = false;
		t->any_from = false;
	}
}

static void except(struct translation *t, struct fl_yaml list, say_fn say,
		   struct fl_import_words *ret)
{
	if (say_all(t, list, say, ret)) {
		return;
	}
	if (t->rule->deny) {
		report_unsaid(t, list, say, "this DENY rule refuses it, too");
	} else {
		report_unsaid(t, list, say, "this ALLOW rule is left out");
		t->rule->lost = true;
	}
}

static void read_source(struct translation *t, struct fl_yaml source)
{
	static const char *const known[] = {"principals",      "notPrincipals",      "namespaces",
					    "notNamespaces",   "ipBlocks",           "notIpBlocks",
					    "serviceAccounts", "notServiceAccounts", NULL};
	struct fl_import_rule *rule = t->rule;

	narrow_from(t, fl_yaml_get(source, "principals"), say_principal, "`principals`");
	narrow_from(t, fl_yaml_get(source, "serviceAccounts"), say_account,
		    "`serviceAccounts` beside `principals`");
	narrow_from(t, fl_yaml_get(source, "namespaces"), say_namespace,
		    "`namespaces` beside another list of identities");
	narrow(t, fl_yaml_get(source, "ipBlocks"), say_address, "`ipBlocks`", &rule->sources);
	except(t, fl_yaml_get(source, "notPrincipals"), say_principal, &rule->except_from);
	except(t, fl_yaml_get(source, "notServiceAccounts"), say_account, &rule->except_from);
	except(t, fl_yaml_get(source, "notNamespaces"), say_namespace, &rule->except_from);
	except(t, fl_yaml_get(source, "notIpBlocks"), say_address, &rule->except_sources);
	if (fl_import_unknown_keys(t->draft, t->object, source, known,
				   rule->deny ? "this DENY rule refuses more than before"
					      : "this ALLOW rule is left out")) {
		rule->lost = !rule->deny;
	}
}

static void read_operation(struct translation *t, struct fl_yaml operation)
{
	static const char *const known[] = {"ports", "notPorts", NULL};
	struct fl_import_rule *rule = t->rule;

	narrow(t, fl_yaml_get(operation, "ports"), say_port, "`ports`", &rule->to);
	except(t, fl_yaml_get(operation, "notPorts"), say_port, &rule->except_to);
	if (fl_import_unknown_keys(t->draft, t->object, operation, known,
				   rule->deny ? "this DENY rule refuses more than before"
					      : "this ALLOW rule is left out")) {
		rule->lost = !rule->deny;
	}
}

static void read_condition(struct translation *t, struct fl_yaml condition)
{
	struct fl_yaml values = fl_yaml_get(condition, "values");
	struct fl_yaml not_values = fl_yaml_get(condition, "notValues");
	const char *key = fl_yaml_text(fl_yaml_get(condition, "key"));
	struct fl_import_rule *rule = t->rule;

	if (strcmp(key, "source.principal") == 0) {
		narrow_from(t, values, say_principal, "`source.principal` beside a source");
		except(t, not_values, say_principal, &rule->except_from);
	} else if (strcmp(key, "source.namespace") == 0) {
		narrow_from(t, values, say_namespace, "`source.namespace` beside a source");
		except(t, not_values, say_namespace, &rule->except_from);
	} else if (strcmp(key, "source.ip") == 0) {
		narrow(t, values, say_address, "`source.ip` beside `ipBlocks`", &rule->sources);
		except(t, not_values, say_address, &rule->except_sources);
	} else if (strcmp(key, "destination.port") == 0) {
		narrow(t, values, say_port, "`destination.port` beside `ports`", &rule->to);
		except(t, not_values, say_port, &rule->except_to);
	} else {
		char *what = fl_format("the condition `%.100s`", key);

		lose(t, condition, what);
		free(what);
	}
}

/* --- rules -------------------------------------------------------------------------------------- */

static void add_rule(struct fl_import_draft *draft, const struct fl_import_object *object,
		     struct fl_yaml where, bool deny, const struct fl_yaml parts[3])
{
	struct translation t = {.draft = draft,
				.object = object,
				.rule = fl_import_rule_add(draft, object, where, deny),
				.any_from = true};

	/* Without a restriction the rule is for every peer, with or without an identity. */
	fl_import_words_add(&t.rule->from, everybody(&t));
	t.rule->plaintext = true;
	read_source(&t, fl_yaml_get(parts[0], "source"));
	read_operation(&t, fl_yaml_get(parts[1], "operation"));
	for (size_t i = 0; i < fl_yaml_count(parts[2]); i++) {
		read_condition(&t, fl_yaml_item(parts[2], i));
	}
}

static size_t at_least_one(size_t count)
{
	return count > 0 ? count : 1;
}

static void read_rule(struct fl_import_draft *draft, const struct fl_import_object *object,
		      struct fl_yaml rule, bool deny)
{
	static const char *const known[] = {"from", "to", "when", NULL};
	struct fl_yaml from = fl_yaml_get(rule, "from"), to = fl_yaml_get(rule, "to");
	size_t first = draft->rule_count;
	bool unknown;

	for (size_t f = 0; f < at_least_one(fl_yaml_count(from)); f++) {
		for (size_t o = 0; o < at_least_one(fl_yaml_count(to)); o++) {
			struct fl_yaml parts[3] = {fl_yaml_item(from, f), fl_yaml_item(to, o),
						   fl_yaml_get(rule, "when")};

			add_rule(draft, object, rule, deny, parts);
		}
	}
	unknown = fl_import_unknown_keys(draft, object, rule, known,
					 deny ? "this DENY rule refuses more than before"
					      : "this ALLOW rule is left out");
	for (size_t i = first; unknown && !deny && i < draft->rule_count; i++) {
		draft->rules[i].lost = true;
	}
}

static bool is_for_gateway(const struct fl_import_object *object)
{
	return fl_yaml_is_there(fl_yaml_get(object->spec, "targetRefs")) ||
	       fl_yaml_is_there(fl_yaml_get(object->spec, "targetRef"));
}

/* Is it for this workload? If that is not known, a DENY policy is applied, and an ALLOW policy is left out. */
static bool is_about_us(struct fl_import_draft *draft, const struct fl_import_object *object,
			bool deny)
{
	struct fl_yaml labels = fl_yaml_get(fl_yaml_get(object->spec, "selector"), "matchLabels");
	const char *effect = deny ? "this DENY policy is applied to yours"
				  : "this ALLOW policy is left out, and admits nothing";

	if (is_for_gateway(object)) {
		fl_import_miss(draft, object, object->spec,
			       "it is for a gateway or a waypoint, which do not exist here: %s",
			       effect);
		return deny;
	}
	switch (fl_import_select(draft, labels)) {
	case FL_IMPORT_YES:
		return true;
	case FL_IMPORT_UNKNOWN:
		fl_import_miss(draft, object, labels, FL_IMPORT_NAME_LABELS ": %s", effect);
		draft->restricted = draft->restricted || !deny;
		return deny;
	case FL_IMPORT_NO:
	default:
		return false;
	}
}

void fl_import_istio_policy(struct fl_import_draft *draft, const struct fl_import_object *object)
{
	static const char *const known[] = {"selector",  "rules",      "action",
					    "targetRef", "targetRefs", NULL};
	struct fl_yaml rules = fl_yaml_get(object->spec, "rules");
	struct fl_yaml action = fl_yaml_get(object->spec, "action");
	const char *word = fl_yaml_is_there(action) ? fl_yaml_text(action) : "ALLOW";
	bool deny = strcmp(word, "DENY") == 0;

	if (!deny && strcmp(word, "ALLOW") != 0) {
		fl_import_miss(draft, object, action,
			       "the action %.40s has no counterpart: left out, it neither admits "
			       "nor refuses anything",
			       word);
		return;
	}
	if (!is_about_us(draft, object, deny)) {
		return;
	}
	(void)fl_import_unknown_keys(draft, object, object->spec, known, "left out");
	draft->restricted = draft->restricted || !deny;
	for (size_t i = 0; i < fl_yaml_count(rules); i++) {
		read_rule(draft, object, fl_yaml_item(rules, i), deny);
	}
}
