/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Who comes in from the mesh.
 *
 * Happy path: a session is accepted; when its peer is verified, policy is asked once; allowed, a stream takes the
 * session over and dials the app. Nothing reaches the app before that.
 *
 * Failure: a refused peer gets a TLS alert (access_denied where policy refuses) and leaves one line that names the
 * rule; the session ends by itself when its handshake fails. */
#include "proxy/inbound.h"

#include "proxy/access.h"
#include "proxy/stream.h"

#define ALERT_ACCESS_DENIED 49u /* RFC 8446 section 6.2 */

static void log_refusal(struct fl_session *session, const struct fl_verdict *verdict,
			enum fl_reason reason)
{
	struct fl_access access = {
		.route = fl_session_route(session),
		.session = session,
		.verdict = verdict,
		.reason = reason,
	};

	fl_access_ended(&access);
}

static void on_ready(void *user)
{
	struct fl_session *session = user;
	const struct fl_route *route = fl_session_route(session);
	union fl_sockaddr source;
	struct fl_request request = fl_route_request(route, fl_session_peer_id(session), &source);
	struct fl_verdict verdict =
		fl_policy_decide(route->share->generation->conf->policy, &request);

	if (verdict.effect == FL_ALLOW) {
		fl_stream_inbound(session, &verdict);
		return;
	}
	log_refusal(session, &verdict, FL_REASON_POLICY);
	fl_session_refuse(session, ALERT_ACCESS_DENIED);
}

static void on_closed(void *user, enum fl_reason reason)
{
	log_refusal(user, NULL, reason);
}

/* The session does not read before a stream has it. */
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

static const struct fl_session_events events = {.on_ready = on_ready,
						.on_data = on_data,
						.on_eof = on_nothing,
						.on_drain = on_nothing,
						.on_closed = on_closed};

void fl_inbound_start(struct fl_route *route, struct fl_sock *sock)
{
	fl_session_accept(route, sock, &events);
}
