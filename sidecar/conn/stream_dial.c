/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Outbound: the app is there, the mesh side has to be made.
 *
 * Happy path: there is a place (slots.h), the session is dialled, and when its peer is verified the relay begins. Where there is
 * none, the stream waits for it.
 *
 * Failure: whatever the mesh side fails of, the app sees a reset. Who waits does so for connect_timeout, or for as long as
 * others of its lane get through. */
#include "conn/stream_internal.h"

/* The app is not read before that: its early bytes wait in the kernel, bounded. What it has said meanwhile goes out in
 * one packet with the end of our handshake. */
void fl_stream_mesh_ready(void *user)
{
	struct fl_stream *stream = user;
	struct fl_loop *loop = stream->conn->loop;

	if (!fl_stream_is_admitted(stream)) {
		return;
	}
	fl_stream_start_relay(stream);
	fl_sock_read_now(stream->app, loop->scratch.opened, loop->net.read_cap);
	if (stream->state == OPEN) {
		fl_stream_read_both(stream);
	}
}

static void dial_plain(struct fl_stream *stream, enum fl_reason before);

static void on_plain_dialed(void *user, int sys)
{
	struct fl_stream *stream = user;

	if (sys == 0) {
		fl_conn_secured(stream->conn, NULL);
		stream->counter = fl_conn_plain(stream->conn);
		fl_count(&stream->counter->connections, 1);
		fl_stream_mesh_ready(stream);
	} else {
		dial_plain(stream, fl_reason_of_peer_dial(sys));
	}
}

static void on_plain_look(struct fl_deadline *deadline)
{
	struct fl_stream *stream = FL_CONTAINER_OF(deadline, struct fl_stream, deadline);

	if (fl_conn_dial_is_late(stream->conn)) {
		dial_plain(stream, FL_REASON_PEER_CONNECT_TIMEOUT);
	} else {
		fl_deadline_add(&stream->conn->loop->dialing, deadline, on_plain_look);
	}
}

/* The next address; before: what became of the last one. */
static void dial_plain(struct fl_stream *stream, enum fl_reason before)
{
	struct fl_sock *last = stream->plain;
	int rc = fl_conn_dial(stream->conn, false, &fl_stream_plain_events, stream, on_plain_dialed,
			      &stream->plain);

	if (rc != 0) {
		fl_stream_abort(stream,
				before != FL_REASON_DONE ? before : fl_reason_of_peer_dial(rc));
		return;
	}
	if (last != NULL) {
		fl_sock_close(last, 0);
	}
	fl_deadline_add(&stream->conn->loop->dialing, &stream->deadline, on_plain_look);
}

static void dial_session(struct fl_stream *stream)
{
	enum fl_reason reason;

	stream->session = fl_session_dial(stream->conn, &fl_stream_session_events, stream, &reason);
	if (stream->session == NULL) {
		fl_stream_abort(stream, reason);
	}
}

/* --- a place for its handshake ----------------------------------------------------------------------- */

static void on_waited(struct fl_deadline *deadline)
{
	struct fl_stream *stream = FL_CONTAINER_OF(deadline, struct fl_stream, deadline);
	struct fl_loop *loop = stream->conn->loop;
	uint64_t since = uv_now(loop->uv) - loop->connecting.duration_ms;

	if (fl_slots_has_passed(&loop->slots[FL_OUTBOUND], stream->conn->lane, since)) {
		fl_deadline_add(&loop->connecting, deadline, on_waited);
		return;
	}
	fl_stream_end(stream,
		      &(struct fl_ending){
			      .reason = FL_REASON_PEER_CONNECT_TIMEOUT,
			      .detail = "it has waited for one of [limits] handshakes: others "
					"to the same destination had them, and none got through"});
}

static void on_slot(struct fl_waiter *waiter)
{
	struct fl_stream *stream = FL_CONTAINER_OF(waiter, struct fl_stream, waiter);

	fl_deadline_drop(&stream->deadline);
	fl_stream_set_state(stream, DIAL_MESH);
	dial_session(stream);
}

static void dial_when_there_is_room(struct fl_stream *stream)
{
	struct fl_loop *loop = stream->conn->loop;
	struct fl_slots *places = &loop->slots[FL_OUTBOUND];

	if (fl_slots_must_wait(places, stream->conn->lane)) {
		fl_stream_set_state(stream, WAITING);
		stream->waiter.on_slot = on_slot;
		fl_slots_wait(places, &stream->waiter, stream->conn->lane);
		fl_deadline_add(&loop->connecting, &stream->deadline, on_waited);
		return;
	}
	fl_stream_set_state(stream, DIAL_MESH);
	dial_session(stream);
}

/* --- start ------------------------------------------------------------------------------------------- */

void fl_stream_outbound(struct fl_conn *conn, struct fl_sock *sock)
{
	struct fl_stream *stream = fl_stream_new(conn, NAMING);

	if (stream == NULL) {
		fl_stream_refuse_for_memory(conn, NULL, NULL);
		fl_sock_reset(sock);
		return;
	}
	stream->app = sock;
	fl_sock_set_user(sock, &fl_stream_app_events, stream);
	fl_stream_find_name(stream);
}

void fl_stream_go_out(struct fl_stream *stream)
{
	switch (stream->conn->upstream->mode) {
	case FL_OUTBOUND_MTLS:
		dial_when_there_is_room(stream);
		break;
	case FL_OUTBOUND_PLAINTEXT:
		fl_stream_set_state(stream, DIAL_MESH);
		dial_plain(stream, fl_conn_has_address(stream->conn) ? FL_REASON_DONE
								     : FL_REASON_NO_ADDRESS);
		break;
	case FL_OUTBOUND_REFUSE:
		fl_stream_abort(stream, FL_REASON_OUTBOUND_REFUSED);
		break;
	}
}
