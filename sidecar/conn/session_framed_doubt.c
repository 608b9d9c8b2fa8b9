/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Client: a use of a session that was parked, until STATUS: is the server's machine still there?
 *
 * A machine that has died, or that the network has cut off, sends no reset, and a keep-alive probe may be half a minute away.
 * Without reuse the connection would have been dialled, with connect_timeout; so that is how long the machine may stay silent
 * here. TCP_USER_TIMEOUT could say that to the kernel, with two system calls for each use; the checks below cost none unless
 * STATUS is late. They ask the kernel whether it has sent OPEN again without getting any answer. Then the other sessions that
 * are parked for the same server go, so that no further connection takes one, and the use begins again on a fresh session
 * if no byte of the app was sent. If some were, they may have arrived, and only the answer got lost: the app is told, by a
 * reset, when connect_timeout is over. */
#include "conn/session_internal.h"

static uint64_t patience_ms(const struct fl_loop *loop)
{
	return loop->connecting.duration_ms;
}

static void start_over(struct fl_session *session)
{
	session->mesh.conn->dial_until_ms =
		session->framed->client.opened_ms + patience_ms(session->loop);
	fl_framed_start_over(session, false);
}

static void on_check(struct fl_deadline *deadline)
{
	struct fl_framed *framed = FL_CONTAINER_OF(deadline, struct fl_framed, client.check);
	struct fl_session *session = framed->session;
	struct fl_debt debt = fl_sock_debt(session->sock);
	bool is_silent = debt.is_open && debt.is_asked;

	if (is_silent) {
		fl_framed_let_others_go(session);
	}
	if (is_silent && framed->keeps && !framed->has_sent && !session->loop->stopping) {
		start_over(session);
	} else if (is_silent && debt.silent_ms >= patience_ms(session->loop)) {
		fl_session_fail(session, FL_REASON_PEER_CONNECT_TIMEOUT);
	} else {
		fl_deadline_add(&session->loop->dialing, deadline, on_check);
	}
}

void fl_framed_expect_status(struct fl_session *session)
{
	struct fl_framed_client *client = &session->framed->client;

	client->opened_ms = uv_now(session->loop->uv);
	fl_deadline_add(&session->loop->dialing, &client->check, on_check);
}
