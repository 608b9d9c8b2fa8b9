/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Outbound connections that wait for a slot, or start over, while another generation comes into force: all that their share
 * decided is decided again, and none is lost. */
#include "dial_bench.h"

#include "count/sections.h"
#include "framed.h"

#define ID(name) "spiffe://prod.example/ns/test/sa/" name
#define ONE_SLOT "[limits]\nhandshakes = 1\nconnect_timeout = 3s\n"
#define OTHER "p384" /* who we are after a renewal */
#define FAR 2u       /* the number of an upstream in `extra` */

TestSuite(waiting, .init = open_heart, .fini = close_heart);

/* --- what they wait for ------------------------------------------------------------------------------- */

static void pretend(enum heart_place place)
{
	struct sockaddr_in to = heart_loopback(heart.place_ports[place]);

	heart_pretend_destination((struct sockaddr *)&to);
}

/* It holds the only slot: its server says nothing. */
struct holder {
	struct side app, server;
};

static void take_the_only_slot(struct holder *holder)
{
	heart_connect(&heart, &holder->app, DOOR_MTLS_OUT);
	heart_accept(&heart, &holder->server, PLACE_MESH);
	HEART_UNTIL(&heart, holder->server.got_len > 0);
}

static void leave_the_only_slot(struct holder *holder)
{
	let_go(&holder->server);
	HEART_UNTIL(&heart, side_was_reset(&holder->app) || holder->app.has_fin);
	let_go(&holder->app);
}

static void wait_for_slot(struct side *app, enum heart_door door, const char *text)
{
	unsigned before = heart_open_connections(&heart);

	heart_connect(&heart, app, door);
	side_say(app, text);
	HEART_UNTIL(&heart, heart_open_connections(&heart) == before + 1);
	heart_settle(&heart);
}

/* A server gets that text, from us under that name. */
static void expect_from(enum heart_place place, const char *text, const char *id)
{
	struct side server;

	heart_accept(&heart, &server, place);
	heart_speak_tls(&heart, &server, FL_TLS_SERVER, "p256");
	HEART_UNTIL(&heart, side_has(&server, text));
	cr_expect_str_eq(fl_tls_peer_id(server.tls), id);
	let_go(&server);
	heart_settle(&heart);
}

static struct fl_section_sum state_of(const char *name)
{
	struct fl_section_sum sum = {0};

	for (size_t i = 0; i < fl_section_count(heart.sections); i++) {
		fl_section_sum(heart.sections->items[i], &sum);
		if (sum.direction == FL_OUTBOUND &&
		    (name == NULL ? sum.name == NULL
				  : sum.name != NULL && strcmp(sum.name, name) == 0)) {
			return sum;
		}
	}
	cr_assert_fail("no such section");
	return sum;
}

/* --- a fixed upstream ---------------------------------------------------------------------------------- */

Test(waiting, those_that_wait_are_dialled_with_the_renewed_certificate)
{
	struct holder holder;
	struct side apps[3];
	static const char *const texts[] = {"one", "two", "three"};

	start_again(&(struct heart_options){.extra = ONE_SLOT});
	take_the_only_slot(&holder);
	for (unsigned i = 0; i < 3; i++) {
		wait_for_slot(&apps[i], DOOR_MTLS_OUT, texts[i]);
	}
	heart_take(&heart, &(struct heart_options){.extra = ONE_SLOT, .own = OTHER});
	leave_the_only_slot(&holder);
	for (unsigned i = 0; i < 3; i++) {
		expect_from(PLACE_MESH, texts[i], ID(OTHER));
		let_go(&apps[i]);
	}
	cr_expect_eq(state_of("api").opened, 4, "each is counted once");
	HEART_UNTIL(&heart, state_of("api").open == 0);
}

Test(waiting, one_whose_upstream_is_gone_asks_for_a_restart)
{
	struct holder holder;
	struct side app;

	start_again(&(struct heart_options){.extra = ONE_SLOT});
	take_the_only_slot(&holder);
	wait_for_slot(&app, DOOR_MTLS_OUT, "hello");
	heart_take(&heart, &(struct heart_options){.extra = ONE_SLOT, .lacks_api_and_web = true});
	leave_the_only_slot(&holder);
	expect_reset(&app, FL_REASON_RESTART_NEEDED);
}

/* What the upstream expects, and whether it is mtls at all, is that of the new INI. */
Test(waiting, one_whose_upstream_has_changed_follows_it)
{
	for (unsigned i = 0; i < 2; i++) {
		struct holder holder;
		struct side app, server;
		char *api;

		start_again(&(struct heart_options){.extra = ONE_SLOT});
		take_the_only_slot(&holder);
		wait_for_slot(&app, DOOR_MTLS_OUT, "hello");
		api = fl_format("to = 127.0.0.1:%u\n%s", heart.place_ports[PLACE_MESH],
				i == 0 ? "mode = plaintext\n" : "peer = " ID("another") "\n");
		heart_take(&heart, &(struct heart_options){.extra = ONE_SLOT, .api = api});
		free(api);
		leave_the_only_slot(&holder);
		heart_accept(&heart, &server, PLACE_MESH);
		if (i == 0) {
			HEART_UNTIL(&heart, side_has(&server, "hello"));
			let_go(&app);
		} else {
			heart_speak_tls(&heart, &server, FL_TLS_SERVER, "p256");
			expect_reset(&app, FL_REASON_CERTIFICATE);
		}
		let_go(&server);
	}
}

/* --- captured ------------------------------------------------------------------------------------------- */

static void take_far(struct fl_upstream_map *map, const char *own, bool starts)
{
	char *extra = fl_format("%s[upstream far]\nto = 127.0.0.1:%u\npeer = %s\n"
				"[outbound]\ndefault = mtls\n",
				ONE_SLOT, heart.place_ports[PLACE_OTHER], ID("*"));
	struct heart_options options = {.extra = extra, .own = own, .map = map};

	if (starts) {
		start_again(&options);
	} else {
		heart_take(&heart, &options);
	}
	free(extra);
}

/* The address belongs to another section now: it is counted there, and its session is not parked for the earlier one. */
Test(waiting, a_captured_one_moves_to_the_section_that_has_its_address_now)
{
	struct fl_upstream_map *map = fl_upstream_map_new();
	struct holder holder;
	struct side app;

	take_far(NULL, NULL, true);
	pretend(PLACE_OTHER);
	take_the_only_slot(&holder);
	wait_for_slot(&app, DOOR_CAPTURE_OUT, "hello");
	cr_expect_eq(state_of(NULL).open, 1, "[outbound]");
	add_address(map, FAR, heart.place_ports[PLACE_OTHER], FL_MAP_CLAIMS);
	take_far(map, OTHER, false);
	leave_the_only_slot(&holder);
	expect_from(PLACE_OTHER, "hello", ID(OTHER));
	cr_expect_eq(state_of(NULL).open, 0);
	cr_expect_eq(state_of("far").opened, 1);
	let_go(&app);
	HEART_UNTIL(&heart, state_of("far").open == 0);
}

/* The new INI has a name on that port that DNS has not answered: its turn is kept meanwhile. */
Test(waiting, one_that_has_to_wait_for_dns_keeps_its_turn)
{
	struct fl_upstream_map *answered;
	uint16_t port;
	struct holder holder;
	struct side first, second;

	take_far(NULL, NULL, true);
	port = heart.place_ports[PLACE_OTHER];
	pretend(PLACE_OTHER);
	take_the_only_slot(&holder);
	wait_for_slot(&first, DOOR_CAPTURE_OUT, "first");
	take_far(map_with(FAR, port, FL_NAME_UNASKED, 0, NULL), OTHER, false);
	leave_the_only_slot(&holder);
	HEART_UNTIL(&heart, heart.wanted[0] > 0);
	cr_expect_str_eq(heart_state(&heart), "resolving");
	/* Meanwhile the slot is another one's, and a third one waits. */
	take_the_only_slot(&holder);
	wait_for_slot(&second, DOOR_MTLS_OUT, "second");
	answered = map_with(FAR, port, FL_NAME_KNOWN, now_ms() + 5000, NULL);
	fl_worker_post_upstream_map(heart.worker, answered);
	fl_upstream_map_unref(answered);
	fl_worker_post_answer(heart.worker);
	heart_settle(&heart);
	leave_the_only_slot(&holder);
	expect_from(PLACE_OTHER, "first", ID(OTHER));
	expect_from(PLACE_MESH, "second", ID(OTHER));
	let_go(&first);
	let_go(&second);
}

/* --- time ------------------------------------------------------------------------------------------------- */

/* The time for its name was connect_timeout, too. */
Test(waiting, for_a_slot_after_a_name_leaves_time_to_dial)
{
	struct holder holder;
	struct side app;

	start_again(&(struct heart_options){.extra = ONE_SLOT,
					    .map = map_with(0, 0, FL_NAME_UNASKED, 0, NULL)});
	take_the_only_slot(&holder);
	heart_point(&heart, "api", PLACES);
	wait_for_slot(&app, DOOR_MTLS_OUT, "hello");
	heart_skip_ms(&heart, 2000);
	heart_point(&heart, "api", PLACE_MESH);
	fl_worker_post_answer(heart.worker);
	heart_settle(&heart);
	heart_skip_ms(&heart, 2000);
	leave_the_only_slot(&holder);
	expect_from(PLACE_MESH, "hello", ID("p256-twin"));
	let_go(&app);
}

/* --- starting over ---------------------------------------------------------------------------------------- */

static void come_as_server(struct side *mesh, struct framed *frames)
{
	heart_accept(&heart, mesh, PLACE_MESH);
	heart_speak_tls(&heart, mesh, FL_TLS_SERVER, "p256");
	framed_init(frames, mesh, FL_FRAMING_SERVER);
}

/* A session is parked. */
static void use_once(struct side *mesh, struct framed *frames)
{
	struct side app;

	heart_connect(&heart, &app, DOOR_MTLS_OUT);
	come_as_server(mesh, frames);
	side_say(&app, "once");
	side_finish(&app);
	HEART_UNTIL(&heart, framed_ended(frames));
	framed_answer(frames, FL_STATUS_OPENED);
	framed_end(frames);
	HEART_UNTIL(&heart, app.has_fin);
	let_go(&app);
	HEART_UNTIL(&heart, fl_loop_idle_sessions(heart.loop, FL_OUTBOUND) == 1);
}

/* Its session has not carried it: it is dialled with the certificate in force. In plaintext it does not go out again. */
Test(waiting, one_that_starts_over_follows_the_generation_in_force)
{
	for (unsigned i = 0; i < 2; i++) {
		struct heart_options next = {.own = OTHER};
		struct side app, first, mesh;
		struct framed frames;
		char *api;

		start_again(NULL);
		heart.framed = true;
		use_once(&first, &frames);
		heart_connect(&heart, &app, DOOR_MTLS_OUT);
		side_say(&app, "again");
		HEART_UNTIL(&heart, framed_has(&frames, "again"));
		api = fl_format("to = 127.0.0.1:%u\nmode = plaintext\n",
				heart.place_ports[PLACE_MESH]);
		next.api = i == 1 ? api : NULL;
		heart_take(&heart, &next);
		free(api);
		framed_answer(&frames, FL_STATUS_NOT_OPENED);
		if (i == 0) {
			struct framed again;

			come_as_server(&mesh, &again);
			HEART_UNTIL(&heart, framed_has(&again, "again"));
			cr_expect_str_eq(fl_tls_peer_id(mesh.tls), ID(OTHER));
			framed_done(&again);
			let_go(&app);
			let_go(&mesh);
		} else {
			expect_reset(&app, FL_REASON_PEER_RESET);
			side_init(&mesh);
			cr_expect_not(side_accept(&mesh, heart.places[PLACE_MESH]));
		}
		framed_done(&frames);
		let_go(&first);
	}
}
