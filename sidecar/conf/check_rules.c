/* SPDX-License-Identifier: GPL-3.0-or-later */
/* check_rules - compares rules with each other, and with the services. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "conf/build.h"

/* --- rules --------------------------------------------------------------------------------- */

static void report_service(struct fl_build *build, const struct fl_rule_draft *rule,
			   const char *key, const char *name)
{
	const char *kind = rule->effect == FL_ALLOW ? "allow" : "deny";
	const struct fl_conf *conf = build->conf;
	const char **names = fl_grow(NULL, conf->service_count, sizeof(char *));
	bool is_kept = build->problems->errors < FL_PROBLEMS_MAX;
	char suggestion[FL_SUGGEST_TEXT];
	size_t count = 0;

	for (size_t i = 0; is_kept && i < conf->service_count; i++) {
		if (conf->services[i].name != NULL) {
			names[count++] = conf->services[i].name;
		}
	}
	(void)fl_suggest_text(fl_suggest(name, names, count), suggestion);
	fl_problem_error(build->problems, fl_build_line(build, kind, rule->name, key),
			 "`%s`: there is no [service %.100s]%s", key, name, suggestion);
	free(names);
}

static void check_services(struct fl_build *build, const struct fl_rule_draft *rule,
			   const struct fl_rule_part *part, const char *key)
{
	for (size_t i = 0; i < part->service_count && !fl_problems_enough(build->problems); i++) {
		if (fl_ini_section(build->ini, "service", part->services[i]) == NULL) {
			report_service(build, rule, key, part->services[i]);
		}
	}
}

static void check_rule(struct fl_build *build, const struct fl_rule_draft *rule)
{
	const char *kind = rule->effect == FL_ALLOW ? "allow" : "deny";
	const struct fl_ini_section *section = fl_ini_section(build->ini, kind, rule->name);
	const struct fl_ini_entry *from = fl_ini_entry(build->ini, section, "from");

	if (from == NULL || from->value[0] == '\0') {
		fl_problem_error(build->problems, from != NULL ? from->line : rule->line,
				 "[%s %s] has no `from`: name the identities that it applies to",
				 kind, rule->name);
	}
	if (strcmp(rule->name, "default") == 0) {
		fl_problem_error(build->problems, rule->line,
				 "the name `default` means `[policy] default` in log and "
				 "metrics: give the rule another name");
	}
	check_services(build, rule, &rule->is, "to");
	check_services(build, rule, &rule->except, "except_to");
	if (rule->effect == FL_DENY) {
		const struct fl_ini_section *twin = fl_ini_section(build->ini, "allow", rule->name);

		if (twin != NULL) {
			fl_problem_error(
				build->problems, rule->line > twin->line ? rule->line : twin->line,
				"the rule name `%s` already exists in line %u: logs and "
				"metrics identify rules by name, so give each its own",
				rule->name, rule->line > twin->line ? twin->line : rule->line);
		}
	}
}

/* Does some port accept plaintext? */
static bool plaintext_is_let_in(const struct fl_conf *conf)
{
	bool found = conf->sidecar.inbound_count > 0 && conf->inbound.mode != FL_INBOUND_STRICT;

	for (size_t i = 0; i < conf->service_count; i++) {
		found = found || conf->services[i].inbound.mode != FL_INBOUND_STRICT;
	}
	return found;
}

static void check_plaintext_rules(struct fl_build *build)
{
	for (size_t i = 0; i < build->rule_count; i++) {
		const struct fl_rule_draft *rule = &build->rules[i];

		if (rule->name != NULL && rule->plaintext) {
			fl_problem_warning(
				build->problems,
				fl_build_line(build, rule->effect == FL_ALLOW ? "allow" : "deny",
					      rule->name, "from"),
				"`from = plaintext` never matches, because no port accepts plaintext: "
				"write `mode = permissive` or `plaintext` in [inbound] or in a [service]");
		}
	}
}

/* Does the INI have inbound traffic, which rules decide about? An INI that is only for outbound traffic may leave `inbound`
 * at its default. */
static bool serves(const struct fl_conf *conf)
{
	return conf->service_count > 0 ||
	       (conf->sidecar.inbound_count > 0 && conf->upstream_count == 0);
}

/* The opposite: a port accepts plaintext, and no rule allows it. */
static void check_plaintext_ports(struct fl_build *build)
{
	bool allowed = build->default_effect == FL_ALLOW || build->audit;

	for (size_t i = 0; i < build->rule_count; i++) {
		allowed = allowed ||
			  (build->rules[i].effect == FL_ALLOW && build->rules[i].plaintext);
	}
	if (!allowed) {
		fl_problem_warning(
			build->problems, 0,
			"a `mode` accepts plaintext, but no rule allows it, so all of it is refused: add for example "
			"[allow kubelet] with `from = plaintext` and `sources = 10.0.0.1`");
	}
}

void fl_build_check_rules(struct fl_build *build)
{
	bool any_allow = build->default_effect == FL_ALLOW;

	for (size_t i = 0; i < build->rule_count; i++) {
		any_allow = any_allow || build->rules[i].effect == FL_ALLOW;
		if (build->rules[i].name != NULL) {
			check_rule(build, &build->rules[i]);
		}
	}
	if (build->problems->errors > 0) {
		return; /* what follows compares sections, so it may only tell of an error once more */
	}
	if (!any_allow && serves(build->conf)) {
		fl_problem_warning(
			build->problems, 0,
			"there is no [allow NAME] rule, so every peer is refused: add for example "
			"[allow web] with `from = spiffe://prod.example/ns/web/sa/*`");
	}
	if (plaintext_is_let_in(build->conf)) {
		check_plaintext_ports(build);
	} else {
		check_plaintext_rules(build);
	}
}
