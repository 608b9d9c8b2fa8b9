/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What is reported about connections: log lines and their proposals, the listing, and the PROXY header for the app. */
#include "call.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "conn/connections.h"

static struct heart heart;

static void open_heart(void)
{
	heart_open(&heart, NULL);
}

static void close_heart(void)
{
	heart_close(&heart);
}

TestSuite(access, .init = open_heart, .fini = close_heart);

static void let_go(struct side *side)
{
	heart_forget(&heart, side);
	side_close(side);
}

static void expect_logged(const char *text)
{
	HEART_UNTIL(&heart, heart_open_connections(&heart) == 0);
	cr_expect(heart_logged(&heart, text), "%s is not in\n%s", text, heart_log(&heart));
}

/* --- which lines there are ------------------------------------------------------------------------ */

static void run_call(enum call_kind kind)
{
	struct call call;

	call_open(&heart, &call, kind);
	side_finish(&call.app);
	side_finish(&call.mesh);
	HEART_UNTIL(&heart, heart_open_connections(&heart) == 0);
	call_close(&call);
}

static void be_refused(void)
{
	struct side client;

	heart_connect(&heart, &client, DOOR_STRICT);
	side_say(&client, "GET / HTTP/1.1\r\n\r\n");
	HEART_UNTIL(&heart, client.has_fin || client.error != 0);
	let_go(&client);
	HEART_UNTIL(&heart, heart_open_connections(&heart) == 0);
}

Test(access, denied_leaves_out_what_ended_by_itself)
{
	heart_take(&heart, &(struct heart_options){.access = "denied"});
	run_call(CALL_IN_TLS);
	cr_expect_not(heart_logged(&heart, "\"msg\":\"connection"));
	be_refused();
	expect_logged("not_tls");
}

Test(access, failed_leaves_out_what_ended_well)
{
	struct call call;

	heart_take(&heart, &(struct heart_options){.access = "failed"});
	run_call(CALL_IN_TLS);
	cr_expect_not(heart_logged(&heart, "\"msg\":\"connection"));
	be_refused();
	expect_logged("not_tls");
	call_open(&heart, &call, CALL_IN_TLS);
	side_reset(&call.mesh);
	expect_logged("peer_reset");
	call_close(&call);
}

Test(access, denied_has_what_only_audit_mode_let_pass)
{
	heart_take(&heart,
		   &(struct heart_options){.access = "denied",
					   .rules = "[policy]\nmode = audit\n[allow one]\nfrom = "
						    "spiffe://prod.example/one\n"});
	run_call(CALL_IN_TLS);
	expect_logged("\"decision\":\"would_deny\"");
}

Test(access, off_leaves_out_all)
{
	heart_take(&heart, &(struct heart_options){.access = "off"});
	run_call(CALL_IN_TLS);
	be_refused();
	cr_expect_not(heart_logged(&heart, "\"msg\":\"connection"));
}

Test(access, line_tells_what_was_carried)
{
	for (enum call_kind kind = 0; kind < CALL_KINDS; kind++) {
		close_heart();
		open_heart();
		run_call(kind);
		expect_logged("\"bytes_to_app\":1,\"bytes_to_mesh\":1");
	}
}

/* A few lines for one network; further ones are only counted. */
Test(access, lines_about_strangers_are_rationed)
{
	uint64_t left_out;

	for (unsigned i = 0; i < 60; i++) {
		be_refused();
	}
	left_out = heart.loop->counters.lines_left_out;
	cr_expect_gt(left_out, 0);
	cr_expect_eq(heart_ended(&heart, FL_INBOUND, FL_REASON_NOT_TLS), 60);
	heart_skip_ms(&heart, 61000);
	be_refused();
	cr_expect_eq(heart.loop->counters.lines_left_out, left_out, "a new ration");
}

/* --- what they propose ---------------------------------------------------------------------------- */

static const char nobody[] = "[allow one]\nfrom = spiffe://prod.example/one\n";

Test(access, refused_peer_comes_with_the_rule_that_admits_it)
{
	struct side client;

	heart_take(&heart, &(struct heart_options){.rules = nobody});
	heart_connect(&heart, &client, DOOR_STRICT);
	heart_speak_tls(&heart, &client, FL_TLS_CLIENT, "p256");
	HEART_UNTIL(&heart, client.failure != NULL);
	let_go(&client);
	expect_logged("from = spiffe://prod.example/ns/test/sa/p256");
	expect_logged("to = web");
	expect_logged("\"rule\":\"default\"");
}

Test(access, refused_plaintext_comes_with_the_rule_that_admits_its_address)
{
	struct side client;

	heart_take(&heart, &(struct heart_options){.rules = nobody});
	heart_connect(&heart, &client, DOOR_PLAIN_IN);
	HEART_UNTIL(&heart, side_was_reset(&client));
	let_go(&client);
	expect_logged("from = plaintext");
	expect_logged("sources = 127.0.0.1");
	expect_logged("to = clear");
}

/* A server that accepts us without asking for our certificate. */
static void accept_without_asking(struct side *server, enum heart_place place)
{
	heart_accept(&heart, server, place);
	heart_make_engine(&heart, server, FL_TLS_SERVER, "p256");
	side_ask_nobody(server);
}

Test(access, server_that_does_not_ask_for_our_certificate_is_refused)
{
	struct side app, server;

	heart_connect(&heart, &app, DOOR_MTLS_OUT);
	accept_without_asking(&server, PLACE_MESH);
	HEART_UNTIL(&heart, side_was_reset(&app));
	let_go(&app);
	let_go(&server);
	expect_logged("not_mutual");
	expect_logged("`mutual = optional` in [upstream api]");
}

static const char mtls_by_default[] =
	"[outbound]\ndefault = mtls\npeer = spiffe://prod.example/**, spiffe://prod.example/x\n";

static void connect_captured(struct side *app)
{
	struct sockaddr_in to = heart_loopback(heart.place_ports[PLACE_OTHER]);

	heart_pretend_destination((struct sockaddr *)&to);
	heart_connect(&heart, app, DOOR_CAPTURE_OUT);
}

Test(access, captured_server_that_does_not_ask_comes_with_an_upstream_for_it)
{
	struct side app, server;

	heart_take(&heart, &(struct heart_options){.extra = mtls_by_default});
	connect_captured(&app);
	accept_without_asking(&server, PLACE_OTHER);
	HEART_UNTIL(&heart, side_was_reset(&app));
	let_go(&app);
	let_go(&server);
	expect_logged("not_mutual");
	expect_logged("[upstream to-127-0-0-1");
	expect_logged("mutual = optional");
}

/* No common protocol twice: with ours, and without any. */
static void refuse_protocols(struct side *app, enum heart_place place)
{
	static const uint8_t no_application_protocol[] = {21, 3, 3, 0, 2, 2, 120};
	struct side server;

	for (unsigned i = 0; i < 2; i++) {
		heart_accept(&heart, &server, place);
		HEART_UNTIL(&heart, server.got_len > 0);
		side_send_raw(&server, no_application_protocol, sizeof(no_application_protocol));
		HEART_UNTIL(&heart, server.has_fin || server.error != 0);
		let_go(&server);
	}
	HEART_UNTIL(&heart, side_was_reset(app));
	let_go(app);
}

Test(access, server_of_other_protocols_comes_with_the_key_that_names_them)
{
	struct side app;

	heart_connect(&heart, &app, DOOR_MTLS_OUT);
	refuse_protocols(&app, PLACE_MESH);
	expect_logged("peer_alert");
	expect_logged("alpn = h2");
}

Test(access, captured_server_of_other_protocols_comes_with_an_upstream_for_it)
{
	struct side app;

	heart_take(&heart, &(struct heart_options){.extra = mtls_by_default});
	connect_captured(&app);
	refuse_protocols(&app, PLACE_OTHER);
	expect_logged("[upstream to-127-0-0-1");
	expect_logged("alpn = h2");
}

/* --- what the app is told -------------------------------------------------------------------------- */

static const uint8_t proxy_v2[12] = {13, 10, 13, 10, 0, 13, 10, 81, 85, 73, 84, 10};

static bool has_part(const struct side *side, const char *text)
{
	return side->got_len > 0 && memmem(side->got, side->got_len, text, strlen(text)) != NULL;
}

static void expect_introduced(struct side *client, struct side *app, enum heart_place place,
			      const char *id)
{
	side_say(client, "hello");
	heart_accept(&heart, app, place);
	HEART_UNTIL(&heart, has_part(app, "hello"));
	cr_expect_eq(memcmp(app->got, proxy_v2, sizeof(proxy_v2)), 0);
	cr_expect_eq(has_part(app, id != NULL ? id : "spiffe://"), id != NULL);
	let_go(client);
	let_go(app);
	HEART_UNTIL(&heart, heart_open_connections(&heart) == 0);
}

Test(access, app_is_told_by_a_header_who_its_client_is)
{
	static const char id[] = "spiffe://prod.example/ns/test/sa/p256";
	char *web = fl_format("app = 127.0.0.1:%u\nproxy_protocol = v2\n",
			      heart.place_ports[PLACE_APP]);
	char *clear = fl_format("%smode = plaintext\n", web);
	struct sockaddr_in to = heart_loopback(heart.place_ports[PLACE_OTHER]);
	struct side client, app;

	heart_take(&heart, &(struct heart_options){.web = web,
						   .clear = clear,
						   .extra = "[inbound]\nproxy_protocol = v2\n"});
	free(web);
	free(clear);
	heart_connect(&heart, &client, DOOR_STRICT);
	heart_speak_tls(&heart, &client, FL_TLS_CLIENT, "p256");
	HEART_UNTIL(&heart, client.is_up);
	expect_introduced(&client, &app, PLACE_APP, id);

	heart_connect(&heart, &client, DOOR_PLAIN_IN);
	expect_introduced(&client, &app, PLACE_APP, NULL);

	heart_pretend_destination((struct sockaddr *)&to);
	heart_connect(&heart, &client, DOOR_CAPTURE_IN);
	heart_speak_tls(&heart, &client, FL_TLS_CLIENT, "p256");
	HEART_UNTIL(&heart, client.is_up);
	expect_introduced(&client, &app, PLACE_OTHER, id);
}

/* --- listings -------------------------------------------------------------------------------------- */

static struct fl_listing list(size_t max)
{
	struct fl_listing listing = {.max = max};

	fl_connections_list(heart.loop, &listing);
	return listing;
}

Test(access, listing_has_all_kinds_up_to_its_bound)
{
	struct call calls[CALL_KINDS];
	struct side strict, permissive, shaking;
	struct fl_listing listing;

	for (enum call_kind kind = 0; kind < CALL_KINDS; kind++) {
		call_open(&heart, &calls[kind], kind);
	}
	heart_connect(&heart, &strict, DOOR_STRICT);
	heart_connect(&heart, &permissive, DOOR_PERMISSIVE);
	heart_connect(&heart, &shaking, DOOR_STRICT);
	heart_speak_tls(&heart, &shaking, FL_TLS_CLIENT, "p256");
	shaking.is_deaf = true;
	HEART_UNTIL(&heart, heart_open_connections(&heart) == CALL_KINDS + 3);
	heart_settle(&heart);
	for (size_t max = 0; max <= CALL_KINDS + 4; max++) {
		listing = list(max);
		cr_expect_eq(listing.count, max < CALL_KINDS + 3 ? max : CALL_KINDS + 3);
		cr_expect_eq(listing.open, CALL_KINDS + 3);
		fl_listing_done(&listing);
	}
	for (enum call_kind kind = 0; kind < CALL_KINDS; kind++) {
		call_close(&calls[kind]);
	}
	let_go(&strict);
	let_go(&permissive);
	let_go(&shaking);
}

Test(access, listing_without_memory_leaves_out_what_it_cannot_tell)
{
	struct faults faults = {.kinds = FAULTS_MEMORY};
	struct call call;

	call_open(&heart, &call, CALL_IN_TLS);
	heart.spares_calls = true;
	while (faults_next(&faults)) {
		struct fl_listing listing;

		faults_on();
		listing = list(10);
		faults_off();
		cr_expect(listing.count == 1 || faults.round > 0);
		cr_expect(listing.count == 0 ||
			  (listing.items[0].name != NULL && listing.items[0].peer != NULL));
		fl_listing_done(&listing);
	}
	cr_expect_gt(faults.most, 3);
	call_close(&call);
}
