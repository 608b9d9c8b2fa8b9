/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The operations of mesh.h, for the user of a session. */
#include "conn/session_internal.h"

#include <stdlib.h>

static void read_start(struct fl_mesh *mesh)
{
	struct fl_session *session = fl_session_of(mesh);
	struct fl_held *held = session->held;

	session->reading = true;
	if (session->eof) {
		return;
	}
	if (!session->fin) {
		fl_sock_read_start(session->sock);
	}
	if (held != NULL) {
		session->held = NULL;
		fl_session_feed(session, held->data, held->len);
		free(held);
	}
	if (session->fin && session->state == FL_SESSION_READY && !session->eof) {
		fl_session_fail(session, FL_REASON_PEER_TRUNCATED);
	}
}

void fl_session_read_stop(struct fl_mesh *mesh)
{
	struct fl_session *session = fl_session_of(mesh);

	session->reading = false;
	fl_sock_read_stop(session->sock);
}

static int write_mesh(struct fl_mesh *mesh, uint8_t *data, size_t len, bool last)
{
	struct fl_session *session = fl_session_of(mesh);
	struct fl_tls_io io = fl_session_io_to_send(session);
	int rc = fl_tls_write(session->tls, &io, data, len);

	return rc == 0 ? fl_session_send(session, &io, last) : UV_EPROTO;
}

/* The socket is being read anyway: incoming bytes are held. */
static void watch(struct fl_mesh *mesh)
{
	(void)mesh;
}

static bool read_is_last(const struct fl_mesh *mesh)
{
	return fl_session_of(mesh)->is_last;
}

static bool pending(const struct fl_mesh *mesh)
{
	return fl_sock_pending(fl_session_of(mesh)->sock);
}

/* The server of a framed session owes STATUS, too: its kernel takes bytes even while the server is stalled. */
struct fl_debt fl_session_debt(const struct fl_mesh *mesh)
{
	const struct fl_session *session = fl_session_of(mesh);
	const struct fl_framed *framed = session->framed;
	struct fl_debt debt = fl_sock_debt(session->sock);

	debt.is_open = debt.is_open || (session->is_client && framed != NULL && !framed->answered);
	return debt;
}

void fl_session_begin_keep(struct fl_mesh *mesh)
{
	fl_sock_begin_keep(fl_session_of(mesh)->sock);
}

void fl_session_keep(struct fl_mesh *mesh)
{
	fl_sock_keep(fl_session_of(mesh)->sock);
}

void fl_session_say_goodbye(struct fl_session *session, bool more)
{
	struct fl_tls_io io;

	if (!session->shut) {
		io = fl_session_io_to_send(session);
		session->shut = true;
		fl_tls_close(session->tls, &io);
		(void)fl_session_send(session, &io,
				      more); /* the next read reports a broken socket */
	}
}

static void shutdown_mesh(struct fl_mesh *mesh, bool closing)
{
	struct fl_session *session = fl_session_of(mesh);

	/* A FIN goes along with close_notify: the side that finishes first keeps its port in TIME-WAIT (RFC 9293). That must be
	 * the side whose app finished first; otherwise a client would run out of ports. */
	fl_session_say_goodbye(session, true);
	if (!closing) {
		fl_sock_shutdown(session->sock);
	}
}

static void close_mesh(struct fl_mesh *mesh)
{
	struct fl_session *session = fl_session_of(mesh);

	fl_sock_close(session->sock, FL_SESSION_LINGER_MS);
	session->sock = NULL;
	fl_session_release(session);
}

static void reset(struct fl_mesh *mesh, enum fl_reason reason)
{
	struct fl_session *session = fl_session_of(mesh);

	(void)reason;
	fl_session_end_socket(session, false);
	fl_session_release(session);
}

static void leave(struct fl_mesh *mesh)
{
	struct fl_session *session = fl_session_of(mesh);

	if (!session->shut) {
		shutdown_mesh(mesh, false);
	}
	fl_session_end_socket(session, true);
	fl_session_release(session);
}

static void refuse(struct fl_mesh *mesh, uint8_t alert)
{
	struct fl_session *session = fl_session_of(mesh);

	/* After close_notify there are no alerts. */
	if (session->state == FL_SESSION_READY && !session->shut) {
		struct fl_tls_io io = fl_session_io_to_send(session);

		fl_tls_alert(session->tls, &io, alert);
		(void)fl_session_send(session, &io, false);
		fl_session_end_socket(session, true);
		fl_session_release(session);
	} else {
		reset(mesh, FL_REASON_DONE);
	}
}

const struct fl_mesh_ops fl_session_mesh_ops = {
	.read_start = read_start,
	.watch = watch,
	.read_is_last = read_is_last,
	.write = write_mesh,
	.pending = pending,
	.shutdown = shutdown_mesh,
	.close = close_mesh,
	.reset = reset,
	.leave = leave,
	.refuse = refuse,
	FL_SESSION_COMMON_OPS,
};
