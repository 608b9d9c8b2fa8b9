/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What is known, and what is logged, about upstreams and services that fail. */
#include "call.h"
#include "faults.h"
#include "framed.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "count/sections.h"

static struct heart heart;

static void open_heart(void)
{
	heart_open(&heart, &(struct heart_options){.access = "off"});
}

static void close_heart(void)
{
	heart_close(&heart);
}

TestSuite(trouble, .init = open_heart, .fini = close_heart);

static struct fl_section_sum state_of(enum fl_direction direction, const char *name)
{
	struct fl_section_sum sum = {0};

	for (size_t i = 0; i < fl_section_count(heart.sections); i++) {
		fl_section_sum(heart.sections->items[i], &sum);
		if (sum.direction == direction && sum.name != NULL && strcmp(sum.name, name) == 0) {
			return sum;
		}
	}
	cr_assert_fail("no section %s", name);
	return sum;
}

static unsigned count_lines(const char *text)
{
	const char *at = heart_log(&heart);
	unsigned count = 0;

	while ((at = strstr(at, text)) != NULL) {
		at++;
		count++;
	}
	return count;
}

static void run_call(enum call_kind kind)
{
	struct call call;

	call_open(&heart, &call, kind);
	side_say(call_callee(&call), "welcome");
	HEART_UNTIL(&heart, side_has(call_caller(&call), "welcome"));
	call_close(&call);
	HEART_UNTIL(&heart, heart_open_connections(&heart) == 0);
}

/* Up to the handshake; no byte of either app has passed yet. */
static void shake_hands(struct call *call)
{
	call_begin(&heart, call, CALL_OUT_TLS);
	heart_accept(&heart, &call->mesh, PLACE_MESH);
	heart_speak_tls(&heart, &call->mesh, FL_TLS_SERVER, "p256");
	side_say(&call->app, "question");
	HEART_UNTIL(&heart, side_has(&call->mesh, "question"));
}

/* Its address leads to nobody. */
static void fail_to_dial(enum heart_door door)
{
	struct side app;

	heart_connect(&heart, &app, door);
	HEART_UNTIL(&heart, app.error != 0 || app.has_fin);
	HEART_UNTIL(&heart, heart_open_connections(&heart) == 0);
	heart_forget(&heart, &app);
	side_close(&app);
}

Test(trouble, upstream_works)
{
	struct fl_section_sum api;

	run_call(CALL_OUT_TLS);
	api = state_of(FL_OUTBOUND, "api");
	cr_expect_eq(api.opened, 1);
	cr_expect_eq(api.open, 0);
	cr_expect_eq(api.succeeded, 1);
	cr_expect_gt(api.last_success_ms, 0);
	cr_expect_eq(api.last_failure.time_ms, 0);
	cr_expect_eq(api.bytes_to_app, strlen("welcome") + 1);
	cr_expect_not(heart_logged(&heart, "fails"));
}

Test(trouble, service_works)
{
	struct call call;

	call_open(&heart, &call, CALL_IN_TLS);
	cr_expect_eq(state_of(FL_INBOUND, "web").open, 1);
	cr_expect_eq(state_of(FL_INBOUND, "web").succeeded, 1, "the app has accepted");
	call_close(&call);
	HEART_UNTIL(&heart, heart_open_connections(&heart) == 0);
	cr_expect_eq(state_of(FL_INBOUND, "web").open, 0);
}

Test(trouble, without_an_address_the_upstream_fails)
{
	struct fl_section_sum api;

	heart_point(&heart, "api", PLACES);
	fail_to_dial(DOOR_MTLS_OUT);
	api = state_of(FL_OUTBOUND, "api");
	cr_expect(api.failing);
	cr_expect_eq(api.failed[FL_REASON_NO_ADDRESS], 1);
	cr_expect(heart_logged(&heart, "\"level\":\"warn\",\"msg\":\"upstream fails\""));
	cr_expect(heart_logged(&heart, "\"upstream\":\"api\",\"failure\":\"no_address\""));
	cr_expect(heart_logged(&heart, "\"remedy\":\"check the name in `to`"));
	cr_expect(heart_logged(&heart, "\"failures\":1"));
}

Test(trouble, refused_address_is_named)
{
	char *address = fl_format("\"address\":\"127.0.0.1:%u\",\"failure\":\"peer_refused\"",
				  heart.place_ports[PLACE_MESH]);

	(void)close(heart.places[PLACE_MESH]);
	heart.places[PLACE_MESH] = -1;
	fail_to_dial(DOOR_PLAIN_OUT);
	cr_expect(state_of(FL_OUTBOUND, "db").failing);
	cr_expect(heart_logged(&heart, address), "%s", heart_log(&heart));
	free(address);
}

/* That call of the dial fails: the app is reset, and the log says why. */
static void expect_told(const char *call, int error, const char *failure, const char *detail,
			const char *remedy)
{
	struct faults faults = {.kinds = FAULTS_SYSTEM, .only = call, .error = error};
	struct side app;

	close_heart();
	open_heart();
	heart_take(&heart, &(struct heart_options){.access = "failed"});
	heart_connect(&heart, &app, DOOR_PLAIN_OUT);
	faults_fail(&faults, 1);
	faults_on();
	HEART_UNTIL(&heart, side_was_reset(&app));
	faults_off();
	faults_end();
	HEART_UNTIL(&heart, heart_open_connections(&heart) == 0);
	heart_forget(&heart, &app);
	side_close(&app);
	cr_expect_eq(count_lines(failure), 2, "%s is not in both of\n%s", failure,
		     heart_log(&heart));
	cr_expect_eq(count_lines(detail), 2, "%s is not in both of\n%s", detail, heart_log(&heart));
	cr_expect(heart_logged(&heart, remedy), "%s is not in\n%s", remedy, heart_log(&heart));
	cr_expect(state_of(FL_OUTBOUND, "db").failing);
}

/* In the line of the upstream, and in that of the connection. */
Test(trouble, what_is_missing_here_is_no_fault_of_the_network)
{
	static const char unreachable[] = "\":\"peer_unreachable\"", internal[] = "\":\"internal\"";

	expect_told("connect", ENETUNREACH, unreachable, "\"detail\":\"network is unreachable\"",
		    "\"remedy\":\"there is no route");
	expect_told("connect", EADDRNOTAVAIL, unreachable, "\"detail\":\"no source port is free",
		    "\"remedy\":\"`ss -tan`");
	expect_told("socket", EMFILE, internal, "\"detail\":\"too many open files\"",
		    "\"remedy\":\"give the sidecar more file descriptors");
	expect_told("connect", ENOBUFS, internal, "\"detail\":\"no buffer space available\"",
		    "\"remedy\":\"give the sidecar's container, or the machine, more memory");
}

/* The later line, about those that were left out, has the same remedy. */
Test(trouble, what_is_missing_here_for_an_app)
{
	struct faults faults = {.kinds = FAULTS_SYSTEM, .only = "connect", .error = EADDRNOTAVAIL};

	for (unsigned i = 0; i < 2; i++) {
		struct side client;

		heart_connect(&heart, &client, DOOR_STRICT);
		faults_fail(&faults, 1);
		faults_on();
		heart_speak_tls(&heart, &client, FL_TLS_CLIENT, "p256");
		HEART_UNTIL(&heart,
			    heart_ended(&heart, FL_INBOUND, FL_REASON_APP_UNREACHABLE) == i + 1);
		faults_off();
		faults_end();
		heart_forget(&heart, &client);
		side_close(&client);
	}
	heart_skip_ms(&heart, FL_SECTION_QUIET_MS + 500);
	cr_expect_eq(count_lines("service fails"), 2, "%s", heart_log(&heart));
	cr_expect_eq(count_lines("\"remedy\":\"`ss -tan`"), 2, "%s", heart_log(&heart));
	cr_expect_eq(count_lines("\"detail\":\"no source port is free"), 2);
}

Test(trouble, lines_are_ten_seconds_apart_and_count)
{
	heart_point(&heart, "api", PLACES);
	for (unsigned i = 0; i < 4; i++) {
		fail_to_dial(DOOR_MTLS_OUT);
	}
	cr_expect_eq(count_lines("upstream fails"), 1);
	heart_skip_ms(&heart, FL_SECTION_QUIET_MS + 500);
	cr_expect_eq(count_lines("upstream fails"), 2, "%s", heart_log(&heart));
	cr_expect(heart_logged(&heart, "\"failures\":3"));
	heart_skip_ms(&heart, 4 * FL_SECTION_QUIET_MS);
	cr_expect_eq(count_lines("upstream fails"), 2, "nothing new has happened");
	heart_point(&heart, "api", PLACE_MESH);
	run_call(CALL_OUT_TLS);
	run_call(CALL_OUT_TLS);
	cr_expect_eq(count_lines("upstream works again"), 1);
	cr_expect_not(state_of(FL_OUTBOUND, "api").failing);
}

/* The handshake succeeds before the server refuses us. */
Test(trouble, server_that_ends_it_before_it_answers)
{
	struct call call;
	struct fl_section_sum api;

	shake_hands(&call);
	side_reset(&call.mesh);
	HEART_UNTIL(&heart, heart_open_connections(&heart) == 0);
	call_close(&call);
	api = state_of(FL_OUTBOUND, "api");
	cr_expect_eq(api.succeeded, 0);
	cr_expect_eq(api.failed[FL_REASON_PEER_RESET], 1, "%s", heart_log(&heart));
}

Test(trouble, server_that_ends_it_after_its_answer)
{
	struct call call;

	call_open(&heart, &call, CALL_OUT_TLS);
	side_say(&call.mesh, "welcome");
	HEART_UNTIL(&heart, side_has(&call.app, "welcome"));
	side_reset(&call.mesh);
	HEART_UNTIL(&heart, heart_open_connections(&heart) == 0);
	call_close(&call);
	cr_expect_eq(state_of(FL_OUTBOUND, "api").failed[FL_REASON_PEER_RESET], 0);
}

/* A protocol in which only the client speaks. */
Test(trouble, server_that_takes_all_and_says_nothing)
{
	struct call call;

	shake_hands(&call);
	cr_expect_eq(state_of(FL_OUTBOUND, "api").succeeded, 0);
	heart_skip_ms(&heart, 12000);
	cr_expect_eq(state_of(FL_OUTBOUND, "api").succeeded, 1);
	call_close(&call);
}

/* The kernel of a server that is stalled takes all. */
Test(trouble, server_that_takes_all_and_does_not_open_it)
{
	const int on = 1;
	struct framed frames;
	struct call call;

	heart.framed = true;
	call_begin(&heart, &call, CALL_OUT_TLS);
	heart_accept(&heart, &call.mesh, PLACE_MESH);
	cr_assert_eq(setsockopt(call.mesh.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)), 0);
	heart_speak_tls(&heart, &call.mesh, FL_TLS_SERVER, "p256");
	framed_init(&frames, &call.mesh, FL_FRAMING_SERVER);
	side_say(&call.app, "question");
	HEART_UNTIL(&heart, framed_has(&frames, "question"));
	heart_skip_ms(&heart, 12000);
	cr_expect_eq(state_of(FL_OUTBOUND, "api").succeeded, 0);
	framed_answer(&frames, FL_STATUS_OPENED);
	heart_skip_ms(&heart, 12000);
	cr_expect_eq(state_of(FL_OUTBOUND, "api").succeeded, 1);
	framed_done(&frames);
	call_close(&call);
}

Test(trouble, app_that_is_down_is_named)
{
	char *address = fl_format("\"app_addr\":\"127.0.0.1:%u\"", heart.place_ports[PLACE_APP]);
	struct side client;

	(void)close(heart.places[PLACE_APP]);
	heart.places[PLACE_APP] = -1;
	heart_take(&heart, &(struct heart_options){.access = "failed"});
	heart_connect(&heart, &client, DOOR_STRICT);
	heart_speak_tls(&heart, &client, FL_TLS_CLIENT, "p256");
	HEART_UNTIL(&heart, heart_ended(&heart, FL_INBOUND, FL_REASON_APP_REFUSED) == 1);
	cr_expect(state_of(FL_INBOUND, "web").failing);
	cr_expect(heart_logged(&heart, "\"msg\":\"service fails\""));
	cr_expect(heart_logged(&heart, address), "%s", heart_log(&heart));
	free(address);
	heart_forget(&heart, &client);
	side_close(&client);
}
