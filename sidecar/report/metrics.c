/* SPDX-License-Identifier: GPL-3.0-or-later */
/* metrics - the snapshot in Prometheus format. A family is its HELP, its TYPE and its series.
 *
 * A series of a reason that has never occurred is left out. The series that rates and alarms use
 * (`done`, `ok`) are always there. The rest is in metrics_process.c and metrics_credentials.c. */
#include <inttypes.h>
#include <string.h>

#include "report/metrics_parts.h"

/* --- generations --------------------------------------------------------------------------------- */

static void put_rotations(struct fl_text *text, const struct fl_snapshot *s)
{
	const struct fl_rotations *r = s->rotations;
	const struct fl_refusal *refusal = fl_rotations_last_refusal(r);

	fl_metric_family(text, "fairlead_rotations_total", "counter",
			 "Generations offered, including the first, by result.");
	fl_metric_series(text, "fairlead_rotations_total", "result", "used", NULL, NULL, r->used);
	fl_metric_series(text, "fairlead_rotations_total", "result", "refused_by_agent", NULL, NULL,
			 r->by_agent.count);
	fl_metric_series(text, "fairlead_rotations_total", "result", "refused_by_sidecar", NULL,
			 NULL, r->by_sidecar.count);
	if (r->last_used > 0) {
		fl_metric_single(
			text, "fairlead_last_rotation_timestamp_seconds", "gauge",
			"When the generation in use was accepted, in seconds since the epoch.",
			r->last_used);
	}
	if (refusal != NULL) {
		fl_metric_single(
			text, "fairlead_last_refusal_timestamp_seconds", "gauge",
			"When a generation was last refused, in seconds since the epoch; /status "
			"says why.",
			refusal->time);
	}
}

static void put_warnings(struct fl_text *text, const struct fl_snapshot *s)
{
	char warning[FL_WARNING_TEXT];
	int64_t count = 0;

	while (fl_report_warning(s, (size_t)count, warning)) {
		count++;
	}
	fl_metric_single(text, "fairlead_generation_warnings", "gauge",
			 "Warnings about the credentials in use; /status has their texts.", count);
}

/* An unknown state has no series, because 0 would be an alarm. */
static void put_capture(struct fl_text *text, const struct fl_snapshot *s)
{
	static const char name[] = "fairlead_capture_active";

	fl_metric_family(
		text, name, "gauge",
		"1 when the rules of fairlead-agent redirect are in force, for a family where that is "
		"known.");
	for (unsigned i = 0; i < FL_CAPTURE_FAMILIES; i++) {
		if (s->capture->states[i] != FL_CAPTURE_UNKNOWN) {
			fl_metric_series(text, name, "family", fl_capture_family_word(i), NULL,
					 NULL, s->capture->states[i] == FL_CAPTURE_ACTIVE);
		}
	}
	if (s->capture->rules != FL_CAPTURE_RULES_UNKNOWN) {
		fl_metric_single(
			text, "fairlead_capture_current", "gauge",
			"1 when the rules of capture in force are those of the INI, where that is "
			"known.",
			s->capture->rules == FL_CAPTURE_RULES_CURRENT);
	}
	if (s->capture->refused_known) {
		fl_metric_family(
			text, "fairlead_capture_refused", "gauge",
			"1 when the rules of capture have refused TCP past the sidecar within the "
			"last minute, where that is known.");
		for (unsigned i = 0; i < FL_CAPTURE_WAYS; i++) {
			fl_metric_series(text, "fairlead_capture_refused", "direction",
					 fl_capture_way_word(i), NULL, NULL,
					 s->capture->refused[i]);
		}
	}
}

/* --- counters that are exported unchanged
 * ------------------------------------------------------ */

static void put_direction_counter(struct fl_text *text, const char *name, const char *help,
				  const uint64_t values[FL_DIRECTIONS])
{
	fl_metric_family(text, name, "counter", help);
	for (unsigned d = 0; d < FL_DIRECTIONS; d++) {
		fl_metric_series(text, name, "direction", fl_direction_word(d), NULL, NULL,
				 values[d]);
	}
}

static void put_counters(struct fl_text *text, const struct fl_counters *counters)
{
#define PUT_COUNTER(member, name, help)                                                            \
	fl_metric_single(text, name, "counter", help, (int64_t)counters->member);
#define PUT_DIRECTION_COUNTER(member, name, help)                                                  \
	put_direction_counter(text, name, help, counters->member);
	FL_COUNTER_METRICS(PUT_COUNTER)
	FL_DIRECTION_COUNTER_METRICS(PUT_DIRECTION_COUNTER)
#undef PUT_COUNTER
#undef PUT_DIRECTION_COUNTER
}

/* --- traffic -------------------------------------------------------------------------------------- */

/* name{direction="inbound",security="mtls"} value, for all directions and securities. */
static void by_security(struct fl_text *text, const char *name,
			uint64_t values[FL_DIRECTIONS][FL_SECURITIES])
{
	for (unsigned d = 0; d < FL_DIRECTIONS; d++) {
		for (unsigned i = 0; i < FL_SECURITIES; i++) {
			fl_metric_series(text, name, "direction", fl_direction_word(d), "security",
					 fl_security_word(i), values[d][i]);
		}
	}
}

/* Connections without a known security are the remainder of all open ones. */
static void open_by_security(const struct fl_snapshot *s,
			     uint64_t ret[FL_DIRECTIONS][FL_SECURITIES])
{
	for (unsigned d = 0; d < FL_DIRECTIONS; d++) {
		uint64_t known = 0;

		for (unsigned i = FL_SECURITY_NONE + 1; i < FL_SECURITIES; i++) {
			uint64_t ended = 0, classified = s->counters.classified[d][i];

			for (unsigned r = 0; r < FL_REASON_COUNT; r++) {
				ended += s->counters.ended[d][i][r];
			}
			ret[d][i] = classified > ended ? classified - ended : 0;
			known += ret[d][i];
		}
		ret[d][FL_SECURITY_NONE] = s->open[d] > known ? s->open[d] - known : 0;
	}
}

/* `done` is always there for connections that can end that way. */
static void closed_series(struct fl_text *text, const char *name, unsigned direction,
			  unsigned security, const uint64_t counts[FL_REASON_COUNT])
{
	for (unsigned r = 0; r < FL_REASON_COUNT; r++) {
		if (counts[r] > 0 || (r == FL_REASON_DONE && security != FL_SECURITY_NONE)) {
			fl_text_print(text, "%s", name);
			fl_metric_label(text, '{', "direction", fl_direction_word(direction));
			fl_metric_label(text, ',', "security", fl_security_word(security));
			fl_metric_label(text, ',', "reason", fl_reason_word(r));
			fl_text_print(text, "} %" PRIu64 "\n", counts[r]);
		}
	}
}

static void put_closed(struct fl_text *text, const struct fl_snapshot *s)
{
	static const char name[] = "fairlead_connections_closed_total";

	fl_metric_family(
		text, name, "counter",
		"Connections that ended, refused ones included, by the access log's reason.");
	for (unsigned d = 0; d < FL_DIRECTIONS; d++) {
		for (unsigned i = 0; i < FL_SECURITIES; i++) {
			closed_series(text, name, d, i, s->counters.ended[d][i]);
		}
	}
}

static void put_connections(struct fl_text *text, const struct fl_snapshot *s)
{
	static const char opened[] = "fairlead_connections_opened_total",
			  open[] = "fairlead_connections_open";
	uint64_t values[FL_DIRECTIONS][FL_SECURITIES];

	fl_metric_family(
		text, opened, "counter",
		"Connections from peers (inbound) or from the app (outbound), by security; none: "
		"they ended before it was known.");
	memcpy(values, s->counters.classified, sizeof(values));
	by_security(text, opened, values);
	put_closed(text, s);
	fl_metric_family(
		text, open, "gauge",
		"Connections that are open now; none: still dialling, in a handshake, or not yet "
		"known.");
	open_by_security(s, values);
	by_security(text, open, values);
}

static void put_judgements(struct fl_text *text, const struct fl_snapshot *s)
{
	static const char kept[] = "fairlead_connections_kept_total";

	fl_metric_family(
		text, kept, "counter",
		"Open connections that are no longer allowed but go on, because of [rotation] or "
		"of audit mode.");
	for (unsigned i = 0; i < FL_LOSSES; i++) {
		fl_metric_series(text, kept, "reason",
				 fl_reason_word(fl_loss_reason((enum fl_loss)i)), "because", "keep",
				 s->counters.judged_kept[i]);
	}
	fl_metric_series(text, kept, "reason", fl_reason_word(FL_REASON_POLICY_LOST), "because",
			 "audit", s->counters.judged_audited);
}

static void put_signatures(struct fl_text *text, const struct fl_snapshot *s)
{
	static const char name[] = "fairlead_signatures_total";

	fl_metric_family(text, name, "counter",
			 "Signatures that the agent was asked for, by its answer.");
	for (unsigned i = 0; i < FL_SIGN_RESULT_COUNT; i++) {
		fl_metric_series(text, name, "result", fl_sign_result_word(i), NULL, NULL,
				 s->counters.signatures[i]);
	}
}

static void put_bytes(struct fl_text *text, const struct fl_snapshot *s)
{
	static const char name[] = "fairlead_bytes_total";

	fl_metric_family(
		text, name, "counter",
		"Plaintext bytes relayed, counted as they pass: towards the app or the mesh.");
	for (unsigned d = 0; d < FL_DIRECTIONS; d++) {
		fl_metric_series(text, name, "direction", fl_direction_word(d), "to", "app",
				 s->counters.bytes_to_app[d]);
		fl_metric_series(text, name, "direction", fl_direction_word(d), "to", "mesh",
				 s->counters.bytes_to_mesh[d]);
	}
}

static void put_plaintext(struct fl_text *text, const struct fl_snapshot *s)
{
	static const char opened[] = "fairlead_plaintext_connections_total",
			  bytes[] = "fairlead_plaintext_bytes_total";
	struct fl_plaintext_counter sum;
	const char *name;

	if (!fl_plaintext_counts_sum(s->plaintext, 0, &name, &sum)) {
		return;
	}
	fl_metric_family(
		text, opened, "counter",
		"Connections that went out in plaintext because the INI says so, by upstream.");
	for (size_t i = 0; fl_plaintext_counts_sum(s->plaintext, i, &name, &sum); i++) {
		fl_metric_series(text, opened, "upstream", name, NULL, NULL, sum.connections);
	}
	fl_metric_family(
		text, bytes, "counter",
		"Bytes that went through connections that are plaintext because the INI says so, by "
		"upstream: towards the app or the mesh.");
	for (size_t i = 0; fl_plaintext_counts_sum(s->plaintext, i, &name, &sum); i++) {
		fl_metric_series(text, bytes, "upstream", name, "to", "app", sum.bytes_to_app);
		fl_metric_series(text, bytes, "upstream", name, "to", "mesh", sum.bytes_to_mesh);
	}
}

static void put_dns(struct fl_text *text, const struct fl_snapshot *s)
{
	static const char name[] = "fairlead_dns_addresses_refused_total";

	fl_metric_family(
		text, name, "counter",
		"DNS addresses that were refused to names of plaintext upstreams: claimed by an "
		"mtls or refuse upstream, or outside of `within`.");
	fl_metric_series(text, name, "because", "claimed", NULL, NULL, s->dns_refused.claimed);
	fl_metric_series(text, name, "because", "outside", NULL, NULL, s->dns_refused.outside);
}

static void put_handshakes(struct fl_text *text, const struct fl_snapshot *s)
{
	static const char name[] = "fairlead_handshakes_total";

	fl_metric_family(text, name, "counter",
			 "TLS handshakes that ended, by result: ok, or the access log's reason.");
	for (unsigned d = 0; d < FL_DIRECTIONS; d++) {
		fl_metric_series(text, name, "direction", fl_direction_word(d), "result", "ok",
				 s->counters.handshakes_done[d]);
		for (unsigned r = 0; r < FL_REASON_COUNT; r++) {
			if (s->counters.handshakes_failed[d][r] > 0) {
				fl_metric_series(text, name, "direction", fl_direction_word(d),
						 "result", fl_reason_word(r),
						 s->counters.handshakes_failed[d][r]);
			}
		}
	}
}

static void put_sessions(struct fl_text *text, const struct fl_snapshot *s)
{
	static const char open[] = "fairlead_sessions_open", uses[] = "fairlead_session_uses_total",
			  ends[] = "fairlead_session_ends_total";

	fl_metric_family(text, open, "gauge",
			 "TLS sessions that carry connections one after another, by whether they "
			 "carry one now.");
	for (unsigned d = 0; d < FL_DIRECTIONS; d++) {
		fl_metric_series(text, open, "direction", fl_direction_word(d), "state", "busy",
				 fl_report_busy_sessions(s, d));
		fl_metric_series(text, open, "direction", fl_direction_word(d), "state", "idle",
				 s->idle_sessions[d]);
	}
	fl_metric_family(
		text, uses, "counter",
		"Connections that such sessions have carried: the first one of its session "
		"(cold), or a further one (reused).");
	for (unsigned d = 0; d < FL_DIRECTIONS; d++) {
		fl_metric_series(text, uses, "direction", fl_direction_word(d), "kind", "cold",
				 s->counters.session_uses_cold[d]);
		fl_metric_series(text, uses, "direction", fl_direction_word(d), "kind", "reused",
				 s->counters.session_uses_reused[d]);
	}
	fl_metric_family(text, ends, "counter", "Such sessions that have ended, by reason.");
	for (unsigned d = 0; d < FL_DIRECTIONS; d++) {
		for (unsigned i = 0; i < FL_SESSION_ENDS; i++) {
			if (s->counters.sessions_ended[d][i] > 0) {
				fl_metric_series(text, ends, "direction", fl_direction_word(d),
						 "reason", fl_session_end_word(i),
						 s->counters.sessions_ended[d][i]);
			}
		}
	}
}

/* A port has a series from its first time-out on. */
static void put_detect_timeouts(struct fl_text *text, const struct fl_snapshot *s)
{
	static const char name[] = "fairlead_detect_timeouts_total";
	const struct fl_port_counts *counts = &s->detect_timeouts;

	fl_metric_family(
		text, name, "counter",
		"Clients of permissive ports that were treated as plaintext because they were "
		"silent for detect_timeout, by port.");
	for (size_t i = 0; i < FL_COUNTED_PORTS && counts->ports[i].port != 0; i++) {
		fl_text_print(text, "%s{port=\"%" PRIu64 "\"} %" PRIu64 "\n", name,
			      counts->ports[i].port, counts->ports[i].count);
	}
	fl_metric_series(text, name, "port", "other", NULL, NULL, counts->others);
}

/* The count is the sum of the buckets, so that they agree even if a worker counts meanwhile. */
static void put_duration(struct fl_text *text, const struct fl_snapshot *s)
{
	static const char name[] = "fairlead_handshake_duration_seconds";
	static const uint32_t bounds_us[] = FL_HANDSHAKE_BOUNDS_US;

	_Static_assert(FL_COUNT_OF(bounds_us) + 1 == FL_HANDSHAKE_BUCKETS, "one without bound");
	fl_metric_family(text, name, "histogram",
			 "Time of the TLS handshakes that were ok, from the TCP connection on.");
	for (unsigned d = 0; d < FL_DIRECTIONS; d++) {
		const char *direction = fl_direction_word(d);
		uint64_t sum = s->counters.handshake_us[d], count = 0;

		for (size_t i = 0; i < FL_HANDSHAKE_BUCKETS; i++) {
			count += s->counters.handshake_buckets[d][i];
			if (i < FL_COUNT_OF(bounds_us)) {
				fl_text_print(text,
					      "%s_bucket{direction=\"%s\",le=\"%g\"} %" PRIu64 "\n",
					      name, direction, bounds_us[i] / 1e6, count);
			} else {
				fl_text_print(text,
					      "%s_bucket{direction=\"%s\",le=\"+Inf\"} %" PRIu64
					      "\n",
					      name, direction, count);
			}
		}
		fl_text_print(text, "%s_sum{direction=\"%s\"} %" PRIu64 ".%06" PRIu64 "\n", name,
			      direction, sum / 1000000, sum % 1000000);
		fl_text_print(text, "%s_count{direction=\"%s\"} %" PRIu64 "\n", name, direction,
			      count);
	}
}

/* The series of the default are always there; a rule has series only for decisions that have
 * occurred. */
static void put_decisions(struct fl_text *text, const struct fl_snapshot *s)
{
	static const char name[] = "fairlead_policy_decisions_total";

	if (s->decision_count == 0) {
		return;
	}
	fl_metric_family(
		text, name, "counter",
		"Decisions of policy about inbound connections at their start, by the deciding "
		"rule.");
	for (size_t i = 0; i < s->decision_count; i++) {
		const struct fl_rule_count *rule = &s->decisions[i];
		bool is_default = i + 1 == s->decision_count;

		for (unsigned d = 0; d < FL_DECISIONS; d++) {
			if (rule->decisions[d] > 0 ||
			    (is_default && (d == FL_DECISION_ALLOW || d == FL_DECISION_DENY))) {
				fl_metric_series(text, name, "rule", rule->rule, "decision",
						 fl_decision_word(d), rule->decisions[d]);
			}
		}
	}
}

/* --- peers ------------------------------------------------------------------------------------ */

/* name{direction="inbound",peer="spiffe://td/a",more_name="more"} value; more_name: NULL for none */
static void peer_series(struct fl_text *text, const char *name, const struct fl_peer_sum *peer,
			const char *more_name, const char *more, uint64_t value)
{
	fl_text_print(text, "%s", name);
	fl_metric_label(text, '{', "direction", fl_direction_word(peer->direction));
	fl_metric_label(text, ',', "peer", peer->name);
	if (more_name != NULL) {
		fl_metric_label(text, ',', more_name, more);
	}
	fl_text_print(text, "} %" PRIu64 "\n", value);
}

static void peer_reasons(struct fl_text *text, const char *name, const struct fl_peer_sum *peer,
			 const uint64_t counts[FL_REASON_COUNT], bool always_done)
{
	for (unsigned r = 0; r < FL_REASON_COUNT; r++) {
		if (counts[r] > 0 || (always_done && r == FL_REASON_DONE)) {
			peer_series(text, name, peer, "reason", fl_reason_word(r), counts[r]);
		}
	}
}

static void put_peer_connections(struct fl_text *text, const struct fl_snapshot *s)
{
	static const char opened[] = "fairlead_peer_connections_opened_total",
			  closed[] = "fairlead_peer_connections_closed_total",
			  open[] = "fairlead_peer_connections_open";

	fl_metric_family(
		text, opened, "counter",
		"Connections by peer: a verified SPIFFE ID, plaintext, or other (all peers "
		"without series of their own).");
	for (size_t i = 0; i < s->peer_count; i++) {
		peer_series(text, opened, &s->peers[i], NULL, NULL, s->peers[i].opened);
	}
	fl_metric_family(text, closed, "counter",
			 "Connections by peer that ended, by the access log's reason.");
	for (size_t i = 0; i < s->peer_count; i++) {
		peer_reasons(text, closed, &s->peers[i], s->peers[i].ended, true);
	}
	fl_metric_family(text, open, "gauge", "Connections by peer that are open now.");
	for (size_t i = 0; i < s->peer_count; i++) {
		peer_series(text, open, &s->peers[i], NULL, NULL, s->peers[i].open);
	}
}

static void put_peer_traffic(struct fl_text *text, const struct fl_snapshot *s)
{
	static const char bytes[] = "fairlead_peer_bytes_total",
			  failed[] = "fairlead_peer_handshakes_failed_total";

	fl_metric_family(
		text, bytes, "counter",
		"Plaintext bytes relayed for a peer, counted as they pass: towards the app or the mesh.");
	for (size_t i = 0; i < s->peer_count; i++) {
		peer_series(text, bytes, &s->peers[i], "to", "app", s->peers[i].bytes_to_app);
		peer_series(text, bytes, &s->peers[i], "to", "mesh", s->peers[i].bytes_to_mesh);
	}
	fl_metric_family(
		text, failed, "counter",
		"Failed TLS handshakes whose certificate chain names a peer with series, which "
		"does not prove that it was that peer.");
	for (size_t i = 0; i < s->peer_count; i++) {
		peer_reasons(text, failed, &s->peers[i], s->peers[i].failed, false);
	}
}

static void put_peers_size(struct fl_text *text, const struct fl_snapshot *s)
{
	fl_metric_single(text, "fairlead_peers", "gauge",
			 "Peers that have series of their own, by direction and identity.",
			 (int64_t)s->peers_size.count);
	fl_metric_single(
		text, "fairlead_peers_max", "gauge",
		"Maximum number of peers with series of their own; further ones are counted "
		"together as other.",
		(int64_t)s->peers_size.max);
	fl_metric_single(
		text, "fairlead_peers_forgotten_total", "counter",
		"Peers whose series were evicted for another peer, after an hour without a "
		"connection.",
		(int64_t)s->peers_size.forgotten);
}

void fl_report_metrics(const struct fl_snapshot *snapshot, struct fl_text *ret)
{
	fl_metrics_process(snapshot, ret);
	put_rotations(ret, snapshot);
	fl_metrics_credentials(snapshot, ret);
	put_warnings(ret, snapshot);
	put_capture(ret, snapshot);
	put_counters(ret, &snapshot->counters);
	put_connections(ret, snapshot);
	put_judgements(ret, snapshot);
	put_signatures(ret, snapshot);
	put_bytes(ret, snapshot);
	fl_metrics_sections(snapshot, ret);
	put_plaintext(ret, snapshot);
	put_dns(ret, snapshot);
	put_handshakes(ret, snapshot);
	put_sessions(ret, snapshot);
	put_duration(ret, snapshot);
	put_detect_timeouts(ret, snapshot);
	put_decisions(ret, snapshot);
	put_peer_connections(ret, snapshot);
	put_peer_traffic(ret, snapshot);
	put_peers_size(ret, snapshot);
}
