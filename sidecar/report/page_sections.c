/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The services and upstreams of the INI in force, with their state: those that fail come first. */
#include <inttypes.h>
#include <string.h>

#include "policy/pattern.h"
#include "report/page_internal.h"

#define SECTIONS_SHOWN 50u
#define ADDRESSES_SHOWN 4u /* of one name */

static const char *name_of(const struct fl_section_state *state)
{
	if (state->sum.name != NULL) {
		return state->sum.name;
	}
	return state->upstream != NULL ? "[outbound]" : "[inbound]";
}

/* --- what the INI says ---------------------------------------------------------------------------- */

static void put_service(struct fl_text *text, const struct fl_conf_service *service,
			const struct fl_conf *conf)
{
	char addr[FL_ADDR_TEXT];

	fl_page_put(text, fl_inbound_mode_word(service != NULL ? service->inbound.mode
							       : conf->inbound.mode));
	if (service == NULL) {
		fl_page_put(text, ", captured ports that no section names");
	} else if (service->listen.kind != FL_ADDR_NONE) {
		fl_page_put(text, ", ");
		fl_page_escape(text, fl_addr_format(&service->listen, addr));
		fl_page_put(text, " to ");
		fl_page_escape(text, fl_addr_format(&service->app, addr));
	} else {
		fl_text_print(text, ", captured port %u", service->port);
	}
}

static void put_upstream(struct fl_text *text, const struct fl_conf_upstream *upstream)
{
	char to[FL_CONF_DEST_TEXT];
	const char *between = " to ";

	fl_page_put(text, fl_outbound_mode_word(upstream->mode));
	if (upstream->name == NULL) {
		fl_page_put(text, " to captured destinations that no section names");
	}
	for (size_t i = 0; i < upstream->to_count; i++, between = ", ") {
		fl_page_put(text, between);
		fl_page_escape(text, fl_addr_format(&upstream->to[i], to));
	}
	for (size_t i = 0; i < upstream->dest_count; i++, between = ", ") {
		fl_page_put(text, between);
		fl_page_escape(text, fl_conf_dest_format(&upstream->dests[i], to));
	}
	for (size_t i = 0; i < upstream->peer_count; i++) {
		fl_page_put(text, i == 0 ? "<br>" : ", ");
		fl_page_id(text, fl_pattern_text(upstream->peer[i]));
	}
}

static void put_name(struct fl_text *text, const struct fl_resolution *name, int64_t now)
{
	char address[FL_CIDR_TEXT];

	fl_page_put(text, "<br>");
	fl_page_escape(text, name->host);
	fl_page_put(text, ": ");
	for (size_t i = 0; i < name->count && i < ADDRESSES_SHOWN; i++) {
		fl_page_put(text, i > 0 ? ", " : "");
		fl_page_put(text, fl_cidr_format(&name->addresses[i], address));
	}
	if (name->count > ADDRESSES_SHOWN) {
		fl_text_print(text, " and %zu more", name->count - ADDRESSES_SHOWN);
	}
	if (name->count == 0) {
		fl_page_put(text, "no address");
	}
	if (name->answered > 0) {
		fl_page_put(text, ", answered ");
		fl_page_ago(text, name->answered, now);
	}
	if (name->trouble != NULL) {
		fl_page_put(text, ", <span class=\"bad\">");
		fl_page_escape(text, name->trouble);
		fl_page_put(text, "</span>");
	}
}

/* --- its state ------------------------------------------------------------------------------------ */

static void put_failure(struct fl_text *text, const struct fl_section_failure *failure, int64_t now)
{
	fl_page_put(text, fl_reason_word(failure->reason));
	if (failure->address[0] != '\0') {
		fl_page_put(text, " at ");
		fl_page_escape(text, failure->address);
	}
	fl_page_put(text, ", ");
	fl_page_ago(text, failure->time_ms / 1000, now);
	fl_page_put(text, "<br>");
	fl_page_escape(text, failure->detail[0] != '\0' ? failure->detail
							: fl_reason_text(failure->reason));
}

static void put_state(struct fl_text *text, const struct fl_section_sum *sum, int64_t now)
{
	if (sum->failing) {
		fl_page_put(text, "<b class=\"bad\">fails</b> <small>");
		if (sum->last_success_ms > 0) {
			fl_page_put(text, "last success ");
			fl_page_ago(text, sum->last_success_ms / 1000, now);
		} else {
			fl_page_put(text, "no success since the start");
		}
		fl_page_put(text, "<br>");
	} else if (sum->last_success_ms > 0) {
		fl_page_put(text, "<span class=\"good\">works</span> <small>last success ");
		fl_page_ago(text, sum->last_success_ms / 1000, now);
		fl_page_put(text, sum->last_failure.time_ms > 0 ? "<br>last failure: " : "");
	} else {
		fl_page_put(text, "<span class=\"quiet\">not used yet</span><small>");
	}
	if (sum->last_failure.time_ms > 0) {
		put_failure(text, &sum->last_failure, now);
	}
	fl_page_put(text, "</small>");
}

static void put_row(struct fl_text *text, const struct fl_snapshot *s,
		    const struct fl_section_state *state)
{
	fl_page_put(text, state->upstream != NULL
				  ? "<tr><th scope=\"row\"><small>upstream</small> "
				  : "<tr><th scope=\"row\"><small>service</small> ");
	fl_page_put(text, "<span class=\"nowrap\">");
	fl_page_escape(text, name_of(state));
	fl_page_put(text, "</span><br><small>");
	if (state->upstream != NULL) {
		put_upstream(text, state->upstream);
	} else {
		put_service(text, state->service, s->conf);
	}
	if (state->waits_for_restart) {
		fl_page_put(text,
			    "<br><span class=\"bad\">its listener waits for a restart</span>");
	}
	for (size_t i = 0; i < state->name_count; i++) {
		put_name(text, &state->names[i], s->now);
	}
	fl_page_put(text, "</small></th><td>");
	put_state(text, &state->sum, s->now);
	fl_page_put(text, "</td>");
	fl_page_number_cell(text, state->sum.open);
	fl_page_number_cell(text, state->sum.opened);
	fl_page_bytes_cell(text, state->sum.bytes_to_app);
	fl_page_bytes_cell(text, state->sum.bytes_to_mesh);
	fl_page_put(text, "</tr>\n");
}

void fl_page_sections(struct fl_text *text, const struct fl_snapshot *s)
{
	static const char *const heads[] = {"Section",     "State",        "#Open", "#Opened",
					    "#To the app", "#To the mesh", NULL};
	size_t shown = 0;

	if (s->conf == NULL || s->section_count == 0) {
		return;
	}
	fl_page_section(text, "sections", "Services and upstreams");
	fl_page_table(text, "Services and upstreams", NULL, heads);
	for (unsigned works = 0; works < 2; works++) {
		for (size_t i = 0; i < s->section_count && shown < SECTIONS_SHOWN; i++) {
			if (s->sections[i].sum.failing == (works == 0)) {
				put_row(text, s, &s->sections[i]);
				shown++;
			}
		}
	}
	if (s->section_count > shown) {
		fl_text_print(text,
			      "<tr><td colspan=\"6\">and %zu more, which work: "
			      "<a href=\"/status\">/status</a></td></tr>\n",
			      s->section_count - shown);
	}
	fl_page_table_end(text);
	fl_page_section_end(text);
}
