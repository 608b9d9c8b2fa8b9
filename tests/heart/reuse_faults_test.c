/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Two app connections in one session, with each call failing in turn. A failure costs at most the connection and its session:
 * no byte of one comes out in the other, no end is clean that is none, and nothing is left behind. */
#include "framed.h"

#include <string.h>

#define QUIET_TURNS 48 /* turns without progress: no more bytes will arrive */
#define USES 2

static const char *const questions[] = {"May I have this dance?", "And the next one?"};
static const char *const answers[] = {"You may.", "No."};

static struct heart heart;

struct use {
	struct side app;
	bool is_there, is_asked, is_answered, is_over;
};

struct talk {
	bool inbound;
	struct side mesh;
	struct framed frames;
	bool has_mesh;
	unsigned at; /* the current use */
	struct use uses[USES];
};

static struct use *current(struct talk *talk)
{
	return &talk->uses[talk->at];
}

static void begin_app(struct talk *talk)
{
	struct use *use = current(talk);

	heart_connect(&heart, &use->app, DOOR_MTLS_OUT);
	use->is_there = true;
}

static void begin(struct talk *talk, bool inbound)
{
	*talk = (struct talk){.inbound = inbound};
	side_init(&talk->mesh);
	for (unsigned i = 0; i < USES; i++) {
		side_init(&talk->uses[i].app);
	}
	if (inbound) {
		heart_connect(&heart, &talk->mesh, DOOR_STRICT);
		heart_speak_tls(&heart, &talk->mesh, FL_TLS_CLIENT, "p256");
		framed_init(&talk->frames, &talk->mesh, FL_FRAMING_CLIENT);
		talk->has_mesh = true;
	} else {
		begin_app(talk);
	}
}

/* --- the test's ends: each takes the next step, if it is due ------------------------------------------ */

static void ask_by_frames(struct talk *talk)
{
	struct use *use = current(talk);

	if (!use->is_asked && talk->mesh.is_up && talk->mesh.failure == NULL &&
	    fl_framing_may_open(&talk->frames.framing)) {
		use->is_asked = true;
		framed_open(&talk->frames);
		framed_say(&talk->frames, questions[talk->at]);
		framed_end(&talk->frames);
	}
	if (use->is_asked && !use->is_over && framed_ended(&talk->frames)) {
		cr_assert(framed_has(&talk->frames, answers[talk->at]),
			  "with %s failing, a clean end before the last byte", faults_where());
		use->is_over = true;
	}
}

static void answer_as_app(struct talk *talk)
{
	struct use *use = current(talk);

	if (!use->is_there && side_accept(&use->app, heart.places[PLACE_APP])) {
		use->is_there = true;
		heart_watch(&heart, &use->app);
	}
	if (use->is_there && !use->is_answered && side_has(&use->app, questions[talk->at]) &&
	    use->app.has_fin) {
		use->is_answered = true;
		side_say(&use->app, answers[talk->at]);
		side_finish(&use->app);
	}
}

static void ask_as_app(struct talk *talk)
{
	struct use *use = current(talk);

	if (!use->is_asked) {
		use->is_asked = true;
		side_say(&use->app, questions[talk->at]);
		side_finish(&use->app);
	}
	if (!use->is_over && use->app.has_fin) {
		cr_assert(side_has(&use->app, answers[talk->at]),
			  "with %s failing, a clean end before the last byte\n%s", faults_where(),
			  heart_log(&heart));
		use->is_over = true;
	}
}

static void answer_by_frames(struct talk *talk)
{
	struct use *use = current(talk);

	if (!talk->has_mesh && side_accept(&talk->mesh, heart.places[PLACE_MESH])) {
		talk->has_mesh = true;
		heart_watch(&heart, &talk->mesh);
		heart_speak_tls(&heart, &talk->mesh, FL_TLS_SERVER, "p256");
		framed_init(&talk->frames, &talk->mesh, FL_FRAMING_SERVER);
	}
	if (talk->has_mesh && talk->mesh.failure == NULL && !use->is_answered &&
	    framed_ended(&talk->frames) && talk->frames.opens == talk->at + 1) {
		use->is_answered = true;
		framed_answer(&talk->frames, FL_STATUS_OPENED);
		framed_say(&talk->frames, answers[talk->at]);
		framed_end(&talk->frames);
	}
}

/* Nobody has received what nobody has sent, or what was meant for the other one. */
static void expect_no_lie(struct talk *talk)
{
	for (unsigned i = 0; i < USES; i++) {
		cr_assert(side_has_only(&talk->uses[i].app,
					talk->inbound ? questions[i] : answers[i]),
			  "with %s failing, app %u has got what was not for it", faults_where(), i);
	}
	if (talk->has_mesh) {
		framed_take(&talk->frames);
		uint32_t number = talk->frames.framing.number;
		unsigned use = number > 0 ? number - 1 : 0;

		cr_assert(framed_has_only(&talk->frames,
					  talk->inbound ? answers[use] : questions[use]),
			  "with %s failing, use %u has got what was not for it", faults_where(),
			  use);
		cr_assert_eq(talk->frames.fault, FL_FRAMING_FAULT_NONE,
			     "with %s failing, a frame that is not legal: %s", faults_where(),
			     fl_framing_fault_text(talk->frames.fault));
	}
}

static void go_on(struct talk *talk)
{
	if (talk->inbound) {
		ask_by_frames(talk);
		answer_as_app(talk);
	} else {
		ask_as_app(talk);
		answer_by_frames(talk);
	}
	expect_no_lie(talk);
	if (current(talk)->is_over && talk->at + 1 < USES &&
	    fl_loop_idle_sessions(heart.loop, talk->inbound ? FL_INBOUND : FL_OUTBOUND) == 1) {
		talk->at++;
		if (!talk->inbound) {
			begin_app(talk);
		}
	}
}

static size_t progress_of(const struct talk *talk)
{
	size_t sum = talk->mesh.got_len + talk->mesh.sent + talk->mesh.is_up + talk->at +
		     talk->mesh.has_fin + (talk->mesh.error != 0);

	for (unsigned i = 0; i < USES; i++) {
		const struct side *app = &talk->uses[i].app;

		sum += app->got_len + app->sent + app->has_fin + (app->error != 0) +
		       talk->uses[i].is_there + talk->uses[i].is_over;
	}
	return sum;
}

static bool has_gone_well(const struct talk *talk)
{
	return talk->uses[USES - 1].is_over && talk->uses[USES - 1].is_answered;
}

static void run(struct talk *talk)
{
	size_t last = 0;

	for (unsigned quiet = 0, turns = 1; quiet < QUIET_TURNS && !has_gone_well(talk);
	     quiet++, turns++) {
		go_on(talk);
		heart_turn(&heart);
		if (progress_of(talk) != last) {
			last = progress_of(talk);
			quiet = 0;
		}
		if (quiet > 0) {
			heart_rest(turns);
		}
	}
}

static void forget(struct side *side)
{
	heart_forget(&heart, side);
	side_close(side);
}

static bool is_empty(void)
{
	return heart_open_connections(&heart) == 0 &&
	       fl_loop_idle_sessions(heart.loop, FL_INBOUND) == 0 &&
	       fl_loop_idle_sessions(heart.loop, FL_OUTBOUND) == 0;
}

static void expect_nothing_left(struct talk *talk)
{
	for (unsigned i = 0; i < USES; i++) {
		forget(&talk->uses[i].app);
	}
	forget(&talk->mesh);
	framed_done(&talk->frames);
	for (unsigned i = 0; i < QUIET_TURNS && !is_empty(); i++) {
		heart_turn(&heart);
	}
	if (!is_empty()) { /* if ending it was what failed, a deadline ends it */
		heart_skip_ms(&heart, 90000);
	}
	HEART_UNTIL(&heart, is_empty());
}

static bool is_turned_away(struct side *app)
{
	struct side mesh;

	side_init(&mesh);
	if (side_accept(&mesh, heart.places[PLACE_MESH])) {
		side_close(&mesh);
	}
	return app->has_fin || app->error != 0;
}

/* An app connection that was not accepted when that failed is accepted later: it must not come in the next round. A listener
 * accepts in order, so all are gone when the last one has ended. */
static void empty_backlog(void)
{
	struct side app;

	side_init(&app);
	heart_connect(&heart, &app, DOOR_MTLS_OUT);
	HEART_UNTIL(&heart, is_turned_away(&app));
	forget(&app);
	HEART_UNTIL(&heart, is_empty());
}

static void talks_with_faults(bool inbound, unsigned kinds, bool is_harmless)
{
	struct faults faults = {.kinds = kinds};

	heart_open(&heart, &(struct heart_options){.extra = "[limits]\nidle_timeout = 10s\n",
						   .tls = "tickets = off\n"});
	heart.framed = true;
	while (faults_next(&faults)) {
		struct talk talk;

		begin(&talk, inbound);
		run(&talk);
		if (faults.round == 0 || is_harmless) {
			cr_assert(has_gone_well(&talk), "with %s failing:\n%s", faults_where(),
				  heart_log(&heart));
		}
		expect_nothing_left(&talk);
		if (!inbound) {
			empty_backlog();
		}
		heart_empty_queues(&heart);
	}
	cr_expect_gt(faults.most, 3);
	heart_close(&heart);
}

#define TALKS(name, inbound)                                                                       \
	Test(reuse_faults, name##_without_memory)                                                  \
	{                                                                                          \
		talks_with_faults(inbound, FAULTS_MEMORY, false);                                  \
	}                                                                                          \
	Test(reuse_faults, name##_with_failing_system_calls)                                       \
	{                                                                                          \
		talks_with_faults(inbound, FAULTS_SYSTEM, false);                                  \
	}                                                                                          \
	Test(reuse_faults, name##_with_short_writes)                                               \
	{                                                                                          \
		talks_with_faults(inbound, FAULTS_SHORT, true);                                    \
	}                                                                                          \
	Test(reuse_faults, name##_with_full_buffers_of_the_kernel)                                 \
	{                                                                                          \
		talks_with_faults(inbound, FAULTS_AGAIN, true);                                    \
	}

TALKS(inbound, true)
TALKS(outbound, false)
