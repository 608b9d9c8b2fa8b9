/* SPDX-License-Identifier: GPL-3.0-or-later */
/* connections - moves each connection through its stages.
 *
 * Happy path: each connection becomes a stranger and then a session (inbound), or a stream (outbound).
 *
 * Limits: every connection is accepted at once, because its source is known only then. Inbound, strangers wait for a slot
 * for their handshake in a crowd of bounded size (stranger.h); outbound, streams wait. If `[limits] connections` has no
 * room for that direction (quota.h), a connection is reset immediately, and a line says so at most once a second. */
#include "conn/connections.h"

#include "conn/accept.h"
#include "conn/inbound.h"
#include "conn/session.h"
#include "conn/stranger.h"
#include "conn/stream.h"

#define LIMIT_LOG_EVERY_MS 1000u

static void refuse_over_limit(struct fl_endpoint *endpoint, struct fl_listener *listener)
{
	struct fl_loop *loop = endpoint->loop;
	uint64_t now = uv_now(loop->uv);
	bool quietly =
		loop->limit_logged_ms != 0 && now - loop->limit_logged_ms < LIMIT_LOG_EVERY_MS;

	if (!quietly) {
		loop->limit_logged_ms = now;
	}
	fl_conn_refuse(endpoint, listener, FL_REASON_CONNECTION_LIMIT,
		       fl_quota_text(FL_QUOTA_DIRECTION, endpoint->direction), quietly);
}

static void serve(struct fl_endpoint *endpoint, struct fl_listener *listener)
{
	struct fl_sock *sock;
	struct fl_conn *conn = fl_conn_accept(endpoint, listener, &sock);

	if (conn == NULL) {
		return;
	}
	if (endpoint->direction == FL_INBOUND) {
		fl_inbound_start(conn, sock);
	} else {
		(void)fl_conn_admit(conn, NULL); /* there is room */
		fl_stream_outbound(conn, sock);
	}
	fl_conn_unref(conn); /* session and stream have their own references */
}

void fl_connections_accept(struct fl_endpoint *endpoint, struct fl_listener *listener)
{
	if (fl_quota_has_room(&endpoint->loop->quota, endpoint->direction)) {
		serve(endpoint, listener);
	} else {
		refuse_over_limit(endpoint, listener);
	}
}

void fl_connections_names_answered(struct fl_loop *loop)
{
	fl_stream_names_answered(loop);
}

void fl_connections_list(struct fl_loop *loop, struct fl_listing *ret)
{
	fl_stream_list(loop, ret);
	fl_session_list(loop, ret);
	fl_strangers_list(loop, ret);
	for (unsigned d = 0; d < FL_DIRECTIONS; d++) {
		ret->idle_sessions[d] = fl_loop_idle_sessions(loop, d);
	}
	ret->callers.max = loop->callers.max + loop->unproven.max;
	fl_callers_add(&ret->callers, &loop->unproven);
	fl_callers_add(&ret->callers, &loop->callers);
	fl_denials_add(&ret->denials, &loop->denials);
}

void fl_connections_end_all(struct fl_loop *loop)
{
	loop->stopping = true;
	fl_stream_end_all(loop, FL_REASON_DRAIN);
	fl_session_end_all(loop);
	fl_strangers_end_all(loop);
}
