/* SPDX-License-Identifier: GPL-3.0-or-later */
/* page - the snapshot as one HTML page for a person: no script, nothing loaded from elsewhere. The
 * browser reloads it every few seconds.
 *
 * All text that is not one of our literals goes through escape(). */
#include <inttypes.h>
#include <string.h>

#include "base/utf8.h"
#include "base/when.h"
#include "report/report.h"

static const char head[] =
	"<!DOCTYPE html>\n"
	"<html lang=\"en\">\n"
	"<head>\n"
	"<meta charset=\"utf-8\">\n"
	"<meta name=\"viewport\" content=\"width=device-width\">\n"
	"<meta http-equiv=\"refresh\" content=\"5\">\n"
	"<title>Fairlead</title>\n"
	"<style>\n"
	":root { color-scheme: light dark; --line: #8885; --good: #1a7f37; --bad: #cf222e; }\n"
	"body { font: 15px/1.5 system-ui, sans-serif; max-width: 72em; margin: 2em auto; "
	"padding: 0 1em; }\n"
	"h1 { font-size: 1.3em; overflow-wrap: anywhere; }\n"
	"h2 { font-size: 1.05em; margin: 2em 0 .4em; }\n"
	"table { border-collapse: collapse; width: 100%; }\n"
	"th, td { text-align: left; vertical-align: top; padding: .25em 1em .25em 0; "
	"border-bottom: 1px solid var(--line); }\n"
	"th { font-weight: 600; white-space: nowrap; }\n"
	"td.n, th.n { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }\n"
	"td.w { overflow-wrap: anywhere; min-width: 9em; }\n"
	".table { overflow-x: auto; }\n"
	".state { border-left: .4em solid var(--good); padding: .5em 1em; background: #8881; }\n"
	".bad { color: var(--bad); }\n"
	".state.bad { border-color: var(--bad); }\n"
	"footer { margin-top: 2em; font-size: .9em; }\n"
	"</style>\n"
	"</head>\n"
	"<body>\n";

/* Row limits: the page is an overview, and it is rebuilt often. */
#define PEERS_SHOWN 50u
#define CONNECTIONS_SHOWN 100u

static void put(struct fl_text *text, const char *literal)
{
	fl_text_put(text, literal, strlen(literal));
}

/* The result is safe as text and in a quoted attribute. */
static void escape(struct fl_text *text, const char *value)
{
	size_t left = strlen(value);

	while (left > 0) {
		uint32_t point = 0;
		size_t len = fl_utf8_sequence(value, left, &point);

		if (len == 0 || fl_utf8_is_control(point)) {
			put(text, "&#xfffd;");
			len = len == 0 ? 1 : len;
		} else if (point == '<' || point == '>' || point == '&' || point == '"' ||
			   point == '\'') {
			fl_text_print(text, "&#%u;", (unsigned)point);
		} else {
			fl_text_put(text, value, len);
		}
		value += len;
		left -= len;
	}
}

static void row_begin(struct fl_text *text, const char *name)
{
	fl_text_print(text, "<tr><th>%s</th><td class=\"w\">", name);
}

static void row_end(struct fl_text *text)
{
	put(text, "</td></tr>\n");
}

static void cell(struct fl_text *text, const char *value)
{
	put(text, "<td class=\"w\">");
	escape(text, value);
	put(text, "</td>");
}

static void number(struct fl_text *text, uint64_t value)
{
	fl_text_print(text, "<td class=\"n\">%" PRIu64 "</td>", value);
}

/* A tooltip shows the exact number. */
static void put_bytes(struct fl_text *text, uint64_t bytes)
{
	if (bytes < 1024) {
		fl_text_put_bytes(text, bytes);
		return;
	}
	fl_text_print(text, "<span title=\"%" PRIu64 "\">", bytes);
	fl_text_put_bytes(text, bytes);
	put(text, "</span>");
}

static void bytes_cell(struct fl_text *text, uint64_t bytes)
{
	put(text, "<td class=\"n\">");
	put_bytes(text, bytes);
	put(text, "</td>");
}

/* "2026-12-01T00:00:00Z, in 9d 3h" */
static void put_expiry(struct fl_text *text, int64_t not_after, int64_t now)
{
	char when[FL_WHEN_TEXT], span[FL_SPAN_TEXT];

	if (not_after < now) {
		fl_text_print(text, "<span class=\"bad\">expired at %s, %s ago</span>",
			      fl_when_format(not_after, when), fl_when_span(now - not_after, span));
	} else {
		fl_text_print(text, "%s, in %s", fl_when_format(not_after, when),
			      fl_when_span(not_after - now, span));
	}
}

/* "2026-11-21T07:44:37Z, 3d 4h ago" */
static void put_past(struct fl_text *text, int64_t when, int64_t now)
{
	char time[FL_WHEN_TEXT], span[FL_SPAN_TEXT];

	fl_text_print(text, "%s, %s ago", fl_when_format(when, time),
		      fl_when_span(now > when ? now - when : 0, span));
}

/* --- parts ------------------------------------------------------------------------------------ */

static void put_state(struct fl_text *text, const struct fl_snapshot *s)
{
	put(text, "<h1>");
	escape(text, s->expiries != NULL ? s->expiries->id : "A sidecar without identity yet");
	put(text, "</h1>\n");
	if (s->ready) {
		put(text, "<p class=\"state\"><b>Ready</b></p>\n");
	} else {
		put(text, "<p class=\"state bad\"><b>Not ready</b>: ");
		escape(text, s->reason);
		put(text, "</p>\n");
	}
}

static void put_warnings(struct fl_text *text, const struct fl_snapshot *s)
{
	char warning[FL_WARNING_TEXT];

	for (size_t i = 0; fl_report_warning(s, i, warning); i++) {
		put(text, "<p class=\"bad\"><b>Warning</b>: ");
		escape(text, warning);
		put(text, "</p>\n");
	}
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
		put_past(text, refusal->time, s->now);
		fl_text_print(text, ", by the %s%s:<br>",
			      refusal == &r->by_agent ? "agent" : "sidecar",
			      refusal->current ? " <b class=\"bad\">(still so)</b>" : "");
		escape(text, refusal->text);
		row_end(text);
	}
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
	put(text, first ? "not known" : "");
	if (capture->rules == FL_CAPTURE_RULES_OUTDATED) {
		put(text, ", <span class=\"bad\">not those of the INI</span>");
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

static void put_facts(struct fl_text *text, const struct fl_snapshot *s)
{
	put(text, "<div class=\"table\"><table>\n");
	if (s->expiries != NULL) {
		row_begin(text, "Generation");
		fl_text_print(text, "%" PRIu64 ", since ", s->generation);
		put_past(text, s->rotations->last_used, s->now);
		row_end(text);
		row_begin(text, "Identity expires");
		put_expiry(text, s->expiries->chain_not_after, s->now);
		row_end(text);
	}
	put_rotations(text, s);
	row_begin(text, "Agent");
	if (s->agent_connected && !s->agent_hung) {
		put(text, "connected");
	} else {
		fl_text_print(text, "<span class=\"bad\">%s</span> ",
			      s->agent_hung ? "hung" : "not connected");
		escape(text, s->agent_trouble);
	}
	row_end(text);
	put_capture(text, s->capture);
	row_begin(text, "Sidecar");
	fl_text_print(text, "version %s, %u worker%s, process %" PRId64 ", started ", FL_VERSION,
		      s->workers, s->workers == 1 ? "" : "s", s->pid);
	put_past(text, s->started, s->now);
	if (s->log_lines_lost > 0) {
		fl_text_print(text, ", <span class=\"bad\">%" PRIu64 " log lines lost</span>",
			      s->log_lines_lost);
	}
	row_end(text);
	put(text, "</table></div>\n");
}

static void put_certificates(struct fl_text *text, const struct fl_snapshot *s)
{
	if (s->expiries == NULL) {
		return;
	}
	put(text,
	    "<h2>Certificates</h2>\n<div class=\"table\"><table>\n<tr><th>Kind</th><th>Trust domain</th>"
	    "<th>In its file</th><th>Expires</th></tr>\n");
	for (size_t i = 0; i < s->expiries->count; i++) {
		const struct fl_expiry *expiry = &s->expiries->items[i];

		fl_text_print(text, "<tr><td>%s</td>", fl_certificate_kind_word(expiry->kind));
		cell(text, expiry->trust_domain);
		fl_text_print(text, "<td>no. %u</td><td>", expiry->index);
		put_expiry(text, expiry->not_after, s->now);
		row_end(text);
	}
	put(text, "</table></div>\n");
	if (s->expiries->left_out > 0) {
		fl_text_print(text, "<p>and %zu more roots and CRLs, which expire later</p>\n",
			      s->expiries->left_out);
	}
}

static void put_listeners(struct fl_text *text, const struct fl_snapshot *s)
{
	char addr[FL_ADDR_TEXT];

	put(text,
	    "<h2>Listeners</h2>\n<div class=\"table\"><table>\n<tr><th>Section</th><th>Listens on</th>"
	    "<th>Leads to</th><th>State</th></tr>\n");
	for (size_t i = 0; i < s->listener_count; i++) {
		const struct fl_listening *listening = &s->listeners[i];

		fl_text_print(text, "<tr><td>%s ", listening->section);
		escape(text, listening->name);
		put(text, "</td>");
		cell(text, fl_addr_format(listening->address, addr));
		put(text, strcmp(listening->section, "sidecar") == 0
				  ? "<td>the original destination"
				  : "<td>");
		for (size_t k = 0; k < listening->leads_to_count; k++) {
			put(text, k > 0 ? ", else " : "");
			escape(text, fl_addr_format(&listening->leads_to[k], addr));
		}
		put(text, listening->serving ? "</td><td>serving</td></tr>\n"
					     : "</td><td class=\"bad\">not serving</td></tr>\n");
	}
	put(text, "</table></div>\n");
}

static void put_counts(struct fl_text *text, const char *what,
		       const uint64_t inbound[FL_REASON_COUNT],
		       const uint64_t outbound[FL_REASON_COUNT])
{
	for (unsigned r = 0; r < FL_REASON_COUNT; r++) {
		if (inbound[r] + outbound[r] == 0) {
			continue;
		}
		fl_text_print(text, "<tr><td>%s: %s</td>", what, fl_reason_word(r));
		number(text, inbound[r]);
		number(text, outbound[r]);
		put(text, "</tr>\n");
	}
}

static void put_count(struct fl_text *text, const char *what, const uint64_t counts[FL_DIRECTIONS])
{
	fl_text_print(text, "<tr><td>%s</td>", what);
	number(text, counts[FL_INBOUND]);
	number(text, counts[FL_OUTBOUND]);
	put(text, "</tr>\n");
}

static void put_bytes_of(struct fl_text *text, const char *what,
			 const uint64_t counts[FL_DIRECTIONS])
{
	fl_text_print(text, "<tr><td>%s</td>", what);
	bytes_cell(text, counts[FL_INBOUND]);
	bytes_cell(text, counts[FL_OUTBOUND]);
	put(text, "</tr>\n");
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

static void put_traffic(struct fl_text *text, const struct fl_snapshot *s)
{
	const struct fl_counters *c = &s->counters;

	put(text,
	    "<h2>Traffic</h2>\n<div class=\"table\"><table>\n<tr><th></th><th class=\"n\">Inbound</th>"
	    "<th class=\"n\">Outbound</th></tr>\n");
	put_count(text, "Connections open", s->open);
	put_count(text, "Connections opened", c->opened);
	put_ended(text, c);
	put_bytes_of(text, "Bytes to the app", c->bytes_to_app);
	put_bytes_of(text, "Bytes to the mesh", c->bytes_to_mesh);
	put_count(text, "Handshakes ok", c->handshakes_done);
	put_count(text, "Handshakes ok, resumed", c->handshakes_resumed);
	put_counts(text, "Handshakes failed", c->handshakes_failed[FL_INBOUND],
		   c->handshakes_failed[FL_OUTBOUND]);
	put(text, "</table></div>\n");
}

/* --- peers ------------------------------------------------------------------------------------ */

/* "3 policy_denied, 1 peer_reset": failed handshakes, and why connections ended that did not finish
 * normally. */
static void put_trouble(struct fl_text *text, const struct fl_peer_sum *peer)
{
	const char *between = "";

	for (unsigned r = 0; r < FL_REASON_COUNT; r++) {
		if (r != FL_REASON_DONE && peer->ended[r] > 0) {
			fl_text_print(text, "%s%" PRIu64 " %s", between, peer->ended[r],
				      fl_reason_word(r));
			between = ", ";
		}
	}
	for (unsigned r = 0; r < FL_REASON_COUNT; r++) {
		if (peer->failed[r] > 0) {
			fl_text_print(text, "%s%" PRIu64 " handshakes: %s", between,
				      peer->failed[r], fl_reason_word(r));
			between = ", ";
		}
	}
}

static void put_peers(struct fl_text *text, const struct fl_snapshot *s)
{
	put(text, "<h2>Peers</h2>\n");
	if (s->peer_count == 0) {
		put(text, "<p>None yet.</p>\n");
		return;
	}
	put(text,
	    "<div class=\"table\"><table>\n<tr><th>Peer</th><th>Direction</th><th class=\"n\">Open</th>"
	    "<th class=\"n\">Opened</th><th class=\"n\">To the app</th>"
	    "<th class=\"n\">To the mesh</th><th>Ended otherwise than done</th></tr>\n");
	for (size_t i = 0; i < s->peer_count && i < PEERS_SHOWN; i++) {
		const struct fl_peer_sum *peer = &s->peers[i];

		put(text, "<tr>");
		cell(text, peer->name);
		fl_text_print(text, "<td>%s</td>", fl_direction_word(peer->direction));
		number(text, peer->open);
		number(text, peer->opened);
		bytes_cell(text, peer->bytes_to_app);
		bytes_cell(text, peer->bytes_to_mesh);
		put(text, "<td>");
		put_trouble(text, peer);
		row_end(text);
	}
	put(text, "</table></div>\n");
	if (s->peer_count > PEERS_SHOWN) {
		fl_text_print(text,
			      "<p>and %zu more, with less that is open: <a href=\"/status\">"
			      "/status</a></p>\n",
			      s->peer_count - PEERS_SHOWN);
	}
}

/* --- connections -------------------------------------------------------------------------------- */

static void address_cell(struct fl_text *text, const struct fl_inet *inet)
{
	char addr[FL_ADDR_TEXT];

	fl_text_print(text, "<td>%s</td>", inet->family != 0 ? fl_inet_format(inet, addr) : "");
}

static void put_connection(struct fl_text *text, const struct fl_listed *item, uint64_t now_ns)
{
	char span[FL_SPAN_TEXT];
	uint64_t age_s = now_ns > item->started_ns ? (now_ns - item->started_ns) / 1000000000u : 0;
	bool is_plain = item->security != NULL && item->peer == NULL;

	fl_text_print(text, "<tr><td>%s</td><td class=\"w\">%s ", item->state,
		      fl_direction_word(item->direction));
	escape(text, item->name != NULL ? item->name : "");
	put(text, "</td>");
	cell(text, item->peer != NULL ? item->peer : is_plain ? "plaintext" : "");
	address_cell(text, &item->source);
	if (item->far != NULL) {
		cell(text, item->far);
	} else {
		address_cell(text, &item->destination);
	}
	fl_text_print(text, "<td class=\"n\">%s</td>", fl_when_span((int64_t)age_s, span));
	bytes_cell(text, item->to_app);
	bytes_cell(text, item->to_mesh);
	put(text, "</tr>\n");
}

static size_t put_some(struct fl_text *text, const struct fl_snapshot *s)
{
	size_t shown = 0;

	for (size_t i = 0; i < s->listing_count; i++) {
		const struct fl_listing *listing = &s->listings[i];

		for (size_t k = 0; k < listing->count && shown < CONNECTIONS_SHOWN; k++) {
			put_connection(text, &listing->items[k], s->now_ns);
			shown++;
		}
	}
	return shown;
}

static void put_connections(struct fl_text *text, const struct fl_snapshot *s)
{
	uint64_t open = 0;
	size_t shown;

	for (size_t i = 0; i < s->listing_count; i++) {
		open += s->listings[i].open;
	}
	put(text, "<h2>Open connections</h2>\n");
	if (open == 0) {
		put(text, "<p>None.</p>\n");
		return;
	}
	put(text,
	    "<div class=\"table\"><table>\n<tr><th>State</th><th>By</th><th>Peer</th><th>Source</th>"
	    "<th>Destination</th><th class=\"n\">Age</th><th class=\"n\">To the app</th>"
	    "<th class=\"n\">To the mesh</th></tr>\n");
	shown = put_some(text, s);
	put(text, "</table></div>\n");
	if (open > shown) {
		fl_text_print(text,
			      "<p>and %" PRIu64 " more: <a href=\"/connections\">"
			      "/connections</a></p>\n",
			      open - shown);
	}
}

void fl_report_page(const struct fl_snapshot *snapshot, struct fl_text *ret)
{
	char now[FL_WHEN_TEXT];

	put(ret, head);
	put_state(ret, snapshot);
	put_warnings(ret, snapshot);
	put_facts(ret, snapshot);
	put_listeners(ret, snapshot);
	put_certificates(ret, snapshot);
	put_traffic(ret, snapshot);
	put_peers(ret, snapshot);
	put_connections(ret, snapshot);
	fl_text_print(
		ret,
		"<footer>As of %s, made anew every 5 seconds. The same for machines: "
		"<a href=\"/status\">/status</a>, <a href=\"/connections\">/connections</a>, "
		"<a href=\"/seen\">/seen</a>, <a href=\"/metrics\">/metrics</a>, "
		"<a href=\"/readyz\">/readyz</a>, <a href=\"/healthz\">/healthz</a></footer>\n"
		"</body>\n</html>\n",
		fl_when_format(snapshot->now, now));
}
