/* SPDX-License-Identifier: GPL-3.0-or-later */
/* From an accepted socket to what it is.
 *
 * Happy path: a fixed listener knows its section; of a captured connection the kernel tells the original destination,
 * which finds the section.
 *
 * Failure: a destination that is not known, or that is a listener of our own, would make us dial ourselves for ever. It
 * is reset before anything else is done for it. What has one of our ports costs three system calls more, to see whether
 * the address is ours, too: other pods have the same ports. */
#include "proxy/route.h"

#include <stdlib.h>
#include <string.h>

#include "base/capture.h"
#include "proxy/access.h"

static const struct fl_sock_events no_events; /* it is not read yet */

/* --- life --------------------------------------------------------------------------------------- */

static struct fl_route *route_new(struct fl_endpoint *endpoint, const struct fl_sock *sock)
{
	struct fl_worker *worker = endpoint->worker;
	struct fl_route *route = calloc(1, sizeof(*route));

	if (route == NULL) {
		return NULL;
	}
	route->refs = 1;
	route->worker = worker;
	route->endpoint = endpoint;
	route->direction = (uint8_t)endpoint->direction;
	route->share = fl_share_ref(worker->share);
	route->started_ns = uv_hrtime();
	route->source = fl_sock_peer_inet(sock);
	fl_worker_opened(worker, endpoint->direction);
	return route;
}

struct fl_route *fl_route_ref(struct fl_route *route)
{
	route->refs++;
	return route;
}

void fl_route_unref(struct fl_route *route)
{
	if (--route->refs > 0) {
		return;
	}
	if (route->peer != NULL) {
		fl_peer_left(route->peer, uv_now(&route->worker->loop));
		route->peer = NULL;
	}
	if (route->admitted) {
		fl_quota_give_back(&route->worker->quota, (enum fl_direction)route->direction,
				   route->quota);
	}
	fl_targets_unref(route->targets);
	fl_share_unref(route->share);
	route->targets = NULL;
	route->share = NULL;
	fl_worker_bury(route->worker, &route->corpse);
	fl_worker_closed(route->worker, route->direction);
}

const char *fl_route_admit(struct fl_route *route, const char *id)
{
	struct fl_quota *quota = &route->worker->quota;
	enum fl_direction direction = (enum fl_direction)route->direction;
	struct fl_inet network = fl_inet_network(&route->source);
	enum fl_quota_answer answer =
		direction == FL_INBOUND ? fl_quota_take_inbound(quota, id, &network, &route->quota)
					: fl_quota_take_outbound(quota);

	route->admitted = answer == FL_QUOTA_TAKEN;
	return fl_quota_text(answer, direction);
}

void fl_route_secured(struct fl_route *route, const char *id)
{
	struct fl_worker *worker = route->worker;

	FL_REQUIRE(route->security == FL_SECURITY_NONE);
	route->security = id != NULL ? FL_SECURITY_MTLS : FL_SECURITY_PLAINTEXT;
	fl_count(&worker->counters.settled[route->direction][route->security], 1);
	route->peer = fl_peers_opened(worker->peers, worker->number, route->direction, id,
				      uv_now(&worker->loop));
}

static void refuse(struct fl_route *route, struct fl_sock *sock, enum fl_reason reason,
		   const char *detail)
{
	struct fl_access access = {.route = route, .reason = reason, .detail = detail};

	fl_access_ended(&access);
	fl_sock_reset(sock);
	fl_route_unref(route);
}

/* --- what it is ---------------------------------------------------------------------------------- */

/* One of ours; for_app: only one whose connections go out again. */
static bool is_ourselves(const struct fl_worker *worker, const struct fl_inet *to, bool for_app)
{
	for (size_t i = 0; i < worker->own_port_count; i++) {
		const struct fl_own_port *own = &worker->own_ports[i];

		if (own->port == to->port && (own->is_for_app || !for_app)) {
			return fl_net_is_local(to);
		}
	}
	return false;
}

/* FL_REASON_DONE: it is known, and not ourselves. */
static enum fl_reason find_destination(struct fl_route *route, const struct fl_sock *sock)
{
	const struct fl_endpoint *endpoint = route->endpoint;
	struct fl_inet *to = &route->destination;

	if (route->source.family == 0) { /* reset before we had it */
		return route->direction == FL_INBOUND ? FL_REASON_PEER_RESET : FL_REASON_APP_RESET;
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
	return is_ourselves(route->worker, to, false) ? FL_REASON_LOOP : FL_REASON_DONE;
}

/* The sidecar itself, which wants to know whether the rules lead here. */
static bool is_probe(const struct fl_route *route)
{
	uint16_t port = route->destination.port;

	return (port == FL_CAPTURE_PROBE_PORT || port == FL_CAPTURE_REFUSED_INBOUND_PORT ||
		port == FL_CAPTURE_REFUSED_OUTBOUND_PORT) &&
	       fl_inet_is_loopback(&route->destination);
}

static const struct fl_conf_service *service_of_port(const struct fl_conf *conf, uint16_t port)
{
	for (size_t i = 0; i < conf->service_count; i++) {
		const struct fl_conf_service *service = &conf->services[i];

		if (service->listen.kind == FL_ADDR_NONE && service->port == port) {
			return service;
		}
	}
	return NULL;
}

/* Of a captured connection, by what is known just now. False: it may be an address of that upstream's name, which does
 * not resolve. */
static bool upstream_under(const struct fl_route *route, const struct fl_share *share,
			   const struct fl_conf_upstream **ret)
{
	const struct fl_conf *conf = share->generation->conf;
	uint32_t number = 0;

	switch (fl_routes_find(share->routes, &route->destination, &number)) {
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

static enum fl_reason find_captured(struct fl_route *route, const struct fl_sock *sock)
{
	enum fl_reason reason = find_destination(route, sock);

	route->port = route->destination.port;
	if (reason != FL_REASON_DONE || is_probe(route)) {
		return reason;
	}
	if (route->direction == FL_OUTBOUND) {
		/* DNS may have to be asked before that is certain: naming.h. */
		(void)upstream_under(route, route->share, &route->upstream);
		return FL_REASON_DONE;
	}
	route->service = service_of_port(route->share->generation->conf, route->port);
	return FL_REASON_DONE;
}

static enum fl_reason find_fixed(struct fl_route *route)
{
	const struct fl_endpoint *endpoint = route->endpoint;

	route->port = endpoint->port;
	route->service = endpoint->service;
	route->upstream = endpoint->upstream;
	return endpoint->service != NULL || endpoint->upstream != NULL ? FL_REASON_DONE
								       : FL_REASON_RESTART_NEEDED;
}

static enum fl_reason find(struct fl_route *route, const struct fl_sock *sock)
{
	return route->endpoint->captures ? find_captured(route, sock) : find_fixed(route);
}

/* Outbound, what gets nowhere is a destination: one dead pod, and not the others of its section. Inbound it is whoever
 * has the addresses of a network. */
static uint32_t lane_of(const struct fl_route *route)
{
	const struct fl_places *places = &route->worker->places[route->direction];
	struct fl_inet from = fl_inet_network(&route->source);

	if (route->direction == FL_INBOUND) {
		return fl_places_lane(places,
				      fl_inet_hash(&from) + fl_worker_lane(route->endpoint));
	}
	return fl_route_is_captured(route)
		       ? fl_places_lane(places, fl_inet_hash(&route->destination))
		       : fl_worker_lane(route->endpoint);
}

/* The other end is ours, and resets it: nothing stays behind, not even for a minute. */
static void end_probe(struct fl_route *route, struct fl_sock *sock)
{
	fl_count(&route->worker->counters.probes, 1);
	fl_sock_close(sock, 0);
	fl_route_unref(route);
}

struct fl_route *fl_route_accept(struct fl_endpoint *endpoint, struct fl_listener *listener,
				 struct fl_sock **ret_sock)
{
	struct fl_sock *sock = fl_listener_accept(listener, &no_events, NULL);
	struct fl_route *route = sock != NULL ? route_new(endpoint, sock) : NULL;
	enum fl_reason reason;

	if (route == NULL) {
		if (sock != NULL) {
			fl_sock_reset(sock);
		}
		return NULL;
	}
	reason = find(route, sock);
	if (reason == FL_REASON_DONE && is_probe(route)) {
		end_probe(route, sock);
		return NULL;
	}
	fl_count(&route->worker->counters.opened[route->direction], 1);
	if (reason != FL_REASON_DONE) {
		refuse(route, sock, reason, NULL);
		return NULL;
	}
	route->lane = lane_of(route);
	*ret_sock = sock;
	return route;
}

void fl_route_refuse(struct fl_endpoint *endpoint, struct fl_listener *listener,
		     enum fl_reason reason, const char *detail, bool quietly)
{
	struct fl_sock *sock = fl_listener_accept(listener, &no_events, NULL);
	struct fl_route *route = sock != NULL ? route_new(endpoint, sock) : NULL;
	struct fl_counters *counters = &endpoint->worker->counters;

	/* For the line, and as a look at the rules is none of the connections that are too many. */
	if (route != NULL && find(route, sock) == FL_REASON_DONE && is_probe(route)) {
		end_probe(route, sock);
		return;
	}
	if (route != NULL) {
		fl_count(&counters->opened[endpoint->direction], 1);
	}
	if (route != NULL && !quietly) {
		refuse(route, sock, reason, detail);
	} else if (route != NULL) {
		fl_counters_ended(counters, endpoint->direction, FL_SECURITY_NONE, reason);
		fl_sock_reset(sock);
		fl_route_unref(route);
	} else if (sock != NULL) {
		fl_sock_reset(sock);
	}
}

/* --- what follows from it ------------------------------------------------------------------------ */

const char *fl_route_name(const struct fl_route *route)
{
	if (!route->endpoint->captures) {
		return route->endpoint->name;
	}
	if (route->service != NULL) {
		return route->service->name;
	}
	return route->upstream != NULL ? route->upstream->name : NULL;
}

void fl_route_describe(const struct fl_route *route, const char *state, struct fl_listed *ret)
{
	*ret = (struct fl_listed){
		.direction = route->direction,
		.state = state,
		.source = route->source,
		.destination = route->destination,
		.port = route->port,
		.generation = route->share->generation->number,
		.started_ns = route->started_ns,
	};
	ret->name = fl_listed_copy(ret, fl_route_name(route));
	ret->own = fl_listed_copy(ret, route->share->generation->credentials->id);
}

const struct fl_conf_service *fl_route_service_under(const struct fl_route *route,
						     const struct fl_share *share)
{
	const struct fl_conf_service *service;

	if (route->endpoint->captures) {
		return service_of_port(share->generation->conf, route->port);
	}
	service = fl_generation_service(share->generation, route->endpoint->name);
	return service != NULL && service->listen.kind != FL_ADDR_NONE ? service : NULL;
}

const struct fl_conf_upstream *fl_route_upstream_under(const struct fl_route *route,
						       const struct fl_share *share)
{
	const struct fl_conf_upstream *upstream = NULL, *known = NULL;

	if (!route->endpoint->captures) {
		upstream = fl_generation_upstream(share->generation, route->endpoint->name);
		return upstream != NULL && upstream->listen.kind != FL_ADDR_NONE ? upstream : NULL;
	}
	if (!upstream_under(route, share, &upstream) && route->upstream->name != NULL) {
		/* A name that is not resolved again yet: most likely the one that it was. */
		known = fl_generation_upstream(share->generation, route->upstream->name);
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

const struct fl_conf_inbound *fl_route_inbound(const struct fl_route *route)
{
	return route->service != NULL ? &route->service->inbound
				      : &route->share->generation->conf->inbound;
}

struct fl_request fl_route_request(const struct fl_route *route, const char *id,
				   union fl_sockaddr *source)
{
	*source = fl_inet_sockaddr(&route->source);
	return (struct fl_request){.id = id,
				   .id_len = id != NULL ? strlen(id) : 0,
				   .port = route->port,
				   .service = fl_route_name(route),
				   .source = route->source.family != 0 ? &source->any : NULL};
}

/* What the app gets is not captured again: not on loopback, and elsewhere by a mark (base/capture.h). Under the client's
 * address it is dialled only where that client would have: an app elsewhere could not answer. */
struct fl_dial fl_route_app(const struct fl_route *route, union fl_sockaddr *to,
			    union fl_sockaddr *from)
{
	struct fl_dial dial = {.to = &to->any, .alive = {.keep_s = route->worker->net.keep_s}};

	if (route->service != NULL && route->service->app.kind != FL_ADDR_NONE) {
		*to = route->service->app.sa;
	} else {
		*to = fl_inet_sockaddr(&route->destination);
		if (route->endpoint->tproxy) {
			*from = fl_inet_sockaddr(&route->source);
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

struct fl_plain_counter *fl_route_plain(const struct fl_route *route)
{
	const struct fl_conf *conf = route->share->generation->conf;
	size_t number = route->upstream == &conf->outbound
				? conf->upstream_count
				: (size_t)(route->upstream - conf->upstreams);

	return route->share->plain[number];
}

bool fl_route_has_address(const struct fl_route *route)
{
	return fl_route_is_captured(route) || (route->targets != NULL && route->targets->count > 0);
}

static size_t addresses_left(const struct fl_route *route)
{
	size_t count = fl_route_is_captured(route) ? 1
		       : route->targets != NULL    ? route->targets->count
						   : 0;

	return count - route->next_target;
}

/* The next address, which is then behind us; false: there is none left. */
static bool next_address(struct fl_route *route, union fl_sockaddr *ret)
{
	if (addresses_left(route) == 0) {
		return false;
	}
	*ret = fl_route_is_captured(route) ? fl_inet_sockaddr(&route->destination)
					   : route->targets->items[route->next_target];
	route->next_target++;
	return true;
}

static uint64_t now_of(const struct fl_route *route)
{
	return uv_now(&route->worker->loop);
}

/* Parts what is left of it. An address that swallows packets must not use up the time of those behind it. False: it is
 * over. */
static bool has_time(struct fl_route *route)
{
	uint64_t now = now_of(route);
	size_t left = addresses_left(route);

	if (route->dial_until_ms == 0) {
		route->dial_until_ms = now + route->worker->connecting.duration_ms;
	}
	if (now >= route->dial_until_ms) {
		return false;
	}
	route->address_until_ms = now + (route->dial_until_ms - now) / (left > 0 ? left : 1);
	return true;
}

bool fl_route_dial_is_late(const struct fl_route *route)
{
	return now_of(route) >= route->address_until_ms;
}

void fl_route_dial_again(struct fl_route *route)
{
	FL_REQUIRE(route->next_target > 0);
	route->next_target--;
	route->dial_until_ms = 0;
}

int fl_route_dial(struct fl_route *route, bool tls, const struct fl_sock_events *events, void *user,
		  fl_sock_dial_cb cb, struct fl_sock **ret)
{
	union fl_sockaddr to;
	int rc = UV_EHOSTUNREACH;

	if (!has_time(route)) {
		return UV_ETIMEDOUT;
	}
	while (next_address(route, &to)) {
		struct fl_dial dial = {.to = &to.any,
				       .alive = {.keep_s = route->worker->net.keep_s,
						 .give_up_ms = route->worker->peer_timeout_ms},
				       .joins_acks = tls,
				       .heeds_icmp = true};
		struct fl_inet inet = fl_inet_of(&to.any);
		struct fl_err err;

		if (fl_route_is_captured(route)) {
			dial.port = FL_PORT_OF_OURS; /* the app has called the same address */
		}
		/* Names may resolve to anything; a captured destination has been judged. */
		if (!fl_route_is_captured(route) && is_ourselves(route->worker, &inet, true)) {
			rc = UV_ELOOP;
			continue;
		}
		if (fl_sock_dial(&route->worker->net, &dial, events, user, cb, ret, &err) == 0) {
			return 0;
		}
		rc = err.sys != 0 ? -err.sys : UV_ENOMEM;
	}
	return rc;
}
