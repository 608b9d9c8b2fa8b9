/* SPDX-License-Identifier: GPL-3.0-or-later */
/* How connections end: half-closes in every order, resets, truncations and alerts in every state, and deadlines. */
#include "call.h"

#include <netinet/tcp.h>
#include <string.h>

#define EACH_KIND for (enum call_kind kind = 0; kind < CALL_KINDS; kind++)

static struct heart heart;

static void open_heart(void)
{
	heart_open(&heart, NULL);
}

static void close_heart(void)
{
	heart_close(&heart);
}

TestSuite(ends, .init = open_heart, .fini = close_heart);

/* Exactly one more connection has ended for this reason, and it was the last one. */
static void expect_ended(struct call *call, enum fl_reason reason)
{
	HEART_UNTIL(&heart, heart_open_connections(&heart) == 0);
	cr_assert_eq(heart_ended(&heart, call_direction(call->kind), reason), 1, "kind %d:\n%s",
		     call->kind, heart_log(&heart));
	close_heart();
	open_heart();
}

/* Drops one side, which sends a reset. */
static void reset(struct side *side)
{
	heart_forget(&heart, side);
	side_reset(side);
}

/* --- both finish ---------------------------------------------------------------------------------- */

static void finish_in_order(enum call_kind kind, bool app_first)
{
	struct call call;

	call_open(&heart, &call, kind);
	struct side *first = app_first ? &call.app : &call.mesh;
	struct side *second = app_first ? &call.mesh : &call.app;

	side_say(first, "last words");
	side_finish(first);
	HEART_UNTIL(&heart, second->has_finished);
	cr_expect(side_has(second, "last words"));
	cr_expect_str_eq(heart_state(&heart), app_first ? "app_done" : "peer_done");
	side_say(second, "an answer");
	side_finish(second);
	HEART_UNTIL(&heart, first->has_finished);
	cr_expect(side_has(first, "an answer"));
	cr_expect(first->has_fin && second->has_fin);
	call_close(&call);
	expect_ended(&call, FL_REASON_DONE);
}

Test(ends, app_finishes_then_the_peer)
{
	EACH_KIND
	{
		finish_in_order(kind, true);
	}
}

Test(ends, peer_finishes_then_the_app)
{
	EACH_KIND
	{
		finish_in_order(kind, false);
	}
}

Test(ends, both_finish_in_one_turn)
{
	EACH_KIND
	{
		struct call call;

		call_open(&heart, &call, kind);
		side_say(&call.app, "a");
		side_finish(&call.app);
		side_say(&call.mesh, "m");
		side_finish(&call.mesh);
		HEART_UNTIL(&heart, call.app.has_finished && call.mesh.has_finished);
		cr_expect(side_has(&call.app, "m") && side_has(&call.mesh, "a"));
		call_close(&call);
		expect_ended(&call, FL_REASON_DONE);
	}
}

/* A direction may continue for any time after the other one has finished. */
Test(ends, half_closed_connection_carries_on)
{
	EACH_KIND
	{
		struct call call;

		call_open(&heart, &call, kind);
		side_finish(&call.app);
		HEART_UNTIL(&heart, call.mesh.has_finished);
		for (unsigned i = 0; i < 5; i++) {
			side_say(&call.mesh, "more");
			HEART_UNTIL(&heart, side_has(&call.app, "more"));
			call.app.got_len = 0;
		}
		side_finish(&call.mesh);
		HEART_UNTIL(&heart, call.app.has_finished);
		call_close(&call);
		expect_ended(&call, FL_REASON_DONE);
	}
}

/* --- one goes away -------------------------------------------------------------------------------- */

enum state { OPEN, APP_DONE, PEER_DONE, STATES };

static void bring_to(struct call *call, enum call_kind kind, enum state state)
{
	call_open(&heart, call, kind);
	if (state == APP_DONE) {
		side_finish(&call->app);
		HEART_UNTIL(&heart, call->mesh.has_finished);
	} else if (state == PEER_DONE) {
		side_finish(&call->mesh);
		HEART_UNTIL(&heart, call->app.has_finished);
	}
}

Test(ends, reset_by_the_app_reaches_the_peer_as_a_reset_in_every_state)
{
	for (enum state state = 0; state < STATES; state++) {
		EACH_KIND
		{
			struct call call;

			bring_to(&call, kind, state);
			reset(&call.app);
			HEART_UNTIL(&heart, side_was_reset(&call.mesh) || call.mesh.has_fin);
			call_close(&call);
			expect_ended(&call, FL_REASON_APP_RESET);
		}
	}
}

Test(ends, reset_by_the_peer_reaches_the_app_as_a_reset_in_every_state)
{
	for (enum state state = 0; state < STATES; state++) {
		EACH_KIND
		{
			struct call call;

			bring_to(&call, kind, state);
			reset(&call.mesh);
			HEART_UNTIL(&heart, side_was_reset(&call.app) || state == PEER_DONE);
			HEART_UNTIL(&heart, heart_open_connections(&heart) == 0);
			call_close(&call);
			expect_ended(&call, FL_REASON_PEER_RESET);
		}
	}
}

/* A TLS stream that ends without close_notify may have been cut short by anybody: that is no clean end. */
Test(ends, tls_stream_that_is_cut_short_becomes_a_reset)
{
	static const enum call_kind kinds[] = {CALL_IN_TLS, CALL_OUT_TLS};

	for (unsigned i = 0; i < 2; i++) {
		for (enum state state = OPEN; state <= APP_DONE; state++) {
			struct call call;

			bring_to(&call, kinds[i], state);
			side_say(&call.mesh, "half of it");
			side_cut_short(&call.mesh);
			HEART_UNTIL(&heart, side_was_reset(&call.app));
			cr_expect_not(call.app.has_finished);
			call_close(&call);
			expect_ended(&call, FL_REASON_PEER_TRUNCATED);
		}
	}
}

Test(ends, alert_of_the_peer_becomes_a_reset)
{
	static const enum call_kind kinds[] = {CALL_IN_TLS, CALL_OUT_TLS};

	for (unsigned i = 0; i < 2; i++) {
		struct call call;

		call_open(&heart, &call, kinds[i]);
		side_alert(&call.mesh, 80);
		HEART_UNTIL(&heart, side_was_reset(&call.app));
		call_close(&call);
		expect_ended(&call, FL_REASON_PEER_ALERT);
	}
}

Test(ends, broken_record_of_the_peer_becomes_a_reset)
{
	static const uint8_t record[] = {23, 3,  3,  0,  32, 1,  2,  3,  4,  5,  6,  7,  8,
					 9,  10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21,
					 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32};
	static const enum call_kind kinds[] = {CALL_IN_TLS, CALL_OUT_TLS};

	for (unsigned i = 0; i < 2; i++) {
		struct call call;

		call_open(&heart, &call, kinds[i]);
		side_send_raw(&call.mesh, record, sizeof(record));
		HEART_UNTIL(&heart, side_was_reset(&call.app));
		cr_expect_eq(call.app.got_len, 0);
		HEART_UNTIL(&heart, call.mesh.failure != NULL);
		cr_expect_eq(call.mesh.failure->cause, FL_TLS_CAUSE_PEER_ALERT);
		call_close(&call);
		expect_ended(&call, FL_REASON_TLS_PROTOCOL);
	}
}

/* --- who is still to get something ------------------------------------------------------------------ */

#define MUCH (8u << 20)

/* More bytes than the kernel buffers, followed by the end: all of them arrive, and then the end. */
static void finish_with_much_on_its_way(enum call_kind kind, bool to_app)
{
	static uint8_t data[MUCH];
	struct call call;

	call_open(&heart, &call, kind);
	struct side *from = to_app ? &call.mesh : &call.app;
	struct side *to = to_app ? &call.app : &call.mesh;

	memset(data, 'x', sizeof(data));
	to->is_deaf = true;
	for (size_t at = 0; at < MUCH; at += MUCH / 8) {
		side_send(from, data + at, MUCH / 8);
	}
	side_finish(from);
	side_finish(to);
	HEART_UNTIL(&heart, from->has_finished);
	heart_settle(&heart);
	cr_expect_eq(heart_open_connections(&heart), 1);
	to->is_deaf = false;
	HEART_UNTIL(&heart, to->has_finished);
	cr_expect_eq(to->got_len, MUCH);
	call_close(&call);
	expect_ended(&call, FL_REASON_DONE);
}

Test(ends, all_arrives_before_the_end)
{
	EACH_KIND
	{
		finish_with_much_on_its_way(kind, false);
		finish_with_much_on_its_way(kind, true);
	}
}

/* --- dials to the app ----------------------------------------------------------------------------- */

Test(ends, app_that_does_not_listen_resets_the_peer)
{
	for (enum call_kind kind = CALL_IN_TLS; kind <= CALL_IN_PLAIN; kind++) {
		struct call call;

		(void)shutdown(heart.places[PLACE_APP], SHUT_RDWR);
		call_begin(&heart, &call, kind);
		HEART_UNTIL(&heart, side_was_reset(&call.mesh) || call.mesh.has_fin);
		call_close(&call);
		expect_ended(&call, FL_REASON_APP_REFUSED);
	}
}

Test(ends, app_that_does_not_answer_ends_within_connect_timeout)
{
	for (enum call_kind kind = CALL_IN_TLS; kind <= CALL_IN_PLAIN; kind++) {
		struct side fill[HEART_FILL];
		struct call call;

		heart_take(&heart,
			   &(struct heart_options){.extra = "[limits]\nconnect_timeout = 2s\n"});
		heart_fill_queue(&heart, PLACE_APP, fill);
		call_begin(&heart, &call, kind);
		HEART_UNTIL(&heart, heart_open_connections(&heart) == 1);
		HEART_UNTIL(&heart, strcmp(heart_state(&heart), "connecting") == 0);
		heart_skip_ms(&heart, 2100);
		HEART_UNTIL(&heart, side_was_reset(&call.mesh));
		call_close(&call);
		heart_drop_fill(fill);
		expect_ended(&call, FL_REASON_APP_CONNECT_TIMEOUT);
	}
}

Test(ends, peer_that_leaves_while_the_app_is_dialled)
{
	for (enum call_kind kind = CALL_IN_TLS; kind <= CALL_IN_PLAIN; kind++) {
		struct side fill[HEART_FILL];
		struct call call;

		heart_fill_queue(&heart, PLACE_APP, fill);
		call_begin(&heart, &call, kind);
		HEART_UNTIL(&heart, heart_open_connections(&heart) == 1);
		HEART_UNTIL(&heart, strcmp(heart_state(&heart), "connecting") == 0);
		reset(&call.mesh);
		HEART_UNTIL(&heart, heart_open_connections(&heart) == 0 || kind == CALL_IN_PLAIN);
		heart_skip_ms(&heart, 12000);
		call_close(&call);
		heart_drop_fill(fill);
		HEART_UNTIL(&heart, heart_open_connections(&heart) == 0);
		close_heart();
		open_heart();
	}
}

/* --- time ----------------------------------------------------------------------------------------- */

Test(ends, idle_connection_is_reset_after_idle_timeout)
{
	EACH_KIND
	{
		struct call call;

		heart_take(&heart,
			   &(struct heart_options){.extra = "[limits]\nidle_timeout = 10s\n"});
		call_open(&heart, &call, kind);
		heart_skip_ms(&heart, 8000);
		side_say(&call.app, "not idle");
		HEART_UNTIL(&heart, side_has(&call.mesh, "not idle"));
		heart_skip_ms(&heart, 8000);
		cr_expect_eq(heart_open_connections(&heart), 1);
		heart_skip_ms(&heart, 4000);
		HEART_UNTIL(&heart, side_was_reset(&call.app) && side_was_reset(&call.mesh));
		call_close(&call);
		expect_ended(&call, FL_REASON_IDLE_TIMEOUT);
	}
}

/* The check of a connection that has ended was due much later: a new INI does not wait for it. */
Test(ends, shorter_idle_timeout_holds_for_the_next_connection)
{
	EACH_KIND
	{
		struct call call;

		heart_take(&heart,
			   &(struct heart_options){.extra = "[limits]\nidle_timeout = 100h\n"});
		call_open(&heart, &call, kind);
		heart_skip_ms(&heart, 2000);
		call_close(&call);
		HEART_UNTIL(&heart, heart_open_connections(&heart) == 0);
		heart_take(&heart,
			   &(struct heart_options){.extra = "[limits]\nidle_timeout = 10s\n"});
		call_open(&heart, &call, kind);
		heart_skip_ms(&heart, 12000);
		HEART_UNTIL(&heart, side_was_reset(&call.app) && side_was_reset(&call.mesh));
		call_close(&call);
		expect_ended(&call, FL_REASON_IDLE_TIMEOUT);
	}
}

/* What the kernel reports about a peer that no longer acknowledges anything. */
Test(ends, peer_whose_kernel_is_gone_ends_after_peer_timeout)
{
	EACH_KIND
	{
		struct tcp_info info = {.tcpi_unacked = 1,
					.tcpi_retransmits = 3,
					.tcpi_backoff = 3,
					.tcpi_last_ack_recv = 60000};
		struct call call;

		heart_take(&heart,
			   &(struct heart_options){.extra = "[limits]\npeer_timeout = 6s\n"});
		call_open(&heart, &call, kind);
		side_say(&call.app, "anybody?");
		HEART_UNTIL(&heart, side_has(&call.mesh, "anybody?"));
		faults_pretend_option(IPPROTO_TCP, TCP_INFO, &info, sizeof(info));
		heart_skip_ms(&heart, 9000);
		HEART_UNTIL(&heart, side_was_reset(&call.app));
		call_close(&call);
		expect_ended(&call, FL_REASON_PEER_TIMEOUT);
	}
}

/* --- shutdown ------------------------------------------------------------------------------------- */

Test(ends, worker_that_stops_resets_all)
{
	EACH_KIND
	{
		struct call call;

		call_open(&heart, &call, kind);
		fl_worker_post_stop(heart.worker);
		HEART_UNTIL(&heart, side_was_reset(&call.app) && side_was_reset(&call.mesh));
		cr_expect_eq(heart_ended(&heart, call_direction(kind), FL_REASON_DRAIN), 1);
		call_close(&call);
		close_heart();
		open_heart();
	}
}
