/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The life of a framed session, and of its uses. What is done with frames is in session_framed_mesh.c and session_framed_read.c; idle
 * sessions are in parking.c. */
#include "conn/session_internal.h"

#include <stdlib.h>

#define CLIENT_SIZE (offsetof(struct fl_framed, client) + sizeof(struct fl_framed_client))

/* OPEN follows the handshake. */
static void on_no_open(struct fl_deadline *deadline)
{
	fl_session_fail(FL_CONTAINER_OF(deadline, struct fl_framed, server.deadline)->session,
			FL_REASON_HANDSHAKE_TIMEOUT);
}

bool fl_framed_begin(struct fl_session *session)
{
	struct fl_framed *framed = calloc(1, session->is_client ? CLIENT_SIZE : sizeof(*framed));
	const struct fl_conn *conn = session->mesh.conn;

	if (framed == NULL) {
		return false;
	}
	session->framed = framed;
	session->mesh.ops = &fl_framed_mesh_ops;
	framed->session = session;
	fl_framing_init(&framed->framing,
			session->is_client ? FL_FRAMING_CLIENT : FL_FRAMING_SERVER);
	framed->end = FL_SESSION_END_USE;
	fl_count(&session->loop->counters.sessions_begun[fl_session_direction(session)], 1);
	if (session->is_client) {
		framed->use = 1;
		framed->must_open = true;
		fl_pool_entry_init(&framed->client.parked, session->started_ns / 1000000,
				   fl_loop_draw(session->loop));
		fl_count(&session->loop->counters.session_uses_cold[FL_OUTBOUND], 1);
		fl_framed_expect_status(session);
		return true;
	}
	framed->detected = conn->detected;
	framed->server.local =
		fl_conn_is_captured(conn) ? conn->destination : fl_sock_local_inet(session->sock);
	framed->server.events = session->mesh.events;
	fl_session_enter(session, FL_SESSION_IDLE);
	fl_deadline_add(&session->loop->handshaking, &framed->server.deadline, on_no_open);
	session->reading = true;
	return true;
}

/* One more session without a connection, or one less. */
static void count_idle(const struct fl_session *session, int by)
{
	unsigned *idle = &session->loop->parking.idle[fl_session_direction(session)];

	__atomic_store_n(idle, *idle + (unsigned)by, __ATOMIC_RELEASE);
}

/* --- uses ----------------------------------------------------------------------------------------- */

size_t fl_framed_put_open(struct fl_session *session, uint8_t frame[FL_FRAME_OPEN_MAX])
{
	const struct fl_conn *conn = session->mesh.conn;
	struct fl_framing_open open = {.generation = conn->share->generation->number,
				       .destination = conn->destination,
				       .source = conn->source};

	session->framed->must_open = false;
	return fl_framing_put_open(&session->framed->framing, frame, &open);
}

void fl_framed_join(struct fl_session *session, struct fl_conn *conn,
		    const struct fl_mesh_events *events, void *user)
{
	session->mesh.conn = conn;
	fl_mesh_set_user(&session->mesh, events, user);
	session->framed->end = FL_SESSION_END_USE;
	count_idle(session, -1);
	fl_conn_secured(conn, fl_tls_peer_id(session->tls));
	session->framed->must_count = true;
}

void fl_framed_count(struct fl_session *session)
{
	if (session->framed->must_count) {
		session->framed->must_count = false;
		fl_count(
			&session->loop->counters.session_uses_reused[fl_session_direction(session)],
			1);
	}
}

void fl_framed_reuse(struct fl_session *session, struct fl_conn *conn,
		     const struct fl_mesh_events *events, void *user)
{
	fl_framed_join(session, fl_conn_ref(conn), events, user);
	session->framed->use++;
	session->framed->keeps = true;
	session->framed->must_open = true;
	conn->dial_until_ms = 0; /* if it starts over, it has all of connect_timeout */
	fl_session_enter(session, FL_SESSION_READY);
	fl_framed_expect_status(session);
}

void fl_framed_speak(struct fl_session *session)
{
	struct fl_framed *framed = session->framed;
	uint8_t frame[FL_FRAME_OPEN_MAX];

	if (session->state != FL_SESSION_READY || !framed->must_open) {
		return;
	}
	if (fl_framed_send(session, frame, fl_framed_put_open(session, frame)) < 0 &&
	    framed->keeps) {
		fl_framed_start_over(session, false);
	}
	/* Otherwise the next read reports a broken socket. */
}

/* What belongs to the use, or to the wait for the next one. */
static void drop_rest(struct fl_session *session)
{
	struct fl_framed *framed = session->framed;

	if (session->is_client) {
		free(framed->client.kept);
		framed->client.kept = NULL;
		framed->keeps = false;
		fl_deadline_drop(&framed->client.check);
	} else {
		fl_deadline_drop(&framed->server.deadline);
		framed->server.came = 0;
	}
}

void fl_framed_leave_use(struct fl_session *session)
{
	struct fl_framed *framed = session->framed;
	struct fl_conn *conn = session->mesh.conn;

	drop_rest(session);
	if (!session->is_client) {
		framed->server.origin =
			(struct fl_framed_origin){conn->endpoint, conn->source, conn->destination};
	}
	session->mesh.conn = NULL;
	fl_mesh_set_user(&session->mesh, NULL, NULL);
	count_idle(session, 1);
	framed->must_open = framed->answered = framed->said_end = framed->has_end = false;
	framed->has_user = framed->is_full = framed->has_sent = false;
	if (!framed->is_over) { /* if it is, it is known why */
		framed->end = FL_SESSION_END_LOST;
	}
	session->reading = true;
	fl_session_enter(session, FL_SESSION_IDLE);
	fl_conn_unref(conn);
}

bool fl_framed_may_start_over(const struct fl_session *session, enum fl_reason reason)
{
	const struct fl_framed *framed = session->framed;

	if (framed == NULL || !framed->keeps || framed->answered || framed->has_sent ||
	    session->state != FL_SESSION_READY || session->loop->stopping) {
		return false;
	}
	return reason == FL_REASON_PEER_RESET || reason == FL_REASON_PEER_TRUNCATED ||
	       reason == FL_REASON_PEER_TIMEOUT || reason == FL_REASON_PEER_UNREACHABLE;
}

/* The user of the use starts over; nothing is left here that belongs to it. */
void fl_framed_start_over(struct fl_session *session, bool gently)
{
	struct fl_framed *framed = session->framed;
	const struct fl_mesh_events *events = session->mesh.events;
	struct fl_kept *kept = framed->client.kept;
	void *user = session->mesh.user;

	framed->client.kept = NULL;
	framed->must_count = false;
	fl_mesh_set_user(&session->mesh, NULL, NULL);
	framed->end = FL_SESSION_END_NOT_OPENED;
	if (gently) {
		fl_session_say_goodbye(session, true);
	}
	fl_session_end_socket(session, gently);
	fl_session_release(session);
	events->on_not_opened(user, kept);
}

/* --- end ------------------------------------------------------------------------------------------ */

void fl_framed_end(struct fl_session *session, enum fl_session_end why)
{
	FL_REQUIRE(session->mesh.events == NULL);
	session->framed->end = (uint8_t)why;
	fl_session_say_goodbye(session, true);
	fl_session_end_socket(session, true);
	fl_session_release(session);
}

void fl_framed_release(struct fl_session *session)
{
	struct fl_framed *framed = session->framed;

	if (session->mesh.conn == NULL) {
		count_idle(session, -1);
	}
	fl_framed_count(session);
	drop_rest(session);
	session->framed = NULL;
	free(framed->plain);
	fl_count(
		&session->loop->counters.sessions_ended[fl_session_direction(session)][framed->end],
		1);
	free(framed);
}
