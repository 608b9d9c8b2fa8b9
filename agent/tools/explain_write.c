/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agent/tools/explain_write.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/mem.h"

char *fl_explain_section(const struct fl_rule_spec *rule)
{
	return fl_format("[%s %s]", rule->effect == FL_ALLOW ? "allow" : "deny", rule->name);
}

bool fl_explain_is_let_in(const struct fl_inquiry *inquiry)
{
	return inquiry->uncaptured ||
	       (!inquiry->before_policy && inquiry->verdict.effect == FL_ALLOW);
}

static const char *decision_word(const struct fl_inquiry *inquiry)
{
	return inquiry->uncaptured      ? "allow"
	       : inquiry->before_policy ? "deny"
					: fl_decision_word(fl_verdict_decision(&inquiry->verdict));
}

static void put_list(const char *word, char *const *items, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		(void)printf("%-10s", i == 0 ? word : "");
		for (const char *c = items[i]; *c != '\0'; c++) {
			(void)putchar(*c);
			if (*c == '\n') {
				(void)printf("%10s", "");
			}
		}
		(void)putchar('\n');
	}
}

void fl_explain_write_text(const struct fl_inquiry *inquiry)
{
	const struct fl_verdict *verdict = &inquiry->verdict;

	(void)printf("decision  %s\n", decision_word(inquiry));
	(void)printf("from      %s%s%s\n", inquiry->from, inquiry->source != NULL ? " at " : "",
		     inquiry->source != NULL ? inquiry->source : "");
	(void)printf("to        port %u%s%s\n", inquiry->request.port,
		     inquiry->service != NULL ? ", service " : "",
		     inquiry->service != NULL ? inquiry->service->name : "");
	if (inquiry->uncaptured && inquiry->no_listener) {
		(void)puts("because   `[sidecar] inbound` is empty, so what others open is not "
			   "captured: whatever listens there gets it as it is, and no rule is "
			   "asked");
	} else if (inquiry->uncaptured) {
		(void)printf(
			"because   `[redirect] %s` leaves it alone: whatever listens there gets it as "
			"it is, and no rule is asked\n",
			fl_spared_inbound_key(inquiry->spared));
	} else if (inquiry->before_policy) {
		(void)puts("because   `mode = strict` of this port: plaintext is refused before "
			   "policy is asked");
	} else if (verdict->rule == NULL) {
		(void)printf("because   no rule matches, and the default is %s\n",
			     fl_policy_default(inquiry->conf->policy) == FL_ALLOW ? "allow"
										  : "deny");
	} else {
		struct fl_rule_spec rule;
		char *name;

		fl_policy_rule(inquiry->conf->policy, verdict->index, &rule);
		name = fl_explain_section(&rule);
		(void)printf("because   %s, %s:%u%s\n", name, verdict->file, verdict->line,
			     rule.audit ? ", in audit mode" : "");
		free(name);
	}
	put_list("note", inquiry->notes, inquiry->note_count);
	put_list("needed", inquiry->needed, inquiry->needed_count);
}

static void json_list(struct fl_json *json, const char *name, char *const *items, size_t count)
{
	fl_json_array(json, name);
	for (size_t i = 0; i < count; i++) {
		fl_json_str(json, NULL, items[i]);
	}
	fl_json_end(json);
}

void fl_explain_write_json(const struct fl_inquiry *inquiry)
{
	const struct fl_verdict *verdict = &inquiry->verdict;
	bool judged = !inquiry->uncaptured && !inquiry->before_policy;
	bool ruled = judged && verdict->rule != NULL;
	struct fl_text text = {0};
	struct fl_json json;

	fl_json_init(&json, &text);
	fl_json_object(&json, NULL);
	fl_json_str(&json, "decision", decision_word(inquiry));
	fl_json_bool(&json, "let_in", fl_explain_is_let_in(inquiry));
	fl_json_bool(&json, "audited", judged && verdict->audited);
	fl_json_str(&json, "decided_by",
		    inquiry->uncaptured      ? "capture"
		    : inquiry->before_policy ? "mode"
		    : ruled                  ? "rule"
					     : "default");
	fl_json_str(&json, "rule", ruled ? verdict->rule : NULL);
	fl_json_str(&json, "file", ruled ? verdict->file : NULL);
	fl_json_int(&json, "line", ruled ? verdict->line : 0);
	fl_json_str(&json, "from", inquiry->from);
	fl_json_int(&json, "port", inquiry->request.port);
	fl_json_str(&json, "service", inquiry->request.service);
	fl_json_str(&json, "source", inquiry->source);
	json_list(&json, "notes", inquiry->notes, inquiry->note_count);
	json_list(&json, "needed", inquiry->needed, inquiry->needed_count);
	fl_json_end(&json);
	(void)fwrite(text.data, 1, text.len, stdout);
	fl_text_done(&text);
}
