/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A use until STATUS. Client: is the server still there? Server: STATUS comes in time.
 *
 * A machine that has died, or that the network has cut off, sends no reset, and a keep-alive probe may be half a minute away.
 * Without reuse the connection would have been dialled, with connect_timeout; so that is how long the machine may stay silent
 * here, if the session was used before. TCP_USER_TIMEOUT could say that to the kernel, with two system calls for each use; the
 * checks below cost none unless STATUS is late. They ask the kernel whether it has sent OPEN again without getting any answer.
 * Then the other sessions that are parked for the same server go, so that no further connection takes one, and the use begins
 * again on a fresh session if no byte of the app was sent. If some were, they may have arrived, and only the answer got lost:
 * the app is told, by a reset, when connect_timeout is over.
 *
 * If the sidecar there is stalled, its kernel still answers. Whatever its connect_timeout is, a server that runs sends STATUS
 * within FL_FRAME_STATUS_MS, here or before that. It gets as much time on top of that as one that is dialled would have, to
 * connect and to shake hands. When that is over, the same is done as for a silent machine. */
#include "conn/session_internal.h"

/* --- client ------------------------------------------------------------------------------------- */

static uint64_t patience_ms(const struct fl_loop *loop)
{
	return loop->connecting.duration_ms;
}

static bool may_begin_again(const struct fl_session *session)
{
	const struct fl_framed *framed = session->framed;

	return framed->keeps && !framed->has_sent && !session->loop->stopping;
}

/* Its machine is silent: the fresh session has the rest of connect_timeout. */
static void start_over(struct fl_session *session)
{
	session->mesh.conn->dial_until_ms =
		session->framed->client.opened_ms + patience_ms(session->loop);
	fl_framed_start_over(session, false);
}

static uint64_t since_open_ms(const struct fl_session *session)
{
	return uv_now(session->loop->uv) - session->framed->client.opened_ms;
}

/* The kernel's silence may have begun long before: while the session was idle, nobody was asked. */
static bool is_silent_for_too_long(const struct fl_session *session, const struct fl_debt *debt)
{
	uint64_t most = patience_ms(session->loop);

	return debt->silent_ms >= most && since_open_ms(session) >= most;
}

static bool is_overdue(const struct fl_session *session)
{
	const struct fl_loop *loop = session->loop;
	uint64_t most =
		FL_FRAME_STATUS_MS + loop->connecting.duration_ms + loop->handshaking.duration_ms;

	return since_open_ms(session) >= most;
}

static void end_stalled(struct fl_session *session)
{
	fl_framed_let_others_go(session);
	if (may_begin_again(session)) {
		fl_framed_start_over(session, false);
	} else {
		fl_session_fail(session, FL_REASON_PEER_STALLED);
	}
}

static void on_check(struct fl_deadline *deadline)
{
	struct fl_framed *framed = FL_CONTAINER_OF(deadline, struct fl_framed, client.check);
	struct fl_session *session = framed->session;
	bool was_overdue = framed->client.is_overdue, is_silent = false;
	struct fl_debt debt = {0};

	if (fl_framed_use(session) > 1) {
		debt = fl_sock_debt(session->sock);
		is_silent = debt.is_open && debt.is_asked;
	}
	if (is_silent) {
		fl_framed_let_others_go(session);
	}
	/* We may have been stalled ourselves: between two checks, what has come is read. */
	framed->client.is_overdue = is_overdue(session);
	if (is_silent && may_begin_again(session)) {
		start_over(session);
	} else if (is_silent && is_silent_for_too_long(session, &debt)) {
		fl_session_fail(session, FL_REASON_PEER_CONNECT_TIMEOUT);
	} else if (was_overdue) {
		end_stalled(session);
	} else {
		fl_deadline_add(&session->loop->dialing, deadline, on_check);
	}
}

void fl_framed_expect_status(struct fl_session *session)
{
	struct fl_framed_client *client = &session->framed->client;

	client->opened_ms = uv_now(session->loop->uv);
	client->is_overdue = false;
	fl_deadline_add(&session->loop->dialing, &client->check, on_check);
}

/* --- server ------------------------------------------------------------------------------------- */

static void on_status_due(struct fl_deadline *deadline)
{
	fl_framed_answer(FL_CONTAINER_OF(deadline, struct fl_framed, server.deadline)->session);
}

void fl_framed_promise_status(struct fl_session *session)
{
	fl_deadline_add(&session->loop->parking.opening, &session->framed->server.deadline,
			on_status_due);
}
