/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Connections that come from the mesh.
 *
 * Happy path: a stranger has sent a ClientHello, and a session begins. When its peer is verified, policy is asked once; if
 * policy allows it, a stream takes the session over and dials the app. Nothing reaches the app before that. Where the INI
 * accepts plaintext, policy is asked about `plaintext` instead, immediately or when the first bytes have shown that it is
 * plaintext, and a stream relays the bytes unchanged.
 *
 * A framed session (session_internal.h) comes here once for each connection that it carries.
 *
 * Failure: a refused peer gets a TLS alert (access_denied where policy refuses), a refused client without TLS a reset, and
 * each leaves one line that names the rule; the session ends by itself when its handshake fails. */
#include "conn/inbound.h"

#include <time.h>

#include "base/tls_alert.h"
#include "conn/access.h"
#include "conn/plaintext.h"
#include "conn/session.h"
#include "conn/stranger.h"
#include "conn/stream.h"

/* id NULL: the peer speaks plaintext. */
static struct fl_verdict ask_policy(const struct fl_conn *conn, const char *id)
{
	union fl_sockaddr source;
	struct fl_request request = fl_conn_request(conn, id, &source);
	struct fl_verdict verdict =
		fl_policy_decide(conn->share->generation->conf->policy, &request);
	struct fl_share *now = conn->loop->share;
	int64_t time_s = (int64_t)time(NULL);

	fl_callers_note(&conn->loop->callers, &request, &verdict, time_s);
	fl_rule_counts_count(now->rule_counts, now->worker, &verdict, now == conn->share, time_s);
	return verdict;
}

/* --- mutual TLS ----------------------------------------------------------------------------------- */

static void log_refusal(const struct fl_mesh *mesh, const struct fl_verdict *verdict,
			enum fl_reason reason, const char *detail)
{
	struct fl_access access = {
		.conn = mesh->conn,
		.mesh = mesh,
		.verdict = verdict,
		.reason = reason,
		.detail = detail,
	};

	fl_access_ended(&access);
}

static void on_ready(void *user)
{
	struct fl_mesh *mesh = user;
	struct fl_conn *conn = mesh->conn;
	const char *id = mesh->ops->peer_id(mesh), *full;
	struct fl_verdict verdict = ask_policy(conn, id);

	if (verdict.effect != FL_ALLOW) {
		log_refusal(mesh, &verdict, FL_REASON_POLICY, NULL);
		mesh->ops->refuse(mesh, FL_ALERT_ACCESS_DENIED);
		return;
	}
	full = fl_conn_admit(conn, id);
	if (full != NULL) {
		log_refusal(mesh, &verdict, FL_REASON_CONNECTION_LIMIT, full);
		mesh->ops->reset(mesh, FL_REASON_CONNECTION_LIMIT);
		return;
	}
	fl_stream_inbound(mesh, (struct fl_span){0}, &verdict);
}

static void on_closed(void *user, enum fl_reason reason)
{
	log_refusal(user, NULL, reason, NULL);
}

/* The session does not read until a stream has taken it over. */
static void on_data(void *user, uint8_t *data, size_t len)
{
	(void)user;
	(void)data;
	(void)len;
	FL_REQUIRE(!"plaintext before authorization");
}

static void on_nothing(void *user)
{
	(void)user;
}

static const struct fl_mesh_events events = {.on_ready = on_ready,
					     .on_data = on_data,
					     .on_eof = on_nothing,
					     .on_drain = on_nothing,
					     .on_closed = on_closed};

/* --- plaintext ------------------------------------------------------------------------------------ */

static void refuse_for_memory(const struct fl_conn *conn, struct fl_sock *sock,
			      const struct fl_verdict *verdict)
{
	struct fl_access access = {.conn = conn, .verdict = verdict, .reason = FL_REASON_INTERNAL};

	fl_access_ended(&access);
	fl_sock_reset(sock);
}

static void serve_plaintext(struct fl_conn *conn, struct fl_sock *sock, struct fl_span early)
{
	struct fl_verdict verdict = ask_policy(conn, NULL);
	struct fl_mesh *mesh;
	struct fl_access access = {
		.conn = conn, .sock = sock, .verdict = &verdict, .reason = FL_REASON_POLICY};

	fl_conn_secured(conn, NULL);
	if (verdict.effect == FL_ALLOW) {
		access.detail = fl_conn_admit(conn, NULL);
		access.reason = FL_REASON_CONNECTION_LIMIT;
	}
	if (!conn->admitted) {
		fl_access_ended(&access);
		fl_sock_reset(sock);
		return;
	}
	if (conn->detected == FL_DETECTED_SILENCE) {
		fl_port_count(&conn->loop->detect_timeouts, conn->port);
	}
	mesh = fl_plaintext_accept(conn, sock);
	if (mesh == NULL) {
		refuse_for_memory(conn, sock, &verdict);
		return;
	}
	fl_stream_inbound(mesh, early, &verdict);
}

static void on_known(struct fl_conn *conn, struct fl_sock *sock,
		     const struct fl_session_begun *begun)
{
	if (conn->detected == FL_DETECTED_NOTHING || conn->detected == FL_DETECTED_FAIRLEAD) {
		if (!fl_session_accept(conn, sock, begun, &events)) {
			refuse_for_memory(conn, sock, NULL);
		}
	} else {
		serve_plaintext(conn, sock, begun->early);
	}
}

void fl_inbound_start(struct fl_conn *conn, struct fl_sock *sock)
{
	if (fl_conn_inbound(conn)->mode == FL_INBOUND_PLAINTEXT) {
		serve_plaintext(conn, sock, (struct fl_span){0});
	} else {
		fl_stranger_start(conn, sock, on_known);
	}
}
