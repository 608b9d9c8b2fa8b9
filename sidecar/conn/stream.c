/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The relay between one app connection and its mesh side of any kind (mesh.h).
 *
 * Happy path: bytes from one side are handed to the other in the same callback. A side that cannot take everything holds
 * the rest itself (bounded by one read) and its source is not read until it has drained. A finished side becomes a
 * half-close of the other; when both have finished and nothing is pending, the stream is done.
 *
 * Failure: fl_stream_abort() ends both sides with a reset, because neither side may believe that it got all the data.
 *
 * Ownership: the stream owns the app socket and the mesh side: one connection of the app, one mesh side. */
#include "conn/stream.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "conn/access.h"
#include "conn/proxy_header.h"
#include "conn/stream_internal.h"
#include "conn/trouble.h"

#define GOODBYE_MS 1000u

static const char *const state_names[] = {
	[FL_STREAM_NAMING] = "naming",       [FL_STREAM_WAITING] = "waiting",
	[FL_STREAM_DIAL_MESH] = "dial_mesh", [FL_STREAM_DIAL_APP] = "dial_app",
	[FL_STREAM_OPEN] = "open",           [FL_STREAM_HALF_APP] = "half_app",
	[FL_STREAM_HALF_MESH] = "half_mesh", [FL_STREAM_FINISHED] = "finished",
	[FL_STREAM_CLOSED] = "closed",
};
static const uint32_t next_states[] = {
	/* waiting for DNS (naming.h) */
	[FL_STREAM_NAMING] =
		FL_TO(FL_STREAM_WAITING) | FL_TO(FL_STREAM_DIAL_MESH) | FL_TO(FL_STREAM_CLOSED),
	/* waiting for a slot (slots.h); back if there is another generation */
	[FL_STREAM_WAITING] =
		FL_TO(FL_STREAM_NAMING) | FL_TO(FL_STREAM_DIAL_MESH) | FL_TO(FL_STREAM_CLOSED),
	[FL_STREAM_DIAL_MESH] = FL_TO(FL_STREAM_OPEN) | FL_TO(FL_STREAM_CLOSED),
	[FL_STREAM_DIAL_APP] = FL_TO(FL_STREAM_OPEN) | FL_TO(FL_STREAM_CLOSED),
	/* back to the start: the session has not carried it (session_internal.h) */
	[FL_STREAM_OPEN] = FL_TO(FL_STREAM_HALF_APP) | FL_TO(FL_STREAM_HALF_MESH) |
			   FL_TO(FL_STREAM_NAMING) | FL_TO(FL_STREAM_WAITING) |
			   FL_TO(FL_STREAM_DIAL_MESH) | FL_TO(FL_STREAM_CLOSED),
	/* the app has finished sending */
	[FL_STREAM_HALF_APP] = FL_TO(FL_STREAM_FINISHED) | FL_TO(FL_STREAM_NAMING) |
			       FL_TO(FL_STREAM_WAITING) | FL_TO(FL_STREAM_DIAL_MESH) |
			       FL_TO(FL_STREAM_CLOSED),
	/* the peer has finished sending */
	[FL_STREAM_HALF_MESH] = FL_TO(FL_STREAM_FINISHED) | FL_TO(FL_STREAM_CLOSED),
	/* both have finished; bytes may still be pending */
	[FL_STREAM_FINISHED] = FL_TO(FL_STREAM_CLOSED),
	[FL_STREAM_CLOSED] = 0,
};
const struct fl_states fl_stream_states = {.object = "stream",
					   .names = state_names,
					   .next = next_states,
					   .count = FL_COUNT_OF(state_names)};

/* The bytes that the client sent before the app was connected. */
struct early {
	size_t len;
	uint8_t data[];
};

static struct fl_loop *loop_of(const struct fl_stream *stream)
{
	return stream->conn->loop;
}

void fl_stream_enter(struct fl_stream *stream, enum fl_stream_state next)
{
	fl_states_enter(&fl_stream_states, loop_of(stream), stream->conn, &stream->state, next);
}

/* --- the mesh side ------------------------------------------------------------------------------ */

/* If the source ends with these bytes, they go out in one packet with the FIN. */
static int mesh_write(struct fl_stream *stream, uint8_t *data, size_t len)
{
	return stream->mesh->ops->write(stream->mesh, data, len, fl_sock_read_is_last(stream->app));
}

static bool mesh_pending(const struct fl_stream *stream)
{
	return stream->mesh->ops->pending(stream->mesh);
}

static void mesh_reset(struct fl_stream *stream, enum fl_reason reason)
{
	struct fl_mesh *mesh = stream->mesh;

	stream->mesh = NULL;
	if (mesh != NULL) {
		mesh->ops->reset(mesh, reason);
	}
}

/* --- birth and end ---------------------------------------------------------------------------- */

struct fl_stream *fl_stream_new(struct fl_conn *conn, enum fl_stream_state state)
{
	struct fl_stream *stream = calloc(1, sizeof(*stream));

	if (stream == NULL) {
		return NULL;
	}
	stream->conn = fl_conn_ref(conn);
	stream->state = (uint8_t)state;
	stream->walked = conn->loop->walk;
	DL_APPEND(conn->loop->streams, stream);
	return stream;
}

static void log_ending(struct fl_stream *stream, const struct fl_ending *ending)
{
	struct fl_access access = {
		.conn = stream->conn,
		.mesh = stream->mesh,
		.verdict = ending->verdict != NULL                 ? ending->verdict
			   : stream->conn->direction == FL_INBOUND ? &stream->verdict
								   : NULL,
		.reason = ending->reason,
		.broken_rule = ending->broken_rule,
		.detail = ending->detail,
		.to_app = stream->to_app,
		.to_mesh = stream->to_mesh,
	};

	fl_access_ended(&access);
}

static void log_end(struct fl_stream *stream, enum fl_reason reason)
{
	log_ending(stream, &(struct fl_ending){.reason = reason});
}

static void release(struct fl_stream *stream)
{
	struct fl_loop *loop = loop_of(stream);

	fl_stream_enter(stream, FL_STREAM_CLOSED);
	fl_deadline_drop(&stream->deadline);
	fl_naming_leave(loop, &stream->unnamed);
	fl_deadline_drop(&stream->unanswered);
	fl_slots_leave(&loop->slots[FL_OUTBOUND], &stream->waiter);
	DL_DELETE(loop->streams, stream);
	fl_loop_bury(loop, &stream->corpse);
	free(stream->early);
	free(stream->kept);
	stream->early = NULL;
	stream->kept = NULL;
	fl_conn_unref(stream->conn);
}

void fl_stream_abort(struct fl_stream *stream, enum fl_reason reason)
{
	log_end(stream, reason);
	if (stream->app != NULL) {
		fl_sock_reset(stream->app);
		stream->app = NULL;
	}
	mesh_reset(stream, reason);
	release(stream);
}

static void finish_if_flushed(struct fl_stream *stream)
{
	if (stream->state != FL_STREAM_FINISHED || fl_sock_pending(stream->app) ||
	    mesh_pending(stream)) {
		return;
	}
	fl_stream_note_success(stream);
	log_end(stream, FL_REASON_DONE);
	fl_sock_close(stream->app, 0);
	stream->app = NULL;
	stream->mesh->ops->close(stream->mesh);
	stream->mesh = NULL;
	release(stream);
}

void fl_stream_set_half_open(struct fl_stream *stream, enum fl_stream_state state)
{
	fl_stream_enter(stream, state);
	fl_stream_keep(stream);
}

void fl_stream_note_success(struct fl_stream *stream)
{
	if (!stream->succeeded) {
		stream->succeeded = true;
		fl_trouble_none(stream->conn);
	}
}

/* --- relay ------------------------------------------------------------------------------------ */

static void on_app_data(void *user, uint8_t *data, size_t len)
{
	struct fl_stream *stream = user;
	int rc;

	stream->active_ms = uv_now(loop_of(stream)->uv);
	fl_stream_expect_answer(stream);
	stream->to_mesh += len;
	stream->asks = stream->conn->direction == FL_OUTBOUND;
	fl_count(&loop_of(stream)->counters.bytes_to_mesh[stream->conn->direction], len);
	fl_count(&stream->conn->peer->bytes_to_mesh, len);
	fl_count(&stream->conn->section->bytes_to_mesh, len);
	rc = mesh_write(stream, data, len); /* it may start over, or end */
	if (stream->state == FL_STREAM_CLOSED) {
		return;
	}
	if (rc > 0) {
		fl_sock_read_stop(stream->app);
	} else if (rc < 0) {
		fl_stream_abort(stream, fl_reason_of_peer_error(rc));
	}
}

static void on_app_eof(void *user)
{
	struct fl_stream *stream = user;

	fl_stream_expect_answer(stream); /* of the FIN */
	if (stream->state == FL_STREAM_OPEN) {
		fl_stream_set_half_open(stream, FL_STREAM_HALF_APP);
		stream->mesh->ops->shutdown(stream->mesh, false);
		return;
	}
	fl_stream_enter(stream, FL_STREAM_FINISHED);
	stream->mesh->ops->shutdown(stream->mesh, !fl_sock_pending(stream->app));
	finish_if_flushed(stream);
}

static void on_app_drain(void *user)
{
	struct fl_stream *stream = user;

	if (stream->state == FL_STREAM_OPEN || stream->state == FL_STREAM_HALF_APP) {
		stream->mesh->ops->read_start(stream->mesh);
	} else {
		finish_if_flushed(stream);
	}
}

static void on_app_error(void *user, int sys)
{
	struct fl_stream *stream = user;

	/* Both sides have finished, so an error that follows loses no data. */
	if (stream->state != FL_STREAM_FINISHED || fl_sock_pending(stream->app)) {
		fl_stream_abort(stream, fl_reason_of_app_error(sys));
	}
}

const struct fl_sock_events fl_stream_app_events = {.on_data = on_app_data,
						    .on_eof = on_app_eof,
						    .on_drain = on_app_drain,
						    .on_error = on_app_error};

static void on_mesh_data(void *user, uint8_t *data, size_t len)
{
	struct fl_stream *stream = user;
	int rc = stream->mesh->ops->read_is_last(stream->mesh)
			 ? fl_sock_write_more(stream->app, data, len)
			 : fl_sock_write(stream->app, data, len);

	stream->active_ms = uv_now(loop_of(stream)->uv);
	fl_stream_note_success(stream);
	stream->to_app += len;
	stream->asks = stream->conn->direction == FL_INBOUND;
	fl_count(&loop_of(stream)->counters.bytes_to_app[stream->conn->direction], len);
	fl_count(&stream->conn->peer->bytes_to_app, len);
	fl_count(&stream->conn->section->bytes_to_app, len);
	if (rc > 0) {
		stream->mesh->ops->read_stop(stream->mesh);
	} else if (rc < 0) {
		fl_stream_abort(stream, fl_reason_of_app_error(rc));
	}
}

static void on_mesh_eof(void *user)
{
	struct fl_stream *stream = user;

	if (stream->state == FL_STREAM_OPEN) {
		fl_stream_set_half_open(stream, FL_STREAM_HALF_MESH);
		fl_sock_shutdown(stream->app);
		return;
	}
	fl_stream_enter(stream, FL_STREAM_FINISHED);
	if (fl_sock_pending(stream->app) || mesh_pending(stream)) {
		fl_sock_shutdown(stream->app);
	}
	finish_if_flushed(stream); /* close() also sends a FIN */
}

static void on_mesh_drain(void *user)
{
	struct fl_stream *stream = user;

	if (stream->state == FL_STREAM_OPEN || stream->state == FL_STREAM_HALF_MESH) {
		fl_sock_read_start(stream->app);
	} else {
		finish_if_flushed(stream);
	}
}

/* The peer is gone. If it had finished sending, the app still gets all of it; otherwise a clean end would hide a
 * truncation. */
static void end_app(struct fl_stream *stream)
{
	bool has_all = stream->state == FL_STREAM_HALF_MESH || stream->state == FL_STREAM_FINISHED;

	if (has_all && (fl_sock_pending(stream->app) || fl_sock_debt(stream->app).is_open)) {
		fl_sock_close(stream->app, loop_of(stream)->peer_timeout_ms);
	} else {
		fl_sock_reset(stream->app);
	}
	stream->app = NULL;
}

static void on_mesh_closed(void *user, enum fl_reason reason)
{
	struct fl_stream *stream = user;

	log_end(stream, reason);
	stream->mesh = NULL; /* it ends by itself */
	end_app(stream);
	release(stream);
}

const struct fl_mesh_events fl_stream_mesh_events = {.on_ready = fl_stream_mesh_ready,
						     .on_data = on_mesh_data,
						     .on_eof = on_mesh_eof,
						     .on_drain = on_mesh_drain,
						     .on_closed = on_mesh_closed,
						     .on_not_opened = fl_stream_start_over};

bool fl_stream_is_admitted(struct fl_stream *stream)
{
	const struct fl_loop_hooks *hooks = &loop_of(stream)->hooks;

	return hooks->admit_stream == NULL || hooks->admit_stream(hooks->user, stream);
}

void fl_stream_start_relay(struct fl_stream *stream)
{
	struct fl_loop *loop = loop_of(stream);

	fl_stream_enter(stream, FL_STREAM_OPEN);
	if (loop->hooks.on_relay != NULL) {
		loop->hooks.on_relay(loop->hooks.user, stream);
	}
	stream->active_ms = uv_now(loop->uv);
	fl_stream_watch(stream);
}

void fl_stream_read_both(struct fl_stream *stream)
{
	/* A side that is not read yet is still watched: it may reset. */
	fl_sock_read_start(stream->app);
	if (mesh_pending(stream)) {
		fl_sock_read_stop(stream->app);
	}
	if (!fl_sock_pending(stream->app)) {
		stream->mesh->ops->read_start(stream->mesh);
	} else {
		stream->mesh->ops->watch(stream->mesh);
	}
}

/* --- inbound: the mesh side is there, the app has to answer ----------------------------------------- */

/* Sent before the relay: the PROXY header if the app wants one, and the bytes that detection has read. */
static void speak_first(struct fl_stream *stream)
{
	uint8_t header[FL_PROXY_V2_MAX];
	size_t len = fl_proxy_header(stream->mesh, header);
	struct early *early = stream->early;
	int rc = len > 0 ? fl_sock_write(stream->app, header, len) : 0;

	if (rc < 0) {
		fl_stream_abort(stream, fl_reason_of_app_error(rc));
		return;
	}
	stream->early = NULL;
	if (early != NULL) {
		on_mesh_data(stream, early->data, early->len);
		free(early);
	}
}

static void fail_app_dial(struct fl_stream *stream, int sys)
{
	stream->conn->dial_error = (int16_t)sys;
	fl_stream_abort(stream, fl_reason_of_app_dial(sys));
}

static void on_app_dialed(void *user, int sys)
{
	struct fl_stream *stream = user;

	if (sys != 0) {
		fail_app_dial(stream, sys);
		return;
	}
	fl_stream_note_success(stream);
	fl_stream_start_relay(stream);
	speak_first(stream);
	if (stream->state == FL_STREAM_OPEN) {
		fl_stream_read_both(stream);
	}
}

static void on_dial_deadline(struct fl_deadline *deadline)
{
	fl_stream_abort(FL_CONTAINER_OF(deadline, struct fl_stream, deadline),
			FL_REASON_APP_CONNECT_TIMEOUT);
}

static void dial_app(struct fl_stream *stream, const struct fl_verdict *verdict)
{
	struct fl_loop *loop = loop_of(stream);
	union fl_sockaddr to, from;
	struct fl_dial dial = fl_conn_app(stream->conn, &to, &from);
	struct fl_err err;

	stream->verdict = *verdict;
	if (!fl_stream_is_admitted(stream)) {
		return;
	}
	if (fl_sock_dial(&loop->net, &dial, &fl_stream_app_events, stream, on_app_dialed,
			 &stream->app, &err) != 0) {
		fail_app_dial(stream, err.sys != 0 ? -err.sys : UV_ENOMEM);
		return;
	}
	fl_deadline_add(&loop->connecting, &stream->deadline, on_dial_deadline);
}

/* False: no memory. */
static bool keep_early(struct fl_stream *stream, struct fl_span early)
{
	if (early.len == 0) {
		return true;
	}
	stream->early = malloc(sizeof(*stream->early) + early.len);
	if (stream->early == NULL) {
		return false;
	}
	stream->early->len = early.len;
	memcpy(stream->early->data, early.data, early.len);
	return true;
}

void fl_stream_inbound(struct fl_mesh *mesh, struct fl_span early, const struct fl_verdict *verdict)
{
	struct fl_stream *stream = fl_stream_new(mesh->conn, FL_STREAM_DIAL_APP);

	if (stream == NULL) {
		struct fl_access access = {.conn = mesh->conn,
					   .mesh = mesh,
					   .verdict = verdict,
					   .reason = FL_REASON_INTERNAL};

		fl_access_ended(&access);
		mesh->ops->reset(mesh, FL_REASON_INTERNAL);
		return;
	}
	stream->mesh = mesh;
	fl_mesh_set_user(mesh, &fl_stream_mesh_events, stream);
	if (!keep_early(stream, early)) {
		fl_stream_abort(stream, FL_REASON_INTERNAL);
		return;
	}
	dial_app(stream, verdict);
}

/* --- walk, judge and recycle ---------------------------------------------------------------------- */

bool fl_stream_is_quiet(const struct fl_stream *stream)
{
	return !fl_sock_pending(stream->app) && !mesh_pending(stream);
}

/* A side that still sends is read for a moment and its bytes are ignored, so that our FIN arrives before any reset. */
static void say_goodbye(struct fl_stream *stream)
{
	fl_sock_hang_up(stream->app, GOODBYE_MS);
	stream->mesh->ops->leave(stream->mesh);
	stream->mesh = NULL;
	stream->app = NULL;
}

void fl_stream_end(struct fl_stream *stream, const struct fl_ending *ending)
{
	log_ending(stream, ending);
	if (ending->orderly) {
		FL_REQUIRE(fl_stream_is_relayed(stream));
		say_goodbye(stream);
	} else if (ending->alert != 0 && stream->mesh != NULL) {
		stream->mesh->ops->refuse(stream->mesh, ending->alert);
		stream->mesh = NULL;
	}
	if (stream->app != NULL) {
		fl_sock_reset(stream->app);
		stream->app = NULL;
	}
	mesh_reset(stream, ending->reason);
	release(stream);
}

/* --- shutdown ---------------------------------------------------------------------------------- */

void fl_stream_end_all(struct fl_loop *loop, enum fl_reason reason)
{
	struct fl_stream *stream, *tmp;

	DL_FOREACH_SAFE(loop->streams, stream, tmp)
	{
		fl_stream_abort(stream, reason);
	}
}
