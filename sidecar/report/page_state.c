/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What is in force: key figures, credentials, rotations, capture, rules, and all counts. */
#include <inttypes.h>
#include <string.h>

#include "base/when.h"
#include "report/page_internal.h"

/* --- key figures -------------------------------------------------------------------------------- */

/* <dt>name</dt><dd>, and its end. */
static void tile(struct fl_text *text, const char *name)
{
	fl_text_print(text, "<div><dt>%s</dt><dd>", name);
}

static void tile_end(struct fl_text *text)
{
	fl_page_put(text, "</dd></div>\n");
}

static void tile_more(struct fl_text *text)
{
	fl_page_put(text, "</dd><dd>");
}

static void put_open(struct fl_text *text, const struct fl_snapshot *s)
{
	tile(text, "Open connections");
	fl_page_number(text, s->open[FL_INBOUND] + s->open[FL_OUTBOUND]);
	tile_more(text);
	fl_page_number(text, s->open[FL_INBOUND]);
	fl_page_put(text, " inbound, ");
	fl_page_number(text, s->open[FL_OUTBOUND]);
	fl_page_put(text, " outbound");
	tile_end(text);
}

static void put_refused(struct fl_text *text, const struct fl_snapshot *s)
{
	struct fl_history_totals totals = fl_history_totals(&s->counters);

	tile(text, "Refused connections");
	fl_text_print(text, "<span%s>", totals.refused > 0 ? " class=\"bad\"" : "");
	fl_page_number(text, totals.refused);
	fl_page_put(text, "</span>");
	tile_more(text);
	fl_page_number(text, totals.failed);
	fl_page_put(text, " failed; since the start");
	tile_end(text);
}

/* The life of the certificate of our chain that expires first. */
static void put_life(struct fl_text *text, const struct fl_snapshot *s)
{
	const struct fl_expiries *e = s->expiries;
	int64_t left = e->chain_not_after - s->now,
		whole = e->chain_not_after - e->chain_not_before;
	char span[FL_SPAN_TEXT];
	const char *class = "life";

	tile(text, "Our certificate");
	if (left < 0) {
		fl_page_put(text, "<span class=\"bad\">expired</span>");
		left = 0;
	} else {
		fl_text_print(text, "%s left", fl_when_span(left, span));
	}
	if (whole <= 0 || left * 10 < whole) {
		class = "life bad";
	} else if (left * 4 < whole) {
		class = "life warn";
	}
	tile_more(text);
	fl_page_bar(text, class, (uint64_t)left, whole > 0 ? (uint64_t)whole : 1);
	fl_page_put(text, fl_when_format(e->chain_not_after, span));
	tile_end(text);
}

static void put_generation(struct fl_text *text, const struct fl_snapshot *s)
{
	const struct fl_rotations *r = s->rotations;
	uint64_t refused = r->by_agent.count + r->by_sidecar.count;

	tile(text, "Generation");
	fl_text_print(text, "%" PRIu64, s->generation);
	tile_more(text);
	fl_page_put(text, "in use for ");
	fl_page_for(text, r->last_used, s->now);
	if (refused > 0) {
		fl_text_print(text, "; %" PRIu64 " refused", refused);
	}
	tile_end(text);
}

static void put_agent(struct fl_text *text, const struct fl_snapshot *s)
{
	tile(text, "Agent");
	if (s->agent_connected && !s->agent_hung) {
		fl_page_put(text, "connected");
		tile_more(text);
		fl_page_put(text, "renewed files arrive");
	} else {
		fl_text_print(text, "<span class=\"bad\">%s</span>",
			      s->agent_hung ? "hung" : "not connected");
		tile_more(text);
		fl_page_escape(text, s->agent_trouble);
	}
	tile_end(text);
}

void fl_page_tiles(struct fl_text *text, const struct fl_snapshot *s)
{
	fl_page_put(text, "<dl class=\"tiles\" aria-label=\"Key figures\">\n");
	put_open(text, s);
	put_refused(text, s);
	if (s->expiries != NULL) {
		put_life(text, s);
		put_generation(text, s);
	}
	put_agent(text, s);
	fl_page_put(text, "</dl>\n");
}

/* --- facts -------------------------------------------------------------------------------------- */

static void row_begin(struct fl_text *text, const char *name)
{
	fl_text_print(text, "<tr><th scope=\"row\">%s</th><td>", name);
}

static void row_end(struct fl_text *text)
{
	fl_page_put(text, "</td></tr>\n");
}

static void put_rotations(struct fl_text *text, const struct fl_snapshot *s)
{
	const struct fl_rotations *r = s->rotations;
	const struct fl_refusal *refusal = fl_rotations_last_refusal(r);

	row_begin(text, "Rotations");
	fl_text_print(text,
		      "%" PRIu64 " used, %" PRIu64 " refused by the agent, %" PRIu64
		      " refused by the sidecar",
		      r->used, r->by_agent.count, r->by_sidecar.count);
	row_end(text);
	if (refusal != NULL) {
		row_begin(text, "Last refusal");
		fl_page_ago(text, refusal->time, s->now);
		fl_text_print(text, ", by the %s%s:<br>",
			      refusal == &r->by_agent ? "agent" : "sidecar",
			      refusal->current ? " <b class=\"bad\">(still so)</b>" : "");
		fl_page_escape(text, refusal->text);
		row_end(text);
	}
}

/* The last rotations, one by one. */
static void put_last(struct fl_text *text, const struct fl_rotations *r, int64_t now)
{
	static const char *const heads[] = {"Rotation", "What became of it", NULL};

	if (r->last[0].time == 0) {
		return;
	}
	fl_page_table(text, "Last rotations", NULL, heads);
	for (size_t i = 0; i < FL_ROTATIONS_KEPT && r->last[i].time != 0; i++) {
		const struct fl_rotation *rotation = &r->last[i];

		fl_page_put(text, "<tr><td class=\"nowrap\">");
		fl_page_ago(text, rotation->time, now);
		fl_page_put(text, "</td><td>");
		if (rotation->generation > 0) {
			fl_text_print(text,
				      "generation %" PRIu64 " in use; our certificate expires ",
				      rotation->generation);
			fl_page_expiry(text, rotation->not_after, now);
		} else {
			fl_page_put(text, "<span class=\"bad\">");
			fl_page_escape(text, rotation->refusal);
			fl_page_put(text, "</span>");
		}
		row_end(text);
	}
	fl_page_table_end(text);
}

static void put_capture(struct fl_text *text, const struct fl_capture *capture)
{
	bool first = true;

	row_begin(text, "Capture rules");
	for (unsigned i = 0; i < FL_CAPTURE_FAMILIES; i++) {
		if (capture->states[i] == FL_CAPTURE_UNKNOWN) {
			continue;
		}
		fl_text_print(text, "%s%s: %s", first ? "" : ", ",
			      i == FL_CAPTURE_INET ? "IPv4" : "IPv6",
			      capture->states[i] == FL_CAPTURE_ACTIVE ? "in force"
			      : capture->expected ? "<span class=\"bad\">not in force</span>"
						  : "none");
		first = false;
	}
	fl_page_put(text, first ? "not known" : "");
	if (capture->rules == FL_CAPTURE_RULES_OUTDATED) {
		fl_page_put(text, ", <span class=\"bad\">not those of the INI</span>");
	}
	for (unsigned i = 0; i < FL_CAPTURE_WAYS; i++) {
		if (capture->refused[i]) {
			fl_text_print(text,
				      ", <span class=\"bad\">refused %s TCP past the sidecar in "
				      "the last minute</span>",
				      fl_capture_way_word(i));
		}
	}
	row_end(text);
}

static void put_sandbox(struct fl_text *text, const struct fl_sandbox *sandbox)
{
	if (sandbox == NULL) {
		return;
	}
	row_begin(text, "Sandbox");
	if (!sandbox->is_wanted) {
		fl_page_put(text, "off, by the INI");
	} else {
		fl_page_put(text, sandbox->filters_calls
					  ? "seccomp, "
					  : "<span class=\"bad\">no seccomp</span>, ");
		if (sandbox->landlock > 0) {
			fl_text_print(text, "Landlock %u", sandbox->landlock);
		} else {
			fl_page_put(text, "<span class=\"bad\">no Landlock</span>");
		}
		fl_page_put(text, sandbox->missing[0] != '\0' ? ": " : "");
		fl_page_escape(text, sandbox->missing);
	}
	row_end(text);
}

static void put_restart_keys(struct fl_text *text, const char *keys)
{
	if (keys != NULL) {
		row_begin(text, "Waits for a restart");
		fl_page_put(text, "<span class=\"bad\">");
		fl_page_escape(text, keys);
		fl_page_put(text, "</span>");
		row_end(text);
	}
}

static void put_selectors(struct fl_text *text, const char *before,
			  const struct fl_conf_selectors *selectors)
{
	char selector[FL_CONF_DEST_TEXT];

	for (size_t i = 0; i < selectors->count; i++) {
		fl_page_put(text, i == 0 ? before : ", ");
		fl_page_escape(text, fl_conf_selector_format(&selectors->items[i], selector));
	}
}

static void put_redirect(struct fl_text *text, const struct fl_conf *conf)
{
	if (conf == NULL || conf->redirect.line == 0) {
		return;
	}
	row_begin(text, "[redirect]");
	fl_page_put(text, conf->redirect.mode == FL_REDIRECT_TPROXY ? "tproxy" : "redirect");
	put_selectors(text, "; inbound ports ", &conf->redirect.inbound_ports);
	put_selectors(text, " except ", &conf->redirect.exclude_inbound);
	put_selectors(text, "; outbound ", &conf->redirect.outbound);
	put_selectors(text, " except ", &conf->redirect.exclude_outbound);
	row_end(text);
}

static void put_outbound(struct fl_text *text, const struct fl_conf *conf)
{
	if (conf == NULL || conf->sidecar.outbound_count == 0) {
		return;
	}
	row_begin(text, "[outbound]");
	fl_text_print(text, "captured destinations that no upstream names: <b>%s</b>",
		      fl_outbound_mode_word(conf->outbound.mode));
	row_end(text);
}

/* "inbound 3 busy, 1 idle; outbound ..." */
static void put_sessions(struct fl_text *text, const struct fl_snapshot *s)
{
	row_begin(text, "Sessions");
	for (unsigned d = 0; d < FL_DIRECTIONS; d++) {
		fl_text_print(text, "%s%s ", d > 0 ? "; " : "", fl_direction_word(d));
		fl_page_number(text, fl_report_busy_sessions(s, d));
		fl_page_put(text, " busy, ");
		fl_page_number(text, s->idle_sessions[d]);
		fl_page_put(text, " idle");
	}
	row_end(text);
}

static void put_sidecar(struct fl_text *text, const struct fl_snapshot *s)
{
	row_begin(text, "Sidecar");
	fl_text_print(text, "version %s, %u worker%s, process %" PRId64 ", started ", FL_VERSION,
		      s->workers, s->workers == 1 ? "" : "s", s->pid);
	fl_page_ago(text, s->started, s->now);
	if (s->usage.resident_bytes >= 0) {
		fl_page_put(text, ", ");
		fl_page_bytes(text, (uint64_t)s->usage.resident_bytes);
		fl_page_put(text, " of memory");
	}
	if (s->log_lines_lost > 0) {
		fl_text_print(text, ", <span class=\"bad\">%" PRIu64 " log lines lost</span>",
			      s->log_lines_lost);
	}
	row_end(text);
}

static void put_certificates(struct fl_text *text, const struct fl_snapshot *s)
{
	static const char *const heads[] = {"Certificate", "Trust domain", "In its file", "Expires",
					    NULL};

	if (s->expiries == NULL) {
		return;
	}
	fl_page_table(text, "Certificates", NULL, heads);
	for (size_t i = 0; i < s->expiries->count; i++) {
		const struct fl_expiry *expiry = &s->expiries->items[i];

		fl_text_print(text, "<tr><td>%s</td>", fl_certificate_kind_word(expiry->kind));
		fl_page_cell(text, expiry->trust_domain);
		fl_text_print(text, "<td class=\"nowrap\">no. %u</td><td class=\"nowrap\">",
			      expiry->index);
		fl_page_expiry(text, expiry->not_after, s->now);
		row_end(text);
	}
	if (s->expiries->left_out > 0) {
		fl_text_print(text,
			      "<tr><td colspan=\"4\">and %zu more roots and CRLs, which expire "
			      "later</td></tr>\n",
			      s->expiries->left_out);
	}
	fl_page_table_end(text);
}

static void put_listeners(struct fl_text *text, const struct fl_snapshot *s)
{
	static const char *const heads[] = {"Listener", "Listens on", "Leads to", "State", NULL};
	char addr[FL_ADDR_TEXT];

	fl_page_section(text, "listeners", "Listeners");
	fl_page_table(text, "Listeners", NULL, heads);
	for (size_t i = 0; i < s->listener_count; i++) {
		const struct fl_listening *listening = &s->listeners[i];

		fl_text_print(text, "<tr><td>%s ", listening->section);
		fl_page_escape(text, listening->name);
		fl_page_put(text, "</td>");
		fl_page_cell(text, fl_addr_format(listening->address, addr));
		fl_page_put(text, strcmp(listening->section, "sidecar") == 0
					  ? "<td>the original destination"
					  : "<td>");
		for (size_t k = 0; k < listening->leads_to_count; k++) {
			fl_page_put(text, k > 0 ? ", else " : "");
			fl_page_escape(text, fl_addr_format(&listening->leads_to[k], addr));
		}
		fl_page_put(text, listening->serving
					  ? "</td><td>serving</td></tr>\n"
					  : "</td><td class=\"bad\">not serving</td></tr>\n");
	}
	fl_page_table_end(text);
	fl_page_section_end(text);
}

void fl_page_facts(struct fl_text *text, const struct fl_snapshot *s)
{
	put_listeners(text, s);
	fl_page_rules(text, s);
	fl_page_section(text, "force", "What is in force");
	fl_page_put(text, "<div class=\"pair\">\n");
	fl_page_put(text, "<div class=\"table\" role=\"region\" tabindex=\"0\" "
			  "aria-label=\"What is in force\"><table><tbody>\n");
	put_rotations(text, s);
	put_capture(text, s->capture);
	put_restart_keys(text, s->restart_keys);
	put_sandbox(text, s->sandbox);
	put_redirect(text, s->conf);
	put_outbound(text, s->conf);
	put_sessions(text, s);
	put_sidecar(text, s);
	fl_page_table_end(text);
	put_certificates(text, s);
	put_last(text, s->rotations, s->now);
	fl_page_put(text, "</div>\n");
	fl_page_section_end(text);
}

/* --- all counts --------------------------------------------------------------------------------- */

static void put_counts(struct fl_text *text, const char *what,
		       const uint64_t inbound[FL_REASON_COUNT],
		       const uint64_t outbound[FL_REASON_COUNT])
{
	for (unsigned r = 0; r < FL_REASON_COUNT; r++) {
		if (inbound[r] + outbound[r] == 0) {
			continue;
		}
		fl_text_print(text, "<tr><th scope=\"row\">%s: %s</th>", what, fl_reason_word(r));
		fl_page_number_cell(text, inbound[r]);
		fl_page_number_cell(text, outbound[r]);
		fl_page_put(text, "</tr>\n");
	}
}

static void put_count(struct fl_text *text, const char *what, const uint64_t counts[FL_DIRECTIONS])
{
	fl_text_print(text, "<tr><th scope=\"row\">%s</th>", what);
	fl_page_number_cell(text, counts[FL_INBOUND]);
	fl_page_number_cell(text, counts[FL_OUTBOUND]);
	fl_page_put(text, "</tr>\n");
}

static void put_bytes_of(struct fl_text *text, const char *what,
			 const uint64_t counts[FL_DIRECTIONS])
{
	fl_text_print(text, "<tr><th scope=\"row\">%s</th>", what);
	fl_page_bytes_cell(text, counts[FL_INBOUND]);
	fl_page_bytes_cell(text, counts[FL_OUTBOUND]);
	fl_page_put(text, "</tr>\n");
}

static void put_ended(struct fl_text *text, const struct fl_counters *c)
{
	uint64_t counts[FL_DIRECTIONS][FL_REASON_COUNT];

	for (unsigned d = 0; d < FL_DIRECTIONS; d++) {
		for (unsigned r = 0; r < FL_REASON_COUNT; r++) {
			counts[d][r] = fl_counters_ended_sum(c, d, r);
		}
	}
	put_counts(text, "Connections ended", counts[FL_INBOUND], counts[FL_OUTBOUND]);
}

void fl_page_counts(struct fl_text *text, const struct fl_snapshot *s)
{
	static const char *const heads[] = {"Counted since the start", "#Inbound", "#Outbound",
					    NULL};
	const struct fl_counters *c = &s->counters;

	fl_page_section(text, "counts", "Counts");
	fl_page_table(text, "Counts", NULL, heads);
	put_count(text, "Connections opened", c->opened);
	put_count(text, "Connections on a new session", c->session_uses_cold);
	put_count(text, "Connections on a reused session", c->session_uses_reused);
	put_ended(text, c);
	put_bytes_of(text, "Bytes to the app", c->bytes_to_app);
	put_bytes_of(text, "Bytes to the mesh", c->bytes_to_mesh);
	put_count(text, "Handshakes ok", c->handshakes_done);
	put_count(text, "Handshakes ok, resumed", c->handshakes_resumed);
	put_counts(text, "Handshakes failed", c->handshakes_failed[FL_INBOUND],
		   c->handshakes_failed[FL_OUTBOUND]);
	fl_page_table_end(text);
	fl_page_section_end(text);
}
