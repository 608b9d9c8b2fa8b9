/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agent/tools/check_report.h"

#include <inttypes.h>
#include <string.h>

#include "agent/tools/check_hints.h"
#include "agent/tools/check_policy.h"
#include "base/json.h"
#include "base/when.h"

static const char *const changes[] = {[FL_CHANGE_KEEP] = "keep", [FL_CHANGE_CLOSE] = "close"};

int fl_check_report_verdict(const struct fl_check_report *report)
{
	if (report->problems->errors > 0) {
		return 2;
	}
	return report->problems->count > 0 ? 1 : 0;
}

/* Writes milliseconds with the unit that a person would use. */
static const char *format_ms(uint32_t ms, char buf[FL_SPAN_TEXT])
{
	if (ms % 1000 == 0) {
		return fl_when_span(ms / 1000, buf);
	}
	(void)snprintf(buf, FL_SPAN_TEXT, "%" PRIu32 "ms", ms);
	return buf;
}

/* --- text ------------------------------------------------------------------------------------- */

static void text_credentials(const struct fl_check_report *report, FILE *out)
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
			      c->bundles[i].refused ? ", because its bundle is refused"
			      : roots == 0          ? ", so no identity of it"
						    : "");
	}
}

static void text_crls(const struct fl_credentials *c, FILE *out)
{
	char when[FL_WHEN_TEXT];

	for (size_t i = 0; i < c->crl_count; i++) {
		const struct fl_crl *crl = &c->crls[i];
		bool loose = crl->bundle == FL_CRL_LOOSE;

		(void)fprintf(out, "%-12s %s: %zu revoked, next due %s%s\n", i == 0 ? "crl" : "",
			      loose ? "of a CA in no bundle"
			      : crl->bundle == FL_CRL_EVERYWHERE
				      ? "of a shared root"
				      : fl_credentials_crl_domain(c, crl),
			      crl->count, fl_when_format(crl->next_update, when),
			      loose ? "; used when a chain presents that CA" : "");
	}
}

static void text_addresses(const struct fl_addr *list, size_t count, FILE *out)
{
	char text[FL_ADDR_TEXT];

	for (size_t i = 0; i < count; i++) {
		(void)fprintf(out, "%s%s", i > 0 ? ", " : "", fl_addr_format(&list[i], text));
	}
}

static const char *served_as(enum fl_inbound_mode mode)
{
	switch (mode) {
	case FL_INBOUND_STRICT:
		return "mTLS";
	case FL_INBOUND_PERMISSIVE:
		return "mTLS or plaintext";
	case FL_INBOUND_PLAINTEXT:
		break;
	}
	return "plaintext";
}

static const char *with_proxy_protocol(const struct fl_conf_inbound *inbound)
{
	return inbound->proxy_protocol ? ", with a PROXY header" : "";
}

static void text_inbound(const struct fl_conf *conf, FILE *out)
{
	const char *label = "inbound";
	char from[FL_ADDR_TEXT], to[FL_ADDR_TEXT];

	if (conf->sidecar.inbound_count > 0) {
		(void)fprintf(out, "%-12s captured, arriving at ", label);
		text_addresses(conf->sidecar.inbound, conf->sidecar.inbound_count, out);
		(void)fprintf(out, ": %s -> app%s\n", served_as(conf->inbound.mode),
			      with_proxy_protocol(&conf->inbound));
		label = "";
	}
	for (size_t i = 0; i < conf->service_count; i++, label = "") {
		const struct fl_conf_service *s = &conf->services[i];

		if (s->listen.kind == FL_ADDR_NONE) {
			(void)fprintf(out, "%-12s %s: %s on captured port %u -> app%s\n", label,
				      s->name, served_as(s->inbound.mode), s->port,
				      with_proxy_protocol(&s->inbound));
		} else {
			(void)fprintf(out, "%-12s %s: %s on %s -> app at %s%s\n", label, s->name,
				      served_as(s->inbound.mode), fl_addr_format(&s->listen, from),
				      fl_addr_format(&s->app, to),
				      with_proxy_protocol(&s->inbound));
		}
	}
}

/* How connections continue, and with which peer. */
static void text_carried(const struct fl_conf_upstream *u, FILE *out)
{
	char to[FL_ADDR_TEXT], net[FL_CIDR_TEXT];

	if (u->mode == FL_OUTBOUND_REFUSE) {
		(void)fputs(" -> refused\n", out);
		return;
	}
	(void)fputs(u->mode == FL_OUTBOUND_MTLS ? " -> mTLS" : " -> plaintext", out);
	for (size_t i = 0; i < u->to_count; i++) {
		(void)fprintf(out, "%s %s", i > 0 ? ", else" : " to",
			      fl_addr_format(&u->to[i], to));
	}
	if (u->mode == FL_OUTBOUND_MTLS) {
		(void)fputs(", expecting", out);
		for (size_t i = 0; i < u->peer_count; i++) {
			(void)fprintf(out, "%s %s", i > 0 ? " or" : "",
				      fl_pattern_text(u->peer[i]));
		}
		(void)fputs(u->peer_count == 0 ? " any identity of our own trust domain" : "", out);
	}
	for (size_t i = 0; i < u->within_count; i++) {
		(void)fprintf(out, "%s %s", i > 0 ? "," : ", within",
			      fl_cidr_format(&u->within[i], net));
	}
	(void)fputc('\n', out);
}

static void text_outbound(const struct fl_conf *conf, FILE *out)
{
	const char *label = "outbound";
	char text[FL_ADDR_TEXT], dest[FL_CONF_DEST_TEXT];

	for (size_t i = 0; i < conf->upstream_count; i++, label = "") {
		const struct fl_conf_upstream *u = &conf->upstreams[i];

		(void)fprintf(out, "%-12s %s: ", label, u->name);
		if (u->listen.kind != FL_ADDR_NONE) {
			(void)fprintf(out, "app on %s", fl_addr_format(&u->listen, text));
		}
		for (size_t k = 0; k < u->dest_count; k++) {
			(void)fprintf(out, "%s%s", k > 0 ? ", " : "captured, to ",
				      fl_conf_dest_format(&u->dests[k], dest));
		}
		text_carried(u, out);
	}
	if (conf->sidecar.outbound_count > 0) {
		(void)fprintf(out, "%-12s captured, arriving at ", label);
		text_addresses(conf->sidecar.outbound, conf->sidecar.outbound_count, out);
		(void)fputs(conf->upstream_count > 0 ? ", to anything else" : "", out);
		text_carried(&conf->outbound, out);
	}
}

static void text_limits(const struct fl_conf *conf, FILE *out)
{
	char handshake[FL_SPAN_TEXT], dial[FL_SPAN_TEXT], idle[FL_SPAN_TEXT], drain[FL_SPAN_TEXT];
	char age[FL_SPAN_TEXT], peer[FL_SPAN_TEXT];

	(void)fprintf(out,
		      "limits       %" PRIu32 " connections, %" PRIu32
		      " handshakes at once, %" PRIu32 " KiB buffered per direction\n",
		      conf->limits.connections, conf->limits.handshakes,
		      conf->limits.buffer / 1024);
	(void)fprintf(
		out, "             handshake %s, connect %s, peer %s, idle %s, drain %s, age %s\n",
		format_ms(conf->limits.handshake_timeout_ms, handshake),
		format_ms(conf->limits.connect_timeout_ms, dial),
		format_ms(conf->limits.peer_timeout_ms, peer),
		conf->limits.idle_timeout_ms > 0 ? format_ms(conf->limits.idle_timeout_ms, idle)
						 : "unlimited",
		format_ms(conf->sidecar.drain_ms, drain),
		conf->limits.max_age_ms > 0 ? format_ms(conf->limits.max_age_ms, age)
					    : "unlimited");
}

static void text_rotation(const struct fl_conf *conf, FILE *out)
{
	char span[FL_SPAN_TEXT];

	(void)fprintf(
		out,
		"rotation     trust lost: %s, policy lost: %s, expired: %s, older generations: ",
		changes[conf->rotation.on_trust_loss], changes[conf->rotation.on_policy_loss],
		changes[conf->rotation.on_expiry]);
	if (conf->rotation.recycle_ms > 0) {
		(void)fprintf(out, "close within %s\n", format_ms(conf->rotation.recycle_ms, span));
	} else {
		(void)fputs("keep\n", out);
	}
}

void fl_check_report_text(const struct fl_check_report *report, FILE *out)
{
	const struct fl_conf *conf = report->conf;
	char admin[FL_ADDR_TEXT];
	size_t warnings = report->problems->warnings;

	if (fl_check_report_verdict(report) < 2) {
		text_credentials(report, out);
		text_crls(report->credentials, out);
		text_inbound(conf, out);
		text_outbound(conf, out);
		fl_check_policy_text(conf, out);
		text_limits(conf, out);
		text_rotation(conf, out);
		(void)fprintf(out, "admin        %s\n",
			      conf->sidecar.admin.kind == FL_ADDR_NONE
				      ? "off"
				      : fl_addr_format(&conf->sidecar.admin, admin));
		(void)fprintf(out, "control      %s\n",
			      conf->sidecar.control == NULL ? "off" : conf->sidecar.control);
		(void)fprintf(
			out,
			"agent        %s, agent uid %lu, sidecar uid %lu; each also accepts its own uid\n",
			conf->agent.socket, (unsigned long)conf->agent.uid,
			(unsigned long)conf->agent.sidecar_uid);
		fl_check_hints_text(conf, out);
	}
	switch (fl_check_report_verdict(report)) {
	case 0:
		(void)fputs("verdict      good\n", out);
		break;
	case 1:
		(void)fprintf(out, "verdict      usable, with %zu warning%s\n", warnings,
			      warnings == 1 ? "" : "s");
		break;
	default:
		(void)fprintf(out, "verdict      refused, with %s%zu error%s\n",
			      fl_problems_enough(report->problems) ? "at least " : "",
			      report->problems->errors, report->problems->errors == 1 ? "" : "s");
	}
}

/* --- JSON ------------------------------------------------------------------------------------- */

static void json_problems(struct fl_json *json, const struct fl_check_report *report)
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

static void json_credentials(struct fl_json *json, const struct fl_check_report *report)
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

/* trust_domain: null if its CA is in no bundle, or in several. */
static void json_crls(struct fl_json *json, const struct fl_credentials *c)
{
	char when[FL_WHEN_TEXT];

	fl_json_array(json, "crls");
	for (size_t i = 0; c != NULL && i < c->crl_count; i++) {
		const struct fl_crl *crl = &c->crls[i];

		const char *domain = fl_credentials_crl_domain(c, crl);

		fl_json_object(json, NULL);
		fl_json_str(json, "trust_domain", domain[0] != '\0' ? domain : NULL);
		fl_json_int(json, "revoked", (int64_t)crl->count);
		fl_json_str(json, "this_update", fl_when_format(crl->this_update, when));
		fl_json_str(json, "next_update", fl_when_format(crl->next_update, when));
		fl_json_end(json);
	}
	fl_json_end(json);
}

/* key NULL: an element of an array. FL_ADDR_NONE becomes null. */
static void json_address(struct fl_json *json, const char *key, const struct fl_addr *addr)
{
	char text[FL_ADDR_TEXT];

	fl_json_str(json, key, addr->kind != FL_ADDR_NONE ? fl_addr_format(addr, text) : NULL);
}

static void json_addresses(struct fl_json *json, const char *key, const struct fl_addr *list,
			   size_t count)
{
	fl_json_array(json, key);
	for (size_t i = 0; i < count; i++) {
		json_address(json, NULL, &list[i]);
	}
	fl_json_end(json);
}

static void json_how_served(struct fl_json *json, const struct fl_conf_inbound *inbound)
{
	fl_json_str(json, "mode", fl_inbound_mode_word(inbound->mode));
	fl_json_int(json, "detect_timeout_ms", inbound->detect_timeout_ms);
	fl_json_str(json, "proxy_protocol", inbound->proxy_protocol ? "v2" : "off");
}

static void json_inbound(struct fl_json *json, const struct fl_conf *conf)
{
	fl_json_object(json, "inbound");
	json_addresses(json, "listen", conf->sidecar.inbound, conf->sidecar.inbound_count);
	json_how_served(json, &conf->inbound);
	fl_json_end(json);
	fl_json_array(json, "services");
	for (size_t i = 0; i < conf->service_count; i++) {
		const struct fl_conf_service *s = &conf->services[i];

		fl_json_object(json, NULL);
		fl_json_str(json, "name", s->name);
		fl_json_int(json, "port", s->port);
		json_address(json, "listen", &s->listen);
		json_address(json, "app", &s->app);
		json_how_served(json, &s->inbound);
		fl_json_end(json);
	}
	fl_json_end(json);
}

static void json_carried(struct fl_json *json, const struct fl_conf_upstream *u)
{
	fl_json_str(json, "mode", fl_outbound_mode_word(u->mode));
	fl_json_array(json, "peer");
	for (size_t k = 0; k < u->peer_count; k++) {
		fl_json_str(json, NULL, fl_pattern_text(u->peer[k]));
	}
	fl_json_end(json);
}

static void json_outbound(struct fl_json *json, const struct fl_conf *conf)
{
	char text[FL_CONF_DEST_TEXT];

	fl_json_object(json, "outbound");
	json_addresses(json, "listen", conf->sidecar.outbound, conf->sidecar.outbound_count);
	json_carried(json, &conf->outbound);
	fl_json_end(json);
	fl_json_array(json, "upstreams");
	for (size_t i = 0; i < conf->upstream_count; i++) {
		const struct fl_conf_upstream *u = &conf->upstreams[i];

		fl_json_object(json, NULL);
		fl_json_str(json, "name", u->name);
		json_address(json, "listen", &u->listen);
		fl_json_array(json, "to");
		for (size_t k = 0; k < u->to_count; k++) {
			json_address(json, NULL, &u->to[k]);
		}
		for (size_t k = 0; k < u->dest_count; k++) {
			fl_json_str(json, NULL, fl_conf_dest_format(&u->dests[k], text));
		}
		fl_json_end(json);
		json_carried(json, u);
		fl_json_end(json);
	}
	fl_json_end(json);
}

static void json_rest(struct fl_json *json, const struct fl_conf *conf)
{
	fl_json_object(json, "limits");
	fl_json_int(json, "connections", conf->limits.connections);
	fl_json_int(json, "handshakes", conf->limits.handshakes);
	fl_json_int(json, "buffer_bytes", conf->limits.buffer);
	fl_json_int(json, "handshake_timeout_ms", conf->limits.handshake_timeout_ms);
	fl_json_int(json, "connect_timeout_ms", conf->limits.connect_timeout_ms);
	fl_json_int(json, "idle_timeout_ms", conf->limits.idle_timeout_ms);
	fl_json_int(json, "peer_timeout_ms", conf->limits.peer_timeout_ms);
	fl_json_int(json, "drain_ms", conf->sidecar.drain_ms);
	fl_json_int(json, "max_age_ms", conf->limits.max_age_ms);
	fl_json_end(json);
	fl_json_object(json, "rotation");
	fl_json_str(json, "on_trust_loss", changes[conf->rotation.on_trust_loss]);
	fl_json_str(json, "on_expiry", changes[conf->rotation.on_expiry]);
	fl_json_str(json, "on_policy_loss", changes[conf->rotation.on_policy_loss]);
	fl_json_int(json, "recycle_ms", conf->rotation.recycle_ms);
	fl_json_end(json);
	json_address(json, "admin", &conf->sidecar.admin);
	fl_json_str(json, "control", conf->sidecar.control);
	fl_json_str(json, "socket", conf->agent.socket);
	fl_json_int(json, "sidecar_uid", (int64_t)conf->agent.sidecar_uid);
	fl_json_int(json, "agent_uid", (int64_t)conf->agent.uid);
}

void fl_check_report_json(const struct fl_check_report *report, FILE *out)
{
	static const char *const verdicts[] = {"good", "warnings", "refused"};
	struct fl_text text = {0};
	struct fl_json json;

	fl_json_init(&json, &text);
	fl_json_object(&json, NULL);
	fl_json_str(&json, "verdict", verdicts[fl_check_report_verdict(report)]);
	json_problems(&json, report);
	fl_json_int(&json, "problems_left_out",
		    (int64_t)(report->problems->errors + report->problems->warnings -
			      report->problems->count));
	if (report->conf != NULL) {
		json_credentials(&json, report);
		json_crls(&json, report->credentials);
		json_inbound(&json, report->conf);
		json_outbound(&json, report->conf);
		fl_check_policy_json(&json, report->conf);
		json_rest(&json, report->conf);
		fl_check_hints_json(report->conf, &json);
	}
	fl_json_end(&json);
	(void)fwrite(text.data, 1, text.len, out);
	fl_text_done(&text);
}
