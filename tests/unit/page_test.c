/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The parts of the page that are computed: IDs, numbers, charts, denials, and that it stays small. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "report/page_internal.h"

#define NOW 1795250000 /* 2026-11-21T08:33:20Z */
#define S 1000000000ULL

static void expect(const struct fl_text *text, const char *part)
{
	cr_assert_not_null(text->data);
	cr_expect_not_null(strstr(text->data, part), "no %s in:\n%s", part, text->data);
}

static size_t count(const struct fl_text *text, const char *part)
{
	size_t found = 0;

	for (const char *at = text->data; (at = strstr(at, part)) != NULL; at++) {
		found++;
	}
	return found;
}

Test(page, ids_break_before_a_slash_only)
{
	static const struct {
		const char *id, *html;
	} cases[] = {
		{"spiffe://td.example/ns/a-b/sa/c",
		 "<span class=\"id\"><i>spiffe://td.example</i><wbr>/ns<wbr>/a-b<wbr>/sa<wbr>/c</span>"},
		{"spiffe://td", "<span class=\"id\"><i>spiffe://td</i></span>"},
		{"spiffe:///", "<span class=\"id\"><i>spiffe://</i><wbr>/</span>"},
		{"plaintext", "<span class=\"id\">plaintext</span>"},
		{"", "<span class=\"id\"></span>"},
		{"a/<b>", "<span class=\"id\">a<wbr>/&#60;b&#62;</span>"},
	};

	for (size_t i = 0; i < FL_COUNT_OF(cases); i++) {
		struct fl_text text = {0};

		fl_page_id(&text, cases[i].id);
		cr_expect_str_eq(text.data, cases[i].html);
		fl_text_done(&text);
	}
}

Test(page, numbers_in_groups)
{
	struct fl_text text = {0};

	fl_page_number(&text, 0);
	fl_text_print(&text, " ");
	fl_page_number(&text, 999);
	fl_text_print(&text, " ");
	fl_page_number(&text, 1000);
	fl_text_print(&text, " ");
	fl_page_number(&text, UINT64_MAX);
	cr_expect_str_eq(text.data, "0 999 1,000 18,446,744,073,709,551,615");
	fl_text_done(&text);
}

/* --- charts ------------------------------------------------------------------------------------- */

static struct fl_rotations no_rotations;

static void draw(const struct fl_history *history, uint64_t now_s, struct fl_text *ret)
{
	struct fl_snapshot snapshot = {.now = NOW,
				       .generation = 3,
				       .rotations = &no_rotations,
				       .history = history,
				       .now_ns = now_s * S};

	fl_page_charts(ret, &snapshot);
}

Test(page, charts_of_nothing)
{
	struct fl_history history = {0};
	struct fl_history_totals totals = {0};
	struct fl_text text = {0};

	fl_history_note(&history, 1 * S, &totals);
	draw(&history, 2, &text);
	expect(&text, "aria-label=\"Throughput in the last hour. Now 0 B/s to the app, "
		      "0 B/s to the mesh; at most 0 B/s.\"");
	expect(&text, "<path class=\"one\" d=\"M0 100H240V100Z\"/>");
	expect(&text, "<rect class=\"before\" width=\"239\" height=\"100\"/>");
	cr_expect_eq(count(&text, "<figure"), 3);
	fl_text_done(&text);
}

/* One step with 30 connections: 2 a second; the scale ends at 2, and the column is as high as the chart. */
Test(page, a_chart_shows_rates)
{
	struct fl_history history = {0};
	struct fl_history_totals totals = {0};
	struct fl_text text = {0};

	fl_history_note(&history, 1 * S, &totals);
	totals.opened[FL_INBOUND] = 30;
	totals.bytes_to_mesh = 15 * 3584;
	totals.refused = 1;
	fl_history_note(&history, (1 + FL_HISTORY_STEP_S) * S, &totals);
	fl_history_note(&history, (1 + 2 * FL_HISTORY_STEP_S) * S, &totals);
	draw(&history, 1 + 2 * FL_HISTORY_STEP_S, &text);
	expect(&text, "<path class=\"one\" d=\"M0 100H237V0.0H238V100.0H240V100Z\"/>");
	expect(&text, "<small class=\"top\">2.0/s</small>");
	/* 3.5 KiB/s of 4 */
	expect(&text, "<path class=\"two\" d=\"M0 100H237V12.5H238V100.0H240V100Z\"/>");
	expect(&text, "<small class=\"top\">4.0 KiB/s</small>");
	/* 4 a minute */
	expect(&text, "<small class=\"top\">4/min</small>");
	expect(&text, "<path class=\"one\" d=\"M0 100H237V0.0H238V100.0H240V100Z\"/>");
	expect(&text, "data-names=\"to the app|to the mesh\"");
	expect(&text, "|,3.5 KiB/s|,|,\"");
	fl_text_done(&text);
}

Test(page, a_rotation_is_marked)
{
	struct fl_history history = {0};
	struct fl_history_totals totals = {0};
	struct fl_text text = {0};

	no_rotations.last_used = NOW - 30 * 60;
	fl_history_note(&history, 1 * S, &totals);
	draw(&history, 2, &text);
	expect(&text, "<line class=\"mark\" x1=\"120.0\" x2=\"120.0\"");
	fl_text_done(&text);
	text = (struct fl_text){0};
	no_rotations.last_used = NOW - 3601;
	draw(&history, 2, &text);
	cr_expect_null(strstr(text.data, "class=\"mark\""));
	fl_text_done(&text);
}

/* --- denials -------------------------------------------------------------------------------------- */

Test(page, denials_with_rule_time_and_remedy)
{
	struct fl_denial items[] = {
		{.direction = FL_INBOUND,
		 .reason = FL_REASON_POLICY,
		 .peer = (char *)"spiffe://td/a",
		 .section = (char *)"web",
		 .rule = (char *)"default",
		 .remedy = (char *)"to let it in:\n[allow a]\nfrom = spiffe://td/a",
		 .port = 8443,
		 .count = 1234,
		 .last = NOW - 90},
		{.direction = FL_OUTBOUND,
		 .reason = FL_REASON_NOT_MUTUAL,
		 .detail = (char *)"<b>",
		 .remedy = (char *)"one sentence",
		 .count = 1,
		 .last = NOW},
	};
	struct fl_denials denials = {.items = items, .count = 2};
	struct fl_snapshot snapshot = {.now = NOW, .denials = &denials};
	struct fl_text text = {0};

	fl_page_denials(&text, &snapshot);
	expect(&text, ">policy_denied</b><span>rule <b>default</b></span><span>1,234 times</span>");
	expect(&text, "title=\"2026-11-21T08:31:50Z\">1m 30s ago</time>");
	expect(&text, "<i>spiffe://td</i><wbr>/a</span> at unknown");
	expect(&text, "to <b>web</b>, port 8443");
	expect(&text,
	       "<p>to let it in:</p>\n<pre tabindex=\"0\">[allow a]\nfrom = spiffe://td/a\n</pre>");
	expect(&text, "<p>one sentence</p>\n</li>");
	expect(&text, "\"quiet\">&#60;b&#62;</div>");
	fl_text_done(&text);
}

/* --- bounds --------------------------------------------------------------------------------------- */

/* With as much of everything as the tables hold, and long names. */
Test(page, it_stays_small)
{
	static char name[] =
		"spiffe://prod.example/ns/a-long-name-space/sa/a-long-service-account-name";
	struct fl_peer_sum *peers = fl_new(1000 * sizeof(*peers));
	struct fl_denial *items = fl_new(1000 * sizeof(*items));
	struct fl_rule_count *rules = fl_new(20000 * sizeof(*rules));
	struct fl_listing listing = {.items = fl_new(FL_LISTING_MAX * sizeof(*listing.items)),
				     .count = FL_LISTING_MAX,
				     .open = 20000};
	struct fl_denials denials = {.items = items, .count = 1000};
	struct fl_rotations rotations = {.used = 1};
	struct fl_capture capture = {.expected = false};
	struct fl_snapshot s = {.now = NOW,
				.rotations = &rotations,
				.capture = &capture,
				.agent_trouble = "",
				.peers = peers,
				.peer_count = 1000,
				.decisions = rules,
				.decision_count = 20000,
				.denials = &denials,
				.listings = &listing,
				.listing_count = 1};
	struct fl_text text = {0};

	for (size_t i = 0; i < 1000; i++) {
		peers[i] = (struct fl_peer_sum){.name = name, .direction = i % FL_DIRECTIONS};
		items[i] =
			(struct fl_denial){.reason = FL_REASON_POLICY, .peer = name, .rule = name};
	}
	for (size_t i = 0; i < 20000; i++) {
		rules[i].rule = i + 1 < 20000 ? name : "default";
	}
	for (size_t i = 0; i < FL_LISTING_MAX; i++) {
		listing.items[i] = (struct fl_listed){.state = "open", .peer = name, .name = name};
	}
	fl_report_page(&s, &text);
	cr_expect_lt(text.len, 200 * 1024);
	expect(&text, "and 475 more, with less that is open");
	expect(&text, "and 19900 more: <a href=\"/connections\">");
	expect(&text, "and 19949 more rules");
	expect(&text, "<th scope=\"row\">default</th>");
	expect(&text, "These are the latest.");
	fl_text_done(&text);
	free(listing.items);
	free(rules);
	free(items);
	free(peers);
}
