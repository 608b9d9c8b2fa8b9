/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Sessions that carry connections one after another: frames cut anywhere, half-closes in every order, ends that are not
 * orderly, and deadlines. Each is tried in the first use of a session and in a further one. */
#include "reuse_talk.h"

TestSuite(reuse, .init = open_heart, .fini = close_heart);

/* --- bytes ------------------------------------------------------------------------------------------ */

/* The frames of a use of the client: OPEN, DATA, END. */
static size_t frames_of(struct fl_framing *framing, const char *text, uint8_t *out)
{
	size_t len = fl_framing_put_open(framing, out, &(struct fl_framing_open){.generation = 1});

	len += fl_framing_put_header(framing, out + len, strlen(text));
	memcpy(out + len, text, strlen(text));
	len += strlen(text);
	return len + fl_framing_put_end(framing, out + len);
}

Test(reuse, frames_of_a_client_may_be_cut_anywhere)
{
	struct talk talk;
	uint8_t bytes[128];
	size_t len;

	come_in(&talk);
	for (size_t cut = 1, most = 2; cut < most; cut++) {
		len = frames_of(&talk.frames.framing, "abc", bytes);
		most = len;
		side_send(&talk.mesh, bytes, cut);
		for (unsigned i = 0; i < 3; i++) {
			heart_turn(&heart);
		}
		side_send(&talk.mesh, bytes + cut, len - cut);
		heart_accept(&heart, &talk.app, PLACE_APP);
		HEART_UNTIL(&heart, side_has(&talk.app, "abc") && talk.app.has_fin);
		side_say(&talk.app, "xyz");
		side_finish(&talk.app);
		talk.frames.has_end = false;
		talk.frames.len = 0;
		HEART_UNTIL(&heart, framed_ended(&talk.frames) && framed_has(&talk.frames, "xyz"));
		forget(&talk.app);
		HEART_UNTIL(&heart, heart_open_connections(&heart) == 0);
	}
	side_init(&talk.app);
	end(&talk);
}

Test(reuse, frames_of_a_server_may_be_cut_anywhere)
{
	struct talk talk;

	begin_outbound(&talk);
	finish_outbound(&talk);
	for (size_t cut = 1, most = 2; cut < most; cut++) {
		uint8_t bytes[64];
		size_t len;

		reuse_outbound(&talk, "q");
		len = fl_framing_put_status(&talk.frames.framing, bytes,
					    &(struct fl_framing_status){.code = FL_STATUS_OPENED});
		len += fl_framing_put_header(&talk.frames.framing, bytes + len, 3);
		memcpy(bytes + len, "xyz", 3);
		len += 3;
		len += fl_framing_put_end(&talk.frames.framing, bytes + len);
		most = len;
		side_send(&talk.mesh, bytes, cut);
		for (unsigned i = 0; i < 3; i++) {
			heart_turn(&heart);
		}
		side_send(&talk.mesh, bytes + cut, len - cut);
		HEART_UNTIL(&heart, side_has(&talk.app, "xyz") && talk.app.has_fin);
		side_finish(&talk.app);
		HEART_UNTIL(&heart, framed_ended(&talk.frames));
		cr_assert(framed_has(&talk.frames, "q"));
		forget(&talk.app);
		expect_idle(FL_OUTBOUND, 1);
	}
	side_init(&talk.app);
	end(&talk);
}

/* OPEN, the app's first bytes and its end come in one record. */
Test(reuse, what_the_app_has_sent_goes_with_OPEN)
{
	struct talk talk;
	size_t before;

	begin_outbound(&talk);
	finish_outbound(&talk);
	before = talk.mesh.got_len;
	heart_connect(&heart, &talk.app, DOOR_MTLS_OUT);
	side_say(&talk.app, "all of it");
	side_finish(&talk.app);
	side_pump(&talk.app);
	HEART_UNTIL(&heart, talk.mesh.got_len > before);
	cr_expect(framed_has(&talk.frames, "all of it"));
	cr_expect_eq(talk.frames.opens, 2);
	end(&talk);
}

/* --- half-closes ------------------------------------------------------------------------------------- */

static void finish_inbound(unsigned use, bool app_first)
{
	struct talk talk;

	begin_inbound(&talk, use);
	open_use(&talk);
	if (app_first) {
		side_say(&talk.app, "last words");
		side_finish(&talk.app);
		HEART_UNTIL(&heart, framed_ended(&talk.frames));
		cr_expect(framed_has(&talk.frames, "last words"));
		framed_say(&talk.frames, "an answer");
		framed_end(&talk.frames);
		HEART_UNTIL(&heart, talk.app.has_fin);
		cr_expect(side_has(&talk.app, "an answer"));
	} else {
		framed_say(&talk.frames, "last words");
		framed_end(&talk.frames);
		HEART_UNTIL(&heart, talk.app.has_fin);
		cr_expect(side_has(&talk.app, "last words"));
		side_say(&talk.app, "an answer");
		side_finish(&talk.app);
		HEART_UNTIL(&heart, framed_ended(&talk.frames));
		cr_expect(framed_has(&talk.frames, "an answer"));
	}
	HEART_UNTIL(&heart, heart_open_connections(&heart) == 0);
	expect_idle(FL_INBOUND, 1);
	cr_expect_eq(heart_ended(&heart, FL_INBOUND, FL_REASON_DONE), use);
	cr_expect_not(talk.mesh.has_finished);
	end(&talk);
	close_heart();
	open_heart();
}

Test(reuse, either_side_may_finish_first)
{
	EACH_USE
	{
		finish_inbound(use, true);
		finish_inbound(use, false);
	}
}

/* --- ends that are not orderly ------------------------------------------------------------------------ */

Test(reuse, reset_by_the_app_ends_the_session)
{
	EACH_USE
	{
		struct talk talk;

		begin_inbound(&talk, use);
		open_use(&talk);
		side_say(&talk.app, "x");
		HEART_UNTIL(&heart, framed_has(&talk.frames, "x"));
		drop(&talk.app);
		HEART_UNTIL(&heart, side_was_reset(&talk.mesh) || talk.mesh.has_fin);
		cr_expect_not(talk.mesh.has_finished);
		end(&talk);
		expect_gone(FL_INBOUND, FL_REASON_APP_RESET);
	}
}

/* Nothing of it has been answered, so the client hears why. */
Test(reuse, reset_by_the_app_before_it_has_answered)
{
	EACH_USE
	{
		struct talk talk;

		begin_inbound(&talk, use);
		open_use(&talk);
		heart_settle(&heart);
		drop(&talk.app);
		HEART_UNTIL(&heart, (framed_take(&talk.frames), talk.frames.is_answered));
		cr_expect_eq(talk.frames.status, FL_STATUS_APP_FAILED);
		HEART_UNTIL(&heart, talk.mesh.has_fin);
		end(&talk);
		expect_gone(FL_INBOUND, FL_REASON_APP_RESET);
	}
}

/* A session that was used before may lead to an app that has just stopped: the client may try another one, because this app has
 * got nothing. */
Test(reuse, an_app_that_does_not_listen_is_told)
{
	EACH_USE
	{
		struct talk talk;

		begin_inbound(&talk, use);
		(void)shutdown(heart.places[PLACE_APP], SHUT_RDWR);
		framed_open(&talk.frames);
		framed_say(&talk.frames, "question");
		HEART_UNTIL(&heart, (framed_take(&talk.frames), talk.frames.is_answered));
		cr_expect_eq(talk.frames.status,
			     use == 1 ? FL_STATUS_APP_REFUSED : FL_STATUS_NOT_OPENED);
		end(&talk);
		expect_gone(FL_INBOUND, FL_REASON_APP_REFUSED);
	}
}

/* The client has waited for it already. */
Test(reuse, an_app_that_does_not_answer_is_told)
{
	EACH_USE
	{
		struct side fill[HEART_FILL];
		struct talk talk;

		begin_inbound(&talk, use);
		heart_fill_queue(&heart, PLACE_APP, fill);
		framed_open(&talk.frames);
		HEART_UNTIL(&heart, heart_open_connections(&heart) == 1);
		heart_skip_ms(&heart, 5500);
		HEART_UNTIL(&heart, (framed_take(&talk.frames), talk.frames.is_answered));
		cr_expect_eq(talk.frames.status, FL_STATUS_APP_TIMEOUT);
		heart_drop_fill(fill);
		end(&talk);
		expect_gone(FL_INBOUND, FL_REASON_APP_CONNECT_TIMEOUT);
	}
}

Test(reuse, the_peer_goes_in_the_middle_of_a_use)
{
	EACH_USE
	{
		for (unsigned how = 0; how < 3; how++) {
			static const enum fl_reason reasons[] = {FL_REASON_PEER_RESET,
								 FL_REASON_PEER_TRUNCATED,
								 FL_REASON_PEER_TRUNCATED};
			struct talk talk;

			begin_inbound(&talk, use);
			open_use(&talk);
			framed_say(&talk.frames, "half of it");
			HEART_UNTIL(&heart, side_has(&talk.app, "half of it"));
			if (how == 0) {
				drop(&talk.mesh);
			} else if (how == 1) {
				side_cut_short(&talk.mesh);
			} else {
				side_finish(&talk.mesh); /* close_notify, but no END */
			}
			HEART_UNTIL(&heart, side_was_reset(&talk.app));
			cr_expect_not(talk.app.has_finished);
			end(&talk);
			expect_gone(FL_INBOUND, reasons[how]);
		}
	}
}

Test(reuse, a_frame_that_is_not_due_ends_the_session)
{
	EACH_USE
	{
		struct talk talk;

		begin_inbound(&talk, use);
		open_use(&talk);
		framed_say(&talk.frames, "good");
		HEART_UNTIL(&heart, side_has(&talk.app, "good"));
		side_send(&talk.mesh, "\4\0\0\0", 4); /* STATUS is the server's */
		HEART_UNTIL(&heart, side_was_reset(&talk.app));
		HEART_UNTIL(&heart, talk.mesh.failure != NULL);
		cr_expect_eq(talk.mesh.failure->alert, 10);
		end(&talk);
		expect_gone(FL_INBOUND, FL_REASON_FRAME);
	}
}

/* --- time ------------------------------------------------------------------------------------------- */

Test(reuse, OPEN_has_to_come_within_handshake_timeout)
{
	struct talk talk;

	come_in(&talk);
	heart_skip_ms(&heart, 9000);
	cr_expect_eq(heart_open_connections(&heart), 1);
	heart_skip_ms(&heart, 2000);
	HEART_UNTIL(&heart, side_was_reset(&talk.mesh) || talk.mesh.has_fin);
	end(&talk);
	expect_gone(FL_INBOUND, FL_REASON_HANDSHAKE_TIMEOUT);
}

Test(reuse, STATUS_does_not_wait_for_the_app_for_long)
{
	EACH_USE
	{
		struct talk talk;

		begin_inbound(&talk, use);
		open_use(&talk);
		heart_settle(&heart);
		cr_expect_not((framed_take(&talk.frames), talk.frames.is_answered));
		heart_skip_ms(&heart, 150);
		HEART_UNTIL(&heart, (framed_take(&talk.frames), talk.frames.is_answered));
		cr_expect_eq(talk.frames.status, FL_STATUS_OPENED);
		end(&talk);
		HEART_UNTIL(&heart, heart_open_connections(&heart) == 0);
		close_heart();
		open_heart();
	}
}

/* Its first use counts, however long that was. */
static void finish_late(uint64_t ms, unsigned left)
{
	struct talk talk;

	begin_outbound(&talk);
	framed_answer(&talk.frames, FL_STATUS_OPENED);
	heart_settle(&heart);
	heart_skip_ms(&heart, ms);
	framed_end(&talk.frames);
	side_finish(&talk.app);
	HEART_UNTIL(&heart, talk.app.has_fin && heart_open_connections(&heart) == 0);
	expect_idle(FL_OUTBOUND, left);
	end(&talk);
	close_heart();
	open_heart();
}

Test(reuse, a_session_is_too_old_five_minutes_after_its_handshake)
{
	finish_late(220u * 1000, 1);
	finish_late(300u * 1000, 0);
}

Test(reuse, an_idle_session_is_retired_after_a_minute)
{
	struct talk talk;

	begin_inbound(&talk, 2);
	heart_skip_ms(&heart, 59000);
	cr_expect_eq((framed_take(&talk.frames), talk.frames.retires), 0);
	heart_skip_ms(&heart, 2000);
	HEART_UNTIL(&heart, (framed_take(&talk.frames), talk.frames.retires == 1));
	cr_expect_not(talk.mesh.has_fin);
	side_finish(&talk.mesh);
	HEART_UNTIL(&heart, talk.mesh.has_fin);
	cr_expect(talk.mesh.has_finished);
	expect_idle(FL_INBOUND, 0);
	end(&talk);
}

Test(reuse, a_client_that_does_not_heed_RETIRE_is_reset)
{
	struct talk talk;

	begin_inbound(&talk, 2);
	heart_skip_ms(&heart, 61000);
	HEART_UNTIL(&heart, (framed_take(&talk.frames), talk.frames.retires == 1));
	heart_skip_ms(&heart, 6000);
	HEART_UNTIL(&heart, side_was_reset(&talk.mesh));
	expect_idle(FL_INBOUND, 0);
	end(&talk);
}

Test(reuse, an_OPEN_that_crosses_RETIRE_is_not_opened)
{
	struct talk talk;

	begin_inbound(&talk, 2);
	framed_open(&talk.frames); /* before RETIRE has come */
	framed_say(&talk.frames, "lost?");
	heart_forget(&heart, &talk.mesh);
	heart_skip_ms(&heart, 61000);
	heart_watch(&heart, &talk.mesh);
	HEART_UNTIL(&heart, (framed_take(&talk.frames), talk.frames.is_answered));
	cr_expect_eq(talk.frames.status, FL_STATUS_NOT_OPENED);
	cr_expect_eq(talk.frames.retires, 1);
	HEART_UNTIL(&heart, talk.mesh.has_finished);
	side_init(&talk.app);
	cr_expect_not(side_accept(&talk.app, heart.places[PLACE_APP]));
	end(&talk);
}

/* --- STATUS in time ----------------------------------------------------------------------------------- */

/* The app does not accept, and the server gives it longer than a client waits for STATUS. */
static void begin_with_a_slow_app(struct talk *talk, struct side fill[HEART_FILL], unsigned use)
{
	heart_take(&heart, &(struct heart_options){.extra = "[limits]\nconnect_timeout = 60s\n"});
	begin_inbound(talk, use);
	heart_fill_queue(&heart, PLACE_APP, fill);
	framed_open(&talk->frames);
	framed_say(&talk->frames, "question");
	HEART_UNTIL(&heart, heart_open_connections(&heart) == 1);
	talk->frames.is_answered = false;
	heart_skip_ms(&heart, FL_FRAME_STATUS_MS - 1000);
	cr_assert_not((framed_take(&talk->frames), talk->frames.is_answered));
	heart_skip_ms(&heart, 1500);
	HEART_UNTIL(&heart, (framed_take(&talk->frames), talk->frames.is_answered));
	cr_assert_eq(talk->frames.status, FL_STATUS_OPENED);
}

Test(reuse, STATUS_does_not_wait_for_a_slow_app)
{
	EACH_USE
	{
		struct side fill[HEART_FILL];
		struct talk talk;

		begin_with_a_slow_app(&talk, fill, use);
		heart_drop_fill(fill);
		cr_assert_eq(listen(heart.places[PLACE_APP], 64), 0);
		heart_empty_queues(&heart);
		heart_accept(&heart, &talk.app, PLACE_APP);
		HEART_UNTIL(&heart, side_has(&talk.app, "question"));
		side_say(&talk.app, "answer");
		HEART_UNTIL(&heart, framed_has(&talk.frames, "answer"));
		end(&talk);
		close_heart();
		open_heart();
	}
}

Test(reuse, an_app_that_fails_after_STATUS_is_no_clean_end)
{
	EACH_USE
	{
		struct side fill[HEART_FILL];
		struct talk talk;

		begin_with_a_slow_app(&talk, fill, use);
		heart_skip_ms(&heart, 60000);
		HEART_UNTIL(&heart, side_was_reset(&talk.mesh));
		heart_drop_fill(fill);
		end(&talk);
		expect_gone(FL_INBOUND, FL_REASON_APP_CONNECT_TIMEOUT);
	}
}
