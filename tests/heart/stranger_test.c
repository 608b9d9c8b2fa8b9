/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Inbound connections until their kind is known: detection, silence, crowds, and slots for handshakes. */
#include "call.h"

#include <string.h>

#include "base/mem.h"

static const char http[] = "GET / HTTP/1.1\r\nHost: app\r\n\r\n";

static struct heart heart;

static void open_heart(void)
{
	heart_open(&heart, NULL);
}

static void close_heart(void)
{
	heart_close(&heart);
}

TestSuite(stranger, .init = open_heart, .fini = close_heart);

static void let_go(struct side *side)
{
	heart_forget(&heart, side);
	side_close(side);
}

static void expect_refused(struct side *client, enum fl_reason reason)
{
	HEART_UNTIL(&heart, client->has_fin || side_was_reset(client));
	cr_expect_eq(heart_ended(&heart, FL_INBOUND, reason), 1, "%s", heart_log(&heart));
	let_go(client);
	HEART_UNTIL(&heart, heart_open_connections(&heart) == 0);
}

/* --- what it is ----------------------------------------------------------------------------------- */

Test(stranger, plaintext_at_a_permissive_port_reaches_the_app_whole)
{
	for (size_t pace = 0; pace < 4; pace++) {
		struct side client, app;

		heart_connect(&heart, &client, DOOR_PERMISSIVE);
		client.pace = pace;
		side_say(&client, http);
		heart_accept(&heart, &app, PLACE_APP);
		HEART_UNTIL(&heart, side_has(&app, http));
		let_go(&client);
		let_go(&app);
	}
	cr_expect(heart_logged(&heart, "\"detected\":\"plaintext\""), "%s", heart_log(&heart));
}

Test(stranger, mesh_peer_at_a_permissive_port_is_one_of_ours)
{
	struct side client, app;

	heart_connect(&heart, &client, DOOR_PERMISSIVE);
	heart_speak_tls(&heart, &client, FL_TLS_CLIENT, "p256");
	client.pace = 100;
	heart_accept(&heart, &app, PLACE_APP);
	side_say(&client, "hello");
	HEART_UNTIL(&heart, side_has(&app, "hello"));
	let_go(&client);
	let_go(&app);
	HEART_UNTIL(&heart, heart_logged(&heart, "\"detected\":\"fairlead\""));
}

/* A ClientHello that offers protocols other than ours is for the app. */
Test(stranger, tls_of_the_apps_own_goes_through_a_permissive_port_as_it_is)
{
	struct side client, app;
	size_t len;

	heart_connect(&heart, &client, DOOR_PERMISSIVE);
	heart_speak_tls_with(&heart, &client, FL_TLS_CLIENT, "p256", "http/1.1");
	len = client.out_len;
	heart_accept(&heart, &app, PLACE_APP);
	HEART_UNTIL(&heart, app.got_len == len);
	let_go(&client);
	let_go(&app);
	HEART_UNTIL(&heart, heart_logged(&heart, "\"detected\":\"tls\""));
}

Test(stranger, silent_client_of_a_permissive_port_reaches_the_app_after_detect_timeout)
{
	struct side client, app;

	heart_connect(&heart, &client, DOOR_PERMISSIVE);
	HEART_UNTIL(&heart, heart_open_connections(&heart) == 1);
	cr_expect_str_eq(heart_state(&heart), "detecting");
	heart_skip_ms(&heart, 11000);
	heart_accept(&heart, &app, PLACE_APP);
	side_say(&app, "220 ready");
	HEART_UNTIL(&heart, side_has(&client, "220 ready"));
	let_go(&client);
	let_go(&app);
	HEART_UNTIL(&heart, heart_logged(&heart, "\"detected\":\"silence\""));
}

Test(stranger, fin_at_a_permissive_port_is_plaintext)
{
	struct side client, app;

	heart_connect(&heart, &client, DOOR_PERMISSIVE);
	side_finish(&client);
	heart_accept(&heart, &app, PLACE_APP);
	HEART_UNTIL(&heart, app.has_finished);
	let_go(&client);
	let_go(&app);
}

Test(stranger, beginning_of_a_hello_and_a_fin_at_a_permissive_port_reach_the_app)
{
	static const uint8_t begun[] = {22, 3, 1, 2, 0, 1, 0};
	struct side client, app;

	heart_connect(&heart, &client, DOOR_PERMISSIVE);
	side_send_raw(&client, begun, sizeof(begun));
	side_finish(&client);
	heart_accept(&heart, &app, PLACE_APP);
	HEART_UNTIL(&heart, app.got_len == sizeof(begun) && app.has_finished);
	let_go(&client);
	let_go(&app);
}

/* --- how it ends ---------------------------------------------------------------------------------- */

Test(stranger, plaintext_at_a_strict_port_is_refused)
{
	struct side client;

	heart_connect(&heart, &client, DOOR_STRICT);
	side_say(&client, http);
	expect_refused(&client, FL_REASON_NOT_TLS);
}

Test(stranger, silent_client_of_a_strict_port_is_reset_in_time)
{
	struct side client;

	heart_connect(&heart, &client, DOOR_STRICT);
	HEART_UNTIL(&heart, heart_open_connections(&heart) == 1);
	cr_expect_str_eq(heart_state(&heart), "handshake");
	heart_skip_ms(&heart, 6000);
	expect_refused(&client, FL_REASON_HANDSHAKE_TIMEOUT);
}

Test(stranger, that_stops_within_its_hello_is_reset_in_time)
{
	for (unsigned i = 0; i < 2; i++) {
		struct side client;

		close_heart();
		open_heart();
		heart_connect(&heart, &client, i == 0 ? DOOR_STRICT : DOOR_PERMISSIVE);
		heart_speak_tls(&heart, &client, FL_TLS_CLIENT, "p256");
		client.out_len = 40;
		HEART_UNTIL(&heart, client.sent == 40);
		heart_settle(&heart);
		heart_skip_ms(&heart, 6000);
		expect_refused(&client, FL_REASON_HANDSHAKE_TIMEOUT);
	}
}

Test(stranger, that_resets_is_gone)
{
	for (enum heart_door door = DOOR_STRICT; door <= DOOR_PERMISSIVE; door++) {
		struct side client;

		heart_connect(&heart, &client, door);
		HEART_UNTIL(&heart, heart_open_connections(&heart) == 1);
		heart_forget(&heart, &client);
		side_reset(&client);
		HEART_UNTIL(&heart, heart_open_connections(&heart) == 0);
	}
	cr_expect_eq(heart_ended(&heart, FL_INBOUND, FL_REASON_PEER_RESET), 2);
}

Test(stranger, fin_at_a_strict_port_is_cut_short)
{
	struct side client;

	heart_connect(&heart, &client, DOOR_STRICT);
	side_finish(&client);
	expect_refused(&client, FL_REASON_PEER_TRUNCATED);
}

Test(stranger, plaintext_that_policy_does_not_allow_is_reset)
{
	for (enum heart_door door = DOOR_PERMISSIVE; door <= DOOR_PLAIN_IN; door++) {
		struct side client;

		close_heart();
		heart_open(&heart,
			   &(struct heart_options){
				   .rules = "[allow one]\nfrom = spiffe://prod.example/one\n"});
		heart_connect(&heart, &client, door);
		side_say(&client, http);
		expect_refused(&client, FL_REASON_POLICY);
		cr_expect(heart_logged(&heart, "to let it in: [allow "), "%s", heart_log(&heart));
	}
}

Test(stranger, worker_that_stops_resets_strangers)
{
	struct side client;

	heart_connect(&heart, &client, DOOR_PERMISSIVE);
	HEART_UNTIL(&heart, heart_open_connections(&heart) == 1);
	fl_worker_post_stop(heart.worker);
	HEART_UNTIL(&heart, side_was_reset(&client));
	let_go(&client);
}

/* --- many ----------------------------------------------------------------------------------------- */

#define SLOTS_MANY 12

/* Clients that send a ClientHello and then stall; each holds a slot while there are any. */
static void stall(struct side *sides, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		heart_connect(&heart, &sides[i], DOOR_STRICT);
		heart_speak_tls(&heart, &sides[i], FL_TLS_CLIENT, "p256");
		sides[i].is_deaf = true;
		HEART_UNTIL(&heart, sides[i].out_len == 0);
		heart_settle(&heart);
	}
}

static unsigned count_open(const struct side *sides, unsigned count)
{
	unsigned open = 0;

	for (unsigned i = 0; i < count; i++) {
		char byte;
		ssize_t n = recv(sides[i].fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

		open += n > 0;
	}
	return open;
}

Test(stranger, that_finds_no_slot_waits_and_is_served_when_one_is_free)
{
	struct side silent[SLOTS_MANY], client, app;

	heart_take(&heart, &(struct heart_options){.extra = "[limits]\nhandshakes = 4\n"});
	stall(silent, SLOTS_MANY);
	cr_expect_leq(heart.loop->slots[FL_INBOUND].held, 4u);
	heart_connect(&heart, &client, DOOR_STRICT);
	heart_speak_tls(&heart, &client, FL_TLS_CLIENT, "p256");
	/* Silent clients gradually lose their slots. */
	for (unsigned i = 0; i < 400 && !client.is_up; i++) {
		heart_skip_ms(&heart, 50);
	}
	cr_assert(client.is_up, "%s", heart_log(&heart));
	heart_accept(&heart, &app, PLACE_APP);
	cr_expect_lt(count_open(silent, SLOTS_MANY), SLOTS_MANY);
	cr_expect_gt(heart_ended(&heart, FL_INBOUND, FL_REASON_CROWDED_OUT), 0);
	for (unsigned i = 0; i < SLOTS_MANY; i++) {
		let_go(&silent[i]);
	}
	let_go(&client);
	let_go(&app);
}

Test(stranger, that_waits_for_a_slot_is_listed_and_ends_in_time)
{
	struct side holder, waiting[3];

	heart_take(&heart, &(struct heart_options){
				   .extra = "[limits]\nhandshakes = 1\nhandshake_timeout = 2s\n"});
	stall(&holder, 1);
	stall(waiting, 3);
	heart_skip_ms(&heart, 4500);
	HEART_UNTIL(&heart, heart_open_connections(&heart) == 0);
	cr_expect(heart_ended(&heart, FL_INBOUND, FL_REASON_HANDSHAKE_TIMEOUT) +
			  heart_ended(&heart, FL_INBOUND, FL_REASON_CROWDED_OUT) ==
		  4);
	let_go(&holder);
	for (unsigned i = 0; i < 3; i++) {
		let_go(&waiting[i]);
	}
}

#define CROWD 24

/* Strangers of one network, with a smaller room: the oldest are evicted. */
Test(stranger, crowd_that_is_too_large_loses_its_oldest)
{
	struct side crowd[CROWD];

	heart.loop->strangers.crowd.room = 8;
	for (unsigned i = 0; i < CROWD; i++) {
		heart_connect(&heart, &crowd[i], i % 2 == 0 ? DOOR_STRICT : DOOR_PERMISSIVE);
		heart_settle(&heart);
	}
	HEART_UNTIL(&heart, heart_ended(&heart, FL_INBOUND, FL_REASON_CROWDED_OUT) == CROWD - 8);
	cr_expect_eq(heart_open_connections(&heart), 8);
	HEART_UNTIL(&heart, side_was_reset(&crowd[0]));
	cr_expect_not(side_was_reset(&crowd[CROWD - 1]));
	for (unsigned i = 0; i < CROWD; i++) {
		let_go(&crowd[i]);
	}
}

/* --- too many connections --------------------------------------------------------------------------- */

Test(stranger, connection_beyond_the_limit_is_reset)
{
	struct call calls[8];
	unsigned reset = 0;

	heart_take(&heart, &(struct heart_options){.extra = "[limits]\nconnections = 3\n"});
	for (unsigned i = 0; i < 8; i++) {
		call_begin(&heart, &calls[i], CALL_IN_PLAIN);
		heart_settle(&heart);
		reset += side_was_reset(&calls[i].mesh);
	}
	cr_expect_geq(reset, 5);
	cr_expect_eq(heart_ended(&heart, FL_INBOUND, FL_REASON_CONNECTION_LIMIT), reset);
	for (unsigned i = 0; i < 8; i++) {
		call_close(&calls[i]);
	}
}

Test(stranger, mesh_peer_beyond_its_share_is_reset)
{
	struct call calls[8];

	heart_take(&heart, &(struct heart_options){.extra = "[limits]\nconnections = 4\n"});
	for (unsigned i = 0; i < 8; i++) {
		call_begin(&heart, &calls[i], CALL_IN_TLS);
		heart_settle(&heart);
	}
	HEART_UNTIL(&heart, heart_ended(&heart, FL_INBOUND, FL_REASON_CONNECTION_LIMIT) > 0);
	for (unsigned i = 0; i < 8; i++) {
		call_close(&calls[i]);
	}
}

/* --- memory ----------------------------------------------------------------------------------------- */

/* Bytes that arrive in pieces are kept: each allocation fails in turn. */
Test(stranger, pieces_of_a_hello_without_memory)
{
	struct faults faults = {.kinds = FAULTS_MEMORY};

	while (faults_next(&faults)) {
		struct side client, app;

		heart_connect(&heart, &client, DOOR_PERMISSIVE);
		heart_speak_tls(&heart, &client, FL_TLS_CLIENT, "p256");
		client.pace = 300;
		side_init(&app);
		for (unsigned i = 0; i < 60 && app.fd < 0 && !side_was_reset(&client); i++) {
			heart_turn(&heart);
			(void)side_accept(&app, heart.places[PLACE_APP]);
		}
		cr_expect(app.fd >= 0 || faults.round > 0);
		let_go(&client);
		side_close(&app);
		for (unsigned i = 0; i < 60 && heart_open_connections(&heart) > 0; i++) {
			heart_turn(&heart);
		}
		HEART_UNTIL(&heart, heart_open_connections(&heart) == 0);
		heart_empty_queues(&heart);
	}
}

/* The bytes that detection has read reach the app whole, or the app is reset. */
Test(stranger, plaintext_at_a_permissive_port_without_memory)
{
	struct faults faults = {.kinds = FAULTS_MEMORY};

	while (faults_next(&faults)) {
		struct side client, app;

		heart_connect(&heart, &client, DOOR_PERMISSIVE);
		side_say(&client, http);
		side_init(&app);
		for (unsigned i = 0; i < 60 && !side_has(&app, http); i++) {
			heart_turn(&heart);
			if (app.fd < 0 && side_accept(&app, heart.places[PLACE_APP])) {
				heart_watch(&heart, &app);
			}
		}
		cr_assert(app.fd < 0 || side_has(&app, http) || side_was_reset(&app),
			  "with %s failing", faults_where());
		cr_assert(side_has(&app, http) || faults.round > 0);
		let_go(&client);
		let_go(&app);
		HEART_UNTIL(&heart, heart_open_connections(&heart) == 0);
		heart_empty_queues(&heart);
	}
	cr_expect_gt(faults.most, 3);
}
