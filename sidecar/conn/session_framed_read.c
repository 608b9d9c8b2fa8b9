/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Frames that come.
 *
 * Happy path: DATA goes on to the user where it lies; END is the end of the peer's direction; between uses, OPEN begins the
 * next one. Plaintext that follows OPEN is held until the app is connected and the user has begun to read.
 *
 * A peer may cut its bytes into frames of one byte. Each write to the app costs a system call, or a piece of memory if the app
 * does not read, so small frames that have come together are moved together and go on as one. A large one stays where it is:
 * to move it would cost more than to write it.
 *
 * Failure: a frame that is not legal now ends the session with an alert, is counted and logged. After our own last word what
 * still comes is discarded. */
#include "conn/session_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "base/tls_alert.h"
#include "conn/accept.h"

#define ANSWER_AFTER (16u * 1024) /* bytes of DATA that the server takes without STATUS */
#define SMALL 4096u               /* bytes of DATA: to move them costs less than a system call */

/* --- what is held ----------------------------------------------------------------------------------- */

static void hold(struct fl_session *session, struct fl_span in)
{
	struct fl_framed *framed = session->framed;
	size_t len = framed->plain != NULL ? framed->plain->len : 0;
	struct fl_held *plain;

	if (in.len == 0) {
		return;
	}
	plain = realloc(framed->plain, sizeof(*plain) + len + in.len);
	if (plain == NULL) {
		fl_session_fail(session, FL_REASON_INTERNAL);
		return;
	}
	memcpy(plain->data + len, in.data, in.len);
	plain->len = len + in.len;
	framed->plain = plain;
	if (plain->len >= FL_SESSION_HELD_ENOUGH) {
		fl_sock_read_stop(session->sock);
	}
}

void fl_framed_take_held(struct fl_session *session)
{
	struct fl_held *plain = session->framed->plain;

	session->framed->plain = NULL;
	fl_framed_take(session, plain->data, plain->len);
	free(plain);
	if (session->eof && session->state != FL_SESSION_CLOSED && session->framed->plain == NULL) {
		fl_framed_on_eof(session);
	}
}

/* --- what is wrong ---------------------------------------------------------------------------------- */

static void log_fault(struct fl_session *session, enum fl_framing_fault fault)
{
	char peer[FL_ADDR_TEXT], id[FL_HEX_TEXT(FL_SESSION_ID)];
	struct fl_line line;

	fl_line_begin(&line, &session->loop->log, FL_LOG_WARN, "session broken");
	fl_line_str(&line, "direction", fl_direction_word(fl_session_direction(session)));
	fl_line_str(&line, "session", fl_hex(session->id, FL_SESSION_ID, id));
	fl_line_u64(&line, "use", fl_framed_use(session));
	fl_line_str(&line, "peer", fl_session_peer_id(&session->mesh));
	fl_line_str(&line, "peer_addr", fl_session_peer_addr(&session->mesh, peer));
	fl_line_str(&line, "explanation", fl_framing_fault_text(fault));
	fl_line_end(&line);
}

static void on_broken(struct fl_session *session, enum fl_framing_fault fault)
{
	session->framed->end = FL_SESSION_END_BROKEN;
	log_fault(session, fault);
	fl_session_fail_and_end(session, FL_REASON_FRAME, true, FL_ALERT_UNEXPECTED_MESSAGE);
}

/* --- OPEN (server) ---------------------------------------------------------------------------------- */

/* The client may try a fresh session: that one leads to where this one does, and is judged as a whole. If the use before
 * still waits for its app, it goes on. */
static void decline(struct fl_session *session, enum fl_session_end why)
{
	struct fl_framed *framed = session->framed;
	bool is_idle = session->state == FL_SESSION_IDLE;

	framed->end = (uint8_t)why;
	fl_framed_unrest(session);
	fl_framed_refuse(session, FL_STATUS_NOT_OPENED);
	fl_session_say_goodbye(session, is_idle);
	if (is_idle) {
		fl_session_end_socket(session, true);
		fl_session_release(session);
	}
}

static void begin_use(struct fl_session *session)
{
	struct fl_mesh *mesh = &session->mesh;

	fl_framed_promise_status(session);
	fl_session_enter(session, FL_SESSION_READY);
	session->reading = false;
	mesh->events->on_ready(mesh->user);
}

static void begin_next_use(struct fl_session *session, const struct fl_framing_open *open)
{
	struct fl_framed *framed = session->framed;
	const struct fl_framed_origin *origin = &framed->server.origin;
	struct fl_conn *conn = fl_conn_again(origin->endpoint, &origin->source,
					     &origin->destination, framed->detected);

	if (conn == NULL) {
		decline(session, FL_SESSION_END_JUDGED);
		return;
	}
	fl_framed_unrest(session);
	framed->use++;
	framed->server.open = *open;
	fl_framed_join(session, conn, framed->server.events, &session->mesh);
	fl_framed_count(session);
	begin_use(session);
}

static void on_open(struct fl_session *session, const struct fl_framing_open *open)
{
	struct fl_framed *framed = session->framed;

	/* The first one is served while we drain, as a handshake under way is. */
	bool is_cold = session->state == FL_SESSION_IDLE && session->mesh.conn != NULL;
	enum fl_session_end objection;

	if (open->is_late || session->state != FL_SESSION_IDLE ||
	    (session->loop->draining && !is_cold)) {
		decline(session, FL_SESSION_END_NOT_OPENED);
		return;
	}
	if (is_cold) {
		framed->use = 1;
		framed->server.open = *open;
		fl_framed_unrest(session);
		fl_count(&session->loop->counters.session_uses_cold[FL_INBOUND], 1);
		begin_use(session);
		return;
	}
	objection = fl_framed_objection(session);
	if (objection == FL_SESSION_ENDS) {
		begin_next_use(session, open);
	} else {
		decline(session, objection);
	}
}

/* --- STATUS and RETIRE (client) --------------------------------------------------------------------- */

static void on_status(struct fl_session *session, const struct fl_framing_status *status)
{
	struct fl_framed *framed = session->framed;

	framed->answered = true;
	framed->status = (uint8_t)status->code;
	fl_deadline_drop(&framed->client.check);
	switch (status->code) {
	case FL_STATUS_OPENED:
		fl_framed_count(session);
		fl_framed_note_server(session, &status->local);
		fl_framed_opened(session);
		break;
	case FL_STATUS_NOT_OPENED:
		if (framed->keeps) {
			fl_framed_start_over(session, true);
		} else {
			fl_session_fail(session, FL_REASON_PEER_RESET);
		}
		break;
	case FL_STATUS_DENIED: /* an alert follows; mostly it has come already */
		fl_session_fail_and_end(session, FL_REASON_PEER_ALERT, false, 0);
		break;
	case FL_STATUS_APP_REFUSED:
	case FL_STATUS_APP_TIMEOUT:
	case FL_STATUS_APP_FAILED:
		fl_session_fail(session, FL_REASON_PEER_RESET);
		break;
	}
}

static void on_retire(struct fl_session *session)
{
	session->framed->retired = true;
	if (session->state == FL_SESSION_IDLE) {
		fl_framed_unrest(session);
		fl_framed_end(session, FL_SESSION_END_RETIRED);
	}
}

/* --- all of them ------------------------------------------------------------------------------------ */

/* Moves the small DATA that follows next to `data`, which lies before it in the same buffer. Anything else stays to be read in
 * its turn, when `data` has gone on: so what is moved together is of one use. True: END is next, and is there. */
static bool join_small(struct fl_framing *framing, struct fl_span *data, struct fl_span *in)
{
	enum fl_framing_event next = FL_FRAMING_NEED_MORE;

	while (in->len > 0) {
		struct fl_framing ahead = *framing;
		struct fl_span rest = *in;
		struct fl_framing_read read;

		next = fl_framing_read(&ahead, &rest, &read);
		if (next != FL_FRAMING_DATA || read.data.len > SMALL) {
			break;
		}
		memmove((uint8_t *)data->data + data->len, read.data.data, read.data.len);
		data->len += read.data.len;
		*framing = ahead;
		*in = rest;
	}
	return next == FL_FRAMING_END;
}

static void on_data(struct fl_session *session, struct fl_span data, struct fl_span *in)
{
	struct fl_framed *framed = session->framed;

	framed->is_last = join_small(&framed->framing, &data, in);
	if (!session->is_client) {
		framed->server.came += data.len;
	}
	session->mesh.events->on_data(session->mesh.user, (uint8_t *)data.data, data.len);
	if (session->framed == framed) {
		framed->is_last = false;
		if (!session->is_client && framed->server.came > ANSWER_AFTER) {
			fl_framed_answer(session);
		}
	}
}

static void on_end(struct fl_session *session)
{
	session->framed->has_end = true;
	session->mesh.events->on_eof(session->mesh.user);
}

/* Has a use begun whose user does not read yet? */
static bool must_hold(const struct fl_session *session)
{
	return session->state == FL_SESSION_READY && !session->is_client &&
	       !session->framed->has_user && !session->framed->is_over;
}

void fl_framed_take(struct fl_session *session, uint8_t *data, size_t len)
{
	struct fl_span in = {data, len};
	enum fl_framing_event event = FL_FRAMING_DATA;
	struct fl_framing_read read;

	while (event != FL_FRAMING_NEED_MORE && session->state != FL_SESSION_CLOSED) {
		if (session->framed->is_over) {
			return;
		}
		if (must_hold(session)) {
			hold(session, in);
			return;
		}
		event = fl_framing_read(&session->framed->framing, &in, &read);
		switch (event) {
		case FL_FRAMING_NEED_MORE:
			break;
		case FL_FRAMING_OPEN:
			on_open(session, &read.open);
			break;
		case FL_FRAMING_DATA:
			on_data(session, read.data, &in);
			break;
		case FL_FRAMING_END:
			on_end(session);
			break;
		case FL_FRAMING_STATUS:
			on_status(session, &read.status);
			break;
		case FL_FRAMING_RETIRE:
			on_retire(session);
			break;
		case FL_FRAMING_BROKEN:
			on_broken(session, read.fault);
			break;
		}
	}
}

/* The peer sends nothing more. That is an end only if it has nothing to end, or has ended it. */
void fl_framed_on_eof(struct fl_session *session)
{
	struct fl_framed *framed = session->framed;

	if (framed->plain != NULL) {
		return; /* in its order */
	}
	if (session->state == FL_SESSION_IDLE && session->mesh.conn == NULL) {
		fl_framed_unrest(session);
		fl_framed_end(session, framed->end == FL_SESSION_END_LOST ? FL_SESSION_END_PEER
									  : framed->end);
	} else if (session->state == FL_SESSION_READY && framed->keeps && !framed->answered) {
		fl_framed_start_over(session, true);
	} else if (!framed->has_end) {
		fl_session_fail(session, FL_REASON_PEER_TRUNCATED);
	}
}
