/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Who connects, who is refused, and what is open. */
#include <inttypes.h>
#include <string.h>

#include "base/when.h"
#include "report/page_internal.h"

/* Row limits: the page is an overview, and it is rebuilt often. */
#define DENIALS_SHOWN 20u
#define DENIALS_AT_ONCE 4u /* the rest is folded */
#define PEERS_SHOWN 25u    /* of each direction */
#define CONNECTIONS_SHOWN 100u

static void put_address(struct fl_text *text, const struct fl_inet *inet)
{
	char addr[FL_ADDR_TEXT];

	if (inet->family != 0) {
		fl_page_put(text, fl_inet_format(inet, addr));
	}
}

/* --- denials ---------------------------------------------------------------------------------- */

/* "from ID at ADDRESS to SERVICE, port 8443" */
static void put_ends(struct fl_text *text, const struct fl_denial *denial)
{
	bool inbound = denial->direction == FL_INBOUND;
	char addr[FL_ADDR_TEXT];

	fl_page_put(text, "<div class=\"who\"><span>");
	fl_page_put(text, inbound ? "from " : "our app, ");
	if (inbound && denial->peer != NULL) {
		fl_page_id(text, denial->peer);
		fl_page_put(text, " at ");
	}
	fl_page_put(text,
		    denial->source.family != 0 ? fl_inet_format(&denial->source, addr) : "unknown");
	fl_page_put(text, "</span><span>to ");
	if (denial->section != NULL) {
		fl_page_put(text, "<b>");
		fl_page_escape(text, denial->section);
		fl_page_put(text, "</b>");
	}
	if (denial->destination.family != 0) {
		fl_page_put(text, " ");
		put_address(text, &denial->destination);
	} else if (denial->port != 0) {
		fl_text_print(text, "%s port %u", denial->section != NULL ? "," : "", denial->port);
	}
	if (!inbound && denial->peer != NULL) {
		fl_page_put(text, ", ");
		fl_page_id(text, denial->peer);
	}
	fl_page_put(text, "</span></div>\n");
}

/* A sentence, whose further lines are a section for the INI. */
static void put_remedy(struct fl_text *text, const char *remedy)
{
	size_t len = strcspn(remedy, "\n");

	fl_page_put(text, "<p>");
	fl_page_escape_part(text, remedy, len);
	fl_page_put(text, "</p>\n");
	if (remedy[len] != '\0') {
		fl_page_put(text, "<pre tabindex=\"0\">");
		for (const char *line = remedy + len + 1; line != NULL;) {
			len = strcspn(line, "\n");
			fl_page_escape_part(text, line, len);
			fl_page_put(text, "\n");
			line = line[len] != '\0' ? line + len + 1 : NULL;
		}
		fl_page_put(text, "</pre>\n");
	}
}

static const char *explanation_of(const struct fl_denial *denial)
{
	if (denial->detail != NULL) {
		return denial->detail;
	}
	if (denial->reason == FL_REASON_POLICY && denial->rule != NULL) {
		return strcmp(denial->rule, "default") == 0 ? "no rule allows this identity"
							    : "this rule denies this identity";
	}
	return fl_reason_text(denial->reason);
}

static void put_denial(struct fl_text *text, const struct fl_denial *denial, int64_t now)
{
	fl_page_put(text, "<li class=\"card\"><div class=\"what\"><b class=\"bad\">");
	fl_page_put(text, fl_reason_word(denial->reason));
	fl_page_put(text, "</b><span>");
	if (denial->rule != NULL) {
		fl_page_put(text, "rule <b>");
		fl_page_escape(text, denial->rule);
		fl_page_put(text, "</b>");
	}
	fl_page_put(text, "</span><span>");
	fl_page_number(text, denial->count);
	fl_page_put(text, denial->count == 1 ? " time</span>" : " times</span>");
	fl_page_ago(text, denial->last, now);
	fl_page_put(text, "</div>\n");
	put_ends(text, denial);
	fl_page_put(text, "<div class=\"quiet\">");
	fl_page_escape(text, explanation_of(denial));
	fl_page_put(text, "</div>\n");
	if (denial->remedy != NULL) {
		put_remedy(text, denial->remedy);
	}
	fl_page_put(text, "</li>\n");
}

static void put_denials(struct fl_text *text, const struct fl_snapshot *s, size_t from, size_t to)
{
	fl_page_put(text, "<ol class=\"denials\">\n");
	for (size_t i = from; i < to && i < s->denials->count; i++) {
		put_denial(text, &s->denials->items[i], s->now);
	}
	fl_page_put(text, "</ol>\n");
}

void fl_page_denials(struct fl_text *text, const struct fl_snapshot *s)
{
	size_t count = s->denials != NULL ? s->denials->count : 0;

	fl_page_section(text, "denials", "Refused connections");
	if (count == 0) {
		fl_page_put(text, "<p class=\"none\">None since the start.</p>\n");
	} else {
		put_denials(text, s, 0, DENIALS_AT_ONCE);
		if (count > DENIALS_AT_ONCE) {
			fl_page_put(text,
				    "<details id=\"earlier\"><summary>Earlier ones</summary>\n");
			put_denials(text, s, DENIALS_AT_ONCE, DENIALS_SHOWN);
			fl_page_put(text, "</details>\n");
		}
	}
	if (count > DENIALS_SHOWN) {
		fl_page_put(text,
			    "<p class=\"more\">These are the latest. The log has them all; "
			    "<a href=\"/seen\">/seen</a> counts those that policy refused.</p>\n");
	}
	fl_page_section_end(text);
}

/* --- peers ------------------------------------------------------------------------------------ */

/* "3 policy_denied, 1 peer_reset": failed handshakes, and why connections ended that did not finish
 * normally. */
static void put_trouble(struct fl_text *text, const struct fl_peer_sum *peer)
{
	const char *between = "<br><small>";

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
	fl_page_put(text, between[0] == ',' ? "</small>" : "");
}

static uint64_t bytes_of(const struct fl_peer_sum *peer)
{
	return peer->bytes_to_app + peer->bytes_to_mesh;
}

static void put_peer(struct fl_text *text, const struct fl_peer_sum *peer, uint64_t most)
{
	fl_page_put(text, "<tr><th scope=\"row\">");
	fl_page_id(text, peer->name);
	put_trouble(text, peer);
	if (bytes_of(peer) > 0) {
		fl_page_bar(text, "share", bytes_of(peer), most);
	}
	fl_page_put(text, "</th>");
	fl_page_number_cell(text, peer->open);
	fl_page_number_cell(text, peer->opened);
	fl_page_bytes_cell(text, peer->bytes_to_app);
	fl_page_bytes_cell(text, peer->bytes_to_mesh);
	fl_page_put(text, "</tr>\n");
}

static void put_peers(struct fl_text *text, const struct fl_snapshot *s,
		      enum fl_direction direction, const char *caption)
{
	static const char *const heads[] = {"Peer",        "#Open",        "#Opened",
					    "#To the app", "#To the mesh", NULL};
	uint64_t most = 0;
	size_t count = 0;

	for (size_t i = 0; i < s->peer_count; i++) {
		const struct fl_peer_sum *peer = &s->peers[i];

		if (peer->direction == direction) {
			most = bytes_of(peer) > most ? bytes_of(peer) : most;
			count++;
		}
	}
	fl_page_table(text, caption, caption, heads);
	for (size_t i = 0, shown = 0; i < s->peer_count && shown < PEERS_SHOWN; i++) {
		if (s->peers[i].direction == direction) {
			put_peer(text, &s->peers[i], most);
			shown++;
		}
	}
	if (count == 0) {
		fl_page_put(text, "<tr><td colspan=\"5\" class=\"quiet\">Nobody yet</td></tr>\n");
	}
	if (count > PEERS_SHOWN) {
		fl_text_print(text,
			      "<tr><td colspan=\"5\">and %zu more, with less that is open: "
			      "<a href=\"/status\">/status</a></td></tr>\n",
			      count - PEERS_SHOWN);
	}
	fl_page_table_end(text);
}

void fl_page_peers(struct fl_text *text, const struct fl_snapshot *s)
{
	fl_page_section(text, "peers", "Who talks to whom");
	fl_page_put(text, "<div class=\"pair\">\n");
	put_peers(text, s, FL_INBOUND, "Connect to our app");
	put_peers(text, s, FL_OUTBOUND, "Our app connects to");
	fl_page_put(text, "</div>\n");
	fl_page_section_end(text);
}

/* --- connections -------------------------------------------------------------------------------- */

static void address_cell(struct fl_text *text, const struct fl_inet *inet)
{
	fl_page_put(text, "<td class=\"nowrap\">");
	put_address(text, inet);
	fl_page_put(text, "</td>");
}

static void put_connection(struct fl_text *text, const struct fl_listed *item, uint64_t now_ns)
{
	char span[FL_SPAN_TEXT];
	uint64_t age_s = now_ns > item->started_ns ? (now_ns - item->started_ns) / 1000000000u : 0;
	bool is_plain = item->security != NULL && item->peer == NULL;

	fl_text_print(text, "<tr><td>%s</td><td>%s ", item->state,
		      fl_direction_word(item->direction));
	fl_page_escape(text, item->name != NULL ? item->name : "");
	fl_page_put(text, "</td>");
	fl_page_id_cell(text, item->peer != NULL ? item->peer : is_plain ? "plaintext" : "");
	address_cell(text, &item->source);
	if (item->far != NULL) {
		fl_page_cell(text, item->far);
	} else {
		address_cell(text, &item->destination);
	}
	fl_text_print(text, "<td class=\"n\">%s</td>", fl_when_span((int64_t)age_s, span));
	fl_page_bytes_cell(text, item->to_app);
	fl_page_bytes_cell(text, item->to_mesh);
	fl_page_put(text, "</tr>\n");
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

void fl_page_connections(struct fl_text *text, const struct fl_snapshot *s)
{
	static const char *const heads[] = {"State",       "By",           "Peer",
					    "Source",      "Destination",  "#Age",
					    "#To the app", "#To the mesh", NULL};
	uint64_t open = 0;
	size_t shown;

	for (size_t i = 0; i < s->listing_count; i++) {
		open += s->listings[i].open;
	}
	fl_page_section(text, "connections", "Open connections");
	if (open == 0) {
		fl_page_put(text, "<p class=\"none\">None.</p>\n");
	} else {
		fl_page_table(text, "Open connections", NULL, heads);
		shown = put_some(text, s);
		fl_page_table_end(text);
		if (open > shown) {
			fl_text_print(text,
				      "<p class=\"more\">and %" PRIu64
				      " more: <a href=\"/connections\">"
				      "/connections</a></p>\n",
				      open - shown);
		}
	}
	fl_page_section_end(text);
}
