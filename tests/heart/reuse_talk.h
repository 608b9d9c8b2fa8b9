/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_TEST_REUSE_TALK_H
#define FL_TEST_REUSE_TALK_H
/* reuse_talk - a session of the test's own, and an app, for the tests of reuse. Each function fails the test if what it does
 * does not come about. */
#include "framed.h"

#include <netinet/tcp.h>
#include <string.h>

#define PEER "p256"
#define EACH_USE for (unsigned use = 1; use <= 2; use++)

static struct heart heart;

static inline void open_heart(void)
{
	heart_open(&heart, NULL);
	heart.framed = true;
}

static inline void close_heart(void)
{
	heart_close(&heart);
}

/* --- a session, and an app --------------------------------------------------------------------------- */

struct talk {
	struct side mesh, app;
	struct framed frames;
};

static inline void forget(struct side *side)
{
	heart_forget(&heart, side);
	side_close(side);
}

static inline void end(struct talk *talk)
{
	forget(&talk->app);
	forget(&talk->mesh);
	framed_done(&talk->frames);
}

static inline void drop(struct side *side)
{
	heart_forget(&heart, side);
	side_reset(side);
}

/* A peer of ours does not hold bytes back. */
static inline void do_not_delay(struct side *side)
{
	const int on = 1;

	cr_assert_eq(setsockopt(side->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)), 0);
}

/* A client of ours has shaken hands. */
static inline void come_in(struct talk *talk)
{
	side_init(&talk->app);
	heart_connect(&heart, &talk->mesh, DOOR_STRICT);
	do_not_delay(&talk->mesh);
	heart_speak_tls(&heart, &talk->mesh, FL_TLS_CLIENT, PEER);
	framed_init(&talk->frames, &talk->mesh, FL_FRAMING_CLIENT);
	HEART_UNTIL(&heart, talk->mesh.is_up);
}

/* It opens a use, and the app is there. */
static inline void open_use(struct talk *talk)
{
	framed_open(&talk->frames);
	heart_accept(&heart, &talk->app, PLACE_APP);
}

static inline void expect_idle(enum fl_direction direction, unsigned count)
{
	HEART_UNTIL(&heart, fl_loop_idle_sessions(heart.loop, direction) == count);
}

/* A whole use, as an example. */
static inline void use_inbound(struct talk *talk)
{
	open_use(talk);
	framed_say(&talk->frames, "question");
	framed_end(&talk->frames);
	HEART_UNTIL(&heart, side_has(&talk->app, "question") && talk->app.has_finished);
	side_say(&talk->app, "answer");
	side_finish(&talk->app);
	HEART_UNTIL(&heart, framed_ended(&talk->frames));
	cr_assert(framed_has(&talk->frames, "answer"));
	cr_assert_eq(talk->frames.status, FL_STATUS_OPENED);
	HEART_UNTIL(&heart, heart_open_connections(&heart) == 0);
	expect_idle(FL_INBOUND, 1);
	forget(&talk->app);
	side_init(&talk->app);
}

/* Inbound, up to the beginning of its first or second use. */
static inline void begin_inbound(struct talk *talk, unsigned use)
{
	come_in(talk);
	if (use > 1) {
		use_inbound(talk);
	}
}

/* An app has connected, and a server of ours has got its OPEN. */
static inline void begin_outbound(struct talk *talk)
{
	heart_connect(&heart, &talk->app, DOOR_MTLS_OUT);
	heart_accept(&heart, &talk->mesh, PLACE_MESH);
	do_not_delay(&talk->mesh);
	heart_speak_tls(&heart, &talk->mesh, FL_TLS_SERVER, PEER);
	framed_init(&talk->frames, &talk->mesh, FL_FRAMING_SERVER);
	HEART_UNTIL(&heart, (framed_take(&talk->frames), talk->frames.opens == 1));
}

static inline void finish_outbound(struct talk *talk)
{
	side_say(&talk->app, "question");
	side_finish(&talk->app);
	HEART_UNTIL(&heart, framed_ended(&talk->frames));
	cr_assert(framed_has(&talk->frames, "question"));
	framed_answer(&talk->frames, FL_STATUS_OPENED);
	framed_say(&talk->frames, "answer");
	framed_end(&talk->frames);
	HEART_UNTIL(&heart, talk->app.has_fin);
	cr_assert(side_has(&talk->app, "answer"));
	forget(&talk->app);
	expect_idle(FL_OUTBOUND, 1);
}

/* Another app connects, and its use comes on the same session. */
static inline void reuse_outbound(struct talk *talk, const char *text)
{
	unsigned before = talk->frames.opens;

	heart_connect(&heart, &talk->app, DOOR_MTLS_OUT);
	if (text[0] != '\0') {
		side_say(&talk->app, text);
	}
	HEART_UNTIL(&heart, (framed_take(&talk->frames), talk->frames.opens == before + 1));
}

static inline void begin_outbound_use(struct talk *talk, unsigned use)
{
	begin_outbound(talk);
	if (use > 1) {
		finish_outbound(talk);
		heart_connect(&heart, &talk->app, DOOR_MTLS_OUT);
		HEART_UNTIL(&heart, (framed_take(&talk->frames), talk->frames.opens == 2));
	}
}

static inline void expect_gone(enum fl_direction direction, enum fl_reason reason)
{
	HEART_UNTIL(&heart, heart_open_connections(&heart) == 0);
	cr_expect_eq(heart_ended(&heart, direction, reason), 1, "%s", heart_log(&heart));
	expect_idle(direction, 0);
	close_heart();
	open_heart();
}

#endif
