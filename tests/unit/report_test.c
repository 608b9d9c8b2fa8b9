/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Metrics, status and page, rendered from a made-up state. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "fixture.h"
#include "report/report.h"

#define NOW 1795250000 /* 2026-11-21T08:33:20Z */

struct state {
	struct fl_snapshot snapshot;
	struct fl_rotations rotations;
	struct fl_expiries expiries;
	struct fl_expiry items[3];
	struct fl_addr addr;
	struct fl_capture capture;
};

/* Ready, with one generation and a service. */
static void make_state(struct state *s)
{
	static const uint8_t digest[32] = {0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0xff};

	*s = (struct state){0};
	s->rotations.used = 2;
	s->rotations.last_used = NOW - 60;
	s->items[0] =
		(struct fl_expiry){FL_CERTIFICATE_LEAF, "prod.example", 1, NOW + 3600, NOW - 7200};
	s->items[1] =
		(struct fl_expiry){FL_CERTIFICATE_INTERMEDIATE, "prod.example", 2, NOW + 86400, 0};
	s->items[2] = (struct fl_expiry){FL_CERTIFICATE_ROOT, "prod.example", 1, NOW - 1, 0};
	s->expiries = (struct fl_expiries){.items = s->items,
					   .count = 3,
					   .id = "spiffe://prod.example/web",
					   .trust_domain = "prod.example",
					   .chain_not_after = NOW + 3600,
					   .chain_index = 1,
					   .own_roots = 1,
					   .own_roots_not_after = NOW + 1};
	cr_assert_eq(fl_addr_parse("127.0.0.1:8443", 0, &s->addr, NULL), 0);
	s->snapshot = (struct fl_snapshot){
		.now = NOW,
		.started = NOW - 100,
		.pid = 42,
		.workers = 2,
		.ready = true,
		.generation = 7,
		.digest = digest,
		.expiries = &s->expiries,
		.rotations = &s->rotations,
		.capture = &s->capture,
		.agent_connected = true,
		.agent_trouble = "",
	};
	s->snapshot.listeners = fl_new(sizeof(*s->snapshot.listeners));
	s->snapshot.listener_count = 1;
	s->snapshot.listeners[0] = (struct fl_listening){.section = "service",
							 .name = "web",
							 .address = &s->addr,
							 .leads_to = &s->addr,
							 .leads_to_count = 1,
							 .serving = true};
}

typedef void render_fn(const struct fl_snapshot *snapshot, struct fl_text *ret);

/* The document; to be freed. */
static char *render(const struct state *s, render_fn *report)
{
	struct fl_text text = {0};

	report(&s->snapshot, &text);
	cr_assert_eq(strlen(text.data), text.len);
	return text.data;
}

static void expect(const struct state *s, render_fn *report, const char *part)
{
	char *document = render(s, report);

	cr_assert_not_null(strstr(document, part), "no %s in:\n%s", part, document);
	free(document);
}

static void expect_not(const struct state *s, render_fn *report, const char *part)
{
	char *document = render(s, report);

	cr_assert_null(strstr(document, part), "%s in:\n%s", part, document);
	free(document);
}

static void count_some(struct fl_plaintext_counts *plain)
{
	struct fl_conf_upstream upstreams[] = {
		{.name = (char *)"db", .mode = FL_OUTBOUND_PLAINTEXT},
		{.name = (char *)"api", .mode = FL_OUTBOUND_MTLS}};
	struct fl_conf conf = {.upstreams = upstreams,
			       .upstream_count = 2,
			       .outbound = {.mode = FL_OUTBOUND_PLAINTEXT}};

	for (unsigned worker = 0; worker < 2; worker++) {
		struct fl_plaintext_counter **counters =
			fl_plaintext_counters(plain, &conf, worker);

		cr_assert_null(counters[1], "mutual TLS is not counted here");
		counters[0]->connections += 2;
		counters[0]->bytes_to_app += 100;
		counters[2]->bytes_to_mesh += 7;
		free(counters);
	}
}

Test(report, plaintext_by_upstream_of_all_workers_and_generations)
{
	struct state s;
	struct fl_plaintext_counts *plain = fl_plaintext_counts_new(2);

	make_state(&s);
	expect_not(&s, fl_report_metrics, "fairlead_plaintext");
	expect(&s, fl_report_status, "\"plaintext\": []");
	count_some(plain);
	count_some(plain);
	s.snapshot.plaintext = plain;
	expect(&s, fl_report_metrics, "fairlead_plaintext_connections_total{upstream=\"db\"} 8\n");
	expect(&s, fl_report_metrics,
	       "fairlead_plaintext_bytes_total{upstream=\"db\",to=\"app\"} 400\n");
	expect(&s, fl_report_metrics,
	       "fairlead_plaintext_bytes_total{upstream=\"[outbound]\",to=\"mesh\"} 28\n");
	expect_not(&s, fl_report_metrics, "upstream=\"api\"");
	expect(&s, fl_report_status,
	       "\"upstream\": \"db\",\n      \"connections\": 8,\n      \"to_app\": 400,\n      \"to_mesh\": 0");
	fl_snapshot_done(&s.snapshot);
	fl_plaintext_counts_free(plain);
}

Test(report, plaintext_has_a_bounded_number_of_names)
{
	struct fl_plaintext_counts *plain = fl_plaintext_counts_new(1);
	struct fl_plaintext_counter sum;
	const char *name;
	size_t count = 0;

	for (unsigned i = 0; i < 2 * FL_PLAINTEXT_MAX; i++) {
		struct fl_conf_upstream upstream = {.name = fl_format("u%u", i),
						    .mode = FL_OUTBOUND_PLAINTEXT};
		struct fl_conf conf = {.upstreams = &upstream, .upstream_count = 1};
		struct fl_plaintext_counter **counters = fl_plaintext_counters(plain, &conf, 0);

		counters[0]->connections++;
		free(counters);
		free(upstream.name);
	}
	while (fl_plaintext_counts_sum(plain, count, &name, &sum)) {
		count++;
	}
	cr_expect_eq(count, FL_PLAINTEXT_MAX);
	cr_expect_str_eq(name, "[others]");
	cr_expect_eq(sum.connections, FL_PLAINTEXT_MAX + 1);
	fl_plaintext_counts_free(plain);
}

/* --- metrics ---------------------------------------------------------------------------------- */

Test(report, metrics_of_a_quiet_sidecar)
{
	struct state s;

	make_state(&s);
	expect(&s, fl_report_metrics, "fairlead_build_info{version=\"" FL_VERSION "\"} 1\n");
	expect(&s, fl_report_metrics, "\nfairlead_ready 1\n");
	expect(&s, fl_report_metrics, "\nfairlead_generation 7\n");
	expect(&s, fl_report_metrics, "\nfairlead_agent_connected 1\n");
	expect(&s, fl_report_metrics, "fairlead_rotations_total{result=\"used\"} 2\n");
	expect(&s, fl_report_metrics, "\nfairlead_last_rotation_timestamp_seconds 1795249940\n");
	expect(&s, fl_report_metrics,
	       "\nfairlead_certificate_expiry_timestamp_seconds{kind=\"leaf\",trust_domain=\"prod."
	       "example\",index=\"1\"} 1795253600\n");
	expect(&s, fl_report_metrics,
	       "\nfairlead_certificate_not_before_timestamp_seconds{kind=\"leaf\",trust_domain=\"prod."
	       "example\",index=\"1\"} 1795242800\n");
	/* Nothing has happened: only the counters for rates are present. */
	expect(&s, fl_report_metrics,
	       "fairlead_connections_closed_total{direction=\"inbound\",security=\"mtls\",reason=\"done\"} 0\n");
	expect(&s, fl_report_metrics,
	       "fairlead_handshakes_total{direction=\"outbound\",result=\"ok\"} 0\n");
	expect_not(&s, fl_report_metrics, "not_tls");
	expect_not(&s, fl_report_metrics, "last_refusal");
	fl_snapshot_done(&s.snapshot);
}

Test(report, metrics_of_the_process)
{
	struct state s;

	make_state(&s);
	s.snapshot.usage = (struct fl_usage){.cpu_us = 61000005,
					     .resident_bytes = 4096,
					     .descriptors = 12,
					     .descriptors_max = 1024};
	expect(&s, fl_report_metrics, "\nprocess_start_time_seconds 1795249900\n");
	expect(&s, fl_report_metrics, "\nprocess_cpu_seconds_total 61.000005\n");
	expect(&s, fl_report_metrics, "\nprocess_resident_memory_bytes 4096\n");
	expect(&s, fl_report_metrics, "\nprocess_open_fds 12\n");
	expect(&s, fl_report_metrics, "\nprocess_max_fds 1024\n");
	s.snapshot.usage = (struct fl_usage){-1, -1, -1, -1};
	expect_not(&s, fl_report_metrics, "process_cpu_seconds_total");
	expect_not(&s, fl_report_metrics, "process_resident_memory_bytes");
	expect_not(&s, fl_report_metrics, "_fds");
	fl_snapshot_done(&s.snapshot);
}

Test(report, metrics_without_a_generation)
{
	struct state s;

	make_state(&s);
	s.snapshot.ready = false;
	s.snapshot.generation = 0;
	s.snapshot.expiries = NULL;
	s.snapshot.agent_connected = false;
	s.rotations = (struct fl_rotations){0};
	expect(&s, fl_report_metrics, "\nfairlead_ready 0\n");
	expect(&s, fl_report_metrics, "\nfairlead_generation 0\n");
	expect(&s, fl_report_metrics, "\nfairlead_agent_connected 0\n");
	expect(&s, fl_report_metrics, "\nfairlead_agent_hung 0\n");
	s.snapshot.agent_connected = s.snapshot.agent_hung = true;
	expect(&s, fl_report_metrics, "\nfairlead_agent_hung 1\n");
	expect_not(&s, fl_report_metrics, "fairlead_certificate_expiry");
	expect_not(&s, fl_report_metrics, "fairlead_last_rotation");
	fl_snapshot_done(&s.snapshot);
}

Test(report, each_reason_has_its_series)
{
	struct state s;

	make_state(&s);
	for (unsigned d = 0; d < FL_DIRECTIONS; d++) {
		for (unsigned r = 0; r < FL_REASON_COUNT; r++) {
			s.snapshot.counters.ended[d][FL_SECURITY_MTLS][r] = 1000 * (d + 1) + r;
			s.snapshot.counters.handshakes_failed[d][r] = 5000 * (d + 1) + r;
		}
	}
	for (unsigned d = 0; d < FL_DIRECTIONS; d++) {
		for (unsigned r = 1; r < FL_REASON_COUNT; r++) {
			char line[256];

			(void)snprintf(line, sizeof(line),
				       "\nfairlead_connections_closed_total{direction=\"%s\","
				       "security=\"mtls\",reason=\"%s\"} %u\n",
				       fl_direction_word(d), fl_reason_word(r), 1000 * (d + 1) + r);
			expect(&s, fl_report_metrics, line);
			(void)snprintf(
				line, sizeof(line),
				"\nfairlead_handshakes_total{direction=\"%s\",result=\"%s\"} "
				"%u\n",
				fl_direction_word(d), fl_reason_word(r), 5000 * (d + 1) + r);
			expect(&s, fl_report_metrics, line);
		}
	}
	fl_snapshot_done(&s.snapshot);
}

Test(report, the_histogram_is_cumulative)
{
	struct fl_counters *c;
	struct state s;

	make_state(&s);
	c = &s.snapshot.counters;
	fl_counters_handshake(c, FL_INBOUND, 250000);        /* on the bound is below it */
	fl_counters_handshake(c, FL_INBOUND, 251000);        /* 0.5 ms */
	fl_counters_handshake(c, FL_INBOUND, 7000000);       /* 10 ms */
	fl_counters_handshake(c, FL_INBOUND, 6000000000ULL); /* beyond all */
#define BUCKET(le, n)                                                                              \
	"fairlead_handshake_duration_seconds_bucket{direction=\"inbound\",le=\"" le "\"} " n "\n"
	expect(&s, fl_report_metrics,
	       BUCKET("0.00025", "1") BUCKET("0.0005", "2") BUCKET("0.001", "2") BUCKET(
		       "0.0025", "2") BUCKET("0.005",
					     "2") BUCKET("0.01",
							 "3") BUCKET("0.025",
								     "3") BUCKET("0.05",
										 "3") BUCKET("0.1",
											     "3")
		       BUCKET("0.25", "3") BUCKET("1", "3") BUCKET("5", "3") BUCKET(
			       "+Inf",
			       "4") "fairlead_handshake_duration_seconds_sum{direction=\"inbound\"} 6.007501\n"
				    "fairlead_handshake_duration_seconds_count{direction=\"inbound\"} 4\n");
	fl_snapshot_done(&s.snapshot);
}

/* Clients may choose the port: the number of series is bounded, for any traffic. */
Test(report, detect_timeouts_by_port)
{
#define SERIES(port, n) "\nfairlead_detect_timeouts_total{port=\"" port "\"} " n "\n"
	struct fl_port_counts workers[2] = {0};
	struct state s;

	make_state(&s);
	expect(&s, fl_report_metrics, SERIES("other", "0"));
	for (unsigned port = 1; port <= 1000; port++) {
		fl_port_count(&workers[0], (uint16_t)port);
	}
	for (unsigned i = 0; i < 5; i++) {
		fl_port_count(&workers[1], 3306);
		fl_port_count(&workers[1], 7);
	}
	fl_port_counts_add(&s.snapshot.detect_timeouts, &workers[1]);
	fl_port_counts_add(&s.snapshot.detect_timeouts, &workers[0]);
	expect(&s, fl_report_metrics, SERIES("3306", "5"));
	expect(&s, fl_report_metrics, SERIES("7", "6"));
	expect(&s, fl_report_metrics, SERIES("63", "1"));
	expect_not(&s, fl_report_metrics, "port=\"64\"");
	expect(&s, fl_report_metrics, SERIES("other", "937"));
	fl_snapshot_done(&s.snapshot);
}

Test(report, hostile_label_values)
{
	struct state s;

	make_state(&s);
	s.items[0].trust_domain = "a\"} 1\nfairlead_ready 0 \\ \xff \xe2\x82";
	expect(&s, fl_report_metrics,
	       "trust_domain=\"a\\\"} 1\\nfairlead_ready 0 \\\\ \xef\xbf\xbd \xef\xbf\xbd\xef\xbf\xbd\"");
	expect_not(&s, fl_report_metrics, "\nfairlead_ready 0");
	fl_snapshot_done(&s.snapshot);
}

/* --- status ----------------------------------------------------------------------------------- */

Test(report, status)
{
	struct state s;

	make_state(&s);
	s.rotations.by_agent = (struct fl_refusal){
		.time = NOW - 5, .count = 3, .current = true, .text = "no \"key\""};
	s.rotations.by_sidecar = (struct fl_refusal){.time = NOW - 6, .count = 1, .text = "older"};
	s.snapshot.open[FL_OUTBOUND] = 4;
	s.snapshot.counters.ended[FL_INBOUND][FL_SECURITY_PLAINTEXT][FL_REASON_POLICY] = 4;
	s.snapshot.counters.ended[FL_INBOUND][FL_SECURITY_MTLS][FL_REASON_POLICY] = 5;
	expect(&s, fl_report_status, "{\n  \"ready\": true,\n  \"reason\": null,\n");
	expect(&s, fl_report_status, "\"digest\": \"0123456789abcdef\",\n");
	expect(&s, fl_report_status, "\"remaining_seconds\": -1\n");
	expect(&s, fl_report_status,
	       "  \"last_refusal\": {\n"
	       "    \"time\": \"2026-11-21T08:33:15Z\",\n"
	       "    \"by\": \"agent\",\n"
	       "    \"text\": \"no \\\"key\\\"\",\n"
	       "    \"current\": true\n"
	       "  },\n");
	expect(&s, fl_report_status, "\"policy_denied\": 9\n");
	expect(&s, fl_report_status, "\"open\": 4,\n");
	expect(&s, fl_report_status,
	       "\"address\": \"127.0.0.1:8443\",\n      \"leads_to\": [\n        "
	       "\"127.0.0.1:8443\"\n      ],\n      \"serving\": true\n");
	s.rotations.by_sidecar.time = NOW - 4;
	expect(&s, fl_report_status, "\"by\": \"sidecar\",\n    \"text\": \"older\"");
	fl_snapshot_done(&s.snapshot);
}

Test(report, status_before_anything_has_happened)
{
	struct state s;

	make_state(&s);
	s.snapshot.ready = false;
	(void)snprintf(s.snapshot.reason, sizeof(s.snapshot.reason), "no generation yet");
	s.snapshot.expiries = NULL;
	s.snapshot.agent_trouble = "it is not there";
	s.snapshot.agent_connected = false;
	s.rotations = (struct fl_rotations){0};
	expect(&s, fl_report_status,
	       "{\n  \"ready\": false,\n  \"reason\": \"no generation yet\",\n");
	expect(&s, fl_report_status,
	       "  \"id\": null,\n  \"generation\": null,\n  \"certificates\": [],\n");
	expect(&s, fl_report_status, "  \"last_rotation\": null,\n  \"last_refusal\": null,\n");
	expect(&s, fl_report_status, "\"trouble\": \"it is not there\"\n");
	fl_snapshot_done(&s.snapshot);
}

/* --- page ------------------------------------------------------------------------------------- */

Test(report, the_page_escapes_everything)
{
	static const char evil[] = "<script>alert('\"&')</script>\x1b[2J\xff";
	struct state s;

	make_state(&s);
	s.snapshot.ready = false;
	(void)snprintf(s.snapshot.reason, sizeof(s.snapshot.reason), "%s", evil);
	s.expiries.id = evil;
	s.items[0].trust_domain = evil;
	s.snapshot.listeners[0].name = evil;
	s.snapshot.agent_connected = false;
	s.snapshot.agent_trouble = evil;
	s.rotations.by_sidecar.time = NOW;
	(void)snprintf(s.rotations.by_sidecar.text, sizeof(s.rotations.by_sidecar.text), "%s",
		       evil);
	expect_not(&s, fl_report_page, "<script>alert");
	expect_not(&s, fl_report_page, "\x1b");
	expect_not(&s, fl_report_page, "\xff");
	expect_not(&s, fl_report_page, "alert('");
	expect(&s, fl_report_page,
	       "&#60;script&#62;alert(&#39;&#34;&#38;&#39;)&#60;/script&#62;&#xfffd;[2J&#xfffd;");
	fl_snapshot_done(&s.snapshot);
}

Test(report, the_page_needs_nothing_from_elsewhere)
{
	struct state s;

	make_state(&s);
	expect(&s, fl_report_page, "<meta http-equiv=\"refresh\"");
	expect(&s, fl_report_page,
	       "<span class=\"bad\">expired <time datetime=\"2026-11-21T08:33:19Z\" "
	       "title=\"2026-11-21T08:33:19Z\">1s ago</time></span>");
	expect(&s, fl_report_page, "title=\"2026-11-21T09:33:20Z\">in 1h</time>");
	expect_not(&s, fl_report_page, "src=");
	expect_not(&s, fl_report_page, "http://");
	expect_not(&s, fl_report_page, "https://");
	expect_not(&s, fl_report_page, "url(");
	fl_snapshot_done(&s.snapshot);
}

/* The same words as `fairlead-agent status`, with the exact number where the pointer rests. */
Test(report, the_page_says_bytes_in_kib)
{
	struct state s;

	make_state(&s);
	s.snapshot.counters.bytes_to_app[FL_INBOUND] = 1023;
	s.snapshot.counters.bytes_to_app[FL_OUTBOUND] = 100000;
	s.snapshot.counters.bytes_to_mesh[FL_INBOUND] = UINT64_C(5) << 30;
	expect(&s, fl_report_page,
	       "<tr><th scope=\"row\">Bytes to the app</th><td class=\"n\">1023 B</td>"
	       "<td class=\"n\"><span title=\"100000\">97.7 KiB</span></td></tr>\n"
	       "<tr><th scope=\"row\">Bytes to the mesh</th>"
	       "<td class=\"n\"><span title=\"5368709120\">5.0 GiB</span></td>"
	       "<td class=\"n\">0 B</td></tr>\n");
	fl_snapshot_done(&s.snapshot);
}

/* Rows of FL_COUNTER_METRICS and FL_DIRECTION_COUNTER_METRICS: all of them come out, each with its own number. */
Test(report, counters_that_are_metrics_as_they_are)
{
	struct state s;
	uint64_t value = 100;

	make_state(&s);
#define SET(member, name, help) s.snapshot.counters.member = value++;
#define SET_BOTH(member, name, help)                                                               \
	s.snapshot.counters.member[FL_INBOUND] = value++;                                          \
	s.snapshot.counters.member[FL_OUTBOUND] = value++;
	FL_COUNTER_METRICS(SET)
	FL_DIRECTION_COUNTER_METRICS(SET_BOTH)
	expect(&s, fl_report_metrics,
	       "# TYPE fairlead_log_lines_left_out_total counter\n"
	       "fairlead_log_lines_left_out_total 100\n");
	expect(&s, fl_report_metrics,
	       "# TYPE fairlead_connections_judged_total counter\n"
	       "fairlead_connections_judged_total 101\n");
	expect(&s, fl_report_metrics,
	       "# TYPE fairlead_handshakes_resumed_total counter\n"
	       "fairlead_handshakes_resumed_total{direction=\"inbound\"} 102\n"
	       "fairlead_handshakes_resumed_total{direction=\"outbound\"} 103\n");
	fl_snapshot_done(&s.snapshot);
}

/* --- capture ---------------------------------------------------------------------------------- */

Test(report, capture)
{
	struct state s;
	char *text;

	make_state(&s);
	text = render(&s, fl_report_status);
	cr_expect_not_null(strstr(text, "\"capture\": {\n"
					"    \"expected\": false,\n"
					"    \"inet\": null,\n"
					"    \"inet6\": null,\n"
					"    \"since\": null,\n"
					"    \"rules\": null,\n"
					"    \"refused\": null\n"),
			   "%s", text);
	free(text);
	text = render(&s, fl_report_metrics);
	cr_expect_null(strstr(text, "fairlead_capture_active{"), "%s", text);
	cr_expect_null(strstr(text, "fairlead_capture_current"), "%s", text);
	cr_expect_null(strstr(text, "fairlead_capture_refused"), "%s", text);
	free(text);

	s.capture = (struct fl_capture){.expected = true,
					.states = {FL_CAPTURE_ACTIVE, FL_CAPTURE_ABSENT},
					.since = NOW,
					.rules = FL_CAPTURE_RULES_OUTDATED,
					.refused = {false, true},
					.refused_known = true};
	text = render(&s, fl_report_status);
	cr_expect_not_null(strstr(text, "\"capture\": {\n"
					"    \"expected\": true,\n"
					"    \"inet\": true,\n"
					"    \"inet6\": false,\n"
					"    \"since\": \"2026-11-21T08:33:20Z\",\n"
					"    \"rules\": \"outdated\",\n"
					"    \"refused\": {\n"
					"      \"inbound\": false,\n"
					"      \"outbound\": true\n"),
			   "%s", text);
	free(text);
	text = render(&s, fl_report_metrics);
	cr_expect_not_null(strstr(text, "\nfairlead_capture_active{family=\"inet\"} 1\n"));
	cr_expect_not_null(strstr(text, "\nfairlead_capture_active{family=\"inet6\"} 0\n"));
	cr_expect_not_null(strstr(text, "\nfairlead_capture_current 0\n"));
	cr_expect_not_null(strstr(text, "\nfairlead_capture_refused{direction=\"outbound\"} 1\n"));
	free(text);
	text = render(&s, fl_report_page);
	cr_expect_not_null(strstr(text, "IPv4: in force, IPv6: <span class=\"bad\">not in force"));
	cr_expect_not_null(strstr(text, "<span class=\"bad\">not those of the INI</span>"));
	cr_expect_not_null(strstr(text, "refused outbound TCP past the sidecar"));
	free(text);
	fl_snapshot_done(&s.snapshot);
}
