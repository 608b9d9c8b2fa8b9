/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Which section of the INI applies to a connection: when it arrives, and later, when it is judged again under another generation
 * or other answers of DNS.
 *
 * A new connection to a captured destination waits until DNS has answered for all names that may have this address
 * (naming.h). An open one is not ended for want of an answer, nor because its address is no longer in one: addresses
 * change in turn, and a pod that is not ready leaves its name. It stays with the section whose name had its address, as long as
 * that section has that name and nobody else claims the address. But it never stays with what an INI has taken away: without that
 * section it belongs to whatever covers it now. */
#include <strings.h>

#include "conn/conn.h"

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

/* --- the section whose name had the address --------------------------------------------------------- */

static bool has_port(const struct fl_conf_dest *dest, uint16_t port)
{
	return dest->ports.first <= port && port <= dest->ports.last;
}

/* Does its `to` itself cover that address, so that DNS had no part in it? */
static bool is_written(const struct fl_conf_upstream *upstream, const struct fl_cidr *address,
		       uint16_t port)
{
	for (size_t i = 0; i < upstream->dest_count; i++) {
		const struct fl_conf_dest *dest = &upstream->dests[i];

		if (dest->host == NULL && has_port(dest, port) &&
		    fl_cidr_covers(&dest->net, address)) {
			return true;
		}
	}
	return false;
}

static bool has_name(const struct fl_conf_upstream *upstream, const char *host, uint16_t port)
{
	for (size_t i = 0; i < upstream->dest_count; i++) {
		const struct fl_conf_dest *dest = &upstream->dests[i];

		if (dest->host != NULL && has_port(dest, port) &&
		    strcasecmp(dest->host, host) == 0) {
			return true;
		}
	}
	return false;
}

/* Nobody remembers which of its names had the address: so all of them have to be there. */
static bool has_names_of(const struct fl_conf_upstream *now, const struct fl_conf_upstream *before,
			 uint16_t port)
{
	for (size_t i = 0; i < before->dest_count; i++) {
		const struct fl_conf_dest *dest = &before->dests[i];

		if (dest->host != NULL && has_port(dest, port) &&
		    !has_name(now, dest->host, port)) {
			return false;
		}
	}
	return now->listen.kind == FL_ADDR_NONE;
}

/* Would that section not get the address any more, if DNS gave it again? */
static bool is_taken(const struct fl_conf_upstream *upstream, const struct fl_conn *conn,
		     const struct fl_share *share, const struct fl_cidr *address)
{
	const struct fl_upstream_map *map = share->upstream_map;
	uint16_t port = conn->port;
	uint32_t number = 0;

	if (upstream->mode == FL_OUTBOUND_PLAINTEXT) {
		return !fl_conf_is_within(upstream, address) ||
		       fl_upstream_map_is_claimed(map, address, (struct fl_port_range){port, port},
						  NULL);
	}
	return fl_upstream_map_find_network(map, &conn->destination, &number) &&
	       share->generation->conf->upstreams[number].mode != FL_OUTBOUND_PLAINTEXT;
}

/* NULL: it was not admitted by a name, or the section or its name has gone, or the address is somebody else's. */
static const struct fl_conf_upstream *namer_under(const struct fl_conn *conn,
						  const struct fl_share *share)
{
	const struct fl_conf_upstream *before = conn->upstream, *now;
	union fl_sockaddr sa = fl_inet_sockaddr(&conn->destination);
	struct fl_cidr address;

	if (before == NULL || before->name == NULL || !fl_cidr_of(&sa.any, &address) ||
	    is_written(before, &address, conn->port)) {
		return NULL;
	}
	now = fl_conf_find_upstream(share->generation->conf, before->name);
	return now != NULL && has_names_of(now, before, conn->port) &&
			       !is_taken(now, conn, share, &address)
		       ? now
		       : NULL;
}

/* --- upstreams -------------------------------------------------------------------------------------- */

static const struct fl_conf_upstream *captured_under(const struct fl_conn *conn,
						     const struct fl_share *share)
{
	const struct fl_conf *conf = share->generation->conf;
	const struct fl_conf_upstream *namer;
	uint32_t number = 0;

	if (fl_upstream_map_find_address(share->upstream_map, &conn->destination, &number)) {
		return &conf->upstreams[number];
	}
	namer = namer_under(conn, share);
	if (namer != NULL) {
		return namer;
	}
	return fl_upstream_map_find_network(share->upstream_map, &conn->destination, &number)
		       ? &conf->upstreams[number]
		       : &conf->outbound;
}

const struct fl_conf_upstream *fl_conn_upstream_under(const struct fl_conn *conn,
						      const struct fl_share *share)
{
	const struct fl_conf_upstream *upstream;

	if (conn->endpoint->captures) {
		return captured_under(conn, share);
	}
	upstream = fl_conf_find_upstream(share->generation->conf, conn->endpoint->name);
	return upstream != NULL && upstream->listen.kind != FL_ADDR_NONE ? upstream : NULL;
}

bool fl_conn_awaits_name(const struct fl_conn *conn, const struct fl_share *share)
{
	const struct fl_upstream_map *map = share->upstream_map;
	uint32_t number;
	size_t i;

	if (conn->direction != FL_OUTBOUND || !fl_conn_is_captured(conn) ||
	    fl_upstream_map_find_address(map, &conn->destination, &number)) {
		return false;
	}
	for (i = fl_upstream_map_name_on(map, conn->port, 0); i != FL_UPSTREAM_MAP_NO_NAME;
	     i = fl_upstream_map_name_on(map, conn->port, i + 1)) {
		if (!fl_upstream_map_name(map, i)->has_address ||
		    fl_upstream_map_asked_ms(map, i, conn->destination.family) == 0) {
			return true;
		}
	}
	return false;
}

const struct fl_conf_upstream *fl_conn_captured_upstream(const struct fl_conn *conn)
{
	const struct fl_conf *conf = conn->share->generation->conf;
	uint32_t number = 0;

	return fl_upstream_map_find(conn->share->upstream_map, &conn->destination, &number) !=
			       FL_MATCH_NONE
		       ? &conf->upstreams[number]
		       : &conf->outbound;
}
