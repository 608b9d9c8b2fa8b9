/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The words and boxes that the page is made of. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"
#include "base/when.h"
#include "report/page_internal.h"

void fl_page_put(struct fl_text *text, const char *literal)
{
	fl_text_put(text, literal, strlen(literal));
}

void fl_page_escape_part(struct fl_text *text, const char *value, size_t left)
{
	while (left > 0) {
		uint32_t point = 0;
		size_t len = fl_utf8_sequence(value, left, &point);

		if (len == 0 || fl_utf8_is_control(point)) {
			fl_page_put(text, "&#xfffd;");
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

void fl_page_escape(struct fl_text *text, const char *value)
{
	fl_page_escape_part(text, value, strlen(value));
}

void fl_page_id(struct fl_text *text, const char *id)
{
	static const char scheme[] = "spiffe://";
	size_t domain = 0;

	fl_page_put(text, "<span class=\"id\">");
	if (strncmp(id, scheme, sizeof(scheme) - 1) == 0) {
		domain = sizeof(scheme) - 1 + strcspn(id + sizeof(scheme) - 1, "/");
		fl_page_put(text, "<i>");
		fl_page_escape_part(text, id, domain);
		fl_page_put(text, "</i>");
	}
	while (id[domain] != '\0') {
		size_t len = 1 + strcspn(id + domain + 1, "/");

		fl_page_put(text, id[domain] == '/' ? "<wbr>" : "");
		fl_page_escape_part(text, id + domain, len);
		domain += len;
	}
	fl_page_put(text, "</span>");
}

void fl_page_number(struct fl_text *text, uint64_t value)
{
	char digits[24];
	size_t len = (size_t)snprintf(digits, sizeof(digits), "%" PRIu64, value);

	for (size_t i = 0; i < len; i++) {
		if (i > 0 && (len - i) % 3 == 0) {
			fl_page_put(text, ",");
		}
		fl_text_put(text, digits + i, 1);
	}
}

void fl_page_bytes(struct fl_text *text, uint64_t bytes)
{
	if (bytes < 1024) {
		fl_text_put_bytes(text, bytes);
		return;
	}
	fl_text_print(text, "<span title=\"%" PRIu64 "\">", bytes);
	fl_text_put_bytes(text, bytes);
	fl_page_put(text, "</span>");
}

static void put_time(struct fl_text *text, int64_t when)
{
	char buf[FL_WHEN_TEXT];

	fl_when_format(when, buf);
	fl_text_print(text, "<time datetime=\"%s\" title=\"%s\">", buf, buf);
}

static void put_span(struct fl_text *text, int64_t when, int64_t now, const char *end)
{
	char span[FL_SPAN_TEXT];

	put_time(text, when);
	fl_text_print(text, "%s%s</time>", fl_when_span(now > when ? now - when : 0, span), end);
}

void fl_page_for(struct fl_text *text, int64_t when, int64_t now)
{
	put_span(text, when, now, "");
}

void fl_page_ago(struct fl_text *text, int64_t when, int64_t now)
{
	put_span(text, when, now, " ago");
}

void fl_page_expiry(struct fl_text *text, int64_t not_after, int64_t now)
{
	char span[FL_SPAN_TEXT];

	if (not_after < now) {
		fl_page_put(text, "<span class=\"bad\">expired ");
		fl_page_ago(text, not_after, now);
		fl_page_put(text, "</span>");
	} else {
		put_time(text, not_after);
		fl_text_print(text, "in %s</time>", fl_when_span(not_after - now, span));
	}
}

/* --- tables ------------------------------------------------------------------------------------- */

void fl_page_cell(struct fl_text *text, const char *value)
{
	fl_page_put(text, "<td>");
	fl_page_escape(text, value);
	fl_page_put(text, "</td>");
}

void fl_page_id_cell(struct fl_text *text, const char *id)
{
	fl_page_put(text, "<td>");
	fl_page_id(text, id);
	fl_page_put(text, "</td>");
}

void fl_page_number_cell(struct fl_text *text, uint64_t value)
{
	fl_page_put(text, "<td class=\"n\">");
	fl_page_number(text, value);
	fl_page_put(text, "</td>");
}

void fl_page_bytes_cell(struct fl_text *text, uint64_t bytes)
{
	fl_page_put(text, "<td class=\"n\">");
	fl_page_bytes(text, bytes);
	fl_page_put(text, "</td>");
}

void fl_page_section(struct fl_text *text, const char *id, const char *heading)
{
	fl_text_print(text, "<section aria-labelledby=\"%s\">\n<h2 id=\"%s\">%s</h2>\n", id, id,
		      heading);
}

void fl_page_section_end(struct fl_text *text)
{
	fl_page_put(text, "</section>\n");
}

void fl_page_table(struct fl_text *text, const char *label, const char *caption,
		   const char *const heads[])
{
	fl_text_print(
		text,
		"<div class=\"table\" role=\"region\" tabindex=\"0\" aria-label=\"%s\"><table>\n",
		label);
	if (caption != NULL) {
		fl_text_print(text, "<caption>%s</caption>\n", caption);
	}
	fl_page_put(text, "<thead><tr>");
	for (size_t i = 0; heads[i] != NULL; i++) {
		bool is_number = heads[i][0] == '#';

		fl_text_print(text, "<th scope=\"col\"%s>%s</th>", is_number ? " class=\"n\"" : "",
			      heads[i] + is_number);
	}
	fl_page_put(text, "</tr></thead>\n<tbody>\n");
}

void fl_page_table_end(struct fl_text *text)
{
	fl_page_put(text, "</tbody></table></div>\n");
}

void fl_page_bar(struct fl_text *text, const char *class, uint64_t part, uint64_t whole)
{
	double share = whole > 0 ? (double)part / (double)whole : 0;

	fl_text_print(text,
		      "<svg class=\"%s\" viewBox=\"0 0 100 1\" preserveAspectRatio=\"none\" "
		      "aria-hidden=\"true\"><rect width=\"%.1f\" height=\"1\"/></svg>",
		      class, 100 * (share < 1 ? share : 1));
}
