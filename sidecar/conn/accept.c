/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Finds out what an accepted socket is.
 *
 * Happy path: a fixed listener knows its section; for a captured connection the kernel reports the original destination,
 * which selects the section.
 *
 * Failure: a connection whose destination is unknown, or is one of our own listeners, would make us dial ourselves forever.
 * It is reset before anything else is done for it. A destination with one of our ports costs three more system calls, to
 * find out whether the address is also ours: other pods use the same ports. */
#include "conn/accept.h"

#include "base/capture.h"
#include "conn/access.h"
#include "net/bind.h"

static const struct fl_sock_events no_events; /* not examined yet */

static void refuse(struct fl_conn *conn, struct fl_sock *sock, enum fl_reason reason,
		   const char *detail)
{
	struct fl_access access = {.conn = conn, .reason = reason, .detail = detail};

	fl_access_ended(&access);
	fl_sock_reset(sock);
	fl_conn_unref(conn);
}

/* --- what it is ---------------------------------------------------------------------------------- */

/* FL_REASON_DONE: the destination is known, and is not ourselves. */
static enum fl_reason find_destination(struct fl_conn *conn, const struct fl_sock *sock)
{
	const struct fl_endpoint *endpoint = conn->endpoint;
	struct fl_inet *to = &conn->destination;

	if (conn->source.family == 0) { /* reset before we had it */
		return conn->direction == FL_INBOUND ? FL_REASON_PEER_RESET : FL_REASON_APP_RESET;
	}
	if (endpoint->tproxy) {
		*to = fl_sock_local_inet(sock);
	}
	/* Connections of the pod to itself arrive by NAT in every mode. */
	if ((to->family == 0 || to->port == endpoint->port) &&
	    fl_sock_original_dst(sock, to) != 0) {
		return FL_REASON_DESTINATION_UNKNOWN;
	}
	if (to->port == endpoint->port && fl_net_is_local(to)) {
		return FL_REASON_DESTINATION_UNKNOWN; /* the client dialled the capture port itself */
	}
	return fl_loop_is_own(conn->loop, to, false) ? FL_REASON_LOOP : FL_REASON_DONE;
}

/* The sidecar's own probe, which checks whether the rules redirect to this port. */
static bool is_probe(const struct fl_conn *conn)
{
	uint16_t port = conn->destination.port;

	return (port == FL_CAPTURE_PROBE_PORT || port == FL_CAPTURE_REFUSED_INBOUND_PORT ||
		port == FL_CAPTURE_REFUSED_OUTBOUND_PORT) &&
	       fl_inet_is_loopback(&conn->destination);
}

/* The destination is known. */
static void find_section(struct fl_conn *conn)
{
	conn->port = conn->destination.port;
	if (conn->direction == FL_OUTBOUND) {
		/* This may be uncertain until DNS has answered: naming.h. */
		conn->upstream = fl_conn_captured_upstream(conn);
	} else {
		conn->service = fl_conf_find_port(conn->share->generation->conf, conn->port, true);
	}
}

static enum fl_reason find_captured(struct fl_conn *conn, const struct fl_sock *sock)
{
	enum fl_reason reason = find_destination(conn, sock);

	conn->port = conn->destination.port;
	if (reason == FL_REASON_DONE && !is_probe(conn)) {
		find_section(conn);
	}
	return reason;
}

static enum fl_reason find_fixed(struct fl_conn *conn)
{
	const struct fl_endpoint *endpoint = conn->endpoint;

	conn->port = endpoint->port;
	conn->service = endpoint->service;
	conn->upstream = endpoint->upstream;
	return endpoint->service != NULL || endpoint->upstream != NULL ? FL_REASON_DONE
								       : FL_REASON_RESTART_NEEDED;
}

static enum fl_reason find(struct fl_conn *conn, const struct fl_sock *sock)
{
	return conn->endpoint->captures ? find_captured(conn, sock) : find_fixed(conn);
}

/* Outbound, the lane is the destination: one dead pod must not delay the other destinations of its section. Inbound, it is
 * the client's network and the listener. */
static uint32_t lane_of(const struct fl_conn *conn)
{
	const struct fl_slots *slots = &conn->loop->slots[conn->direction];
	uint32_t endpoint = fl_slots_lane(slots, conn->endpoint->number);
	struct fl_inet from = fl_inet_network(&conn->source);

	if (conn->direction == FL_INBOUND) {
		return fl_slots_lane(slots, fl_inet_hash(&from) + endpoint);
	}
	return fl_conn_is_captured(conn) ? fl_slots_lane(slots, fl_inet_hash(&conn->destination))
					 : endpoint;
}

/* The other end is ours, and resets the connection: no socket is left behind, not even in TIME-WAIT. */
static void end_probe(struct fl_conn *conn, struct fl_sock *sock)
{
	fl_count(&conn->loop->counters.probes, 1);
	fl_sock_close(sock, 0);
	fl_conn_unref(conn);
}

static struct fl_conn *new_conn(struct fl_endpoint *endpoint, const struct fl_sock *sock)
{
	struct fl_inet source = fl_sock_peer_inet(sock);

	return fl_conn_new(endpoint, &source);
}

struct fl_conn *fl_conn_again(struct fl_endpoint *endpoint, const struct fl_inet *source,
			      const struct fl_inet *destination, enum fl_detected detected)
{
	struct fl_conn *conn = fl_conn_new(endpoint, source);

	if (conn == NULL) {
		return NULL;
	}
	conn->destination = *destination;
	conn->detected = (uint8_t)detected;
	if (endpoint->captures) {
		find_section(conn);
	}
	if ((!endpoint->captures && find_fixed(conn) != FL_REASON_DONE) ||
	    fl_conn_inbound(conn)->mode == FL_INBOUND_PLAINTEXT) {
		fl_conn_unref(conn);
		return NULL;
	}
	fl_count(&conn->loop->counters.opened[conn->direction], 1);
	fl_conn_belongs(conn);
	conn->lane = lane_of(conn);
	return conn;
}

struct fl_conn *fl_conn_accept(struct fl_endpoint *endpoint, struct fl_listener *listener,
			       struct fl_sock **ret_sock)
{
	struct fl_sock *sock = fl_listener_accept(listener, &no_events, NULL);
	struct fl_conn *conn = sock != NULL ? new_conn(endpoint, sock) : NULL;
	enum fl_reason reason;

	if (conn == NULL) {
		if (sock != NULL) {
			fl_sock_reset(sock);
		}
		return NULL;
	}
	reason = find(conn, sock);
	if (reason == FL_REASON_DONE && is_probe(conn)) {
		end_probe(conn, sock);
		return NULL;
	}
	fl_count(&conn->loop->counters.opened[conn->direction], 1);
	if (reason != FL_REASON_DONE) {
		refuse(conn, sock, reason, NULL);
		return NULL;
	}
	if (conn->direction == FL_INBOUND) {
		fl_conn_belongs(conn);
	}
	conn->lane = lane_of(conn);
	*ret_sock = sock;
	return conn;
}

void fl_conn_refuse(struct fl_endpoint *endpoint, struct fl_listener *listener,
		    enum fl_reason reason, const char *detail, bool quietly)
{
	struct fl_sock *sock = fl_listener_accept(listener, &no_events, NULL);
	struct fl_conn *conn = sock != NULL ? new_conn(endpoint, sock) : NULL;
	struct fl_counters *counters = &endpoint->loop->counters;

	/* Needed for the log line, and because a probe of the rules does not count towards the limit. */
	if (conn != NULL && find(conn, sock) == FL_REASON_DONE && is_probe(conn)) {
		end_probe(conn, sock);
		return;
	}
	if (conn != NULL) {
		fl_count(&counters->opened[endpoint->direction], 1);
	}
	if (conn != NULL && !quietly) {
		refuse(conn, sock, reason, detail);
	} else if (conn != NULL) {
		fl_counters_ended(counters, endpoint->direction, FL_SECURITY_NONE, reason);
		fl_sock_reset(sock);
		fl_conn_unref(conn);
	} else if (sock != NULL) {
		fl_sock_reset(sock);
	}
}
