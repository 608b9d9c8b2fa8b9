/* SPDX-License-Identifier: GPL-3.0-or-later */
/* status - the snapshot as JSON; report.h documents the keys. */
#include "base/hex.h"
#include "base/when.h"
#include "report/status_parts.h"

#define DIGEST_BYTES 8u /* bytes of the digest that the report shows */

void fl_status_time(struct fl_json *json, const char *name, int64_t when)
{
	char text[FL_WHEN_TEXT];

	fl_json_str(json, name, when != 0 ? fl_when_format(when, text) : NULL);
}

static void put_life(struct fl_json *json, int64_t not_after, int64_t now)
{
	fl_status_time(json, "not_after", not_after);
	fl_json_int(json, "remaining_seconds", not_after - now);
}

static void put_digest(struct fl_json *json, const uint8_t *digest)
{
	char text[FL_HEX_TEXT(DIGEST_BYTES)];

	fl_json_str(json, "digest", fl_hex(digest, DIGEST_BYTES, text));
}

static void put_generation(struct fl_json *json, const struct fl_snapshot *s)
{
	if (s->expiries == NULL) {
		fl_json_str(json, "id", NULL);
		fl_json_str(json, "generation", NULL);
		return;
	}
	fl_json_str(json, "id", s->expiries->id);
	fl_json_object(json, "generation");
	fl_json_u64(json, "number", s->generation);
	put_digest(json, s->digest);
	fl_status_time(json, "since", s->rotations->last_used);
	put_life(json, s->expiries->chain_not_after, s->now);
	fl_json_end(json);
}

static void put_certificates(struct fl_json *json, const struct fl_snapshot *s)
{
	size_t count = s->expiries != NULL ? s->expiries->count : 0;

	fl_json_array(json, "certificates");
	for (size_t i = 0; i < count; i++) {
		const struct fl_expiry *expiry = &s->expiries->items[i];

		fl_json_object(json, NULL);
		fl_json_str(json, "kind", fl_certificate_kind_word(expiry->kind));
		fl_json_str(json, "trust_domain", expiry->trust_domain);
		fl_json_u64(json, "index", expiry->index);
		put_life(json, expiry->not_after, s->now);
		fl_json_end(json);
	}
	fl_json_end(json);
	fl_json_u64(json, "certificates_left_out", s->expiries != NULL ? s->expiries->left_out : 0);
}

static void put_rotations(struct fl_json *json, const struct fl_snapshot *s)
{
	const struct fl_rotations *r = s->rotations;
	const struct fl_refusal *refusal = fl_rotations_last_refusal(r);

	fl_json_object(json, "rotations");
	fl_json_u64(json, "used", r->used);
	fl_json_u64(json, "refused_by_agent", r->by_agent.count);
	fl_json_u64(json, "refused_by_sidecar", r->by_sidecar.count);
	fl_json_end(json);
	if (r->last_used > 0) {
		fl_json_object(json, "last_rotation");
		fl_status_time(json, "time", r->last_used);
		fl_json_u64(json, "generation", s->generation);
		fl_json_end(json);
	} else {
		fl_json_str(json, "last_rotation", NULL);
	}
	if (refusal != NULL) {
		fl_json_object(json, "last_refusal");
		fl_status_time(json, "time", refusal->time);
		fl_json_str(json, "by", refusal == &r->by_agent ? "agent" : "sidecar");
		fl_json_str(json, "text", refusal->text);
		fl_json_bool(json, "current", refusal->current);
		fl_json_end(json);
	} else {
		fl_json_str(json, "last_refusal", NULL);
	}
}

static void put_warnings(struct fl_json *json, const struct fl_snapshot *s)
{
	char text[FL_WARNING_TEXT];

	fl_json_array(json, "warnings");
	for (size_t i = 0; fl_report_warning(s, i, text); i++) {
		fl_json_str(json, NULL, text);
	}
	fl_json_end(json);
}

static void put_listeners(struct fl_json *json, const struct fl_snapshot *s)
{
	char text[FL_ADDR_TEXT];

	fl_json_array(json, "listeners");
	for (size_t i = 0; i < s->listener_count; i++) {
		const struct fl_listening *listening = &s->listeners[i];

		fl_json_object(json, NULL);
		fl_json_str(json, "section", listening->section);
		fl_json_str(json, "name", listening->name);
		fl_json_str(json, "address", fl_addr_format(listening->address, text));
		fl_json_array(json, "leads_to");
		for (size_t k = 0; k < listening->leads_to_count; k++) {
			fl_json_str(json, NULL, fl_addr_format(&listening->leads_to[k], text));
		}
		fl_json_end(json);
		fl_json_bool(json, "serving", listening->serving);
		fl_json_end(json);
	}
	fl_json_end(json);
}

static void put_capture(struct fl_json *json, const struct fl_snapshot *s)
{
	const struct fl_capture *capture = s->capture;

	fl_json_object(json, "capture");
	fl_json_bool(json, "expected", capture->expected);
	for (unsigned i = 0; i < FL_CAPTURE_FAMILIES; i++) {
		if (capture->states[i] == FL_CAPTURE_UNKNOWN) {
			fl_json_str(json, fl_capture_family_word(i), NULL);
		} else {
			fl_json_bool(json, fl_capture_family_word(i),
				     capture->states[i] == FL_CAPTURE_ACTIVE);
		}
	}
	fl_status_time(json, "since", capture->since);
	fl_json_str(json, "rules", fl_capture_rules_word(capture->rules));
	if (capture->refused_known) {
		fl_json_object(json, "refused");
		for (unsigned i = 0; i < FL_CAPTURE_WAYS; i++) {
			fl_json_bool(json, fl_capture_way_word(i), capture->refused[i]);
		}
		fl_json_end(json);
	} else {
		fl_json_str(json, "refused", NULL);
	}
	fl_json_end(json);
}

static void put_sandbox(struct fl_json *json, const struct fl_sandbox *sandbox)
{
	if (sandbox == NULL) {
		return;
	}
	fl_json_object(json, "sandbox");
	fl_json_bool(json, "wanted", sandbox->is_wanted);
	fl_json_bool(json, "seccomp", sandbox->filters_calls);
	if (sandbox->landlock > 0) {
		fl_json_u64(json, "landlock", sandbox->landlock);
	} else {
		fl_json_str(json, "landlock", NULL);
	}
	fl_json_str(json, "missing", sandbox->missing[0] != '\0' ? sandbox->missing : NULL);
	fl_json_end(json);
}

void fl_status_reasons(struct fl_json *json, const char *name,
		       const uint64_t counts[FL_REASON_COUNT], bool always_done)
{
	fl_json_object(json, name);
	for (unsigned r = 0; r < FL_REASON_COUNT; r++) {
		if (counts[r] > 0 || (always_done && r == FL_REASON_DONE)) {
			fl_json_u64(json, fl_reason_word(r), counts[r]);
		}
	}
	fl_json_end(json);
}

static void put_closed(struct fl_json *json, const struct fl_counters *c, unsigned direction)
{
	uint64_t counts[FL_REASON_COUNT];

	for (unsigned r = 0; r < FL_REASON_COUNT; r++) {
		counts[r] = fl_counters_ended_sum(c, direction, r);
	}
	fl_status_reasons(json, "closed", counts, true);
}

static void put_peers(struct fl_json *json, const struct fl_snapshot *s)
{
	fl_json_array(json, "peers");
	for (size_t i = 0; i < s->peer_count; i++) {
		const struct fl_peer_sum *peer = &s->peers[i];

		fl_json_object(json, NULL);
		fl_json_str(json, "peer", peer->name);
		fl_json_str(json, "direction", fl_direction_word(peer->direction));
		fl_json_u64(json, "open", peer->open);
		fl_json_u64(json, "opened", peer->opened);
		fl_status_reasons(json, "closed", peer->ended, true);
		fl_json_u64(json, "to_app", peer->bytes_to_app);
		fl_json_u64(json, "to_mesh", peer->bytes_to_mesh);
		fl_status_reasons(json, "handshakes_failed", peer->failed, false);
		fl_json_end(json);
	}
	fl_json_end(json);
	fl_json_object(json, "peers_size");
	fl_json_u64(json, "own", s->peers_size.count);
	fl_json_u64(json, "max", s->peers_size.max);
	fl_json_u64(json, "forgotten", s->peers_size.forgotten);
	fl_json_end(json);
}

static void put_plaintext(struct fl_json *json, const struct fl_snapshot *s)
{
	struct fl_plaintext_counter sum;
	const char *name;

	fl_json_array(json, "plaintext");
	for (size_t i = 0; fl_plaintext_counts_sum(s->plaintext, i, &name, &sum); i++) {
		fl_json_object(json, NULL);
		fl_json_str(json, "upstream", name);
		fl_json_u64(json, "connections", sum.connections);
		fl_json_u64(json, "to_app", sum.bytes_to_app);
		fl_json_u64(json, "to_mesh", sum.bytes_to_mesh);
		fl_json_end(json);
	}
	fl_json_end(json);
}

static void put_traffic(struct fl_json *json, const struct fl_snapshot *s)
{
	const struct fl_counters *c = &s->counters;

	fl_json_object(json, "connections");
	for (unsigned d = 0; d < FL_DIRECTIONS; d++) {
		fl_json_object(json, fl_direction_word(d));
		fl_json_u64(json, "open", s->open[d]);
		fl_json_u64(json, "opened", c->opened[d]);
		put_closed(json, c, d);
		fl_json_end(json);
	}
	fl_json_end(json);
	fl_json_object(json, "sessions");
	for (unsigned d = 0; d < FL_DIRECTIONS; d++) {
		fl_json_object(json, fl_direction_word(d));
		fl_json_u64(json, "busy", fl_report_busy_sessions(s, d));
		fl_json_u64(json, "idle", s->idle_sessions[d]);
		fl_json_u64(json, "cold", c->session_uses_cold[d]);
		fl_json_u64(json, "reused", c->session_uses_reused[d]);
		fl_json_end(json);
	}
	fl_json_end(json);
	fl_json_object(json, "bytes");
	for (unsigned d = 0; d < FL_DIRECTIONS; d++) {
		fl_json_object(json, fl_direction_word(d));
		fl_json_u64(json, "to_app", c->bytes_to_app[d]);
		fl_json_u64(json, "to_mesh", c->bytes_to_mesh[d]);
		fl_json_end(json);
	}
	fl_json_end(json);
	put_plaintext(json, s);
	fl_json_object(json, "dns_addresses_refused");
	fl_json_u64(json, "claimed", s->dns_refused.claimed);
	fl_json_u64(json, "outside", s->dns_refused.outside);
	fl_json_end(json);
	fl_json_object(json, "handshakes");
	for (unsigned d = 0; d < FL_DIRECTIONS; d++) {
		fl_json_object(json, fl_direction_word(d));
		fl_json_u64(json, "ok", c->handshakes_done[d]);
		fl_json_u64(json, "resumed", c->handshakes_resumed[d]);
		fl_status_reasons(json, "failed", c->handshakes_failed[d], false);
		fl_json_end(json);
	}
	fl_json_end(json);
}

static void put_judgement(struct fl_json *json, const struct fl_snapshot *s)
{
	const struct fl_judged *judged = &s->judged;

	if (judged->generation == 0) {
		fl_json_str(json, "last_judgement", NULL);
		return;
	}
	fl_json_object(json, "last_judgement");
	fl_json_u64(json, "generation", judged->generation);
	fl_json_bool(json, "done", judged->under_way == 0 && judged->workers == s->workers);
	fl_json_u64(json, "judged", judged->judged);
	fl_report_losses(json, "closed", judged->closed);
	fl_report_losses(json, "kept", judged->kept);
	fl_json_u64(json, "audited", judged->audited);
	fl_json_u64(json, "cpu_microseconds", judged->ns / 1000);
	fl_json_end(json);
}

void fl_report_status(const struct fl_snapshot *snapshot, struct fl_text *ret)
{
	const struct fl_snapshot *s = snapshot;
	struct fl_json json;

	fl_json_init(&json, ret);
	fl_json_object(&json, NULL);
	fl_json_bool(&json, "ready", s->ready);
	fl_json_str(&json, "reason", s->ready ? NULL : s->reason);
	fl_json_str(&json, "version", FL_VERSION);
	fl_json_int(&json, "pid", s->pid);
	fl_status_time(&json, "now", s->now);
	fl_status_time(&json, "started", s->started);
	fl_json_u64(&json, "workers", s->workers);
	put_generation(&json, s);
	put_certificates(&json, s);
	put_rotations(&json, s);
	put_warnings(&json, s);
	fl_json_str(&json, "restart_keys", s->restart_keys);
	put_listeners(&json, s);
	put_capture(&json, s);
	put_traffic(&json, s);
	fl_status_sections(&json, s);
	put_peers(&json, s);
	put_judgement(&json, s);
	put_sandbox(&json, s->sandbox);
	fl_json_object(&json, "agent");
	fl_json_bool(&json, "connected", s->agent_connected);
	fl_json_bool(&json, "hung", s->agent_hung);
	fl_json_u64(&json, "silence_seconds", s->agent_silence);
	if (s->generation == 0 || s->key_in_sidecar) {
		fl_json_str(&json, "signs", NULL);
	} else {
		fl_json_bool(&json, "signs", !s->signing_down);
	}
	fl_json_str(&json, "trouble", s->agent_trouble[0] != '\0' ? s->agent_trouble : NULL);
	fl_json_end(&json);
	fl_json_u64(&json, "log_lines_lost", s->log_lines_lost);
	fl_json_end(&json);
}
