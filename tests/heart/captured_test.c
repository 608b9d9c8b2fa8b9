/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Captured connections: their original destination, as the kernel reports it, and the upstream that it belongs to. */
#include "dial_bench.h"

#include "base/capture.h"

TestSuite(captured, .init = open_heart, .fini = close_heart);

static void pretend_port(uint16_t port)
{
	struct sockaddr_in to = heart_loopback(port);

	heart_pretend_destination((struct sockaddr *)&to);
}

static void connect_captured(struct side *app)
{
	pretend_port(heart.place_ports[PLACE_OTHER]);
	heart_connect(&heart, app, DOOR_CAPTURE_OUT);
}

static const char plaintext_by_default[] = "[outbound]\ndefault = plaintext\n";

Test(captured, captured_connection_goes_where_it_wanted_to_go)
{
	struct side app;

	start_again(&(struct heart_options){.extra = plaintext_by_default});
	connect_captured(&app);
	expect_through(&app, DOOR_CAPTURE_OUT, PLACE_OTHER);
}

Test(captured, captured_connection_that_nothing_is_about_is_refused_by_default)
{
	struct side app;

	start_again(&(struct heart_options){.extra = "[outbound]\ndefault = refuse\n"});
	connect_captured(&app);
	expect_reset(&app, FL_REASON_OUTBOUND_REFUSED);
}

/* With an [upstream far] for PLACE_OTHER, and such a map. */
static void take_far(const char *keys, struct fl_upstream_map *map)
{
	char *extra = fl_format("[upstream far]\nto = 127.0.0.1:%u\n%s%s",
				heart.place_ports[PLACE_OTHER], keys, plaintext_by_default);

	heart_take(&heart, &(struct heart_options){.extra = extra, .map = map});
	free(extra);
}

#define FAR 2u
#define PEER_KEY "peer = spiffe://prod.example/**\n"

Test(captured, captured_connection_of_an_mtls_upstream_shakes_hands)
{
	struct fl_upstream_map *map = fl_upstream_map_new();
	struct side app, peer;

	add_address(map, FAR, heart.place_ports[PLACE_OTHER], FL_MAP_CLAIMS);
	take_far(PEER_KEY, map);
	for (unsigned i = 0; i < 2; i++) {
		connect_captured(&app);
		heart_accept(&heart, &peer, PLACE_OTHER);
		heart_speak_tls(&heart, &peer, FL_TLS_SERVER, "p256");
		side_say(&app, "hello");
		HEART_UNTIL(&heart, side_has(&peer, "hello"));
		cr_expect_eq(fl_tls_resumed(peer.tls), i == 1);
		side_say(&peer, "welcome"); /* with a ticket */
		HEART_UNTIL(&heart, side_has(&app, "welcome"));
		let_go(&app);
		let_go(&peer);
		HEART_UNTIL(&heart, heart_open_connections(&heart) == 0);
	}
}

Test(captured, captured_address_that_is_no_names_waits_until_the_names_of_its_port_are_known)
{
	struct fl_upstream_map *answered;
	struct side app;

	take_far(PEER_KEY, map_with(FAR, heart.place_ports[PLACE_OTHER], FL_NAME_UNASKED, 0, NULL));
	connect_captured(&app);
	HEART_UNTIL(&heart, heart.wanted[0] == 1);
	cr_expect_str_eq(heart_state(&heart), "resolving");
	/* The name has another address: this one belongs to no upstream. */
	answered =
		map_with(FAR, heart.place_ports[PLACE_OTHER], FL_NAME_KNOWN, now_ms() + 5000, NULL);
	fl_worker_post_upstream_map(heart.worker, answered);
	fl_upstream_map_unref(answered);
	fl_worker_post_answer(heart.worker);
	expect_through(&app, DOOR_CAPTURE_OUT, PLACE_OTHER);
}

Test(captured, captured_address_that_may_be_a_name_without_answer_ends_within_connect_timeout)
{
	struct side app;

	take_far(PEER_KEY, map_with(FAR, heart.place_ports[PLACE_OTHER], FL_NAME_UNASKED, 0,
				    "far.example has not been answered yet"));
	connect_captured(&app);
	HEART_UNTIL(&heart, heart.wanted[0] == 1);
	heart_skip_ms(&heart, 12000);
	expect_reset(&app, FL_REASON_NO_ADDRESS);
	cr_expect(heart_logged(&heart, "far.example has not been answered yet"));
}

Test(captured, captured_address_on_the_port_of_a_name_without_address_is_refused)
{
	struct side app;

	take_far(PEER_KEY, map_with(FAR, heart.place_ports[PLACE_OTHER], FL_NAME_MISSING,
				    now_ms() + 5000, "far.example: it does not exist"));
	connect_captured(&app);
	expect_reset(&app, FL_REASON_NO_ADDRESS);
}

/* The address of a plaintext name: the names are queried again for a moment, and then the connection goes there anyway. */
Test(captured, loose_address_lingers_and_goes_on)
{
	struct fl_upstream_map *map =
		map_with(FAR, heart.place_ports[PLACE_OTHER], FL_NAME_KNOWN, 1, NULL);
	struct side app;

	add_address(map, FAR, heart.place_ports[PLACE_OTHER], FL_MAP_LOOSE);
	take_far("mode = plaintext\n", map);
	connect_captured(&app);
	HEART_UNTIL(&heart, heart.wanted[0] == 1);
	cr_expect_str_eq(heart_state(&heart), "resolving");
	heart_skip_ms(&heart, 2000);
	expect_through(&app, DOOR_CAPTURE_OUT, PLACE_OTHER);
}

/* An mtls upstream has got the address while it was dialled in plaintext. */
Test(captured, plaintext_to_an_address_that_is_claimed_now_is_closed)
{
	struct fl_upstream_map *before = fl_upstream_map_new(), *after = fl_upstream_map_new();
	uint16_t port = heart.place_ports[PLACE_OTHER];
	struct side app, peer;

	take_far(PEER_KEY, before);
	connect_captured(&app);
	heart_accept(&heart, &peer, PLACE_OTHER);
	side_say(&app, "hello");
	HEART_UNTIL(&heart, side_has(&peer, "hello"));
	add_address(after, FAR, port, FL_MAP_CLAIMS);
	fl_worker_post_upstream_map(heart.worker, after);
	fl_upstream_map_unref(after);
	expect_reset(&app, FL_REASON_POLICY_LOST);
	let_go(&peer);
}

Test(captured, direct_connection_to_a_capture_port_has_no_destination)
{
	struct side app;

	for (unsigned i = 0; i < 2; i++) {
		start_again(NULL);
		if (i == 1) {
			pretend_port(heart.ports[DOOR_CAPTURE_OUT]);
		}
		heart_connect(&heart, &app, DOOR_CAPTURE_OUT);
		expect_reset(&app, FL_REASON_DESTINATION_UNKNOWN);
	}
}

Test(captured, captured_connection_to_a_listener_of_ours_is_a_loop)
{
	struct side app;

	pretend_port(heart.ports[DOOR_STRICT]);
	heart_connect(&heart, &app, DOOR_CAPTURE_OUT);
	expect_reset(&app, FL_REASON_LOOP);
}

Test(captured, probe_of_capture_is_no_connection)
{
	struct side app;

	pretend_port(FL_CAPTURE_PROBE_PORT);
	heart_connect(&heart, &app, DOOR_CAPTURE_OUT);
	HEART_UNTIL(&heart, app.has_fin);
	cr_expect_eq(heart.loop->counters.probes, 1);
	cr_expect_eq(heart.loop->counters.opened[FL_OUTBOUND], 0);
	let_go(&app);
}

/* Inbound: the port selects the section, and the app is at the address that the peer dialled. */
Test(captured, captured_inbound_connection_reaches_the_port_that_it_was_for)
{
	struct side client, app;
	char *extra;

	for (unsigned i = 0; i < 2; i++) {
		extra = fl_format("[service near]\nport = %u\nmode = strict\n",
				  heart.place_ports[PLACE_OTHER]);
		heart_take(&heart, &(struct heart_options){.extra = i == 0 ? extra : NULL});
		free(extra);
		pretend_port(heart.place_ports[PLACE_OTHER]);
		heart_connect(&heart, &client, DOOR_CAPTURE_IN);
		heart_speak_tls(&heart, &client, FL_TLS_CLIENT, "p256");
		heart_accept(&heart, &app, PLACE_OTHER);
		side_say(&client, "hello");
		HEART_UNTIL(&heart, side_has(&app, "hello"));
		let_go(&client);
		let_go(&app);
		HEART_UNTIL(&heart, heart_open_connections(&heart) == 0);
	}
	cr_expect(heart_logged(&heart, "\"service\":\"near\""));
}
