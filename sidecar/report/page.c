/* SPDX-License-Identifier: GPL-3.0-or-later */
/* page - the snapshot as one HTML page for a person; nothing is loaded from elsewhere.
 *
 * Its script (page.js) fetches the page again every few seconds and changes what differs; without the script the browser
 * reloads it. fl_report_page_policy() allows this style and this script and nothing else: even if a text ever bypassed
 * fl_page_escape(), the browser would not run it. */
#include "base/when.h"
#include "page_assets.h"
#include "report/page_internal.h"

/* A dot in the tab of the browser, which says the same as the first line: good or bad. */
#define ICON(colour)                                                                               \
	"<link rel=\"icon\" href=\"data:image/svg+xml,%3Csvg xmlns='http:%2F%2Fwww.w3.org"         \
	"%2F2000%2Fsvg' viewBox='0 0 16 16'%3E%3Ccircle cx='8' cy='8' r='6' fill='%23" colour      \
	"'/%3E%3C/svg%3E\">\n"

static const char head[] =
	"<!DOCTYPE html>\n"
	"<html lang=\"en\">\n"
	"<head>\n"
	"<meta charset=\"utf-8\">\n"
	"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
	"<meta name=\"color-scheme\" content=\"light dark\">\n"
	"<noscript><meta http-equiv=\"refresh\" content=\"5\"></noscript>\n";

/* What the script writes to, apart from what it fetches. */
static const char bar[] = "</style>\n"
			  "</head>\n"
			  "<body>\n"
			  "<a class=\"skip\" href=\"#main\">Skip to the figures</a>\n"
			  "<div class=\"bar\"><b>Fairlead</b><span id=\"live\"></span>"
			  "<button id=\"pause\" type=\"button\" hidden>Pause</button></div>\n"
			  "<p id=\"lost\" role=\"alert\" hidden></p>\n";

const char *fl_report_page_policy(void)
{
	return page_policy;
}

static void put_lines(struct fl_text *text, const char *const lines[], size_t count)
{
	for (size_t i = 0; i < count; i++) {
		fl_page_put(text, lines[i]);
	}
}

static const char *name_of(const struct fl_snapshot *s)
{
	return s->expiries != NULL ? s->expiries->id : "A sidecar without identity yet";
}

static void put_title(struct fl_text *text, const struct fl_snapshot *s)
{
	fl_page_put(text, s->ready ? ICON("1a7f37") : ICON("cf222e"));
	fl_page_put(text, s->ready ? "<title>" : "<title>Not ready: ");
	fl_page_escape(text, name_of(s));
	fl_page_put(text, " - Fairlead</title>\n");
}

static void put_warnings(struct fl_text *text, const struct fl_snapshot *s)
{
	char warning[FL_WARNING_TEXT];
	size_t count = 0;

	for (; fl_report_warning(s, count, warning); count++) {
		fl_page_put(text,
			    count == 0 ? "<ul class=\"warnings\" aria-label=\"Warnings\">\n" : "");
		fl_page_put(text, "<li><b class=\"warn\">Warning</b>: ");
		fl_page_escape(text, warning);
		fl_page_put(text, "</li>\n");
	}
	fl_page_put(text, count > 0 ? "</ul>\n" : "");
}

static void put_header(struct fl_text *text, const struct fl_snapshot *s)
{
	fl_page_put(text, "<header>\n<h1 tabindex=\"-1\">");
	fl_page_id(text, name_of(s));
	fl_page_put(text, "</h1>\n");
	if (s->ready) {
		fl_page_put(text,
			    "<p class=\"state\"><b>Ready</b><span>version " FL_VERSION ", up for ");
		fl_page_for(text, s->started, s->now);
		fl_page_put(text, "</span></p>\n");
	} else {
		fl_page_put(text, "<p class=\"state bad\"><b>Not ready</b><span>");
		fl_page_escape(text, s->reason);
		fl_page_put(text, "</span></p>\n");
	}
	put_warnings(text, s);
	fl_page_put(text, "</header>\n");
}

static void put_footer(struct fl_text *text, const struct fl_snapshot *s)
{
	static const char *const documents[] = {"/status",  "/connections", "/seen",
						"/metrics", "/readyz",      "/healthz"};
	char now[FL_WHEN_TEXT];

	fl_text_print(text,
		      "<footer>As of %s. The same for machines: ", fl_when_format(s->now, now));
	for (size_t i = 0; i < FL_COUNT_OF(documents); i++) {
		fl_text_print(text, "<a href=\"%s\">%s</a> ", documents[i], documents[i]);
	}
	fl_page_put(text, "</footer>\n");
}

void fl_report_page(const struct fl_snapshot *snapshot, struct fl_text *ret)
{
	fl_page_put(ret, head);
	put_title(ret, snapshot);
	fl_page_put(ret, "<style>");
	put_lines(ret, page_style, FL_COUNT_OF(page_style));
	fl_page_put(ret, bar);
	put_header(ret, snapshot);
	fl_page_put(ret, "<main id=\"main\">\n");
	fl_page_tiles(ret, snapshot);
	fl_page_charts(ret, snapshot);
	fl_page_denials(ret, snapshot);
	fl_page_sections(ret, snapshot);
	fl_page_peers(ret, snapshot);
	fl_page_facts(ret, snapshot);
	fl_page_connections(ret, snapshot);
	fl_page_counts(ret, snapshot);
	fl_page_put(ret, "</main>\n");
	put_footer(ret, snapshot);
	fl_page_put(ret, "<script>");
	put_lines(ret, page_script, FL_COUNT_OF(page_script));
	fl_page_put(ret, "</script>\n</body>\n</html>\n");
}
