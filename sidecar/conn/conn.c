/* SPDX-License-Identifier: GPL-3.0-or-later */
/* From an accepted socket to what it is.
 *
 * Happy path: a fixed listener knows its section; of a captured connection the kernel tells the original destination,
 * which finds the section.
 *
 * Failure: a destination that is not known, or that is a listener of our own, would make us dial ourselves for ever. It
 * is reset before anything else is done for it. What has one of our ports costs three system calls more, to see whether
 * the address is ours, too: other pods have the same ports. */
#include "conn/conn.h"

#include <stdlib.h>
#include <string.h>

#include "base/capture.h"
#include "conn/access.h"

static const struct fl_sock_events no_events; /* it is not read yet */

/* --- life --------------------------------------------------------------------------------------- */

static struct fl_conn *conn_new(struct fl_endpoint *endpoint, const struct fl_sock *sock)
{
	struct fl_loop *loop = endpoint->loop;
	struct fl_conn *conn = calloc(1, sizeof(*conn));

	if (conn == NULL) {
		return NULL;
	}
	conn->refs = 1;
	conn->loop = loop;
	conn->endpoint = endpoint;
	conn->direction = (uint8_t)endpoint->direction;
	conn->share = fl_share_ref(loop->share);
	conn->started_ns = uv_hrtime();
	conn->source = fl_sock_peer_inet(sock);
	fl_loop_opened(loop, endpoint->direction);
	return conn;
}

struct fl_conn *fl_conn_ref(struct fl_conn *conn)
{
	conn->refs++;
	return conn;
}

void fl_conn_unref(struct fl_conn *conn)
{
	if (--conn->refs > 0) {
		return;
	}
	if (conn->peer != NULL) {
		fl_peer_left(conn->peer, uv_now(conn->loop->uv));
		conn->peer = NULL;
	}
	if (conn->admitted) {
		fl_quota_give_back(&conn->loop->quota, (enum fl_direction)conn->direction,
				   conn->quota);
	}
	fl_targets_unref(conn->targets);
	fl_share_unref(conn->share);
	conn->targets = NULL;
	conn->share = NULL;
	fl_loop_bury(conn->loop, &conn->corpse);
	fl_loop_closed(conn->loop, conn->direction);
}

const char *fl_conn_admit(struct fl_conn *conn, const char *id)
{
	struct fl_quota *quota = &conn->loop->quota;
	enum fl_direction direction = (enum fl_direction)conn->direction;
	struct fl_inet network = fl_inet_network(&conn->source);
	enum fl_quota_answer answer =
		direction == FL_INBOUND ? fl_quota_take_inbound(quota, id, &network, &conn->quota)
					: fl_quota_take_outbound(quota);

	conn->admitted = answer == FL_QUOTA_TAKEN;
	return fl_quota_text(answer, direction);
}

void fl_conn_secured(struct fl_conn *conn, const char *id)
{
	struct fl_loop *loop = conn->loop;

	FL_REQUIRE(conn->security == FL_SECURITY_NONE);
	conn->security = id != NULL ? FL_SECURITY_MTLS : FL_SECURITY_PLAINTEXT;
	fl_count(&loop->counters.classified[conn->direction][conn->security], 1);
	conn->peer = fl_peer_counts_opened(loop->peers, loop->number, conn->direction, id,
					   uv_now(loop->uv));
}

static void refuse(struct fl_conn *conn, struct fl_sock *sock, enum fl_reason reason,
		   const char *detail)
{
	struct fl_access access = {.conn = conn, .reason = reason, .detail = detail};

	fl_access_ended(&access);
	fl_sock_reset(sock);
	fl_conn_unref(conn);
}

/* --- what it is ---------------------------------------------------------------------------------- */

/* FL_REASON_DONE: it is known, and not ourselves. */
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
	/* Calls of the pod to itself come by NAT in any mode. */
	if ((to->family == 0 || to->port == endpoint->port) &&
	    fl_sock_original_dst(sock, to) != 0) {
		return FL_REASON_DESTINATION_UNKNOWN;
	}
	if (to->port == endpoint->port && fl_net_is_local(to)) {
		return FL_REASON_DESTINATION_UNKNOWN; /* somebody has dialled the capture port itself */
	}
	return fl_loop_is_own(conn->loop, to, false) ? FL_REASON_LOOP : FL_REASON_DONE;
}

/* The sidecar itself, which wants to know whether the rules lead here. */
static bool is_probe(const struct fl_conn *conn)
{
	uint16_t port = conn->destination.port;

	return (port == FL_CAPTURE_PROBE_PORT || port == FL_CAPTURE_REFUSED_INBOUND_PORT ||
		port == FL_CAPTURE_REFUSED_OUTBOUND_PORT) &&
	       fl_inet_is_loopback(&conn->destination);
}

/* Of a captured connection, by what is known just now. False: it may be an address of that upstream's name, which does
 * not resolve. */
static bool upstream_under(const struct fl_conn *conn, const struct fl_share *share,
			   const struct fl_conf_upstream **ret)
{
	const struct fl_conf *conf = share->generation->conf;
	uint32_t number = 0;

	switch (fl_upstream_map_find(share->upstream_map, &conn->destination, &number)) {
	case FL_MATCH_FOUND:
		*ret = &conf->upstreams[number];
		return true;
	case FL_MATCH_UNKNOWN:
		*ret = &conf->upstreams[number];
		return false;
	case FL_MATCH_NONE:
		break;
	}
	*ret = &conf->outbound;
	return true;
}

static enum fl_reason find_captured(struct fl_conn *conn, const struct fl_sock *sock)
{
	enum fl_reason reason = find_destination(conn, sock);

	conn->port = conn->destination.port;
	if (reason != FL_REASON_DONE || is_probe(conn)) {
		return reason;
	}
	if (conn->direction == FL_OUTBOUND) {
		/* DNS may have to be asked before that is certain: naming.h. */
		(void)upstream_under(conn, conn->share, &conn->upstream);
		return FL_REASON_DONE;
	}
	conn->service = fl_conf_find_port(conn->share->generation->conf, conn->port, true);
	return FL_REASON_DONE;
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

/* Outbound, what gets nowhere is a destination: one dead pod, and not the others of its section. Inbound it is whoever
 * has the addresses of a network. */
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

/* The other end is ours, and resets it: nothing stays behind, not even for a minute. */
static void end_probe(struct fl_conn *conn, struct fl_sock *sock)
{
	fl_count(&conn->loop->counters.probes, 1);
	fl_sock_close(sock, 0);
	fl_conn_unref(conn);
}

struct fl_conn *fl_conn_accept(struct fl_endpoint *endpoint, struct fl_listener *listener,
			       struct fl_sock **ret_sock)
{
	struct fl_sock *sock = fl_listener_accept(listener, &no_events, NULL);
	struct fl_conn *conn = sock != NULL ? conn_new(endpoint, sock) : NULL;
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
	conn->lane = lane_of(conn);
	*ret_sock = sock;
	return conn;
}

void fl_conn_refuse(struct fl_endpoint *endpoint, struct fl_listener *listener,
		    enum fl_reason reason, const char *detail, bool quietly)
{
	struct fl_sock *sock = fl_listener_accept(listener, &no_events, NULL);
	struct fl_conn *conn = sock != NULL ? conn_new(endpoint, sock) : NULL;
	struct fl_counters *counters = &endpoint->loop->counters;

	/* For the line, and as a look at the rules is none of the connections that are too many. */
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

/* --- what follows from it ------------------------------------------------------------------------ */

const char *fl_conn_name(const struct fl_conn *conn)
{
	if (!conn->endpoint->captures) {
		return conn->endpoint->name;
	}
	if (conn->service != NULL) {
		return conn->service->name;
	}
	return conn->upstream != NULL ? conn->upstream->name : NULL;
}

void fl_conn_describe(const struct fl_conn *conn, const char *state, struct fl_listed *ret)
{
	*ret = (struct fl_listed){
		.direction = conn->direction,
		.state = state,
		.source = conn->source,
		.destination = conn->destination,
		.port = conn->port,
		.generation = conn->share->generation->number,
		.started_ns = conn->started_ns,
	};
	ret->name = fl_listed_copy(ret, fl_conn_name(conn));
	ret->own = fl_listed_copy(ret, conn->share->generation->credentials->id);
}

const struct fl_conf_service *fl_conn_service_under(const struct fl_conn *conn,
						    const struct fl_share *share)
{
	const struct fl_conf_service *service;

	if (conn->endpoint->captures) {
		return fl_conf_find_port(share->generation->conf, conn->port, true);
	}
	service = fl_conf_find_service(share->generation->conf, conn->endpoint->name);
	return service != NULL && service->listen.kind != FL_ADDR_NONE ? service : NULL;
}

const struct fl_conf_upstream *fl_conn_upstream_under(const struct fl_conn *conn,
						      const struct fl_share *share)
{
	const struct fl_conf_upstream *upstream = NULL, *known = NULL;

	if (!conn->endpoint->captures) {
		upstream = fl_conf_find_upstream(share->generation->conf, conn->endpoint->name);
		return upstream != NULL && upstream->listen.kind != FL_ADDR_NONE ? upstream : NULL;
	}
	if (!upstream_under(conn, share, &upstream) && conn->upstream->name != NULL) {
		/* A name that is not resolved again yet: most likely the one that it was. */
		known = fl_conf_find_upstream(share->generation->conf, conn->upstream->name);
	}
	return known != NULL ? known : upstream;
}

bool fl_upstream_expects(const void *user, const char *id, size_t id_len)
{
	const struct fl_conf_upstream *upstream = user;

	for (size_t i = 0; i < upstream->peer_count; i++) {
		if (fl_pattern_match(upstream->peer[i], id, id_len)) {
			return true;
		}
	}
	return false;
}

const struct fl_conf_inbound *fl_conn_inbound(const struct fl_conn *conn)
{
	return conn->service != NULL ? &conn->service->inbound
				     : &conn->share->generation->conf->inbound;
}

struct fl_request fl_conn_request(const struct fl_conn *conn, const char *id,
				  union fl_sockaddr *source)
{
	*source = fl_inet_sockaddr(&conn->source);
	return (struct fl_request){.id = id,
				   .id_len = id != NULL ? strlen(id) : 0,
				   .port = conn->port,
				   .service = fl_conn_name(conn),
				   .source = conn->source.family != 0 ? &source->any : NULL};
}

/* What the app gets is not captured again: not on loopback, and elsewhere by a mark (base/capture.h). Under the client's
 * address it is dialled only where that client would have: an app elsewhere could not answer. */
struct fl_dial fl_conn_app(const struct fl_conn *conn, union fl_sockaddr *to,
			   union fl_sockaddr *from)
{
	struct fl_dial dial = {.to = &to->any, .alive = {.keep_s = conn->loop->net.keep_s}};

	if (conn->service != NULL && conn->service->app.kind != FL_ADDR_NONE) {
		*to = conn->service->app.sa;
	} else {
		*to = fl_inet_sockaddr(&conn->destination);
		if (conn->endpoint->tproxy) {
			*from = fl_inet_sockaddr(&conn->source);
			dial.from = &from->any;
			dial.mark = FL_CAPTURE_MARK;
			dial.port = FL_PORT_FOR_CLIENT;
		}
	}
	if (to->any.sa_family != AF_UNIX) {
		struct fl_inet inet = fl_inet_of(&to->any);

		dial.tos = fl_inet_is_loopback(&inet) ? 0 : FL_CAPTURE_TO_APP_TOS;
	}
	return dial;
}

struct fl_plaintext_counter *fl_conn_plain(const struct fl_conn *conn)
{
	const struct fl_conf *conf = conn->share->generation->conf;
	size_t number = conn->upstream == &conf->outbound
				? conf->upstream_count
				: (size_t)(conn->upstream - conf->upstreams);

	return conn->share->plaintext[number];
}

bool fl_conn_has_address(const struct fl_conn *conn)
{
	return fl_conn_is_captured(conn) || (conn->targets != NULL && conn->targets->count > 0);
}

static size_t addresses_left(const struct fl_conn *conn)
{
	size_t count = fl_conn_is_captured(conn) ? 1
		       : conn->targets != NULL   ? conn->targets->count
						 : 0;

	return count - conn->next_target;
}

/* The next address, which is then behind us; false: there is none left. */
static bool next_address(struct fl_conn *conn, union fl_sockaddr *ret)
{
	if (addresses_left(conn) == 0) {
		return false;
	}
	*ret = fl_conn_is_captured(conn) ? fl_inet_sockaddr(&conn->destination)
					 : conn->targets->items[conn->next_target];
	conn->next_target++;
	return true;
}

static uint64_t now_of(const struct fl_conn *conn)
{
	return uv_now(conn->loop->uv);
}

/* Parts what is left of it. An address that swallows packets must not use up the time of those behind it. False: it is
 * over. */
static bool has_time(struct fl_conn *conn)
{
	uint64_t now = now_of(conn);
	size_t left = addresses_left(conn);

	if (conn->dial_until_ms == 0) {
		conn->dial_until_ms = now + conn->loop->connecting.duration_ms;
	}
	if (now >= conn->dial_until_ms) {
		return false;
	}
	conn->address_until_ms = now + (conn->dial_until_ms - now) / (left > 0 ? left : 1);
	return true;
}

bool fl_conn_dial_is_late(const struct fl_conn *conn)
{
	return now_of(conn) >= conn->address_until_ms;
}

void fl_conn_dial_again(struct fl_conn *conn)
{
	FL_REQUIRE(conn->next_target > 0);
	conn->next_target--;
	conn->dial_until_ms = 0;
}

int fl_conn_dial(struct fl_conn *conn, bool tls, const struct fl_sock_events *events, void *user,
		 fl_sock_dial_cb cb, struct fl_sock **ret)
{
	union fl_sockaddr to;
	int rc = UV_EHOSTUNREACH;

	if (!has_time(conn)) {
		return UV_ETIMEDOUT;
	}
	while (next_address(conn, &to)) {
		struct fl_dial dial = {.to = &to.any,
				       .alive = {.keep_s = conn->loop->net.keep_s,
						 .give_up_ms = conn->loop->peer_timeout_ms},
				       .joins_acks = tls,
				       .heeds_icmp = true};
		struct fl_inet inet = fl_inet_of(&to.any);
		struct fl_err err;

		if (fl_conn_is_captured(conn)) {
			dial.port = FL_PORT_OF_OURS; /* the app has called the same address */
		}
		/* Names may resolve to anything; a captured destination has been judged. */
		if (!fl_conn_is_captured(conn) && fl_loop_is_own(conn->loop, &inet, true)) {
			rc = UV_ELOOP;
			continue;
		}
		if (fl_sock_dial(&conn->loop->net, &dial, events, user, cb, ret, &err) == 0) {
			return 0;
		}
		rc = err.sys != 0 ? -err.sys : UV_ENOMEM;
	}
	return rc;
}
