/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Outbound: the app is connected; dials the mesh side.
 *
 * Happy path: there is a slot (slots.h), the session is dialled, and when its peer is verified the relay begins. If there
 * is none, the stream waits for one.
 *
 * If a session that was used before is parked (parking.h), it carries the connection at once, without dialling. If it turns
 * out that it has not carried it, all of this begins again with a fresh session, once, with the bytes that the app has sent.
 *
 * A stream that waits for its slot, or starts over, may see another generation come into force. It must not be dialled under
 * the earlier one, whose key the agent soon wipes: where it leads is decided again, and its turn stays its own.
 *
 * Failure: if the mesh side fails for any reason, the app sees a reset. A stream waits for a slot for connect_timeout, or
 * longer while other connections of its lane finish their handshakes. */
#include <stdlib.h>

#include "conn/access.h"
#include "conn/parking.h"
#include "conn/plaintext.h"
#include "conn/session.h"
#include "conn/session_internal.h"
#include "conn/stream_internal.h"

/* What the app had sent before the stream started over. */
static void say_again(struct fl_stream *stream)
{
	struct fl_kept *kept = stream->kept;
	size_t cap = stream->conn->loop->net.read_cap, at = 0;
	int rc = 0;

	stream->kept = NULL;
	/* A write takes as much as a read gives; what has been written may be overwritten. */
	while (kept != NULL && at < kept->len && rc >= 0) {
		size_t n = kept->len - at < cap ? kept->len - at : cap;

		at += n;
		rc = stream->mesh->ops->write(stream->mesh, kept->room + FL_NET_HEADROOM + at - n,
					      n, stream->ended_before && at == kept->len);
	}
	free(kept);
	if (rc < 0) {
		fl_stream_abort(stream, fl_reason_of_peer_error(rc));
	} else if (stream->ended_before) {
		fl_stream_set_half_open(stream, FL_STREAM_HALF_APP);
		stream->mesh->ops->shutdown(stream->mesh, false);
	}
}

/* The app is read only from now on: its early bytes wait in the kernel, bounded. Bytes that it has sent meanwhile go out in
 * one packet with the end of our handshake. */
void fl_stream_mesh_ready(void *user)
{
	struct fl_stream *stream = user;
	struct fl_loop *loop = stream->conn->loop;

	if (!fl_stream_is_admitted(stream)) {
		return;
	}
	fl_stream_start_relay(stream);
	if (stream->again) {
		say_again(stream);
	} else {
		fl_sock_read_now(stream->app, loop->scratch.opened, loop->net.read_cap);
	}
	if (stream->state == FL_STREAM_OPEN) {
		fl_stream_read_both(stream);
	} else if (stream->state == FL_STREAM_HALF_APP) {
		stream->mesh->ops->read_start(stream->mesh);
	}
}

typedef struct fl_mesh *(*dial_fn)(struct fl_conn *conn, const struct fl_mesh_events *events,
				   void *user, enum fl_reason *ret_reason);

static void dial(struct fl_stream *stream, dial_fn mesh_dial)
{
	enum fl_reason reason;

	fl_stream_enter(stream, FL_STREAM_DIAL_MESH);
	stream->mesh = mesh_dial(stream->conn, &fl_stream_mesh_events, stream, &reason);
	if (stream->mesh == NULL) {
		fl_stream_abort(stream, reason);
	}
}

/* --- a slot for its handshake ----------------------------------------------------------------------- */

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

static bool is_outdated(const struct fl_stream *stream)
{
	return stream->conn->share != stream->conn->loop->share;
}

static void on_slot(struct fl_waiter *waiter)
{
	struct fl_stream *stream = FL_CONTAINER_OF(waiter, struct fl_stream, waiter);

	fl_deadline_drop(&stream->deadline);
	stream->conn->dial_until_ms = 0; /* waiting had a connect_timeout of its own */
	if (is_outdated(stream)) {
		stream->had_turn = true;
		fl_stream_find_name(stream);
	} else {
		dial(stream, fl_session_dial);
	}
}

static void wait_for_slot(struct fl_stream *stream)
{
	struct fl_loop *loop = stream->conn->loop;
	struct fl_slots *slots = &loop->slots[FL_OUTBOUND];

	fl_stream_enter(stream, FL_STREAM_WAITING);
	stream->waiter.on_slot = on_slot;
	if (stream->had_turn) {
		fl_slots_wait_first(slots, &stream->waiter, stream->conn->lane);
	} else {
		fl_slots_wait(slots, &stream->waiter, stream->conn->lane);
	}
	fl_deadline_add(&loop->connecting, &stream->deadline, on_waited);
}

static void dial_when_there_is_room(struct fl_stream *stream)
{
	const struct fl_slots *slots = &stream->conn->loop->slots[FL_OUTBOUND];
	uint32_t lane = stream->conn->lane;

	if (stream->had_turn ? fl_slots_has_room(slots, lane) : !fl_slots_must_wait(slots, lane)) {
		dial(stream, fl_session_dial);
	} else {
		wait_for_slot(stream);
	}
}

/* --- start ------------------------------------------------------------------------------------------- */

void fl_stream_outbound(struct fl_conn *conn, struct fl_sock *sock)
{
	struct fl_stream *stream = fl_stream_new(conn, FL_STREAM_NAMING);

	if (stream == NULL) {
		struct fl_access access = {.conn = conn, .reason = FL_REASON_INTERNAL};

		fl_access_ended(&access);
		fl_sock_reset(sock);
		return;
	}
	stream->app = sock;
	fl_sock_set_user(sock, &fl_stream_app_events, stream);
	fl_stream_find_name(stream);
}

/* False: no session is parked. */
static bool reuse(struct fl_stream *stream)
{
	struct fl_mesh *mesh = fl_parking_take(stream->conn, &fl_stream_mesh_events, stream);

	if (mesh == NULL) {
		return false;
	}
	fl_stream_enter(stream, FL_STREAM_DIAL_MESH);
	stream->mesh = mesh;
	fl_stream_mesh_ready(stream);
	fl_framed_speak(fl_session_of(mesh));
	return true;
}

void fl_stream_start_over(void *user, struct fl_kept *kept)
{
	struct fl_stream *stream = user;

	stream->mesh = NULL;
	stream->kept = kept;
	stream->again = true;
	stream->had_turn = false;
	stream->ended_before = stream->state == FL_STREAM_HALF_APP;
	fl_deadline_drop(&stream->deadline);
	fl_deadline_drop(&stream->unanswered);
	fl_sock_read_stop(stream->app);
	if (is_outdated(stream)) {
		fl_stream_find_name(stream);
	} else {
		dial_when_there_is_room(stream);
	}
}

/* What the app has sent under mTLS is not sent again in plaintext, if the INI has changed in that very moment. */
static void go_out_in_plaintext(struct fl_stream *stream)
{
	if (stream->again) {
		fl_stream_end(stream,
			      &(struct fl_ending){.reason = FL_REASON_PEER_RESET,
						  .detail = "its session has ended, and its "
							    "destination is no longer mtls"});
	} else {
		dial(stream, fl_plaintext_dial);
	}
}

void fl_stream_go_out(struct fl_stream *stream)
{
	switch (stream->conn->upstream->mode) {
	case FL_OUTBOUND_MTLS:
		/* Starting over leads to a fresh session. And where slots are given away, the buffers that reading the app
		 * takes may be in use (loop.h). */
		if (stream->again || stream->had_turn || !reuse(stream)) {
			dial_when_there_is_room(stream);
		}
		break;
	case FL_OUTBOUND_PLAINTEXT:
		go_out_in_plaintext(stream);
		break;
	case FL_OUTBOUND_REFUSE:
		fl_stream_abort(stream, FL_REASON_OUTBOUND_REFUSED);
		break;
	}
}
