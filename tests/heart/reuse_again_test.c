/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Clients of sessions that carry connections one after another: when a connection starts over on a fresh session and when it
 * must not, and servers that do not keep their side of the protocol. */
#include "reuse_talk.h"

#include "conn/session_internal.h"

TestSuite(reuse_again, .init = open_heart, .fini = close_heart);

/* Nobody says that the server keeps its side of the protocol. */
Test(reuse_again, a_server_that_denies_and_says_no_more)
{
	EACH_USE
	{
		struct talk talk;

		begin_outbound_use(&talk, use);
		framed_answer(&talk.frames, FL_STATUS_DENIED);
		side_say(&talk.app, "anybody?");
		HEART_UNTIL(&heart, side_was_reset(&talk.app));
		end(&talk);
		expect_gone(FL_OUTBOUND, FL_REASON_PEER_ALERT);
	}
}

/* Nothing else would tell that the server's machine has died. */
Test(reuse_again, a_parked_session_is_probed_however_short_its_use_was)
{
	struct talk talk;

	begin_outbound(&talk);
	cr_expect_eq(side_far_option(&talk.mesh, SOL_SOCKET, SO_KEEPALIVE), 0);
	finish_outbound(&talk);
	expect_idle(FL_OUTBOUND, 1);
	cr_expect_eq(side_far_option(&talk.mesh, SOL_SOCKET, SO_KEEPALIVE), 1);
	end(&talk);
}

Test(reuse_again, half_a_frame_while_it_is_parked)
{
	struct talk talk;

	begin_outbound(&talk);
	finish_outbound(&talk);
	side_send(&talk.mesh, "\5\0", 2);
	heart_settle(&heart);
	heart_connect(&heart, &talk.app, DOOR_MTLS_OUT);
	heart_settle(&heart);
	cr_expect_eq((framed_take(&talk.frames), talk.frames.opens), 1, "it is not used again");
	HEART_UNTIL(&heart, talk.mesh.has_finished);
	end(&talk);
}

Test(reuse_again, bytes_while_it_is_parked)
{
	struct talk talk;

	begin_outbound(&talk);
	finish_outbound(&talk);
	side_send(&talk.mesh, "\2\0\0\1x", 5);
	HEART_UNTIL(&heart, talk.mesh.failure != NULL);
	cr_expect_eq(talk.mesh.failure->alert, 10);
	expect_idle(FL_OUTBOUND, 0);
	side_init(&talk.app);
	end(&talk);
}

Test(reuse_again, RETIRE_while_it_is_parked)
{
	struct talk talk;

	begin_outbound(&talk);
	finish_outbound(&talk);
	framed_retire(&talk.frames);
	HEART_UNTIL(&heart, talk.mesh.has_finished);
	expect_idle(FL_OUTBOUND, 0);
	side_init(&talk.app);
	end(&talk);
}

/* --- starting over ------------------------------------------------------------------------------------ */

/* The client comes again, with a fresh session. */
static void accept_again(struct talk *talk)
{
	forget(&talk->mesh);
	framed_done(&talk->frames);
	heart_accept(&heart, &talk->mesh, PLACE_MESH);
	do_not_delay(&talk->mesh);
	heart_speak_tls(&heart, &talk->mesh, FL_TLS_SERVER, PEER);
	framed_init(&talk->frames, &talk->mesh, FL_FRAMING_SERVER);
}

/* The app's bytes come again, on a fresh session, and so does its end. */
static void expect_again(struct talk *talk, const char *text, bool has_end)
{
	accept_again(talk);
	HEART_UNTIL(&heart, framed_has(&talk->frames, text) && talk->frames.opens == 1);
	if (has_end) {
		HEART_UNTIL(&heart, framed_ended(&talk->frames));
	} else {
		side_finish(&talk->app);
	}
	framed_answer(&talk->frames, FL_STATUS_OPENED);
	framed_say(&talk->frames, "answer");
	framed_end(&talk->frames);
	HEART_UNTIL(&heart, talk->app.has_fin);
	cr_expect(side_has(&talk->app, "answer"));
	cr_expect_eq(talk->app.error, 0);
	HEART_UNTIL(&heart, heart_open_connections(&heart) == 0);
	cr_expect_eq(heart_ended(&heart, FL_OUTBOUND, FL_REASON_DONE), 2);
	end(talk);
	close_heart();
	open_heart();
}

static void begin_second_use(struct talk *talk, const char *text, bool has_end)
{
	begin_outbound(talk);
	finish_outbound(talk);
	reuse_outbound(talk, text);
	if (has_end) {
		side_finish(&talk->app);
		HEART_UNTIL(&heart, framed_ended(&talk->frames));
	}
	HEART_UNTIL(&heart, framed_has(&talk->frames, text));
}

Test(reuse_again, not_opened_begins_again)
{
	for (unsigned has_end = 0; has_end < 2; has_end++) {
		struct talk talk;

		begin_second_use(&talk, "question", has_end != 0);
		framed_answer(&talk.frames, FL_STATUS_NOT_OPENED);
		HEART_UNTIL(&heart, talk.mesh.has_finished);
		expect_again(&talk, "question", has_end != 0);
	}
}

Test(reuse_again, close_notify_without_STATUS_begins_again)
{
	for (unsigned has_end = 0; has_end < 2; has_end++) {
		struct talk talk;

		begin_second_use(&talk, "question", has_end != 0);
		side_finish(&talk.mesh);
		HEART_UNTIL(&heart, talk.mesh.has_finished);
		expect_again(&talk, "question", has_end != 0);
	}
}

Test(reuse_again, a_break_before_the_first_byte_begins_again)
{
	struct talk talk;

	begin_second_use(&talk, "", false);
	drop(&talk.mesh);
	side_init(&talk.mesh);
	expect_again(&talk, "", false);
}

/* The app may have got it. */
Test(reuse_again, a_break_after_the_first_byte_is_final)
{
	struct talk talk;

	begin_second_use(&talk, "question", false);
	drop(&talk.mesh);
	HEART_UNTIL(&heart, side_was_reset(&talk.app));
	HEART_UNTIL(&heart, heart_open_connections(&heart) == 0);
	side_init(&talk.mesh);
	cr_expect_not(side_accept(&talk.mesh, heart.places[PLACE_MESH]), "it does not come again");
	end(&talk);
	expect_gone(FL_OUTBOUND, FL_REASON_PEER_RESET);
}

enum last_word { SAYS_NOT_OPENED, SAYS_GOODBYE, SAYS_NOTHING };

/* The app writes, or finishes, and before the sidecar knows the server says that, and its socket is gone. */
static void break_while_the_app_writes(struct talk *talk, const char *text, bool has_end,
				       enum last_word last)
{
	side_say(&talk->app, text);
	if (has_end) {
		side_finish(&talk->app);
	}
	side_pump(&talk->app); /* first, so that the sidecar sees it first */
	if (last == SAYS_NOT_OPENED) {
		framed_answer(&talk->frames, FL_STATUS_NOT_OPENED);
	} else if (last == SAYS_GOODBYE) {
		side_finish(&talk->mesh);
	}
	side_pump(&talk->mesh);
	drop(&talk->mesh);
	side_init(&talk->mesh);
}

Test(reuse_again, a_last_word_is_heard_although_the_app_writes)
{
	for (unsigned i = 0; i < 8; i++) {
		enum last_word last = (i & 1) != 0 ? SAYS_NOT_OPENED : SAYS_GOODBYE;
		bool has_more = (i & 2) != 0, has_end = (i & 4) != 0;
		struct talk talk;

		begin_second_use(&talk, "question", false);
		break_while_the_app_writes(&talk, has_more ? " and more" : "", has_end, last);
		expect_again(&talk, has_more ? "question and more" : "question", has_end);
	}
}

Test(reuse_again, a_break_while_the_app_writes_its_first_byte_begins_again)
{
	for (unsigned has_end = 0; has_end < 2; has_end++) {
		struct talk talk;

		begin_second_use(&talk, "", false);
		break_while_the_app_writes(&talk, "question", has_end != 0, SAYS_NOTHING);
		expect_again(&talk, "question", has_end != 0);
	}
}

Test(reuse_again, a_break_while_the_app_writes_more_is_final)
{
	struct talk talk;

	begin_second_use(&talk, "question", false);
	break_while_the_app_writes(&talk, " and more", false, SAYS_NOTHING);
	HEART_UNTIL(&heart, side_was_reset(&talk.app));
	HEART_UNTIL(&heart, heart_open_connections(&heart) == 0);
	cr_expect_not(side_accept(&talk.mesh, heart.places[PLACE_MESH]), "it does not come again");
	end(&talk);
	expect_gone(FL_OUTBOUND, FL_REASON_PEER_RESET);
}

/* Each other answer is final, and so is anything in the first use. */
Test(reuse_again, nothing_else_begins_again)
{
	for (unsigned use = 1; use <= 2; use++) {
		enum fl_status status = use == 1 ? FL_STATUS_NOT_OPENED : FL_STATUS_APP_REFUSED;
		struct talk talk;

		begin_outbound_use(&talk, use);
		framed_answer(&talk.frames, status);
		HEART_UNTIL(&heart, side_was_reset(&talk.app));
		side_init(&talk.app);
		cr_expect_not(side_accept(&talk.app, heart.places[PLACE_MESH]));
		end(&talk);
		expect_gone(FL_OUTBOUND, FL_REASON_PEER_RESET);
	}
}

/* A server that never opens anything has it come twice, and no more. */
Test(reuse_again, it_begins_again_once)
{
	struct talk talk;
	struct side other;

	begin_second_use(&talk, "question", false);
	framed_answer(&talk.frames, FL_STATUS_NOT_OPENED);
	HEART_UNTIL(&heart, talk.mesh.has_finished);
	accept_again(&talk);
	HEART_UNTIL(&heart, framed_has(&talk.frames, "question"));
	framed_answer(&talk.frames, FL_STATUS_NOT_OPENED);
	HEART_UNTIL(&heart, side_was_reset(&talk.app));
	side_init(&other);
	cr_expect_not(side_accept(&other, heart.places[PLACE_MESH]), "it does not come again");
	end(&talk);
	expect_gone(FL_OUTBOUND, FL_REASON_PEER_RESET);
}

#define WINDOW 24576 /* bytes that the peer takes: more than one record, and less than all */
#define ROOM 30000   /* bytes that our kernel keeps */

/* A part of what the app has sent is on its way when memory for the rest is out. What the peer reads of it is not said again. */
Test(reuse_again, what_was_sent_in_part_does_not_begin_again)
{
	static const char much[60000];
	const int window = WINDOW;
	struct faults faults = {.kinds = FAULTS_MEMORY, .only = "malloc"};
	unsigned cut = 0;

	while (faults_next(&faults)) {
		struct talk talk;
		struct side fresh;

		heart.spares_calls = true;
		cr_assert_eq(setsockopt(heart.places[PLACE_MESH], SOL_SOCKET, SO_RCVBUF, &window,
					sizeof(window)),
			     0);
		begin_outbound(&talk);
		finish_outbound(&talk);
		fl_sock_limit_unread(heart.loop->sessions->sock, ROOM);
		heart_forget(&heart, &talk.mesh);
		heart_connect(&heart, &talk.app, DOOR_MTLS_OUT);
		side_send(&talk.app, much, sizeof(much));
		heart.spares_calls = false;
		heart_settle(&heart);
		heart.spares_calls = true;
		side_pump_in(&talk.mesh);
		framed_take(&talk.frames);
		side_init(&fresh);
		if (talk.frames.opens == 2 && talk.frames.len > 0) {
			cr_expect_not(side_accept(&fresh, heart.places[PLACE_MESH]),
				      "with %s failing", faults_where());
			cut += talk.frames.len < sizeof(much) && side_was_reset(&talk.app);
		}
		side_close(&fresh);
		end(&talk);
		close_heart();
		open_heart();
	}
	cr_expect_gt(cut, 0);
}

/* --- nobody answers ------------------------------------------------------------------------------------- */

#define STATUS_MS (FL_FRAME_STATUS_MS + 5000u + 10000u) /* with the defaults of [limits] */

/* The sidecar there is stopped, and its kernel takes everything. */
Test(reuse_again, a_server_that_is_stalled_is_given_up_and_gets_no_byte_twice)
{
	EACH_USE
	{
		struct talk talk;
		struct side other;

		begin_outbound_use(&talk, use);
		side_say(&talk.app, "question");
		HEART_UNTIL(&heart, framed_has(&talk.frames, "question"));
		heart_skip_ms(&heart, STATUS_MS - 1000);
		cr_expect_eq(heart_open_connections(&heart), 1, "it may still answer");
		heart_skip_ms(&heart, 3000);
		HEART_UNTIL(&heart, side_was_reset(&talk.app));
		side_init(&other);
		cr_expect_not(side_accept(&other, heart.places[PLACE_MESH]));
		end(&talk);
		expect_gone(FL_OUTBOUND, FL_REASON_PEER_STALLED);
	}
}

Test(reuse_again, a_server_that_is_stalled_is_left_if_nothing_was_sent)
{
	struct talk talk;
	struct side other;

	begin_second_use(&talk, "", false);
	heart_skip_ms(&heart, STATUS_MS - 1000);
	side_init(&other);
	cr_expect_not(side_accept(&other, heart.places[PLACE_MESH]), "it may still answer");
	heart_skip_ms(&heart, 3000);
	HEART_UNTIL(&heart, side_was_reset(&talk.mesh));
	expect_again(&talk, "", false);
}

/* Its machine has not answered since OPEN, and had nothing to answer before that. */
Test(reuse_again, a_machine_that_is_silent_has_connect_timeout_however_long_it_was_idle)
{
	static const unsigned idle_ms[] = {0, 6000};

	for (size_t i = 0; i < FL_COUNT_OF(idle_ms); i++) {
		struct tcp_info info = {.tcpi_unacked = 1, .tcpi_retransmits = 1};
		struct talk talk;

		begin_outbound(&talk);
		finish_outbound(&talk);
		heart_skip_ms(&heart, idle_ms[i]);
		reuse_outbound(&talk, "question");
		info.tcpi_last_ack_recv = idle_ms[i] + 4000;
		faults_pretend_option(IPPROTO_TCP, TCP_INFO, &info, sizeof(info));
		heart_skip_ms(&heart, 4000);
		cr_expect_eq(heart_open_connections(&heart), 1, "it may still answer");
		info.tcpi_last_ack_recv += 2000;
		faults_pretend_option(IPPROTO_TCP, TCP_INFO, &info, sizeof(info));
		heart_skip_ms(&heart, 2000);
		HEART_UNTIL(&heart, side_was_reset(&talk.app));
		end(&talk);
		expect_gone(FL_OUTBOUND, FL_REASON_PEER_CONNECT_TIMEOUT);
	}
}

/* One answer in the last moment is enough. */
Test(reuse_again, a_server_that_answers_late_is_in_time)
{
	EACH_USE
	{
		struct talk talk;

		begin_outbound_use(&talk, use);
		side_say(&talk.app, "question");
		HEART_UNTIL(&heart, framed_has(&talk.frames, "question"));
		heart_skip_ms(&heart, STATUS_MS - 1000);
		framed_answer(&talk.frames, FL_STATUS_OPENED);
		heart_skip_ms(&heart, 60000);
		framed_say(&talk.frames, "answer");
		HEART_UNTIL(&heart, side_has(&talk.app, "answer"));
		end(&talk);
		close_heart();
		open_heart();
	}
}

#define MUCH (4u << 20)

/* No more than that is kept, so no more is sent. */
Test(reuse_again, no_more_is_sent_before_STATUS_than_is_kept)
{
	static char much[MUCH];
	struct talk talk;

	begin_outbound(&talk);
	finish_outbound(&talk);
	heart_connect(&heart, &talk.app, DOOR_MTLS_OUT);
	memset(much, 'x', sizeof(much));
	side_send(&talk.app, much, sizeof(much));
	HEART_UNTIL(&heart, (framed_take(&talk.frames), talk.frames.len > 60000));
	heart_settle(&heart);
	framed_take(&talk.frames);
	cr_expect_lt(talk.frames.len, 256u * 1024, "%zu bytes", talk.frames.len);
	framed_answer(&talk.frames, FL_STATUS_NOT_OPENED);
	HEART_UNTIL(&heart, talk.mesh.has_finished);
	accept_again(&talk);
	side_finish(&talk.app);
	HEART_UNTIL(&heart, framed_ended(&talk.frames));
	cr_expect_eq(talk.frames.len, MUCH);
	end(&talk);
}
