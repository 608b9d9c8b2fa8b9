/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Outbound by fixed listeners: names that must be resolved first, addresses that do not answer, and slots that are in
 * use. */
#include "dial_bench.h"

TestSuite(dial, .init = open_heart, .fini = close_heart);

static const enum heart_door fixed_doors[] = {DOOR_MTLS_OUT, DOOR_PLAIN_OUT};
static const char *const fixed_names[] = {"api", "db"};

#define EACH_FIXED for (unsigned i = 0; i < 2; i++)

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

/* It is dialled already, over two addresses of which neither answers, when a new INI gives it less time. */
Test(dial, shorter_connect_timeout_holds_for_those_that_are_dialled)
{
	EACH_FIXED
	{
		struct side app, fill[8];

		start_again(&(struct heart_options){.extra = "[limits]\nconnect_timeout = 1h\n"});
		point_to_two(fixed_names[i], PLACE_OTHER, PLACE_MESH);
		fill_queue(PLACE_OTHER, fill);
		heart_connect(&heart, &app, fixed_doors[i]);
		HEART_UNTIL(&heart, heart_open_connections(&heart) == 1);
		cr_expect_str_eq(heart_state(&heart), "connecting");
		heart_take(&heart,
			   &(struct heart_options){.extra = "[limits]\nconnect_timeout = 10s\n"});
		heart_skip_ms(&heart, 7000); /* more than half of it */
		expect_through(&app, fixed_doors[i], PLACE_MESH);
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

/* A name may resolve to anything, even to our own address. */
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

/* There is no moment in which the new address gets plaintext, or the old one mutual TLS. */
Test(dial, mode_and_addresses_of_a_generation_come_into_force_together)
{
	struct side app;

	heart_will_point(&heart, "db", PLACE_OTHER);
	heart_connect(&heart, &app, DOOR_PLAIN_OUT);
	expect_through(&app, DOOR_PLAIN_OUT, PLACE_MESH);
	heart_take(
		&heart,
		&(struct heart_options){
			.db = "to = 127.0.0.1:1\nmode = mtls\npeer = spiffe://prod.example/**\n"});
	heart_connect(&heart, &app, DOOR_PLAIN_OUT);
	expect_through(&app, DOOR_MTLS_OUT, PLACE_OTHER);
	heart_take(&heart, NULL);
	heart_connect(&heart, &app, DOOR_PLAIN_OUT);
	expect_through(&app, DOOR_PLAIN_OUT, PLACE_OTHER);
}

Test(dial, section_that_returns_has_the_addresses_of_its_new_ini)
{
	struct side app;

	heart_take(&heart, &(struct heart_options){.lacks_api_and_web = true});
	cr_expect_null(heart.worker->listeners.items[DOOR_MTLS_OUT].endpoint.targets);
	heart_will_point(&heart, "api", PLACE_OTHER);
	heart_take(&heart, NULL);
	heart_connect(&heart, &app, DOOR_MTLS_OUT);
	expect_through(&app, DOOR_MTLS_OUT, PLACE_OTHER);
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

Test(dial, answer_that_is_old_is_asked_for_again)
{
	struct side app;

	start_again(&(struct heart_options){.map = map_with(0, 0, FL_NAME_MISSING, 1, NULL)});
	heart_point(&heart, "api", PLACES);
	heart_connect(&heart, &app, DOOR_MTLS_OUT);
	HEART_UNTIL(&heart, heart.wanted[0] > 0);
	heart_settle(&heart);
	cr_expect_str_eq(heart_state(&heart), "resolving");
	let_go(&app);
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
