/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the other end of a framed session may try: frames that are not due, ends at any moment, bytes of one connection that could come
 * out in another, more sessions than it should have. The test is that other end. */
#include "call.h"

#include <stdio.h>
#include <string.h>

#include "base/alpn.h"
#include "base/tls_alert.h"
#include "conn/session_internal.h"
#include "conn/stream_internal.h"
#include "wire/frame.h"

#define PEER "p256"

static struct heart heart;

/* The test's end of a session, and what it has read of it, as a text: "O1 D(bytes) E". */
struct end {
	struct side side;
	struct fl_framing framing;
	size_t at; /* bytes of side.got that were read */
	char text[1024];
	bool in_data;
};

static void open_heart(void)
{
	heart_open(&heart, NULL);
}

static void close_heart(void)
{
	heart_close(&heart);
}

TestSuite(frames, .init = open_heart, .fini = close_heart);

/* --- the test's end ------------------------------------------------------------------------------ */

static void append(struct end *end, const char *word, int len)
{
	size_t at = strlen(end->text);

	snprintf(end->text + at, sizeof(end->text) - at, "%.*s", len, word);
}

static void append_word(struct end *end, const char *word)
{
	if (end->in_data) {
		append(end, ")", 1);
		end->in_data = false;
	}
	append(end, end->text[0] != 0 ? " " : "", 1);
	append(end, word, (int)strlen(word));
}

static void append_event(struct end *end, enum fl_framing_event event,
			 const struct fl_framing_read *read)
{
	char word[16];

	switch (event) {
	case FL_FRAMING_OPEN:
		snprintf(word, sizeof(word), "O%u", end->framing.number);
		append_word(end, word);
		break;
	case FL_FRAMING_DATA:
		if (!end->in_data) {
			append_word(end, "D(");
			end->in_data = true;
		}
		append(end, (const char *)read->data.data, (int)read->data.len);
		break;
	case FL_FRAMING_END:
		append_word(end, "E");
		break;
	case FL_FRAMING_STATUS:
		snprintf(word, sizeof(word), "S%d", (int)read->status.code);
		append_word(end, word);
		break;
	case FL_FRAMING_RETIRE:
		append_word(end, "R");
		break;
	case FL_FRAMING_BROKEN:
		cr_assert_fail("it sent what is not legal: %s", fl_framing_fault_text(read->fault));
	case FL_FRAMING_NEED_MORE:
	default:
		break;
	}
}

/* What has come so far; an open "D(" lacks its end. */
static const char *told(struct end *end)
{
	struct fl_span in = {end->side.got + end->at, end->side.got_len - end->at};
	struct fl_framing_read read;

	while (in.len > 0) {
		append_event(end, fl_framing_read(&end->framing, &in, &read), &read);
	}
	end->at = end->side.got_len;
	return end->text;
}

static bool has_told(struct end *end, const char *text)
{
	return strcmp(told(end), text) == 0;
}

#define TOLD(end, expected) HEART_UNTIL(&heart, has_told(end, expected))

static void put_open(struct end *end)
{
	uint8_t out[FL_FRAME_OPEN_MAX];
	struct fl_framing_open open = {.generation = 3};

	side_send(&end->side, out, fl_framing_put_open(&end->framing, out, &open));
}

static void put_status(struct end *end, enum fl_status code)
{
	uint8_t out[FL_FRAME_STATUS_MAX];
	struct fl_framing_status status = {.code = code};

	side_send(&end->side, out, fl_framing_put_status(&end->framing, out, &status));
}

static void put_data(struct end *end, const char *text)
{
	uint8_t out[FL_FRAME_HEADER + 256];
	size_t len = strlen(text);

	fl_framing_put_header(&end->framing, out, len);
	memcpy(out + FL_FRAME_HEADER, text, len);
	side_send(&end->side, out, FL_FRAME_HEADER + len);
}

static void put_end(struct end *end)
{
	uint8_t out[FL_FRAME_HEADER];

	side_send(&end->side, out, fl_framing_put_end(&end->framing, out));
}

static void put_retire(struct end *end)
{
	uint8_t out[FL_FRAME_HEADER];

	side_send(&end->side, out, fl_framing_put_retire(&end->framing, out));
}

static void close_end(struct end *end)
{
	heart_forget(&heart, &end->side);
	side_close(&end->side);
}

/* --- the sidecar is the client --------------------------------------------------------------------- */

static void accept_session(struct end *end)
{
	*end = (struct end){.text = ""};
	side_init(&end->side);
	fl_framing_init(&end->framing, FL_FRAMING_SERVER);
	heart_accept(&heart, &end->side, PLACE_MESH);
	heart_speak_tls_with(&heart, &end->side, FL_TLS_SERVER, PEER, FL_ALPN_FRAMED);
	HEART_UNTIL(&heart, end->side.is_up);
	cr_assert_eq(fl_tls_protocol(end->side.tls), FL_TLS_PROTOCOL_FRAMED);
}

static void ask(struct side *app, const char *text)
{
	side_init(app);
	heart_connect(&heart, app, DOOR_MTLS_OUT);
	side_say(app, text);
}

static void close_app(struct side *app)
{
	heart_forget(&heart, app);
	side_close(app);
}

/* A first use that ends well: the session is parked. */
static void park_session(struct end *end)
{
	struct side app;

	ask(&app, "first");
	accept_session(end);
	TOLD(end, "O1 D(first");
	put_status(end, FL_STATUS_OPENED);
	put_end(end);
	HEART_UNTIL(&heart, app.has_finished);
	side_finish(&app);
	TOLD(end, "O1 D(first) E");
	HEART_UNTIL(&heart, heart_open_connections(&heart) == 0);
	close_app(&app);
	end->text[0] = 0;
}

static bool was_ended(const struct side *app)
{
	return app->has_fin || app->error != 0;
}

/* The alert that should follow may be late, or never come. */
Test(frames, an_app_that_goes_on_after_a_denial_does_no_harm)
{
	static const enum fl_status codes[] = {FL_STATUS_DENIED, FL_STATUS_APP_REFUSED,
					       FL_STATUS_APP_TIMEOUT, FL_STATUS_APP_FAILED,
					       FL_STATUS_NOT_OPENED};

	for (size_t i = 0; i < FL_COUNT_OF(codes); i++) {
		struct end end;
		struct side app;

		ask(&app, "question");
		accept_session(&end);
		TOLD(&end, "O1 D(question");
		put_status(&end, codes[i]);
		HEART_UNTIL(&heart,
			    heart.loop->sessions == NULL || heart.loop->sessions->framed->answered);
		side_say(&app, "more");
		side_finish(&app);
		heart_settle(&heart);
		if (codes[i] == FL_STATUS_DENIED) {
			side_alert(&end.side, FL_ALERT_ACCESS_DENIED);
		}
		HEART_UNTIL(&heart, was_ended(&app));
		cr_expect(side_was_reset(&app), "code %d", (int)codes[i]);
		cr_expect_eq(app.got_len, 0);
		close_app(&app);
		close_end(&end);
	}
}

/* Bytes that come between two uses are of neither. */
Test(frames, bytes_for_no_use_come_out_nowhere)
{
	static const struct {
		const char *bytes;
		size_t len;
	} strays[] = {
		{"\x02\x00\x00\x05stray", 9},
		{"\x02\x00\x00\x05str", 7},
		{"\x03\x00\x00\x00", 4},
		{"\x04\x00\x00\x06\x00\x00\x00\x01\x00\x00", 10},
		{"\x04\x00\x00\x06\x00\x00\x00\x02\x00\x00", 10},
		{"\x01\x00\x00\x0f", 4},
		{"\x02", 1},
	};

	for (size_t i = 0; i < FL_COUNT_OF(strays); i++) {
		struct end end, fresh;
		struct side app;

		park_session(&end);
		side_send(&end.side, strays[i].bytes, strays[i].len);
		heart_settle(&heart);
		ask(&app, "second");
		accept_session(&fresh);
		TOLD(&fresh, "O1 D(second");
		put_status(&fresh, FL_STATUS_OPENED);
		put_data(&fresh, "answer");
		HEART_UNTIL(&heart, side_has(&app, "answer"));
		cr_expect_str_empty(end.text);
		close_app(&app);
		close_end(&end);
		close_end(&fresh);
	}
}

/* The same while the next use has begun: its app gets nothing of it. */
Test(frames, bytes_that_cross_the_next_open_come_out_nowhere)
{
	struct end end;
	struct side app;

	park_session(&end);
	end.side.is_deaf = true;
	ask(&app, "second");
	side_send(&end.side, "\x02\x00\x00\x05stray", 9);
	HEART_UNTIL(&heart, was_ended(&app));
	cr_expect(side_was_reset(&app));
	cr_expect_eq(app.got_len, 0);
	close_app(&app);
	close_end(&end);
}

Test(frames, a_retired_session_is_not_used_again)
{
	struct end end, fresh;
	struct side app;

	park_session(&end);
	put_retire(&end);
	HEART_UNTIL(&heart, end.side.has_finished);
	ask(&app, "second");
	accept_session(&fresh);
	TOLD(&fresh, "O1 D(second");
	close_app(&app);
	close_end(&end);
	close_end(&fresh);
}

/* RETIRE crosses OPEN: the same bytes, and the end of them, on a fresh session; and not a third time. */
Test(frames, a_use_that_came_too_late_starts_over_once)
{
	struct end end, fresh;
	struct side app, third;

	park_session(&end);
	end.side.is_deaf = true;
	ask(&app, "second");
	side_finish(&app);
	heart_settle(&heart);
	put_retire(&end);
	end.side.is_deaf = false;
	HEART_UNTIL(&heart, end.framing.number == 2 || strcmp(told(&end), "") != 0);
	put_status(&end, FL_STATUS_NOT_OPENED);
	accept_session(&fresh);
	TOLD(&fresh, "O1 D(second) E");
	put_status(&fresh, FL_STATUS_NOT_OPENED);
	HEART_UNTIL(&heart, was_ended(&app));
	cr_expect(side_was_reset(&app));
	heart_settle(&heart);
	side_init(&third);
	cr_expect_not(side_accept(&third, heart.places[PLACE_MESH]), "not a third time");
	cr_expect_eq(heart.loop->counters.session_uses_reused[FL_OUTBOUND], 0, "it counts once");
	close_app(&app);
	close_end(&end);
	close_end(&fresh);
}

enum break_how { CUT_SHORT, RESET, FINISH, BREAKS };

/* The server breaks the session while it carries the second use: the app sees a reset, and nothing is said again. */
static void check_no_repetition(enum break_how how, bool is_opened)
{
	struct end end, fresh;
	struct side app;

	park_session(&end);
	ask(&app, "second");
	TOLD(&end, "O2 D(second");
	if (is_opened) {
		put_status(&end, FL_STATUS_OPENED);
		heart_settle(&heart);
	}
	if (how == CUT_SHORT) {
		side_cut_short(&end.side);
	} else if (how == FINISH) {
		side_finish(&end.side); /* close_notify without END */
	} else {
		heart_forget(&heart, &end.side);
		side_reset(&end.side);
	}
	HEART_UNTIL(&heart, was_ended(&app));
	cr_expect(side_was_reset(&app), "%d", (int)how);
	side_init(&fresh.side);
	heart_settle(&heart);
	cr_expect_not(side_accept(&fresh.side, heart.places[PLACE_MESH]), "%d", (int)how);
	close_app(&app);
	close_end(&end);
}

Test(frames, what_was_opened_is_never_repeated)
{
	for (enum break_how how = 0; how < BREAKS; how++) {
		check_no_repetition(how, true);
	}
}

/* Without a STATUS, but with bytes of the app on the way, a session that breaks may have delivered them. */
Test(frames, what_may_have_been_delivered_is_never_repeated)
{
	check_no_repetition(CUT_SHORT, false);
	check_no_repetition(RESET, false);
}

/* --- the sidecar is the server --------------------------------------------------------------------- */

static void begin_session(struct end *end)
{
	*end = (struct end){.text = ""};
	side_init(&end->side);
	fl_framing_init(&end->framing, FL_FRAMING_CLIENT);
	heart_connect(&heart, &end->side, DOOR_STRICT);
	heart_speak_tls_with(&heart, &end->side, FL_TLS_CLIENT, PEER, FL_ALPN_FRAMED);
	HEART_UNTIL(&heart, end->side.is_up);
}

static void accept_app(struct side *app)
{
	side_init(app);
	heart_accept(&heart, app, PLACE_APP);
}

/* A first use that ends well. */
static void finish_use(struct end *end)
{
	struct side app;

	put_open(end);
	put_data(end, "first");
	put_end(end);
	accept_app(&app);
	HEART_UNTIL(&heart, side_has(&app, "first") && app.has_finished);
	side_finish(&app);
	HEART_UNTIL(&heart, strstr(told(end), "E") != NULL);
	close_app(&app);
	end->text[0] = 0;
}

/* The next use is in the same record as the end of the one before: each app gets its own bytes. */
Test(frames, two_uses_in_one_record_stay_apart)
{
	uint8_t out[256];
	struct end end;
	struct side first, second;
	struct fl_framing_open open = {.generation = 3};
	size_t len;

	begin_session(&end);
	put_open(&end);
	put_data(&end, "one");
	accept_app(&first);
	HEART_UNTIL(&heart, side_has(&first, "one"));
	side_finish(&first);
	TOLD(&end, "S0 E");
	len = fl_framing_put_header(&end.framing, out, 4);
	memcpy(out + len, " end", 4);
	len += 4;
	len += fl_framing_put_end(&end.framing, out + len);
	len += fl_framing_put_open(&end.framing, out + len, &open);
	len += fl_framing_put_header(&end.framing, out + len, 3);
	memcpy(out + len, "two", 3);
	side_send(&end.side, out, len + 3);
	accept_app(&second);
	HEART_UNTIL(&heart, side_has(&second, "two") && side_has(&first, "one end"));
	HEART_UNTIL(&heart, first.has_finished);
	cr_expect_not(second.has_finished);
	close_app(&first);
	close_app(&second);
	close_end(&end);
}

/* The app of the use before has not taken its bytes yet when the next use begins. */
Test(frames, bytes_that_an_app_has_not_taken_stay_its_own)
{
	enum { LEN = 12000000, PIECE = 8000 };
	static uint8_t out[FL_FRAME_HEADER + PIECE];
	struct end end;
	struct side app, next;

	begin_session(&end);
	put_open(&end);
	put_data(&end, "x");
	accept_app(&app);
	HEART_UNTIL(&heart, side_has(&app, "x"));
	app.is_deaf = true;
	side_finish(&app);
	TOLD(&end, "S0 E");
	for (unsigned i = 0; i < LEN / PIECE; i++) {
		fl_framing_put_header(&end.framing, out, PIECE);
		memset(out + FL_FRAME_HEADER, 'a', PIECE);
		side_send(&end.side, out, sizeof(out));
	}
	put_end(&end);
	put_open(&end);
	put_data(&end, "next");
	HEART_UNTIL(&heart, fl_sock_pending(heart.loop->streams->app));
	heart_settle(&heart);
	app.is_deaf = false;
	accept_app(&next);
	HEART_UNTIL(&heart, app.has_finished && side_has(&next, "next"));
	cr_expect_eq(app.got_len, LEN + 1);
	cr_expect_null(memchr(app.got, 'n', app.got_len));
	close_app(&app);
	close_app(&next);
	close_end(&end);
}

Test(frames, frames_that_are_not_due_end_the_session)
{
	static const struct {
		bool is_idle; /* a use has ended; otherwise none has begun */
		const char *bytes;
		size_t len;
	} wrongs[] = {
		{false, "\x02\x00\x00\x01x", 5},
		{true, "\x02\x00\x00\x01x", 5},
		{false, "\x03\x00\x00\x00", 4},
		{true, "\x03\x00\x00\x00", 4},
		{false, "\x04\x00\x00\x06\x00\x00\x00\x00\x00\x00", 10},
		{true, "\x05\x00\x00\x00", 4},
		{false, "\x01\x00\x00\x0f\x00\x00\x00\x02\0\0\0\0\0\0\0\0\0\0\0", 19},
		{true, "\x01\x00\x00\x0f\x00\x00\x00\x01\0\0\0\0\0\0\0\0\0\0\0", 19},
		{true, "\x01\x00\x00\x0f\x00\x00\x00\x03\0\0\0\0\0\0\0\0\0\0\0", 19},
		{false, "\xff\xff\xff\xff", 4},
	};

	for (size_t i = 0; i < FL_COUNT_OF(wrongs); i++) {
		struct end end;
		struct side app;

		begin_session(&end);
		if (wrongs[i].is_idle) {
			finish_use(&end);
		}
		side_send(&end.side, wrongs[i].bytes, wrongs[i].len);
		HEART_UNTIL(&heart, end.side.failure != NULL || end.side.error != 0);
		cr_expect_not_null(end.side.failure, "%zu: an alert", i);
		side_init(&app);
		cr_expect_not(side_accept(&app, heart.places[PLACE_APP]), "%zu", i);
		close_end(&end);
	}
}

/* What OPEN says about the destination leads nowhere. */
Test(frames, an_open_leads_to_where_its_session_leads)
{
	struct end end;
	struct side app, other;
	uint8_t out[FL_FRAME_OPEN_MAX];
	struct fl_framing_open open = {
		.destination = {.ip = {127, 0, 0, 1}, .family = AF_INET},
		.source = {.ip = {10, 1, 1, 1}, .port = 1, .family = AF_INET},
	};

	open.destination.port = heart.place_ports[PLACE_OTHER];
	begin_session(&end);
	for (unsigned use = 1; use <= 2; use++) {
		side_send(&end.side, out, fl_framing_put_open(&end.framing, out, &open));
		put_data(&end, "question");
		put_end(&end);
		accept_app(&app);
		HEART_UNTIL(&heart, side_has(&app, "question"));
		side_finish(&app);
		HEART_UNTIL(&heart, strstr(told(&end), "E") != NULL);
		end.text[0] = 0;
		close_app(&app);
	}
	side_init(&other);
	cr_expect_not(side_accept(&other, heart.places[PLACE_OTHER]));
	close_end(&end);
}

/* An orderly end before the app has said anything: STATUS comes first, because without one the client would say everything
 * again. */
Test(frames, an_orderly_end_says_that_the_use_was_open)
{
	struct end end;
	struct side app;

	begin_session(&end);
	put_open(&end);
	put_data(&end, "question");
	accept_app(&app);
	HEART_UNTIL(&heart, side_has(&app, "question"));
	cr_assert_str_empty(told(&end));
	fl_stream_end(heart.loop->streams,
		      &(struct fl_ending){.reason = FL_REASON_MAX_AGE, .orderly = true});
	HEART_UNTIL(&heart, end.side.has_finished);
	cr_expect_str_eq(told(&end), "S0 E");
	close_app(&app);
	close_end(&end);
}

/* Sessions that never open a use are bounded, as those are that wait for the next one. */
Test(frames, sessions_without_a_use_are_bounded)
{
	enum { SESSIONS = 24 };
	static struct end ends[SESSIONS];
	unsigned open = 0;

	close_heart();
	heart_open(&heart, &(struct heart_options){.extra = "[limits]\nconnections = 16\n"});
	for (unsigned i = 0; i < SESSIONS; i++) {
		begin_session(&ends[i]);
	}
	heart_settle(&heart);
	for (unsigned i = 0; i < SESSIONS; i++) {
		open += ends[i].side.has_fin || ends[i].side.error != 0 ||
					strstr(told(&ends[i]), "R") != NULL
				? 0
				: 1;
	}
	cr_expect_leq(open, 16, "%u", open);
	for (unsigned i = 0; i < SESSIONS; i++) {
		close_end(&ends[i]);
	}
}
