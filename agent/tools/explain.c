/* SPDX-License-Identifier: GPL-3.0-or-later */
/* explain - asks the same function as the sidecar, and then finds in every rule what would change the answer.
 *
 * Checks that come before policy are included: a strict port admits no plaintext, and on a plaintext port no peer has an
 * identity. The peer's certificate is assumed to be valid. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/common/command.h"
#include "agent/common/stdin_file.h"
#include "agent/tools/app_port.h"
#include "agent/tools/explain_write.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "conf/problems.h"
#include "conf/values.h"
#include "pki/spiffe.h"
#include "policy/propose.h"

enum { OPTION_FROM, OPTION_TO, OPTION_SOURCE, OPTION_JSON };

#define SAME_MAX 6 /* maximum number of listed rules of one kind */

static void add(char **list, size_t *count, char *text)
{
	if (*count < FL_EXPLAIN_NOTES_MAX) {
		list[(*count)++] = text;
	} else {
		free(text);
	}
}

static void note(struct fl_inquiry *inquiry, char *text)
{
	add(inquiry->notes, &inquiry->note_count, text);
}

static void need(struct fl_inquiry *inquiry, char *text)
{
	add(inquiry->needed, &inquiry->needed_count, text);
}

/* --- the question ----------------------------------------------------------------------------- */

static int read_from(struct fl_inquiry *inquiry, struct fl_err *err)
{
	const char *from = inquiry->from;
	struct fl_spiffe_id id;
	int rc;

	if (strcmp(from, "plaintext") == 0) {
		return 0;
	}
	if (strchr(from, '*') != NULL) {
		return fl_err_set(err, FL_ERR_INVALID,
				  "--from: `%.200s` is a pattern: name one identity", from);
	}
	rc = fl_spiffe_id_parse(from, strlen(from), &id, err);
	if (rc != 0) {
		return fl_err_prefix(err, "--from: `%.200s` (a SPIFFE ID, or `plaintext`)", from);
	}
	if (id.path_len == 0) {
		return fl_err_set(
			err, FL_ERR_INVALID,
			"--from: `%.200s` is a trust domain, not an identity: add the path", from);
	}
	inquiry->request.id = from;
	inquiry->request.id_len = strlen(from);
	return 0;
}

static int read_port(struct fl_inquiry *inquiry, struct fl_err *err)
{
	const struct fl_conf *conf = inquiry->conf;
	struct fl_port_range range;
	int rc = fl_value_ports(inquiry->to, &range, err);

	if (rc != 0) {
		return fl_err_prefix(err, "--to");
	}
	if (range.first != range.last) {
		return fl_err_set(err, FL_ERR_INVALID, "--to: `%s` is a range: name one port",
				  inquiry->to);
	}
	inquiry->request.port = range.first;
	for (size_t i = 0; i < conf->service_count; i++) {
		if (conf->services[i].port != range.first) {
			continue;
		}
		if (inquiry->service != NULL) {
			return fl_err_set(
				err, FL_ERR_INVALID,
				"--to: port %u belongs to the services %s and %s: name one "
				"of them",
				range.first, inquiry->service->name, conf->services[i].name);
		}
		inquiry->service = &conf->services[i];
	}
	return 0;
}

static int refuse_service(const struct fl_conf *conf, const char *to, struct fl_err *err)
{
	const char **names = fl_grow(NULL, conf->service_count, sizeof(char *));
	char meant[FL_SUGGEST_TEXT];

	for (size_t i = 0; i < conf->service_count; i++) {
		names[i] = conf->services[i].name;
	}
	(void)fl_suggest_text(fl_suggest(to, names, conf->service_count), meant);
	free(names);
	return fl_err_set(err, FL_ERR_INVALID, "--to: there is no [service %.100s] in %s%s", to,
			  conf->path, meant);
}

static int read_service(struct fl_inquiry *inquiry, struct fl_err *err)
{
	inquiry->service = fl_conf_find_service(inquiry->conf, inquiry->to);
	if (inquiry->service == NULL) {
		return refuse_service(inquiry->conf, inquiry->to, err);
	}
	inquiry->request.port = inquiry->service->port;
	return 0;
}

static int read_to(struct fl_inquiry *inquiry, struct fl_err *err)
{
	int rc = fl_value_looks_like_ports(inquiry->to) ? read_port(inquiry, err)
							: read_service(inquiry, err);

	if (rc != 0) {
		return rc;
	}
	inquiry->mode = inquiry->conf->inbound.mode;
	if (inquiry->service != NULL) {
		inquiry->mode = inquiry->service->inbound.mode;
		inquiry->request.service = inquiry->service->name;
	}
	return 0;
}

static int read_source(struct fl_inquiry *inquiry, struct fl_err *err)
{
	const char *text = inquiry->source;
	struct fl_cidr net;
	int rc;

	if (text == NULL) {
		return 0;
	}
	rc = fl_cidr_parse(text, &net, err);
	if (rc != 0) {
		return fl_err_prefix(err, "--source");
	}
	if (!fl_cidr_is_single(&net)) {
		return fl_err_set(err, FL_ERR_INVALID,
				  "--source: `%.100s` is a network: name one address", text);
	}
	inquiry->source_net = net;
	inquiry->source_addr = fl_cidr_sockaddr(&net);
	inquiry->request.source = &inquiry->source_addr.any;
	return 0;
}

/* --- the answer ------------------------------------------------------------------------------- */

static const char *target(const struct fl_inquiry *inquiry, char *buf, size_t size)
{
	if (inquiry->service != NULL) {
		return inquiry->service->name;
	}
	(void)snprintf(buf, size, "%u", inquiry->request.port);
	return buf;
}

static void judge_mode(struct fl_inquiry *inquiry)
{
	const char *what = inquiry->service != NULL ? "[service]" : "[inbound]";
	const struct fl_conf_service *behind;

	if (inquiry->mode == FL_INBOUND_PLAINTEXT && inquiry->request.id != NULL) {
		note(inquiry,
		     fl_format("`mode = plaintext` of this port: no peer proves its identity "
			       "there, so it is judged as plaintext"));
		inquiry->request.id = NULL;
		inquiry->request.id_len = 0;
	} else if (inquiry->mode == FL_INBOUND_STRICT && inquiry->request.id == NULL) {
		inquiry->before_policy = true;
		need(inquiry,
		     fl_format("`mode = permissive` in %s, which lets plaintext get as far "
			       "as policy",
			       what));
	}
	behind = fl_app_port_service(inquiry->conf, inquiry->request.port);
	if (inquiry->service == NULL && behind != NULL) {
		note(inquiry,
		     fl_format("port %u is where the app of [service %s] listens; peers "
			       "dial port %u: ask with --to %s",
			       inquiry->request.port, behind->name, behind->port, behind->name));
	} else if (inquiry->service == NULL && inquiry->conf->sidecar.inbound_count == 0) {
		note(inquiry, fl_format("nothing in %s listens on port %u", inquiry->conf->path,
					inquiry->request.port));
	}
}

/* Does capture leave the connection alone? With a source also if only that one is excluded. */
static void judge_capture(struct fl_inquiry *inquiry)
{
	const struct fl_conf *conf = inquiry->conf;
	const struct fl_conf_selector *some = fl_spared_source(
		conf, inquiry->request.port, inquiry->source != NULL ? &inquiry->source_net : NULL);
	struct fl_spared *spared = fl_spared_new(conf);
	char text[FL_CONF_DEST_TEXT];

	inquiry->spared = fl_spared_port(spared, inquiry->request.port);
	fl_spared_free(spared);
	if (inquiry->source != NULL && some != NULL && inquiry->spared != FL_SPARED_UNNAMED) {
		inquiry->spared = FL_SPARED_EXCLUDED;
	}
	if (inquiry->spared == FL_SPARED_EXCLUDED || inquiry->spared == FL_SPARED_UNNAMED) {
		inquiry->uncaptured = conf->redirect.line != 0;
		if (!inquiry->uncaptured) {
			note(inquiry,
			     fl_format("if `fairlead-agent redirect` captures here, its default "
				       "of `[redirect] %s` leaves this port alone: whatever "
				       "listens there gets the connection as it is",
				       fl_spared_inbound_key(inquiry->spared)));
		}
	} else if (inquiry->source == NULL && some != NULL) {
		note(inquiry,
		     fl_format("`[redirect] exclude_inbound` leaves %s alone: for connections "
			       "from there no rule is asked",
			       fl_conf_selector_format(some, text)));
	}
}

/* The key of the INI that keeps the rule from applying. misses: only exceptions. */
static const char *excepting_key(unsigned misses)
{
	return (misses & FL_MISS_EXCEPT_FROM) != 0 ? "except_from"
	       : (misses & FL_MISS_EXCEPT_TO) != 0 ? "except_to"
						   : "except_sources";
}

/* Without an address it is not known whether `except_sources` has it: a note asks for one. */
static bool is_only_excepted(const struct fl_inquiry *inquiry, unsigned misses)
{
	return misses != 0 && (misses & ~(unsigned)FL_MISS_EXCEPT) == 0 &&
	       (misses != FL_MISS_EXCEPT_SOURCE || inquiry->request.source != NULL);
}

static void need_no_exception(struct fl_inquiry *inquiry)
{
	const struct fl_policy *policy = inquiry->conf->policy;
	size_t shown = 0;

	for (size_t i = 0; i < fl_policy_rule_count(policy) && shown < SAME_MAX; i++) {
		unsigned misses = fl_policy_misses(policy, i, &inquiry->request);
		struct fl_rule_spec rule;

		fl_policy_rule(policy, i, &rule);
		if (rule.effect == FL_ALLOW && !rule.audit && is_only_excepted(inquiry, misses)) {
			char *name = fl_explain_section(&rule);

			need(inquiry, fl_format("%s (%s:%u) without this in its `%s`, or", name,
						rule.file, rule.line, excepting_key(misses)));
			free(name);
			shown++;
		}
	}
}

/* Does a change of the rule change the answer? A rule in audit mode admits and refuses nothing; but a deny rule in audit mode
 * keeps a peer that is admitted from being so without a remark. */
static bool matters(const struct fl_inquiry *inquiry, const struct fl_rule_spec *rule)
{
	return !rule->audit || (rule->effect == FL_DENY && inquiry->verdict.effect == FL_ALLOW);
}

/* Lists the rules that would match except for this miss (0: rules that match), and says what to change about them. */
static void need_change(struct fl_inquiry *inquiry, enum fl_effect effect, unsigned miss,
			const char *change)
{
	const struct fl_policy *policy = inquiry->conf->policy;
	size_t shown = 0;

	for (size_t i = 0; i < fl_policy_rule_count(policy) && shown < SAME_MAX; i++) {
		struct fl_rule_spec rule;
		char *name;

		fl_policy_rule(policy, i, &rule);
		if (rule.effect != effect || !matters(inquiry, &rule) ||
		    fl_policy_misses(policy, i, &inquiry->request) != miss) {
			continue;
		}
		name = fl_explain_section(&rule);
		need(inquiry, fl_format("%s (%s:%u) %s", name, rule.file, rule.line, change));
		free(name);
		shown++;
	}
}

/* Proposes a rule that admits only this request; for plaintext, only from that address. */
static void offer_rule(struct fl_inquiry *inquiry)
{
	const char *id = inquiry->request.id, *source = inquiry->source;
	char name[FL_PROPOSED_NAME_TEXT], port[8];
	struct fl_name_wish wish = {.about = id != NULL ? id : "plaintext",
				    .is_taken = fl_propose_rule_is_taken,
				    .user = inquiry->conf->policy};
	struct fl_text rule = {0};

	if (id == NULL && source == NULL) {
		source = "ADDRESS";
	}
	fl_propose_allow(&rule, FL_PROPOSE_LINES, fl_propose_name(&wish, name), id,
			 id == NULL ? source : NULL, target(inquiry, port, sizeof(port)));
	need(inquiry, rule.data); /* which owns it now */
}

/* Does an allow rule match, so that only deny rules refuse the request? */
static bool is_allowed_otherwise(const struct fl_inquiry *inquiry)
{
	const struct fl_policy *policy = inquiry->conf->policy;
	bool found = fl_policy_default(policy) == FL_ALLOW;

	for (size_t i = 0; i < fl_policy_rule_count(policy); i++) {
		struct fl_rule_spec rule;

		fl_policy_rule(policy, i, &rule);
		found = found || (rule.effect == FL_ALLOW && !rule.audit &&
				  fl_policy_misses(policy, i, &inquiry->request) == 0);
	}
	return found;
}

static void find_needed(struct fl_inquiry *inquiry)
{
	const struct fl_verdict *verdict = &inquiry->verdict;

	if (fl_verdict_decision(verdict) == FL_DECISION_ALLOW) {
		return;
	}
	need_change(inquiry, FL_DENY, 0, "no longer covering it: deny rules win");
	if (is_allowed_otherwise(inquiry)) {
		return;
	}
	if (fl_verdict_decision(verdict) == FL_DECISION_WOULD_ALLOW) {
		need(inquiry, fl_format("`mode = enforce` in [allow %s] (%s:%u)", verdict->rule,
					verdict->file, verdict->line));
		return;
	}
	if (inquiry->source != NULL) {
		need_change(inquiry, FL_ALLOW, FL_MISS_SOURCE,
			    "with this address among its `sources`, or");
	}
	need_change(inquiry, FL_ALLOW, FL_MISS_TO, "with this port or service in its `to`, or");
	need_no_exception(inquiry);
	offer_rule(inquiry);
}

/* The verdict of the rule depends on the address, which was not given. */
static bool needs_source(const struct fl_inquiry *inquiry, const struct fl_rule_spec *rule,
			 unsigned misses)
{
	return inquiry->source == NULL &&
	       (misses == FL_MISS_SOURCE || (rule->except.source_count > 0 &&
					     (misses & ~(unsigned)FL_MISS_EXCEPT_SOURCE) == 0));
}

static void note_rule(struct fl_inquiry *inquiry, const struct fl_rule_spec *rule, unsigned misses)
{
	char *name = fl_explain_section(rule), *wrong = fl_app_port_mistake(inquiry->conf, rule);

	if (needs_source(inquiry, rule, misses)) {
		note(inquiry, fl_format("%s (%s:%u) matches only some addresses: add "
					"--source",
					name, rule->file, rule->line));
	} else if (is_only_excepted(inquiry, misses)) {
		note(inquiry, fl_format("%s (%s:%u) does not apply: this is in its `%s`", name,
					rule->file, rule->line, excepting_key(misses)));
	} else if (misses == FL_MISS_TO && inquiry->service != NULL &&
		   fl_app_port_named(inquiry->conf, rule) == inquiry->service) {
		note(inquiry, fl_format("%s (%s:%u) does not apply: %s", name, rule->file,
					rule->line, wrong));
	}
	free(wrong);
	free(name);
}

static void find_notes(struct fl_inquiry *inquiry)
{
	const struct fl_policy *policy = inquiry->conf->policy;

	for (size_t i = 0; i < fl_policy_rule_count(policy); i++) {
		struct fl_rule_spec rule;

		fl_policy_rule(policy, i, &rule);
		note_rule(inquiry, &rule, fl_policy_misses(policy, i, &inquiry->request));
	}
	if (inquiry->verdict.audited && inquiry->verdict.effect == FL_ALLOW) {
		note(inquiry,
		     fl_format("it is admitted only because of audit mode: %s would refuse it",
			       inquiry->verdict.rule != NULL ? "this rule" : "the default"));
	} else if (inquiry->verdict.audited) {
		note(inquiry, fl_format("this rule is in audit mode: it admits nothing"));
	}
}

/* The rules of capture are for outbound connections alone, and no fixed listener has the port. */
static bool lacks_listener(const struct fl_inquiry *inquiry)
{
	return inquiry->conf->redirect.line != 0 && inquiry->conf->sidecar.inbound_count == 0 &&
	       inquiry->service == NULL;
}

static bool is_for_captured(const struct fl_inquiry *inquiry)
{
	return inquiry->service != NULL ? inquiry->service->listen.kind == FL_ADDR_NONE
					: inquiry->conf->sidecar.inbound_count > 0;
}

static void answer(struct fl_inquiry *inquiry)
{
	inquiry->no_listener = inquiry->uncaptured = lacks_listener(inquiry);
	if (is_for_captured(inquiry)) {
		judge_capture(inquiry);
	}
	if (inquiry->uncaptured) {
		return;
	}
	judge_mode(inquiry);
	inquiry->verdict = fl_policy_decide(inquiry->conf->policy, &inquiry->request);
	find_notes(inquiry);
	find_needed(inquiry);
}

static int ask(struct fl_inquiry *inquiry, const struct fl_command_line *line)
{
	struct fl_err err = {0};

	if (read_from(inquiry, &err) != 0 || read_to(inquiry, &err) != 0 ||
	    read_source(inquiry, &err) != 0) {
		return fl_command_complain(line->command, "%s", err.text);
	}
	answer(inquiry);
	if (line->options[OPTION_JSON] != NULL) {
		fl_explain_write_json(inquiry);
	} else {
		fl_explain_write_text(inquiry);
	}
	return fl_command_flush("the answer", !fl_explain_is_let_in(inquiry));
}

static int explain(const struct fl_command_line *line)
{
	struct fl_inquiry inquiry = {.from = line->options[OPTION_FROM],
				     .to = line->options[OPTION_TO],
				     .source = line->options[OPTION_SOURCE]};
	struct fl_problems problems = {0};
	struct fl_conf *conf = NULL;
	int code = 2;

	if (inquiry.from == NULL) {
		return fl_command_complain(
			line->command,
			"missing --from: the SPIFFE ID to ask about, or `plaintext`");
	}
	if (inquiry.to == NULL) {
		return fl_command_complain(
			line->command, "missing --to: the port that the peer dials, or the name "
				       "of a [service]");
	}
	if (fl_stdin_load_conf(line->conf_path, &conf, NULL, NULL, &problems) == 0) {
		inquiry.conf = conf;
		code = ask(&inquiry, line);
	} else {
		fl_problems_print(&problems, line->conf_path, stderr);
	}
	for (size_t i = 0; i < inquiry.note_count; i++) {
		free(inquiry.notes[i]);
	}
	for (size_t i = 0; i < inquiry.needed_count; i++) {
		free(inquiry.needed[i]);
	}
	fl_conf_free(conf);
	fl_problems_done(&problems);
	return code;
}

static const char page[] =
	"NAME\n"
	"  fairlead-agent explain - what policy decides about one connection, and which\n"
	"  rule\n"
	"\n"
	"SYNOPSIS\n"
	"  fairlead-agent explain --from ID|plaintext --to PORT|SERVICE\n"
	"                         [--source ADDRESS] [-c FILE] [--json]\n"
	"\n"
	"DESCRIPTION\n"
	"  Asks the policy of the INI with the same code as the sidecar uses when this\n"
	"  peer connects; no sidecar needs to run. Prints the decision and the rule, with\n"
	"  FILE:LINE; and for a refusal what would admit it: a change of a rule that\n"
	"  nearly matches, or an [allow] rule to paste.\n"
	"\n"
	"  It assumes that the peer's certificate is valid; check and the access log\n"
	"  report invalid ones. It includes what the mode of a port decides before\n"
	"  policy: a strict port admits no plaintext, and on a plaintext port no peer has\n"
	"  an identity. And it says if capture leaves the port alone, by [redirect] or\n"
	"  because `[sidecar] inbound` is empty beside it, so that the connection does\n"
	"  not come to the sidecar: it is admitted then.\n"
	"\n"
	"  decision is the word of the access log and of the metric: allow, deny,\n"
	"  would_deny (admitted only because of audit mode), would_allow (refused, but a\n"
	"  rule in audit mode would admit it).\n"
	"\n"
	"OPTIONS\n"
	"      --from ID       the peer's SPIFFE ID, or plaintext for a peer without one\n"
	"      --to PORT       the port that the peer dials, or the name of a [service]\n"
	"      --source ADDRESS  the peer's address. Without it no `sources` matches, and\n"
	"                      the rules that depend on it are listed\n"
	"      --json          one JSON document: decision, let_in, audited, decided_by\n"
	"                      (rule, default, mode or capture), rule, file, line, from,\n"
	"                      port, service, source, notes, needed\n" FL_PAGE_OPTIONS "\n"
	"EXIT STATUS\n"
	"  0  it is admitted\n"
	"  1  it is refused\n"
	"  2  no answer: the command line, or the INI\n" FL_PAGE_EXIT_UNWRITTEN "\n"
	"EXAMPLES\n"
	"  fairlead-agent explain --from spiffe://prod.example/ns/web/sa/front --to 8080\n"
	"  fairlead-agent explain --from plaintext --to metrics --source 10.0.0.1\n"
	"  fairlead-agent explain -c new.ini --from \"$ID\" --to db --json | jq .rule\n"
	"\n"
	"SEE ALSO\n"
	"  fairlead-agent check, which lists the rules in the order of evaluation\n";

const struct fl_command fl_command_explain = {
	.name = "explain",
	.summary = "what policy decides about one connection, and which rule",
	.page = page,
	.run = explain,
	.options = {[OPTION_FROM] = {.name = "from", .has_value = true},
		    [OPTION_TO] = {.name = "to", .has_value = true},
		    [OPTION_SOURCE] = {.name = "source", .has_value = true},
		    [OPTION_JSON] = {.name = "json"}},
	.capabilities = FL_COMMAND_READS_ALL,
	.ini_from_stdin = true,
};
