/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The map of upstreams knows when each of its names was last queried. This file decides whether that is recent enough for a
 * connection that has just arrived. */
#include "conn/naming.h"

#include <stdio.h>
#include <utlist.h>

#include "conn/conn.h"

#define NS_PER_MS 1000000u

void fl_naming_wait(struct fl_loop *loop, struct fl_naming_waiter *waiter)
{
	DL_APPEND(loop->unnamed, waiter);
}

/* NOLINTNEXTLINE(readability-function-size): what is large is utlist's macro */
void fl_naming_leave(struct fl_loop *loop, struct fl_naming_waiter *waiter)
{
	if (waiter->prev != NULL) {
		DL_DELETE(loop->unnamed, waiter);
		waiter->prev = waiter->next = NULL;
	}
}

/* Nothing has been dialled for the connection, so it uses the current share. Returns the one before, a reference; NULL: it is
 * the same one. */
static struct fl_share *take_current_share(struct fl_conn *conn)
{
	struct fl_share *before = conn->share;

	if (before == conn->loop->share) {
		return NULL;
	}
	conn->share = fl_share_ref(conn->loop->share);
	return before;
}

static void want(const struct fl_conn *conn, size_t name)
{
	const struct fl_loop_hooks *hooks = &conn->loop->hooks;

	if (hooks->want_name != NULL) {
		hooks->want_name(hooks->user, name);
	}
}

static bool is_fresh(const struct fl_conn *conn, size_t name, int family)
{
	const struct fl_upstream_map *map = conn->share->upstream_map;
	uint64_t answered_ms = fl_upstream_map_asked_ms(map, name, family);

	return answered_ms != 0 &&
	       answered_ms + fl_upstream_map_fresh_ms(map) >= conn->started_ns / NS_PER_MS;
}

static void explain(const struct fl_upstream_name *name, char *detail, size_t size)
{
	if (name->trouble != NULL) {
		(void)snprintf(detail, size, "%s", name->trouble);
	} else {
		(void)snprintf(detail, size, "%s has not been answered again yet", name->host);
	}
}

/* --- captured ----------------------------------------------------------------------------------- */

/* Among the names with its port: one that DNS has not answered; if there is none, one without an address. */
static enum fl_naming ask_names(struct fl_conn *conn, const struct fl_upstream_name **ret)
{
	const struct fl_upstream_map *map = conn->share->upstream_map;
	enum fl_naming result = FL_NAMING_KNOWN;
	size_t i = fl_upstream_map_name_on(map, conn->port, 0);

	for (; i != FL_UPSTREAM_MAP_NO_NAME; i = fl_upstream_map_name_on(map, conn->port, i + 1)) {
		const struct fl_upstream_name *name = fl_upstream_map_name(map, i);

		if (name->state == FL_NAME_FAILING || name->state == FL_NAME_UNASKED ||
		    !is_fresh(conn, i, conn->destination.family)) {
			want(conn, i);
			*ret = name;
			result = FL_NAMING_WAIT;
		} else if (name->state == FL_NAME_MISSING && result == FL_NAMING_KNOWN) {
			*ret = name;
			result = FL_NAMING_NOBODY;
		}
	}
	return result;
}

/* Is any name stale, other than because DNS fails? Queries all stale names. */
static bool asks_again(struct fl_conn *conn)
{
	const struct fl_upstream_map *map = conn->share->upstream_map;
	size_t i = fl_upstream_map_name_on(map, conn->port, 0);
	bool any = false;

	for (; i != FL_UPSTREAM_MAP_NO_NAME; i = fl_upstream_map_name_on(map, conn->port, i + 1)) {
		if (!is_fresh(conn, i, conn->destination.family)) {
			want(conn, i);
			any = any || fl_upstream_map_name(map, i)->state != FL_NAME_FAILING;
		}
	}
	return any;
}

static enum fl_naming decide_captured(struct fl_conn *conn, char *detail, size_t size)
{
	const struct fl_conf *conf = conn->share->generation->conf;
	const struct fl_upstream_map *map = conn->share->upstream_map;
	const struct fl_upstream_name *name = NULL;
	enum fl_naming result;
	uint32_t number = 0;

	if (fl_upstream_map_find_address(map, &conn->destination, &number)) {
		conn->upstream = &conf->upstreams[number];
		return conn->upstream->mode == FL_OUTBOUND_PLAINTEXT &&
				       fl_upstream_map_is_loose(map, &conn->destination) &&
				       asks_again(conn)
			       ? FL_NAMING_LINGER
			       : FL_NAMING_KNOWN;
	}
	result = ask_names(conn, &name);
	if (result != FL_NAMING_KNOWN) {
		conn->upstream = &conf->upstreams[name->upstream];
		explain(name, detail, size);
		return result;
	}
	conn->upstream = fl_upstream_map_find_network(map, &conn->destination, &number)
				 ? &conf->upstreams[number]
				 : &conf->outbound;
	return FL_NAMING_KNOWN;
}

/* --- fixed -------------------------------------------------------------------------------------- */

static enum fl_naming ask_names_of(struct fl_conn *conn, char *detail, size_t size)
{
	const struct fl_upstream_map *map = conn->share->upstream_map;
	uint32_t number = (uint32_t)(conn->upstream - conn->share->generation->conf->upstreams);
	enum fl_naming result = FL_NAMING_NOBODY;
	size_t i = fl_upstream_map_name_of(map, number, 0);

	for (; i != FL_UPSTREAM_MAP_NO_NAME; i = fl_upstream_map_name_of(map, number, i + 1)) {
		const struct fl_upstream_name *name = fl_upstream_map_name(map, i);
		bool is_answered = name->state == FL_NAME_KNOWN || name->state == FL_NAME_MISSING;

		if (!is_answered || (!is_fresh(conn, i, AF_INET) && !is_fresh(conn, i, AF_INET6))) {
			want(conn, i);
			explain(name, detail, size);
			result = FL_NAMING_WAIT;
		} else if (result == FL_NAMING_NOBODY && name->trouble != NULL) {
			explain(name, detail, size);
		} else if (result == FL_NAMING_NOBODY) {
			(void)snprintf(
				detail, size,
				"%s has no address that this upstream may use: the log names "
				"those that are refused",
				name->host);
		}
	}
	return result;
}

static enum fl_naming decide_fixed(struct fl_conn *conn, char *detail, size_t size)
{
	const struct fl_endpoint *endpoint = conn->endpoint;

	conn->upstream = endpoint->upstream;
	if (endpoint->upstream == NULL) {
		return FL_NAMING_NO_SUCH;
	}
	if (endpoint->targets != NULL && endpoint->targets->count > 0) {
		fl_targets_unref(conn->targets);
		conn->targets = fl_targets_ref(endpoint->targets);
		return FL_NAMING_KNOWN;
	}
	if (endpoint->targets == NULL || endpoint->targets->withholds) {
		(void)snprintf(
			detail, size,
			"DNS has not answered yet for names of mtls upstreams, which may have "
			"the same address");
		return FL_NAMING_WAIT;
	}
	return ask_names_of(conn, detail, size);
}

enum fl_naming fl_naming_decide(struct fl_conn *conn, char *detail, size_t size)
{
	struct fl_share *before = take_current_share(conn);
	enum fl_naming result;

	detail[0] = '\0';
	result = fl_conn_is_captured(conn) ? decide_captured(conn, detail, size)
					   : decide_fixed(conn, detail, size);
	if (before != NULL) {
		if (conn->section != NULL) {
			fl_conn_belongs(conn); /* what it was counted for goes with that share */
		}
		fl_share_unref(before);
	}
	return result;
}
