/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Outbound: where a connection goes, names that have to be asked first, addresses that do not answer, slots that are taken. */
#include "heart.h"

#include <stdlib.h>
#include <string.h>

#include "base/capture.h"
#include "base/mem.h"

static struct heart heart;

static void open_heart(void)
{
	heart_open(&heart, NULL);
}

static void close_heart(void)
{
	heart_close(&heart);
}

TestSuite(dial, .init = open_heart, .fini = close_heart);

static const enum heart_door fixed_doors[] = {DOOR_MTLS_OUT, DOOR_PLAIN_OUT};
static const char *const fixed_names[] = {"api", "db"};

#define EACH_FIXED for (unsigned i = 0; i < 2; i++)

static void let_go(struct side *side)
{
	heart_forget(&heart, side);
	side_close(side);
}

static void start_again(const struct heart_options *options)
{
	close_heart();
	heart_open(&heart, options);
}

static void expect_reset(struct side *app, enum fl_reason reason)
{
	HEART_UNTIL(&heart, side_was_reset(app));
	cr_expect_eq(heart_ended(&heart, FL_OUTBOUND, reason), 1, "%s", heart_log(&heart));
	let_go(app);
	HEART_UNTIL(&heart, heart_open_connections(&heart) == 0);
}

/* Somebody is there, speaks TLS where the door leads to that, and gets what the app says. */
static void expect_through(struct side *app, enum heart_door door, enum heart_place place)
{
	struct side peer;

	heart_accept(&heart, &peer, place);
	if (door == DOOR_MTLS_OUT) {
		heart_speak_tls(&heart, &peer, FL_TLS_SERVER, "p256");
	}
	side_say(app, "hello");
	HEART_UNTIL(&heart, side_has(&peer, "hello"));
	let_go(app);
	let_go(&peer);
	heart_settle(&heart);
}

/* --- addresses ------------------------------------------------------------------------------------ */

static void point_to_two(const char *upstream, enum heart_place first, enum heart_place second)
{
	struct fl_targets *targets = fl_targets_new(2);

	targets->items[0].in = heart_loopback(heart.place_ports[first]);
	targets->items[1].in = heart_loopback(heart.place_ports[second]);
	fl_worker_post_targets(heart.worker, upstream, targets);
	fl_targets_unref(targets);
}

static void stop_listening(enum heart_place place)
{
	cr_assert_eq(shutdown(heart.places[place], SHUT_RDWR), 0);
}

/* SYNs get no answer any more. */
static void fill_queue(enum heart_place place, struct side fill[8])
{
	struct sockaddr_in to = heart_loopback(heart.place_ports[place]);

	cr_assert_eq(listen(heart.places[place], 0), 0);
	for (unsigned i = 0; i < 8; i++) {
		side_init(&fill[i]);
		side_connect(&fill[i], (struct sockaddr *)&to, sizeof(to));
	}
}

static void empty_queue(struct side fill[8])
{
	for (unsigned i = 0; i < 8; i++) {
		side_close(&fill[i]);
	}
}

Test(dial, app_is_reset_when_nobody_listens_at_the_only_address)
{
	EACH_FIXED
	{
		struct side app;

		start_again(NULL);
		stop_listening(PLACE_MESH);
		heart_connect(&heart, &app, fixed_doors[i]);
		expect_reset(&app, FL_REASON_PEER_REFUSED);
	}
}

Test(dial, next_address_is_tried_when_one_refuses)
{
	EACH_FIXED
	{
		struct side app;

		start_again(NULL);
		point_to_two(fixed_names[i], PLACE_OTHER, PLACE_MESH);
		stop_listening(PLACE_OTHER);
		heart_connect(&heart, &app, fixed_doors[i]);
		expect_through(&app, fixed_doors[i], PLACE_MESH);
	}
}

Test(dial, next_address_is_tried_when_one_does_not_answer)
{
	EACH_FIXED
	{
		struct side app, fill[8];

		start_again(NULL);
		point_to_two(fixed_names[i], PLACE_OTHER, PLACE_MESH);
		fill_queue(PLACE_OTHER, fill);
		heart_connect(&heart, &app, fixed_doors[i]);
		HEART_UNTIL(&heart, heart_open_connections(&heart) == 1);
		heart_skip_ms(&heart, 7000); /* more than half of connect_timeout */
		expect_through(&app, fixed_doors[i], PLACE_MESH);
		empty_queue(fill);
	}
}

Test(dial, addresses_that_do_not_answer_end_within_connect_timeout)
{
	EACH_FIXED
	{
		struct side app, fill[8];

		start_again(&(struct heart_options){.extra = "[limits]\nconnect_timeout = 2s\n"});
		fill_queue(PLACE_MESH, fill);
		heart_connect(&heart, &app, fixed_doors[i]);
		HEART_UNTIL(&heart, heart_open_connections(&heart) == 1);
		cr_expect_str_eq(heart_state(&heart), "connecting");
		heart_skip_ms(&heart, 3000);
		expect_reset(&app, FL_REASON_PEER_CONNECT_TIMEOUT);
		empty_queue(fill);
	}
}

Test(dial, app_that_leaves_meanwhile_ends_the_dial)
{
	EACH_FIXED
	{
		struct side app, fill[8];

		start_again(NULL);
		fill_queue(PLACE_MESH, fill);
		heart_connect(&heart, &app, fixed_doors[i]);
		HEART_UNTIL(&heart, heart_open_connections(&heart) == 1);
		heart_forget(&heart, &app);
		side_reset(&app);
		heart_skip_ms(&heart, 12000);
		HEART_UNTIL(&heart, heart_open_connections(&heart) == 0);
		empty_queue(fill);
	}
}

/* A name may resolve to anything, to us, too. */
Test(dial, address_that_is_a_listener_of_our_own_is_never_dialled)
{
	EACH_FIXED
	{
		struct fl_targets *targets = fl_targets_new(1);
		struct side app;

		start_again(NULL);
		targets->items[0].in = heart_loopback(heart.ports[fixed_doors[1 - i]]);
		fl_worker_post_targets(heart.worker, fixed_names[i], targets);
		fl_targets_unref(targets);
		heart_connect(&heart, &app, fixed_doors[i]);
		expect_reset(&app, FL_REASON_LOOP);
	}
}

Test(dial, slot_of_one_that_gets_nowhere_is_free_again)
{
	struct side app;

	stop_listening(PLACE_MESH);
	heart_connect(&heart, &app, DOOR_MTLS_OUT);
	expect_reset(&app, FL_REASON_PEER_REFUSED);
	cr_expect_eq(heart.loop->slots[FL_OUTBOUND].held, 0);
}

/* --- names of fixed upstreams ----------------------------------------------------------------------- */

static uint64_t now_ms(void)
{
	return uv_hrtime() / 1000000;
}

/* One name; of a fixed upstream where port is 0. */
static struct fl_upstream_map *map_with(uint32_t upstream, uint16_t port, enum fl_name_state state,
					uint64_t asked_ms, const char *trouble)
{
	struct fl_upstream_map *map = fl_upstream_map_new();

	fl_upstream_map_add_name(map,
				 &(struct fl_upstream_name){.host = "far.example",
							    .trouble = trouble,
							    .ports = {port != 0 ? port : 1, port},
							    .upstream = upstream,
							    .state = state,
							    .asked_ms_v4 = asked_ms,
							    .asked_ms_v6 = asked_ms});
	return map;
}

static void add_address(struct fl_upstream_map *map, uint32_t upstream, uint16_t port,
			unsigned kind)
{
	struct sockaddr_in sa = heart_loopback(port);
	struct fl_cidr one;

	cr_assert(fl_cidr_of((struct sockaddr *)&sa, &one));
	fl_upstream_map_add(map, &one, (struct fl_port_range){port, port}, upstream, kind);
}

Test(dial, upstream_without_address_waits_for_dns_and_goes_on_with_the_answer)
{
	EACH_FIXED
	{
		struct side app;

		start_again(&(struct heart_options){
			.map = map_with(i, 0, FL_NAME_UNASKED, 0, "not answered yet")});
		heart_point(&heart, fixed_names[i], PLACES);
		heart_connect(&heart, &app, fixed_doors[i]);
		HEART_UNTIL(&heart, heart.wanted[0] == 1);
		cr_expect_str_eq(heart_state(&heart), "resolving");
		heart_point(&heart, fixed_names[i], PLACE_MESH);
		fl_worker_post_answer(heart.worker);
		expect_through(&app, fixed_doors[i], PLACE_MESH);
	}
}

Test(dial, upstream_whose_name_is_not_answered_ends_within_connect_timeout)
{
	struct side app;

	start_again(&(struct heart_options){.map = map_with(0, 0, FL_NAME_FAILING, 0, NULL)});
	heart_point(&heart, "api", PLACES);
	heart_connect(&heart, &app, DOOR_MTLS_OUT);
	HEART_UNTIL(&heart, heart.wanted[0] > 0);
	heart_skip_ms(&heart, 12000);
	expect_reset(&app, FL_REASON_NO_ADDRESS);
	cr_expect(heart_logged(&heart, "far.example has not been answered again yet"));
}

Test(dial, upstream_whose_name_has_no_address_ends_at_once)
{
	static const char *const troubles[] = {"far.example: it does not exist", NULL};

	for (unsigned i = 0; i < 2; i++) {
		struct side app;

		start_again(&(struct heart_options){
			.map = map_with(0, 0, FL_NAME_MISSING, now_ms() + 5000, troubles[i])});
		heart_point(&heart, "api", PLACES);
		heart_connect(&heart, &app, DOOR_MTLS_OUT);
		expect_reset(&app, FL_REASON_NO_ADDRESS);
		cr_expect(heart_logged(&heart, i == 0 ? "it does not exist"
						      : "no address that this upstream may use"));
	}
}

Test(dial, address_that_is_withheld_is_waited_for)
{
	struct fl_targets *targets = fl_targets_new(0);
	struct side app;

	targets->withholds = true;
	fl_worker_post_targets(heart.worker, "db", targets);
	fl_targets_unref(targets);
	heart_connect(&heart, &app, DOOR_PLAIN_OUT);
	HEART_UNTIL(&heart, heart_open_connections(&heart) == 1);
	heart_settle(&heart);
	cr_expect_eq(heart_open_connections(&heart), 1);
	heart_point(&heart, "db", PLACE_MESH);
	fl_worker_post_answer(heart.worker);
	expect_through(&app, DOOR_PLAIN_OUT, PLACE_MESH);
}

Test(dial, app_that_leaves_while_dns_is_asked)
{
	struct side app;

	start_again(&(struct heart_options){.map = map_with(0, 0, FL_NAME_UNASKED, 0, NULL)});
	heart_point(&heart, "api", PLACES);
	heart_connect(&heart, &app, DOOR_MTLS_OUT);
	HEART_UNTIL(&heart, heart.wanted[0] == 1);
	heart_forget(&heart, &app);
	side_reset(&app);
	heart_skip_ms(&heart, 12000);
	HEART_UNTIL(&heart, heart_open_connections(&heart) == 0);
}

Test(dial, section_that_has_gone_asks_for_a_restart)
{
	struct side app;

	heart_take(&heart, &(struct heart_options){.lacks_api_and_web = true});
	heart_connect(&heart, &app, DOOR_MTLS_OUT);
	expect_reset(&app, FL_REASON_RESTART_NEEDED);
}

Test(dial, section_that_goes_while_dns_is_asked_asks_for_a_restart)
{
	struct side app;

	start_again(&(struct heart_options){.map = map_with(0, 0, FL_NAME_UNASKED, 0, NULL)});
	heart_point(&heart, "api", PLACES);
	heart_connect(&heart, &app, DOOR_MTLS_OUT);
	HEART_UNTIL(&heart, heart.wanted[0] == 1);
	heart_take(&heart, &(struct heart_options){.lacks_api_and_web = true});
	expect_reset(&app, FL_REASON_RESTART_NEEDED);
}

/* --- captured --------------------------------------------------------------------------------------- */

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

Test(dial, captured_connection_goes_where_it_wanted_to_go)
{
	struct side app;

	start_again(&(struct heart_options){.extra = plaintext_by_default});
	connect_captured(&app);
	expect_through(&app, DOOR_CAPTURE_OUT, PLACE_OTHER);
}

Test(dial, captured_connection_that_nothing_is_about_is_refused_by_default)
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

Test(dial, captured_connection_of_an_mtls_upstream_shakes_hands)
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

Test(dial, captured_address_that_is_no_names_waits_until_the_names_of_its_port_are_known)
{
	struct fl_upstream_map *answered;
	struct side app;

	take_far(PEER_KEY, map_with(FAR, heart.place_ports[PLACE_OTHER], FL_NAME_UNASKED, 0, NULL));
	connect_captured(&app);
	HEART_UNTIL(&heart, heart.wanted[0] == 1);
	cr_expect_str_eq(heart_state(&heart), "resolving");
	/* The name has another address: this one is nobody's. */
	answered =
		map_with(FAR, heart.place_ports[PLACE_OTHER], FL_NAME_KNOWN, now_ms() + 5000, NULL);
	fl_worker_post_upstream_map(heart.worker, answered);
	fl_upstream_map_unref(answered);
	fl_worker_post_answer(heart.worker);
	expect_through(&app, DOOR_CAPTURE_OUT, PLACE_OTHER);
}

Test(dial, captured_address_that_may_be_a_name_without_answer_ends_within_connect_timeout)
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

Test(dial, captured_address_on_the_port_of_a_name_without_address_is_refused)
{
	struct side app;

	take_far(PEER_KEY, map_with(FAR, heart.place_ports[PLACE_OTHER], FL_NAME_MISSING,
				    now_ms() + 5000, "far.example: it does not exist"));
	connect_captured(&app);
	expect_reset(&app, FL_REASON_NO_ADDRESS);
}

/* An address that a plaintext name has: the names are asked again for a moment, and then it goes there all the same. */
Test(dial, loose_address_lingers_and_goes_on)
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
Test(dial, plaintext_to_an_address_that_is_claimed_now_is_closed)
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

Test(dial, direct_connection_to_a_capture_port_has_no_destination)
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

Test(dial, captured_connection_to_a_listener_of_ours_is_a_loop)
{
	struct side app;

	pretend_port(heart.ports[DOOR_STRICT]);
	heart_connect(&heart, &app, DOOR_CAPTURE_OUT);
	expect_reset(&app, FL_REASON_LOOP);
}

Test(dial, probe_of_capture_is_no_connection)
{
	struct side app;

	pretend_port(FL_CAPTURE_PROBE_PORT);
	heart_connect(&heart, &app, DOOR_CAPTURE_OUT);
	HEART_UNTIL(&heart, app.has_fin);
	cr_expect_eq(heart.loop->counters.probes, 1);
	cr_expect_eq(heart.loop->counters.opened[FL_OUTBOUND], 0);
	let_go(&app);
}

/* Inbound: the port says which section, and the app is where the peer wanted to go. */
Test(dial, captured_inbound_connection_reaches_the_port_that_it_was_for)
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

/* --- slots ------------------------------------------------------------------------------------------ */

#define WAITING 3

/* The first holds the only slot: its server says nothing. */
static void take_the_only_slot(struct side *app, struct side *server)
{
	start_again(&(struct heart_options){
		.extra = "[limits]\nhandshakes = 1\nconnect_timeout = 3s\n"});
	heart_connect(&heart, app, DOOR_MTLS_OUT);
	heart_accept(&heart, server, PLACE_MESH);
	HEART_UNTIL(&heart, server->got_len > 0);
}

Test(dial, those_that_find_no_slot_wait_and_are_served_in_turn)
{
	struct side first, server, apps[WAITING];

	take_the_only_slot(&first, &server);
	for (unsigned i = 0; i < WAITING; i++) {
		heart_connect(&heart, &apps[i], DOOR_MTLS_OUT);
		HEART_UNTIL(&heart, heart_open_connections(&heart) == i + 2);
	}
	heart_settle(&heart);
	cr_expect_eq(heart.loop->slots[FL_OUTBOUND].held, 1);
	let_go(&server); /* the first has failed */
	HEART_UNTIL(&heart, side_was_reset(&first) || first.has_fin);
	let_go(&first);
	for (unsigned i = 0; i < WAITING; i++) {
		expect_through(&apps[i], DOOR_MTLS_OUT, PLACE_MESH);
	}
}

Test(dial, those_that_wait_for_a_slot_in_vain_end_within_connect_timeout)
{
	struct side first, server, app;

	take_the_only_slot(&first, &server);
	heart_connect(&heart, &app, DOOR_MTLS_OUT);
	HEART_UNTIL(&heart, heart_open_connections(&heart) == 2);
	heart_skip_ms(&heart, 3100);
	HEART_UNTIL(&heart, side_was_reset(&app));
	cr_expect_eq(heart_ended(&heart, FL_OUTBOUND, FL_REASON_PEER_CONNECT_TIMEOUT), 1);
	cr_expect(heart_logged(&heart, "it has waited for one of [limits] handshakes"));
	let_go(&first);
	let_go(&server);
	let_go(&app);
}
