/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The policy in force: each rule, how often it has decided, and when last. */
#include <string.h>

#include "report/page_internal.h"

#define RULES_SHOWN 50u

/* "allow front", where it stands, and whether it only records. NULL rule: the default. */
static void put_name(struct fl_text *text, const struct fl_policy *policy, size_t index,
		     const char *name)
{
	struct fl_rule_spec rule;
	const char *slash;

	if (policy == NULL || index >= fl_policy_rule_count(policy)) {
		fl_page_escape(text, name);
		if (policy != NULL) {
			fl_text_print(text, " <small>%s</small>",
				      fl_policy_default(policy) == FL_ALLOW ? "allow" : "deny");
		}
		return;
	}
	fl_policy_rule(policy, index, &rule);
	slash = strrchr(rule.file, '/');
	fl_text_print(text, "<small>%s</small> ", rule.effect == FL_ALLOW ? "allow" : "deny");
	fl_page_escape(text, rule.name);
	fl_page_put(text, " <small>");
	fl_page_escape(text, slash != NULL ? slash + 1 : rule.file);
	fl_text_print(text, ":%u%s</small>", rule.line, rule.audit ? ", only recorded" : "");
}

static void put_rule(struct fl_text *text, const struct fl_snapshot *s, size_t index)
{
	static const enum fl_decision columns[] = {FL_DECISION_ALLOW, FL_DECISION_DENY,
						   FL_DECISION_WOULD_DENY, FL_DECISION_WOULD_ALLOW};
	const struct fl_rule_count *rule = &s->decisions[index];

	fl_page_put(text, "<tr><th scope=\"row\">");
	put_name(text, s->conf != NULL ? s->conf->policy : NULL, index, rule->rule);
	fl_page_put(text, "</th>");
	for (size_t i = 0; i < FL_COUNT_OF(columns); i++) {
		fl_page_number_cell(text, rule->decisions[columns[i]]);
	}
	fl_page_put(text, "<td class=\"n\">");
	if (rule->last > 0) {
		fl_page_ago(text, rule->last, s->now);
	} else {
		fl_page_put(text, "<span class=\"quiet\">never</span>");
	}
	fl_page_put(text, "</td></tr>\n");
}

void fl_page_rules(struct fl_text *text, const struct fl_snapshot *s)
{
	static const char *const heads[] = {"Rule",        "#Allowed",     "#Denied",
					    "#Would deny", "#Would allow", "#Decided last",
					    NULL};
	bool audits = s->conf != NULL && fl_policy_audit(s->conf->policy);

	if (s->decision_count == 0) {
		return;
	}
	fl_page_section(text, "rules",
			audits ? "Policy, on trial: it is recorded, and everybody is allowed"
			       : "Policy");
	fl_page_table(text, "Rules and their decisions", NULL, heads);
	for (size_t i = 0; i < s->decision_count; i++) {
		/* The default is the last one. */
		if (i < RULES_SHOWN || i + 1 == s->decision_count) {
			put_rule(text, s, i);
		}
	}
	if (s->decision_count > RULES_SHOWN + 1) {
		fl_text_print(text,
			      "<tr><td colspan=\"6\">and %zu more rules: <a href=\"/status\">"
			      "/status</a></td></tr>\n",
			      s->decision_count - RULES_SHOWN - 1);
	}
	fl_page_table_end(text);
	fl_page_section_end(text);
}
