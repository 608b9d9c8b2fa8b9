/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Client role: from the connection's addresses to a handshake. */
#include "conn/session_internal.h"

#include <stdlib.h>

static bool expects(void *user, const char *id, size_t id_len)
{
	return fl_upstream_expects(user, id, id_len);
}

static void start_handshake(struct fl_session *session)
{
	const struct fl_share *share = session->share;
	const struct fl_conf_upstream *upstream = session->mesh.conn->upstream;
	bool any_of_ours = upstream->peer_count == 0;

	fl_session_enter(session, FL_SESSION_HANDSHAKE);
	session->started_ns = uv_hrtime();
	fl_session_start_clock(session);
	if (fl_tls_new(share->client, any_of_ours ? NULL : expects, (void *)upstream, &session->tls,
		       NULL) != 0 ||
	    !fl_session_offer(session)) {
		fl_session_fail(session, FL_REASON_INTERNAL);
		return;
	}
	fl_sock_read_start(session->sock);
	fl_session_feed(session, NULL, 0);
}

static void on_dialed(struct fl_dialer *dialer, struct fl_sock *sock, enum fl_reason reason)
{
	struct fl_session *session = dialer->user;

	if (sock == NULL) {
		fl_session_fail(session, reason);
		return;
	}
	session->sock = sock;
	session->local_port = fl_sock_local_inet(sock).port;
	start_handshake(session);
}

void fl_session_dial_again(struct fl_session *session)
{
	enum fl_reason reason;

	fl_deadline_drop(&session->shaking->deadline);
	fl_session_drop_offered(session);
	fl_session_end_socket(session, false);
	fl_tls_free(session->tls);
	session->tls = NULL;
	session->offered = 0;
	session->bare = true;
	fl_session_enter(session, FL_SESSION_DIALING);
	reason = fl_dialer_start_again(&session->dialing->dialer);
	if (reason != FL_REASON_DONE) {
		fl_session_fail(session, reason);
	}
}

void fl_session_end_dialing(struct fl_session *session)
{
	struct fl_dialing *dialing = session->dialing;

	if (dialing != NULL) {
		session->dialing = NULL;
		fl_dialer_stop(&dialing->dialer);
		fl_loop_bury(session->loop, &dialing->corpse);
	}
}

static enum fl_reason start_dialing(struct fl_session *session)
{
	struct fl_dialing *dialing = calloc(1, sizeof(*dialing));

	if (dialing == NULL) {
		return FL_REASON_INTERNAL;
	}
	session->dialing = dialing;
	fl_dialer_init(&dialing->dialer, session->mesh.conn, true, &fl_session_sock_events, session,
		       on_dialed);
	return fl_dialer_start(&dialing->dialer);
}

struct fl_mesh *fl_session_dial(struct fl_conn *conn, const struct fl_mesh_events *events,
				void *user, enum fl_reason *ret_reason)
{
	struct fl_session *session = fl_session_new(conn, events, true);

	if (session == NULL) {
		*ret_reason = FL_REASON_INTERNAL;
		return NULL;
	}
	session->mesh.user = user;
	*ret_reason = start_dialing(session);
	if (*ret_reason != FL_REASON_DONE) {
		fl_session_release(session);
		return NULL;
	}
	return &session->mesh;
}
