/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agent/tools/check_policy.h"

#include <stdio.h>

/* --- text ------------------------------------------------------------------------------------- */

/* Each of these writes its first word only if something follows it. */
static void text_patterns(const char *first, struct fl_pattern *const *patterns, size_t count,
			  FILE *out)
{
	for (size_t i = 0; i < count; i++) {
		(void)fprintf(out, "%s %s", i > 0 ? "," : first, fl_pattern_text(patterns[i]));
	}
}

static void text_networks(const char *first, const struct fl_cidr *nets, size_t count, FILE *out)
{
	char net[FL_CIDR_TEXT];

	for (size_t i = 0; i < count; i++) {
		(void)fprintf(out, "%s %s", i > 0 ? "," : first, fl_cidr_format(&nets[i], net));
	}
}

static void text_targets(const char *first, const struct fl_port_range *ranges, size_t range_count,
			 const char *const *services, size_t service_count, FILE *out)
{
	char ports[FL_CONF_PORTS_TEXT];

	for (size_t i = 0; i < range_count; i++) {
		(void)fl_conf_ports_format(&ranges[i], ports);
		(void)fprintf(out, "%s port %s", i > 0 ? "," : first, ports);
	}
	for (size_t i = 0; i < service_count; i++) {
		(void)fprintf(out, "%s service %s", i + range_count > 0 ? "," : first, services[i]);
	}
}

static void text_rule(size_t number, const struct fl_rule_spec *rule, FILE *out)
{
	const struct fl_rule_exceptions *except = &rule->except;

	(void)fprintf(out, "%12zu %s %s: from", number, rule->effect == FL_DENY ? "deny" : "allow",
		      rule->name);
	text_patterns("", rule->from, rule->from_count, out);
	if (rule->plaintext) {
		(void)fprintf(out, "%s plaintext", rule->from_count > 0 ? "," : "");
	}
	text_networks(" at", rule->sources, rule->source_count, out);
	(void)fputs(rule->port_count + rule->service_count == 0 ? " to everything" : " to", out);
	text_targets("", rule->ports, rule->port_count, rule->services, rule->service_count, out);
	text_patterns(", except from", except->from, except->from_count, out);
	text_networks(", except at", except->sources, except->source_count, out);
	text_targets(", except to", except->ports, except->port_count, except->services,
		     except->service_count, out);
	(void)fprintf(out, "%s (line %u)\n", rule->audit ? ", audit only" : "", rule->line);
}

void fl_check_policy_text(const struct fl_conf *conf, FILE *out)
{
	size_t count = fl_policy_rule_count(conf->policy);
	struct fl_rule_spec rule;

	(void)fprintf(out, "policy       %zu rule%s, first match decides, else %s%s\n", count,
		      count == 1 ? "" : "s",
		      fl_policy_default(conf->policy) == FL_ALLOW ? "allow" : "deny",
		      fl_policy_audit(conf->policy) ? "; audit: nothing is denied" : "");
	for (size_t i = 0; i < count; i++) {
		fl_policy_rule(conf->policy, i, &rule);
		text_rule(i + 1, &rule, out);
	}
}

/* --- JSON ------------------------------------------------------------------------------------- */

static void json_patterns(struct fl_json *json, struct fl_pattern *const *patterns, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		fl_json_str(json, NULL, fl_pattern_text(patterns[i]));
	}
}

static void json_networks(struct fl_json *json, const char *key, const struct fl_cidr *nets,
			  size_t count)
{
	char net[FL_CIDR_TEXT];

	fl_json_array(json, key);
	for (size_t i = 0; i < count; i++) {
		fl_json_str(json, NULL, fl_cidr_format(&nets[i], net));
	}
	fl_json_end(json);
}

static void json_targets(struct fl_json *json, const char *key, const struct fl_port_range *ranges,
			 size_t range_count, const char *const *services, size_t service_count)
{
	char ports[FL_CONF_PORTS_TEXT];

	fl_json_array(json, key);
	for (size_t i = 0; i < range_count; i++) {
		(void)fl_conf_ports_format(&ranges[i], ports);
		fl_json_str(json, NULL, ports);
	}
	for (size_t i = 0; i < service_count; i++) {
		fl_json_str(json, NULL, services[i]);
	}
	fl_json_end(json);
}

static void json_rule(struct fl_json *json, const struct fl_rule_spec *rule)
{
	const struct fl_rule_exceptions *except = &rule->except;

	fl_json_object(json, NULL);
	fl_json_str(json, "name", rule->name);
	fl_json_str(json, "effect", rule->effect == FL_DENY ? "deny" : "allow");
	fl_json_str(json, "mode", rule->audit ? "audit" : "enforce");
	fl_json_int(json, "line", rule->line);
	fl_json_array(json, "from");
	json_patterns(json, rule->from, rule->from_count);
	if (rule->plaintext) {
		fl_json_str(json, NULL, "plaintext");
	}
	fl_json_end(json);
	json_networks(json, "sources", rule->sources, rule->source_count);
	json_targets(json, "to", rule->ports, rule->port_count, rule->services,
		     rule->service_count);
	fl_json_array(json, "except_from");
	json_patterns(json, except->from, except->from_count);
	fl_json_end(json);
	json_networks(json, "except_sources", except->sources, except->source_count);
	json_targets(json, "except_to", except->ports, except->port_count, except->services,
		     except->service_count);
	fl_json_end(json);
}

void fl_check_policy_json(struct fl_json *json, const struct fl_conf *conf)
{
	struct fl_rule_spec rule;

	fl_json_object(json, "policy");
	fl_json_str(json, "default",
		    fl_policy_default(conf->policy) == FL_ALLOW ? "allow" : "deny");
	fl_json_str(json, "mode", fl_policy_audit(conf->policy) ? "audit" : "enforce");
	fl_json_array(json, "rules");
	for (size_t i = 0; i < fl_policy_rule_count(conf->policy); i++) {
		fl_policy_rule(conf->policy, i, &rule);
		json_rule(json, &rule);
	}
	fl_json_end(json);
	fl_json_end(json);
}
