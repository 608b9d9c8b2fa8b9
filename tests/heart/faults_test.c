/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Whole calls of each kind, from accept to close, with each of their calls failing in turn. A failure costs at most the
 * connection: both ends notice it, neither gets a wrong byte or a false clean end, and nothing is left behind. */
#include "call.h"

#include <string.h>

#define QUIET_TURNS 48 /* turns without progress: no more bytes will arrive */

static const char question[] = "May I have this dance?";
static const char answer[] = "You may.";

static struct heart heart;

/* A call that continues by itself, even after failures. */
struct talk {
	struct call call;
	bool is_accepted, is_asked, is_answered, is_over;
};

static void begin(struct talk *talk, enum call_kind kind)
{
	*talk = (struct talk){.is_asked = false};
	call_begin(&heart, &talk->call, kind);
}

static void try_accept(struct talk *talk)
{
	struct side *callee = call_callee(&talk->call);
	enum heart_place place = call_is_inbound(talk->call.kind) ? PLACE_APP : PLACE_MESH;

	if (!side_accept(callee, heart.places[place])) {
		return;
	}
	talk->is_accepted = true;
	heart_watch(&heart, callee);
	if (talk->call.kind == CALL_OUT_TLS) {
		heart_speak_tls(&heart, callee, FL_TLS_SERVER, "p256");
	}
}

static bool may_speak(const struct side *side)
{
	return side->tls == NULL || side->is_up;
}

/* Takes the next step, if it is due. */
static void go_on(struct talk *talk)
{
	struct side *caller = call_caller(&talk->call), *callee = call_callee(&talk->call);

	if (!talk->is_accepted) {
		try_accept(talk);
	}
	if (!talk->is_asked && may_speak(caller)) {
		talk->is_asked = true;
		side_say(caller, question);
	}
	if (!talk->is_answered && side_has(callee, question)) {
		talk->is_answered = true;
		side_say(callee, answer);
		side_finish(callee);
	}
	if (!talk->is_over && side_has(caller, answer) && caller->has_finished) {
		talk->is_over = true;
		side_finish(caller);
	}
}

/* Grows with every event. */
static size_t progress_of(const struct talk *talk)
{
	const struct side *app = &talk->call.app, *mesh = &talk->call.mesh;

	return app->got_len + mesh->got_len + app->sent + mesh->sent + app->has_fin +
	       mesh->has_fin + mesh->is_up + talk->is_accepted + (app->error != 0) +
	       (mesh->error != 0);
}

static void run(struct talk *talk)
{
	size_t last = 0;

	for (unsigned quiet = 0, turns = 1; quiet < QUIET_TURNS; quiet++, turns++) {
		go_on(talk);
		heart_turn(&heart);
		if (progress_of(talk) != last) {
			last = progress_of(talk);
			quiet = 0;
		}
		if (talk->is_over && talk->call.app.has_fin && talk->call.mesh.has_fin) {
			return;
		}
		if (quiet > 0) {
			heart_rest(turns);
		}
	}
}

static bool has_gone_well(const struct talk *talk)
{
	const struct side *app = &talk->call.app, *mesh = &talk->call.mesh;

	return talk->is_over && app->has_finished && mesh->has_finished && app->error == 0 &&
	       mesh->error == 0;
}

static void expect_no_lie(struct talk *talk)
{
	const struct side *caller = call_caller(&talk->call), *callee = call_callee(&talk->call);

	cr_assert(side_has_only(caller, answer),
		  "with %s failing, the caller has got what nobody sent", faults_where());
	cr_assert(side_has_only(callee, question),
		  "with %s failing, the callee has got what nobody sent", faults_where());
	cr_assert(!caller->has_finished || side_has(caller, answer) || !talk->is_answered,
		  "with %s failing, a clean end before the last byte\n%s", faults_where(),
		  heart_log(&heart));
	cr_assert(!callee->has_finished || side_has(callee, question) || !talk->is_asked,
		  "with %s failing, a clean end before the last byte\n%s", faults_where(),
		  heart_log(&heart));
}

/* After the test's own ends are gone, so is everything. */
static void expect_nothing_left(struct talk *talk)
{
	call_close(&talk->call);
	for (unsigned i = 0; i < QUIET_TURNS && heart_open_connections(&heart) > 0; i++) {
		heart_turn(&heart);
	}
	/* If ending the connection was the call that failed, a deadline ends it. */
	if (heart_open_connections(&heart) > 0) {
		heart_skip_ms(&heart, 12000);
	}
	HEART_UNTIL(&heart, heart_open_connections(&heart) == 0);
}

/* Without tickets, so that each handshake is a whole one. */
static void calls_with_faults(enum call_kind kind, unsigned kinds, bool is_harmless)
{
	struct faults faults = {.kinds = kinds};

	heart_open(&heart, &(struct heart_options){.extra = "[limits]\nidle_timeout = 10s\n",
						   .tls = "tickets = off\n"});
	while (faults_next(&faults)) {
		struct talk talk;

		begin(&talk, kind);
		run(&talk);
		if (faults.round == 0 || is_harmless) {
			cr_assert(has_gone_well(&talk), "with %s failing:\n%s", faults_where(),
				  heart_log(&heart));
		}
		expect_no_lie(&talk);
		expect_nothing_left(&talk);
		heart_empty_queues(&heart);
	}
	cr_expect_gt(faults.most, 3);
	heart_close(&heart);
}

#define CALLS(name, kind)                                                                          \
	Test(faults, name##_without_memory)                                                        \
	{                                                                                          \
		calls_with_faults(kind, FAULTS_MEMORY, false);                                     \
	}                                                                                          \
	Test(faults, name##_with_failing_system_calls)                                             \
	{                                                                                          \
		calls_with_faults(kind, FAULTS_SYSTEM, false);                                     \
	}                                                                                          \
	Test(faults, name##_with_short_writes)                                                     \
	{                                                                                          \
		calls_with_faults(kind, FAULTS_SHORT, true);                                       \
	}                                                                                          \
	Test(faults, name##_with_full_buffers_of_the_kernel)                                       \
	{                                                                                          \
		calls_with_faults(kind, FAULTS_AGAIN, true);                                       \
	}

CALLS(inbound_tls, CALL_IN_TLS)
CALLS(inbound_plaintext, CALL_IN_PLAIN)
CALLS(outbound_tls, CALL_OUT_TLS)
CALLS(outbound_plaintext, CALL_OUT_PLAIN)
