/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The operations of mesh.h for the user of a use: bytes become frames.
 *
 * A header is written into the room in front of the bytes, and so is what has to come before them (OPEN, STATUS); END is
 * written into the room behind the last ones. So each write of the user is one record and one system call. */
#include "conn/session_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/tls_alert.h"

#define KEPT_MAX                                                                                   \
	(64u * 1024) /* bytes of the app that are kept before STATUS; one more write can be added */

_Static_assert(FL_FRAME_HEADROOM <= FL_NET_HEADROOM, "OPEN and a header fit in front of a read");
_Static_assert(FL_FRAME_HEADER <= FL_NET_TAILROOM, "END fits behind a read");

/* --- sending --------------------------------------------------------------------------------------- */

int fl_framed_send(struct fl_session *session, const uint8_t *frames, size_t len)
{
	struct fl_tls_io io = fl_session_io_to_send(session);
	int rc = fl_tls_write(session->tls, &io, frames, len);

	return rc == 0 ? fl_session_send(session, &io, false) : UV_EPROTO;
}

static size_t put_status(struct fl_session *session, uint8_t *out, enum fl_status code)
{
	struct fl_framed *framed = session->framed;
	struct fl_framing_status status = {.code = code, .local = framed->server.local};

	framed->answered = true;
	framed->status = (uint8_t)code;
	fl_deadline_drop(&framed->server.deadline);
	return fl_framing_put_status(&framed->framing, out, &status);
}

/* What has to come before bytes or the end of the use, up to `end`; returns where it begins. */
static uint8_t *put_first(struct fl_session *session, uint8_t *end)
{
	struct fl_framed *framed = session->framed;
	uint8_t first[FL_FRAME_OPEN_MAX];
	size_t len = 0;

	if (framed->must_open) {
		len = fl_framed_put_open(session, first);
	} else if (!session->is_client && !framed->answered) {
		len = put_status(session, first, FL_STATUS_OPENED);
	}
	memcpy(end - len, first, len);
	return end - len;
}

void fl_framed_answer(struct fl_session *session)
{
	uint8_t frame[FL_FRAME_STATUS_MAX];

	if (session->state == FL_SESSION_READY && !session->framed->answered) {
		size_t len = put_status(session, frame, FL_STATUS_OPENED);

		(void)fl_framed_send(session, frame,
				     len); /* the next read reports a broken socket */
	}
}

void fl_framed_refuse(struct fl_session *session, enum fl_status code)
{
	uint8_t frame[FL_FRAME_STATUS_MAX];
	size_t len = put_status(session, frame, code);
	struct fl_tls_io io = fl_session_io_to_send(session);

	session->framed->is_over = true;
	/* In one packet with what follows: a client that has read this would not wait for the alert that says why. */
	if (fl_tls_write(session->tls, &io, frame, len) == 0) {
		(void)fl_session_send(session, &io, true);
	}
}

/* --- what is kept until STATUS ------------------------------------------------------------------------ */

static void keep(struct fl_framed *framed, const uint8_t *data, size_t len)
{
	size_t before = framed->client.kept != NULL ? framed->client.kept->len : 0;
	struct fl_kept *kept = realloc(framed->client.kept, sizeof(*kept) + FL_NET_HEADROOM +
								    before + len + FL_NET_TAILROOM);

	if (kept == NULL) {
		/* It cannot start over, then. */
		free(framed->client.kept);
		framed->client.kept = NULL;
		framed->keeps = false;
		return;
	}
	memcpy(kept->room + FL_NET_HEADROOM + before, data, len);
	kept->len = before + len;
	framed->client.kept = kept;
	framed->is_full = kept->len >= KEPT_MAX;
}

void fl_framed_opened(struct fl_session *session)
{
	struct fl_framed *framed = session->framed;
	bool was_full = framed->is_full;

	free(framed->client.kept);
	framed->client.kept = NULL;
	framed->keeps = framed->is_full = false;
	if (was_full && !fl_sock_pending(session->sock)) {
		session->mesh.events->on_drain(session->mesh.user);
	}
}

/* --- STATUS ------------------------------------------------------------------------------------------- */

/* A session that is used again leads to this app even when it has just stopped, and a new one would be led to another. So it begins
 * again: these reasons come from dialling the app, which therefore has got nothing. A timeout is final: the client has waited
 * for it, and the app may have too much to do already. */
static bool may_begin_again(const struct fl_session *session, enum fl_reason reason)
{
	return fl_framed_use(session) > 1 &&
	       (reason == FL_REASON_APP_REFUSED || reason == FL_REASON_APP_UNREACHABLE);
}

static enum fl_status status_of(const struct fl_session *session, enum fl_reason reason)
{
	if (may_begin_again(session, reason)) {
		return FL_STATUS_NOT_OPENED;
	}
	if (reason == FL_REASON_APP_REFUSED) {
		return FL_STATUS_APP_REFUSED;
	}
	return reason == FL_REASON_APP_TIMEOUT || reason == FL_REASON_APP_CONNECT_TIMEOUT
		       ? FL_STATUS_APP_TIMEOUT
		       : FL_STATUS_APP_FAILED;
}

/* Server: may it still say that the use has not been opened? */
static bool can_refuse(const struct fl_session *session)
{
	return !session->is_client && session->state == FL_SESSION_READY &&
	       !session->framed->answered && session->framed->framing.fault == 0;
}

static void on_answer_due(struct fl_deadline *deadline)
{
	fl_framed_answer(FL_CONTAINER_OF(deadline, struct fl_framed, server.deadline)->session);
}

/* Server: the app has been connected. STATUS goes out with its first bytes, or soon without them. */
static void promise_answer(struct fl_session *session)
{
	struct fl_framed *framed = session->framed;

	if (!session->is_client && !framed->answered) {
		fl_deadline_add(&session->loop->parking.answering, &framed->server.deadline,
				on_answer_due);
	}
}

/* --- operations --------------------------------------------------------------------------------------- */

/* May bytes or the end of the use be sent, with what has to come before them? */
static bool may_say(const struct fl_session *session)
{
	const struct fl_framed *framed = session->framed;

	return framed->must_open || (!session->is_client && !framed->answered) ||
	       fl_framing_may_put(&framed->framing);
}

/* Before STATUS, a write has failed with that error. Something may have come before the socket broke: NOT_OPENED, or close_notify.
 * Otherwise the use starts over if no byte of the app was sent. Returns what write_framed() does. */
static int on_write_failed(struct fl_session *session, bool opens, int rc)
{
	struct fl_framed *framed = session->framed;
	struct fl_net *net = &session->loop->net;

	framed->has_sent = framed->has_sent || rc == UV_ENOMEM;
	if (!opens) { /* what lay in the buffer has been sealed */
		fl_sock_read_now(session->sock, net->read_buf, net->read_cap);
	}
	if (session->state == FL_SESSION_CLOSED) {
		return 1;
	}
	if (framed->has_sent || !framed->keeps) {
		return rc;
	}
	fl_framed_start_over(session, false);
	return 1;
}

static int write_framed(struct fl_mesh *mesh, uint8_t *data, size_t len, bool last)
{
	struct fl_session *session = fl_session_of(mesh);
	struct fl_framed *framed = session->framed;
	bool opens = framed->must_open;
	uint8_t *begin;
	int rc;

	if (!may_say(session)) {
		return UV_ECONNRESET;
	}
	if (framed->keeps) {
		keep(framed, data, len);
	}
	begin = put_first(session, data - FL_FRAME_HEADER);
	fl_framing_put_header(&framed->framing, data - FL_FRAME_HEADER, len);
	if (last) {
		framed->said_end = true;
		len += fl_framing_put_end(&framed->framing, data + len);
	}
	rc = fl_framed_send(session, begin, (size_t)(data - begin) + len);
	if (rc < 0 && framed->keeps) {
		return on_write_failed(session, opens, rc);
	}
	framed->has_sent = true;
	return rc == 0 && framed->is_full ? 1 : rc;
}

static void shutdown_framed(struct fl_mesh *mesh, bool closing)
{
	struct fl_session *session = fl_session_of(mesh);
	struct fl_framed *framed = session->framed;
	uint8_t room[FL_FRAME_OPEN_MAX + FL_FRAME_HEADER], *end = room + FL_FRAME_OPEN_MAX, *begin;
	bool opens = framed->must_open;

	(void)closing;
	if (framed->said_end || !may_say(session)) {
		return; /* it went with the last bytes; or the session has ended, as the next read will show */
	}
	framed->said_end = true;
	begin = put_first(session, end);
	end += fl_framing_put_end(&framed->framing, end);
	if (fl_framed_send(session, begin, (size_t)(end - begin)) < 0 && opens && framed->keeps) {
		fl_framed_start_over(session, false); /* no byte of the app was in it */
	}
	/* Otherwise the next read reports a broken socket. */
}

static void read_start(struct fl_mesh *mesh)
{
	struct fl_session *session = fl_session_of(mesh);
	struct fl_framed *framed = session->framed;
	const void *user = mesh->user;

	if (!framed->has_user) {
		framed->has_user = true;
		promise_answer(session);
	}
	if (framed->plain != NULL) {
		session->reading = true;
		fl_framed_take_held(session);
		if (session->state != FL_SESSION_READY || mesh->user != user || !session->reading) {
			return;
		}
	}
	fl_session_mesh_ops.read_start(mesh);
}

static void watch(struct fl_mesh *mesh)
{
	promise_answer(fl_session_of(mesh)); /* the app has been connected */
}

static bool read_is_last(const struct fl_mesh *mesh)
{
	return fl_session_of(mesh)->framed->is_last;
}

static bool pending(const struct fl_mesh *mesh)
{
	const struct fl_session *session = fl_session_of(mesh);

	return session->framed->is_full || fl_sock_pending(session->sock);
}

static void close_framed(struct fl_mesh *mesh)
{
	struct fl_session *session = fl_session_of(mesh);
	struct fl_pool_place *place = mesh->conn->place; /* the user still has the connection */

	fl_framed_leave_use(session);
	fl_framed_rest(session, place);
}

/* Before STATUS the client can be told why, and hears of it only if no reset overtakes that. */
static void reset(struct fl_mesh *mesh, enum fl_reason reason)
{
	struct fl_session *session = fl_session_of(mesh);

	if (!can_refuse(session) || session->loop->stopping) {
		fl_session_end_socket(session, false);
		fl_session_release(session);
		return;
	}
	fl_framed_refuse(session, status_of(session, reason));
	fl_session_say_goodbye(session, true);
	fl_session_end_socket(session, true);
	fl_session_release(session);
}

static void leave(struct fl_mesh *mesh)
{
	struct fl_session *session = fl_session_of(mesh);

	if (!session->framed->must_open) {
		shutdown_framed(mesh, true);
	}
	fl_session_say_goodbye(session, true);
	fl_session_end_socket(session, true);
	fl_session_release(session);
}

static void refuse(struct fl_mesh *mesh, uint8_t alert)
{
	struct fl_session *session = fl_session_of(mesh);
	uint8_t frame[FL_FRAME_STATUS_MAX];
	struct fl_tls_io io;

	if (!can_refuse(session)) {
		fl_session_mesh_ops.refuse(mesh, alert);
		return;
	}
	/* In one write: a client that has read STATUS has the alert as well. */
	io = fl_session_io_to_send(session);
	(void)!fl_tls_write(session->tls, &io, frame, put_status(session, frame, FL_STATUS_DENIED));
	fl_tls_alert(session->tls, &io, alert);
	(void)fl_session_send(session, &io, false);
	fl_session_end_socket(session, true);
	fl_session_release(session);
}

const struct fl_mesh_ops fl_framed_mesh_ops = {
	.read_start = read_start,
	.watch = watch,
	.read_is_last = read_is_last,
	.write = write_framed,
	.pending = pending,
	.shutdown = shutdown_framed,
	.close = close_framed,
	.reset = reset,
	.leave = leave,
	.refuse = refuse,
	FL_SESSION_COMMON_OPS,
};
