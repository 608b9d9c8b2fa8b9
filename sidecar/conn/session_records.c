/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Records of a session: ciphertext that waits, is opened, or is sent. */
#include <stdlib.h>
#include <string.h>

#include "conn/session_internal.h"

struct fl_tls_io fl_session_io_for(struct fl_session *session, const uint8_t *data, size_t len)
{
	struct fl_loop *loop = session->loop;

	return (struct fl_tls_io){.in = data,
				  .in_len = len,
				  .out = loop->scratch.sealed,
				  .out_cap = loop->scratch.sealed_cap};
}

/* Delays sending it: each connection saves a packet and a wake-up of the peer. */
void fl_session_keep_unsent(struct fl_session *session, struct fl_tls_io *io)
{
	struct fl_held *unsent = malloc(sizeof(*unsent) + io->out_len);

	if (unsent != NULL) {
		unsent->len = io->out_len;
		memcpy(unsent->data, io->out, unsent->len);
		session->unsent = unsent;
		io->out_len = 0;
	}
}

/* For bytes that we send on our own: the end of the handshake goes out first. */
struct fl_tls_io fl_session_io_to_send(struct fl_session *session)
{
	struct fl_tls_io io = fl_session_io_for(session, NULL, 0);

	if (session->unsent != NULL) {
		memcpy(io.out, session->unsent->data, session->unsent->len);
		io.out_len = session->unsent->len;
		free(session->unsent);
		session->unsent = NULL;
	}
	return io;
}

static int send_all(struct fl_session *session, const struct fl_tls_io *io, bool more)
{
	size_t len = io->out_len;

	if (len > 0 && session->unsent != NULL) {
		/* An answer of the engine itself: records have an order. */
		struct fl_held *unsent = session->unsent;
		int rc = fl_sock_write(session->sock, unsent->data, unsent->len);

		session->unsent = NULL;
		free(unsent);
		if (rc < 0) {
			return rc;
		}
	}
	if (len == 0) {
		return 0;
	}
	return more ? fl_sock_write_more(session->sock, io->out, len)
		    : fl_sock_write(session->sock, io->out, len);
}

/* 0, 1 (pending) or a negative uv error. more: more bytes follow immediately. */
int fl_session_send(struct fl_session *session, struct fl_tls_io *io, bool more)
{
	int rc = send_all(session, io, more);

	io->out_len = 0;
	session->torn = session->torn || rc < 0;
	return rc;
}

/* Keeps the rest of the input for later. The source is stopped only when that grows: usually it is one request that arrived
 * just before the app was dialled, and stopping costs system calls. */
void fl_session_hold(struct fl_session *session, const struct fl_tls_io *io)
{
	size_t len = session->held != NULL ? session->held->len : 0;
	struct fl_held *held;

	if (io->in_len == 0) {
		return;
	}
	held = realloc(session->held, sizeof(*held) + len + io->in_len);
	if (held == NULL) {
		fl_session_fail(session, FL_REASON_INTERNAL);
		return;
	}
	memcpy(held->data + len, io->in, io->in_len);
	held->len = len + io->in_len;
	session->held = held;
	if (held->len >= FL_SESSION_HELD_ENOUGH) {
		fl_sock_read_stop(session->sock);
	}
}

static void deliver(struct fl_session *session, uint8_t *data, size_t len)
{
	if (session->framed != NULL) {
		fl_framed_take(session, data, len);
	} else {
		session->mesh.events->on_data(session->mesh.user, data, len);
	}
}

static void end_input(struct fl_session *session)
{
	if (session->framed != NULL) {
		fl_framed_on_eof(session);
	} else {
		session->mesh.events->on_eof(session->mesh.user);
	}
}

/* Opens all of the input: bytes that the user cannot accept wait in the user's own bounded queue. */
void fl_session_open_records(struct fl_session *session, struct fl_tls_io *io)
{
	struct fl_loop *loop = session->loop;
	enum fl_tls_step step;
	size_t len;

	do {
		step = fl_tls_read(session->tls, io, loop->scratch.opened, loop->scratch.opened_cap,
				   &len);
		/* Key updates are answered. A peer that requests them without reading the answers is not read until it has
		 * read them: pending answers stay bounded. */
		if (fl_session_send(session, io, false) > 0) {
			fl_sock_read_stop(session->sock);
		}
		if (session->saves && session->mesh.conn != NULL) {
			fl_session_save(session);
		}
		session->is_last = step == FL_TLS_EOF && !session->eof;
		if (len > 0) {
			deliver(session, loop->scratch.opened, len);
			if (session->state == FL_SESSION_CLOSED) {
				return;
			}
		}
	} while (step == FL_TLS_MORE && len == loop->scratch.opened_cap);
	if (step == FL_TLS_EOF && !session->eof) {
		session->eof = true;
		fl_sock_read_stop(session->sock);
		end_input(session);
	} else if (step == FL_TLS_FAILED) {
		fl_session_fail_tls(session);
	}
}
