/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the INI in force says, and the state of its sections: a part of status. report.h documents the keys. */
#include "policy/pattern.h"
#include "report/status_parts.h"

/* --- policy ---------------------------------------------------------------------------------------- */

static void put_decisions(struct fl_json *json, const char *name, const struct fl_rule_count *count)
{
	fl_json_object(json, name);
	for (unsigned d = 0; count != NULL && d < FL_DECISIONS; d++) {
		if (count->decisions[d] > 0) {
			fl_json_u64(json, fl_decision_word(d), count->decisions[d]);
		}
	}
	fl_json_end(json);
}

/* The counts are those of the INI in force, in the same order: the default is the last one. */
static const struct fl_rule_count *count_of(const struct fl_snapshot *s, size_t index)
{
	return index < s->decision_count ? &s->decisions[index] : NULL;
}

static void put_rule(struct fl_json *json, const struct fl_snapshot *s, size_t index)
{
	const struct fl_rule_count *count = count_of(s, index);
	struct fl_rule_spec rule;

	fl_policy_rule(s->conf->policy, index, &rule);
	fl_json_object(json, NULL);
	fl_json_str(json, "kind", rule.effect == FL_ALLOW ? "allow" : "deny");
	fl_json_str(json, "name", rule.name);
	fl_json_str(json, "mode", rule.audit ? "audit" : "enforce");
	fl_json_str(json, "file", rule.file);
	fl_json_u64(json, "line", rule.line);
	put_decisions(json, "decisions", count);
	fl_status_time(json, "last", count != NULL ? count->last : 0);
	fl_json_end(json);
}

static void put_policy(struct fl_json *json, const struct fl_snapshot *s)
{
	const struct fl_policy *policy = s->conf->policy;
	size_t count = fl_policy_rule_count(policy);
	const struct fl_rule_count *fallback = count_of(s, count);

	fl_json_object(json, "policy");
	fl_json_str(json, "default", fl_policy_default(policy) == FL_ALLOW ? "allow" : "deny");
	fl_json_str(json, "mode", fl_policy_audit(policy) ? "audit" : "enforce");
	fl_json_array(json, "rules");
	for (size_t i = 0; i < count; i++) {
		put_rule(json, s, i);
	}
	fl_json_end(json);
	put_decisions(json, "default_decisions", fallback);
	fl_status_time(json, "default_last", fallback != NULL ? fallback->last : 0);
	fl_json_end(json);
}

/* --- [redirect] ------------------------------------------------------------------------------------- */

static void put_selectors(struct fl_json *json, const char *name,
			  const struct fl_conf_selectors *selectors)
{
	char text[FL_CONF_DEST_TEXT];

	fl_json_array(json, name);
	for (size_t i = 0; i < selectors->count; i++) {
		fl_json_str(json, NULL, fl_conf_selector_format(&selectors->items[i], text));
	}
	fl_json_end(json);
}

static void put_redirect(struct fl_json *json, const struct fl_conf *conf)
{
	static const char *const forwarded[] = {[FL_FORWARDED_DROP] = "drop",
						[FL_FORWARDED_COUNT] = "count",
						[FL_FORWARDED_CAPTURE] = "capture"};

	if (conf->redirect.line == 0) {
		fl_json_str(json, "redirect", NULL);
		return;
	}
	fl_json_object(json, "redirect");
	fl_json_str(json, "mode",
		    conf->redirect.mode == FL_REDIRECT_TPROXY ? "tproxy" : "redirect");
	put_selectors(json, "inbound_ports", &conf->redirect.inbound_ports);
	put_selectors(json, "exclude_inbound", &conf->redirect.exclude_inbound);
	put_selectors(json, "outbound", &conf->redirect.outbound);
	put_selectors(json, "exclude_outbound", &conf->redirect.exclude_outbound);
	fl_json_str(json, "forwarded", forwarded[conf->redirect.forwarded]);
	fl_json_str(json, "other_protocols",
		    conf->redirect.drop_other_protocols ? "drop" : "count");
	fl_json_end(json);
}

/* --- services and upstreams --------------------------------------------------------------------------- */

static void put_address(struct fl_json *json, const char *name, const struct fl_addr *address)
{
	char text[FL_ADDR_TEXT];

	fl_json_str(json, name,
		    address->kind != FL_ADDR_NONE ? fl_addr_format(address, text) : NULL);
}

static void put_failure(struct fl_json *json, const struct fl_section_failure *failure)
{
	if (failure->time_ms == 0) {
		fl_json_str(json, "last_failure", NULL);
		return;
	}
	fl_json_object(json, "last_failure");
	fl_status_time(json, "time", failure->time_ms / 1000);
	fl_json_str(json, "reason", fl_reason_word(failure->reason));
	fl_json_str(json, "address", failure->address[0] != '\0' ? failure->address : NULL);
	fl_json_str(json, "detail", failure->detail[0] != '\0' ? failure->detail : NULL);
	fl_json_end(json);
}

static void put_state(struct fl_json *json, const struct fl_section_sum *sum)
{
	fl_json_bool(json, "failing", sum->failing);
	fl_json_u64(json, "open", sum->open);
	fl_json_u64(json, "opened", sum->opened);
	fl_json_u64(json, "succeeded", sum->succeeded);
	fl_json_u64(json, "to_app", sum->bytes_to_app);
	fl_json_u64(json, "to_mesh", sum->bytes_to_mesh);
	fl_status_time(json, "last_success", sum->last_success_ms / 1000);
	put_failure(json, &sum->last_failure);
	fl_status_reasons(json, "failures", sum->failed, false);
}

static void put_service(struct fl_json *json, const struct fl_snapshot *s,
			const struct fl_section_state *state)
{
	static const struct fl_addr none = {.kind = FL_ADDR_NONE};
	const struct fl_conf_service *service = state->service;
	enum fl_inbound_mode mode = service != NULL ? service->inbound.mode : s->conf->inbound.mode;

	fl_json_object(json, NULL);
	fl_json_str(json, "service", service != NULL ? service->name : "[inbound]");
	fl_json_str(json, "mode", fl_inbound_mode_word(mode));
	if (service != NULL && service->port != 0) {
		fl_json_u64(json, "port", service->port);
	} else {
		fl_json_str(json, "port", NULL);
	}
	put_address(json, "listen", service != NULL ? &service->listen : &none);
	fl_json_bool(json, "waits_for_restart", state->waits_for_restart);
	put_address(json, "app", service != NULL ? &service->app : &none);
	put_state(json, &state->sum);
	fl_json_end(json);
}

static void put_to(struct fl_json *json, const struct fl_conf_upstream *upstream)
{
	char text[FL_CONF_DEST_TEXT];

	_Static_assert(FL_CONF_DEST_TEXT >= FL_ADDR_TEXT, "either fits");
	fl_json_array(json, "to");
	for (size_t i = 0; i < upstream->to_count; i++) {
		fl_json_str(json, NULL, fl_addr_format(&upstream->to[i], text));
	}
	for (size_t i = 0; i < upstream->dest_count; i++) {
		fl_json_str(json, NULL, fl_conf_dest_format(&upstream->dests[i], text));
	}
	fl_json_end(json);
	fl_json_array(json, "peer");
	for (size_t i = 0; i < upstream->peer_count; i++) {
		fl_json_str(json, NULL, fl_pattern_text(upstream->peer[i]));
	}
	fl_json_end(json);
}

static void put_name(struct fl_json *json, const struct fl_resolution *name)
{
	char text[FL_CIDR_TEXT];

	fl_json_object(json, NULL);
	fl_json_str(json, "name", name->host);
	fl_json_array(json, "addresses");
	for (size_t i = 0; i < name->count && i < FL_RESOLUTION_ADDRESSES; i++) {
		fl_json_str(json, NULL, fl_cidr_format(&name->addresses[i], text));
	}
	fl_json_end(json);
	fl_json_u64(json, "count", name->count);
	fl_status_time(json, "last_answer", name->answered);
	fl_json_str(json, "trouble", name->trouble);
	fl_json_end(json);
}

static void put_upstream(struct fl_json *json, const struct fl_section_state *state)
{
	const struct fl_conf_upstream *upstream = state->upstream;

	fl_json_object(json, NULL);
	fl_json_str(json, "upstream", upstream->name != NULL ? upstream->name : "[outbound]");
	fl_json_str(json, "mode", fl_outbound_mode_word(upstream->mode));
	put_address(json, "listen", &upstream->listen);
	fl_json_bool(json, "waits_for_restart", state->waits_for_restart);
	put_to(json, upstream);
	fl_json_array(json, "names");
	for (size_t i = 0; i < state->name_count; i++) {
		put_name(json, &state->names[i]);
	}
	fl_json_end(json);
	put_state(json, &state->sum);
	fl_json_end(json);
}

void fl_status_sections(struct fl_json *json, const struct fl_snapshot *snapshot)
{
	const struct fl_snapshot *s = snapshot;

	if (s->conf == NULL) {
		fl_json_str(json, "policy", NULL);
		fl_json_str(json, "redirect", NULL);
	} else {
		put_policy(json, s);
		put_redirect(json, s->conf);
	}
	fl_json_array(json, "services");
	for (size_t i = 0; s->conf != NULL && i < s->section_count; i++) {
		if (s->sections[i].upstream == NULL) {
			put_service(json, s, &s->sections[i]);
		}
	}
	fl_json_end(json);
	fl_json_array(json, "upstreams");
	for (size_t i = 0; i < s->section_count; i++) {
		if (s->sections[i].upstream != NULL) {
			put_upstream(json, &s->sections[i]);
		}
	}
	fl_json_end(json);
}
