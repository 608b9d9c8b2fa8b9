/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Which sessions of a server carry no further use, why, and that there are never too many of those that carry none. */
#include "reuse_talk.h"

TestSuite(reuse_ends, .init = open_heart, .fini = close_heart);

static void open_heart_with(const struct heart_options *options)
{
	close_heart();
	heart_open(&heart, options);
	heart.framed = true;
}

/* A use that ends well, of one of several sessions. */
static void carry_one(struct talk *talk)
{
	open_use(talk);
	framed_say(&talk->frames, "question");
	framed_end(&talk->frames);
	HEART_UNTIL(&heart, side_has(&talk->app, "question") && talk->app.has_finished);
	side_finish(&talk->app);
	HEART_UNTIL(&heart, framed_ended(&talk->frames));
	HEART_UNTIL(&heart, heart_open_connections(&heart) == 0);
	forget(&talk->app);
	side_init(&talk->app);
}

static unsigned idle(void)
{
	return fl_loop_idle_sessions(heart.loop, FL_INBOUND);
}

static uint64_t ended(enum fl_session_end why)
{
	return heart.loop->counters.sessions_ended[FL_INBOUND][why];
}

static unsigned retires(struct talk *talk)
{
	framed_take(&talk->frames);
	return talk->frames.retires;
}

/* --- how many ------------------------------------------------------------------------------------------ */

#define SIXTEEN "[limits]\nconnections = 16\n"
#define SIXTEEN_IDLE 3u /* a quota for an eighth of them, rounded up */

static bool is_open(const struct talk *talk)
{
	return !talk->mesh.has_fin && talk->mesh.error == 0;
}

/* To each session that comes, the one makes room that was retired first. It ends at once and in order, by which its client
 * knows that no use was opened. */
Test(reuse_ends, sessions_that_do_not_heed_RETIRE_are_bounded)
{
	enum { SESSIONS = 24 };
	static struct talk talks[SESSIONS];
	unsigned most = 0, open = 0;

	open_heart_with(&(struct heart_options){.extra = SIXTEEN});
	for (unsigned i = 0; i < SESSIONS; i++) {
		come_in(&talks[i]);
		carry_one(&talks[i]);
		if (i == 1) {
			heart_skip_ms(&heart, 61000);
			HEART_UNTIL(&heart, retires(&talks[0]) == 1 && retires(&talks[1]) == 1);
			cr_expect_eq(idle(), 2, "retired, and still there");
		}
		most = idle() > most ? idle() : most;
	}
	cr_expect_leq(most, SIXTEEN_IDLE, "%u", most);
	heart_settle(&heart);
	for (unsigned i = 0; i < SESSIONS; i++) {
		open += is_open(&talks[i]);
		cr_expect(is_open(&talks[i]) || talks[i].mesh.has_finished, "%u", i);
		end(&talks[i]);
	}
	cr_expect_leq(open, SIXTEEN_IDLE, "%u", open);
}

/* One that is retired at the end of its use takes a place for that, too. */
Test(reuse_ends, sessions_that_are_retired_after_their_use_are_bounded)
{
	enum { SESSIONS = 10 };
	static struct talk talks[SESSIONS];
	struct heart_options on = {.extra = SIXTEEN},
			     off = {.extra = SIXTEEN, .tls = "reuse = off\n"};

	open_heart_with(&on);
	for (unsigned i = 0; i < SESSIONS; i++) {
		come_in(&talks[i]);
		open_use(&talks[i]);
		framed_end(&talks[i].frames);
		heart_take(&heart, &off);
		side_finish(&talks[i].app);
		HEART_UNTIL(&heart, retires(&talks[i]) == 1);
		heart_take(&heart, &on);
		cr_expect_leq(idle(), SIXTEEN_IDLE, "%u", idle());
	}
	for (unsigned i = 0; i < SESSIONS; i++) {
		end(&talks[i]);
	}
}

/* --- when OPEN comes ------------------------------------------------------------------------------------ */

/* That is decided when it comes, not when the use before it ended. */
static void expect_not_opened(struct talk *talk)
{
	framed_open(&talk->frames);
	framed_say(&talk->frames, "second");
	framed_end(&talk->frames);
	HEART_UNTIL(&heart, talk->mesh.has_finished);
	framed_take(&talk->frames);
	cr_expect(talk->frames.is_answered);
	cr_expect_eq(talk->frames.status, FL_STATUS_NOT_OPENED);
	cr_expect_not(side_accept(&talk->app, heart.places[PLACE_APP]));
	end(talk);
}

Test(reuse_ends, max_age_is_reached_while_it_is_idle)
{
	struct talk talk;

	open_heart_with(&(struct heart_options){.extra = "[limits]\nmax_age = 2s\n"});
	come_in(&talk);
	carry_one(&talk);
	heart_skip_ms(&heart, 3000);
	cr_expect_eq(retires(&talk), 0);
	expect_not_opened(&talk);
	cr_expect_eq(ended(FL_SESSION_END_SPENT), 1);
}

/* OPEN comes in the moment before it is retired. */
Test(reuse_ends, settings_change_while_it_is_idle)
{
	struct talk talk;

	come_in(&talk);
	carry_one(&talk);
	heart_forget(&heart, &talk.mesh);
	heart_take(&heart, &(struct heart_options){.tls = "reuse = off\n"});
	heart_watch(&heart, &talk.mesh);
	expect_not_opened(&talk);
}

/* The bytes of the use before still wait for their app. */
Test(reuse_ends, an_OPEN_that_comes_early_is_counted_as_not_opened)
{
	struct faults faults = {.kinds = FAULTS_AGAIN};
	struct talk talk;

	come_in(&talk);
	open_use(&talk);
	side_finish(&talk.app);
	HEART_UNTIL(&heart, framed_ended(&talk.frames));
	framed_say(&talk.frames, "question");
	framed_end(&talk.frames);
	framed_open(&talk.frames);
	faults_fail(&faults, 1);
	HEART_UNTIL(&heart, side_has(&talk.app, "question") && talk.app.has_finished);
	faults_end();
	HEART_UNTIL(&heart, talk.mesh.has_finished);
	framed_take(&talk.frames);
	cr_expect_eq(talk.frames.status, FL_STATUS_NOT_OPENED);
	HEART_UNTIL(&heart, idle() == 0 && heart_open_connections(&heart) == 0);
	cr_expect_eq(ended(FL_SESSION_END_NOT_OPENED), 1);
	cr_expect(heart_logged(&heart, "\"use\":1,"), "%s", heart_log(&heart));
	cr_expect_not(heart_logged(&heart, "\"use\":2,"), "it is of the first use");
	end(&talk);
}

/* --- calls that fail ------------------------------------------------------------------------------------ */

/* The app has finished, and END goes out, with STATUS in one record. If anything of that fails, the session may have lost it,
 * and is used no more. */
Test(reuse_ends, a_session_that_has_lost_its_END_is_over)
{
	struct faults faults = {.kinds = FAULTS_MEMORY | FAULTS_SYSTEM};
	unsigned lost = 0;

	while (faults_next(&faults)) {
		struct talk talk;

		heart.spares_calls = true;
		come_in(&talk);
		open_use(&talk);
		framed_end(&talk.frames);
		HEART_UNTIL(&heart, talk.app.has_finished);
		heart.spares_calls = false;
		side_finish(&talk.app);
		HEART_UNTIL(&heart, heart_open_connections(&heart) == 0);
		heart_settle(&heart);
		if (idle() == 1) {
			cr_expect(framed_ended(&talk.frames), "with %s failing", faults_where());
		} else {
			lost++;
		}
		end(&talk);
		HEART_UNTIL(&heart, idle() == 0);
	}
	cr_expect_gt(lost, 0);
}
