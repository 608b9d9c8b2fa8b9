/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "conn/proxy_header.h"

/* Captured: where the client wanted to go. Else it wanted to come to us. */
static struct fl_inet destination_of(const struct fl_conn *conn, const struct fl_session *session,
				     const struct fl_sock *plain)
{
	if (fl_conn_is_captured(conn)) {
		return conn->destination;
	}
	return session != NULL ? fl_session_local_inet(session) : fl_sock_local_inet(plain);
}

/* NULL where there is none; sa: storage that the result refers to. */
static const struct sockaddr *sockaddr_of(const struct fl_inet *inet, union fl_sockaddr *sa)
{
	if (inet->family == 0) {
		return NULL;
	}
	*sa = fl_inet_sockaddr(inet);
	return &sa->any;
}

size_t fl_proxy_header(const struct fl_conn *conn, const struct fl_session *session,
		       const struct fl_sock *plain, uint8_t out[FL_PROXY_V2_MAX])
{
	struct fl_inet destination;
	struct fl_proxy_v2_peer peer;
	union fl_sockaddr from, to;

	if (!fl_conn_inbound(conn)->proxy_protocol) {
		return 0;
	}
	destination = destination_of(conn, session, plain);
	if (session != NULL) {
		fl_session_introduce(session, &peer);
	}
	return fl_proxy_v2_encode(sockaddr_of(&conn->source, &from), sockaddr_of(&destination, &to),
				  session != NULL ? &peer : NULL, out);
}
