/* SPDX-License-Identifier: GPL-3.0-or-later */
/* report - the same facts twice, as aligned text and as JSON. It fails only as its stream fails. */
#include "agent/report.h"

#include <inttypes.h>

#include "base/json.h"
#include "base/when.h"

int fl_report_verdict(const struct fl_report *report)
{
	if (report->problems->errors > 0) {
		return 2;
	}
	return report->problems->count > 0 ? 1 : 0;
}

/* Milliseconds as a person would write them. */
static const char *format_ms(uint32_t ms, char buf[FL_SPAN_TEXT])
{
	if (ms % 1000 == 0) {
		return fl_when_span(ms / 1000, buf);
	}
	(void)snprintf(buf, FL_SPAN_TEXT, "%" PRIu32 "ms", ms);
	return buf;
}

static void format_ports(const struct fl_port_range *range, char *buf, size_t size)
{
	if (range->first == range->last) {
		(void)snprintf(buf, size, "%u", range->first);
	} else {
		(void)snprintf(buf, size, "%u-%u", range->first, range->last);
	}
}

/* --- text ------------------------------------------------------------------------------------- */

static void text_credentials(const struct fl_report *report, FILE *out)
{
	const struct fl_credentials *c = report->credentials;
	char when[FL_WHEN_TEXT], left[FL_SPAN_TEXT], life[FL_SPAN_TEXT];

	(void)fprintf(out, "identity     %s\n", c->id);
	(void)fprintf(out, "certificate  expires %s, in %s of %s; %zu in the chain\n",
		      fl_when_format(c->not_after, when),
		      fl_when_span(c->not_after - report->now, left),
		      fl_when_span(c->not_after - c->not_before, life), c->chain.count);
	for (size_t i = 0; i < c->bundle_count; i++) {
		size_t roots = c->bundles[i].roots.count;

		(void)fprintf(out, "%-12s %s: %zu root%s%s\n", i == 0 ? "trusts" : "",
			      c->bundles[i].trust_domain, roots, roots == 1 ? "" : "s",
			      roots == 0 ? ", so nobody of it" : "");
	}
}

static void text_listeners(const struct fl_conf *conf, FILE *out)
{
	char from[FL_ADDR_TEXT], to[FL_ADDR_TEXT];

	for (size_t i = 0; i < conf->service_count; i++) {
		const struct fl_conf_service *s = &conf->services[i];

		(void)fprintf(out, "%-12s %s: mTLS on %s -> app at %s\n", i == 0 ? "inbound" : "",
			      s->name, fl_addr_format(&s->listen, from),
			      fl_addr_format(&s->app, to));
	}
	for (size_t i = 0; i < conf->upstream_count; i++) {
		const struct fl_conf_upstream *u = &conf->upstreams[i];

		(void)fprintf(out, "%-12s %s: app on %s -> mTLS to", i == 0 ? "outbound" : "",
			      u->name, fl_addr_format(&u->listen, from));
		for (size_t k = 0; k < u->to_count; k++) {
			(void)fprintf(out, "%s %s", k > 0 ? ", else" : "",
				      fl_addr_format(&u->to[k], to));
		}
		(void)fputs(", expecting", out);
		for (size_t k = 0; k < u->peer_count; k++) {
			(void)fprintf(out, "%s %s", k > 0 ? " or" : "",
				      fl_pattern_text(u->peer[k]));
		}
		(void)fputs(u->peer_count == 0 ? " any identity of our own trust domain\n" : "\n",
			    out);
	}
}

static void text_rule(size_t number, const struct fl_rule_spec *rule, FILE *out)
{
	char ports[32];

	(void)fprintf(out, "%12zu %s %s: from", number, rule->effect == FL_DENY ? "deny" : "allow",
		      rule->name);
	for (size_t i = 0; i < rule->from_count; i++) {
		(void)fprintf(out, "%s %s", i > 0 ? "," : "", fl_pattern_text(rule->from[i]));
	}
	(void)fputs(rule->port_count + rule->service_count == 0 ? " to everything" : " to", out);
	for (size_t i = 0; i < rule->port_count; i++) {
		format_ports(&rule->ports[i], ports, sizeof(ports));
		(void)fprintf(out, "%s port %s", i > 0 ? "," : "", ports);
	}
	for (size_t i = 0; i < rule->service_count; i++) {
		(void)fprintf(out, "%s service %s", i + rule->port_count > 0 ? "," : "",
			      rule->services[i]);
	}
	(void)fprintf(out, " (line %u)\n", rule->line);
}

static void text_policy(const struct fl_conf *conf, FILE *out)
{
	size_t count = fl_policy_rule_count(conf->policy);
	struct fl_rule_spec rule;

	(void)fprintf(out, "policy       %zu rule%s, first match decides, else %s\n", count,
		      count == 1 ? "" : "s",
		      fl_policy_default(conf->policy) == FL_ALLOW ? "allow" : "deny");
	for (size_t i = 0; i < count; i++) {
		fl_policy_rule(conf->policy, i, &rule);
		text_rule(i + 1, &rule, out);
	}
}

static void text_limits(const struct fl_conf *conf, FILE *out)
{
	char handshake[FL_SPAN_TEXT], dial[FL_SPAN_TEXT], idle[FL_SPAN_TEXT], drain[FL_SPAN_TEXT];

	(void)fprintf(out,
		      "limits       %" PRIu32 " connections, %" PRIu32
		      " handshakes at once, %" PRIu32 " KiB held back a direction\n",
		      conf->limits.connections, conf->limits.handshakes,
		      conf->limits.buffer / 1024);
	(void)fprintf(out, "             handshake %s, connect %s, idle %s, drain %s\n",
		      format_ms(conf->limits.handshake_timeout_ms, handshake),
		      format_ms(conf->limits.connect_timeout_ms, dial),
		      format_ms(conf->limits.idle_timeout_ms, idle),
		      format_ms(conf->sidecar.drain_ms, drain));
}

void fl_report_text(const struct fl_report *report, FILE *out)
{
	const struct fl_conf *conf = report->conf;
	char admin[FL_ADDR_TEXT];
	size_t warnings = report->problems->count - report->problems->errors;

	if (fl_report_verdict(report) < 2) {
		text_credentials(report, out);
		text_listeners(conf, out);
		text_policy(conf, out);
		text_limits(conf, out);
		(void)fprintf(out, "admin        %s\n",
			      conf->sidecar.admin.kind == FL_ADDR_NONE
				      ? "off"
				      : fl_addr_format(&conf->sidecar.admin, admin));
		(void)fprintf(out, "agent        %s, for uid %lu and its own\n", conf->agent.socket,
			      (unsigned long)conf->agent.sidecar_uid);
	}
	switch (fl_report_verdict(report)) {
	case 0:
		(void)fputs("verdict      good\n", out);
		break;
	case 1:
		(void)fprintf(out, "verdict      usable, with %zu warning%s\n", warnings,
			      warnings == 1 ? "" : "s");
		break;
	default:
		(void)fprintf(out, "verdict      refused, for %zu error%s\n",
			      report->problems->errors, report->problems->errors == 1 ? "" : "s");
	}
}

/* --- JSON ------------------------------------------------------------------------------------- */

static void json_problems(struct fl_json *json, const struct fl_report *report)
{
	fl_json_array(json, "problems");
	for (size_t i = 0; i < report->problems->count; i++) {
		const struct fl_problem *p = &report->problems->items[i];

		fl_json_object(json, NULL);
		fl_json_str(json, "kind", p->kind == FL_PROBLEM_ERROR ? "error" : "warning");
		fl_json_str(json, "file", report->path);
		fl_json_int(json, "line", p->line);
		fl_json_str(json, "text", p->text);
		fl_json_end(json);
	}
	fl_json_end(json);
}

static void json_credentials(struct fl_json *json, const struct fl_report *report)
{
	const struct fl_credentials *c = report->credentials;
	char when[FL_WHEN_TEXT];

	if (c == NULL) {
		fl_json_str(json, "identity", NULL);
		return;
	}
	fl_json_object(json, "identity");
	fl_json_str(json, "id", c->id);
	fl_json_str(json, "not_before", fl_when_format(c->not_before, when));
	fl_json_str(json, "not_after", fl_when_format(c->not_after, when));
	fl_json_int(json, "expires_in_seconds", c->not_after - report->now);
	fl_json_int(json, "chain", (int64_t)c->chain.count);
	fl_json_end(json);
	fl_json_array(json, "bundles");
	for (size_t i = 0; i < c->bundle_count; i++) {
		fl_json_object(json, NULL);
		fl_json_str(json, "trust_domain", c->bundles[i].trust_domain);
		fl_json_int(json, "roots", (int64_t)c->bundles[i].roots.count);
		fl_json_end(json);
	}
	fl_json_end(json);
}

static void json_listeners(struct fl_json *json, const struct fl_conf *conf)
{
	char text[FL_ADDR_TEXT];

	fl_json_array(json, "services");
	for (size_t i = 0; i < conf->service_count; i++) {
		fl_json_object(json, NULL);
		fl_json_str(json, "name", conf->services[i].name);
		fl_json_str(json, "listen", fl_addr_format(&conf->services[i].listen, text));
		fl_json_str(json, "app", fl_addr_format(&conf->services[i].app, text));
		fl_json_end(json);
	}
	fl_json_end(json);
	fl_json_array(json, "upstreams");
	for (size_t i = 0; i < conf->upstream_count; i++) {
		const struct fl_conf_upstream *u = &conf->upstreams[i];

		fl_json_object(json, NULL);
		fl_json_str(json, "name", u->name);
		fl_json_str(json, "listen", fl_addr_format(&u->listen, text));
		fl_json_array(json, "to");
		for (size_t k = 0; k < u->to_count; k++) {
			fl_json_str(json, NULL, fl_addr_format(&u->to[k], text));
		}
		fl_json_end(json);
		fl_json_array(json, "peer");
		for (size_t k = 0; k < u->peer_count; k++) {
			fl_json_str(json, NULL, fl_pattern_text(u->peer[k]));
		}
		fl_json_end(json);
		fl_json_end(json);
	}
	fl_json_end(json);
}

static void json_rule(struct fl_json *json, const struct fl_rule_spec *rule)
{
	char ports[32];

	fl_json_object(json, NULL);
	fl_json_str(json, "name", rule->name);
	fl_json_str(json, "effect", rule->effect == FL_DENY ? "deny" : "allow");
	fl_json_int(json, "line", rule->line);
	fl_json_array(json, "from");
	for (size_t i = 0; i < rule->from_count; i++) {
		fl_json_str(json, NULL, fl_pattern_text(rule->from[i]));
	}
	fl_json_end(json);
	fl_json_array(json, "to");
	for (size_t i = 0; i < rule->port_count; i++) {
		format_ports(&rule->ports[i], ports, sizeof(ports));
		fl_json_str(json, NULL, ports);
	}
	for (size_t i = 0; i < rule->service_count; i++) {
		fl_json_str(json, NULL, rule->services[i]);
	}
	fl_json_end(json);
	fl_json_end(json);
}

static void json_policy(struct fl_json *json, const struct fl_conf *conf)
{
	struct fl_rule_spec rule;

	fl_json_object(json, "policy");
	fl_json_str(json, "default",
		    fl_policy_default(conf->policy) == FL_ALLOW ? "allow" : "deny");
	fl_json_array(json, "rules");
	for (size_t i = 0; i < fl_policy_rule_count(conf->policy); i++) {
		fl_policy_rule(conf->policy, i, &rule);
		json_rule(json, &rule);
	}
	fl_json_end(json);
	fl_json_end(json);
}

static void json_rest(struct fl_json *json, const struct fl_conf *conf)
{
	char text[FL_ADDR_TEXT];

	fl_json_object(json, "limits");
	fl_json_int(json, "connections", conf->limits.connections);
	fl_json_int(json, "handshakes", conf->limits.handshakes);
	fl_json_int(json, "buffer_bytes", conf->limits.buffer);
	fl_json_int(json, "handshake_timeout_ms", conf->limits.handshake_timeout_ms);
	fl_json_int(json, "connect_timeout_ms", conf->limits.connect_timeout_ms);
	fl_json_int(json, "idle_timeout_ms", conf->limits.idle_timeout_ms);
	fl_json_int(json, "drain_ms", conf->sidecar.drain_ms);
	fl_json_end(json);
	fl_json_str(json, "admin",
		    conf->sidecar.admin.kind == FL_ADDR_NONE
			    ? NULL
			    : fl_addr_format(&conf->sidecar.admin, text));
	fl_json_str(json, "socket", conf->agent.socket);
	fl_json_int(json, "sidecar_uid", (int64_t)conf->agent.sidecar_uid);
}

void fl_report_json(const struct fl_report *report, FILE *out)
{
	static const char *const verdicts[] = {"good", "warnings", "refused"};
	struct fl_text text = {0};
	struct fl_json json;

	fl_json_init(&json, &text);
	fl_json_object(&json, NULL);
	fl_json_str(&json, "verdict", verdicts[fl_report_verdict(report)]);
	json_problems(&json, report);
	if (report->conf != NULL) {
		json_credentials(&json, report);
		json_listeners(&json, report->conf);
		json_policy(&json, report->conf);
		json_rest(&json, report->conf);
	}
	fl_json_end(&json);
	(void)fwrite(text.data, 1, text.len, out);
	fl_text_done(&text);
}
