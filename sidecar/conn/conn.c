/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "conn/conn.h"

#include <stdlib.h>
#include <string.h>

#include "base/capture.h"

/* --- life --------------------------------------------------------------------------------------- */

struct fl_conn *fl_conn_new(struct fl_endpoint *endpoint, const struct fl_inet *source)
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
	conn->source = *source;
	fl_loop_opened(loop, endpoint->direction);
	return conn;
}

struct fl_conn *fl_conn_ref(struct fl_conn *conn)
{
	conn->refs++;
	return conn;
}

static void leave_section(struct fl_conn *conn)
{
	if (conn->section != NULL) {
		__atomic_store_n(&conn->section->left, conn->section->left + 1, __ATOMIC_RELEASE);
		conn->section = NULL;
	}
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
	leave_section(conn);
	if (conn->admitted) {
		fl_quota_give_back(&conn->loop->quota, (enum fl_direction)conn->direction,
				   conn->quota);
	}
	fl_pool_end(&conn->loop->parking.pool, conn->place, uv_now(conn->loop->uv));
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

	enum fl_security security = id != NULL ? FL_SECURITY_MTLS : FL_SECURITY_PLAINTEXT;

	if (conn->peer != NULL) {
		FL_REQUIRE(conn->security == security);
		fl_peer_left(conn->peer, uv_now(loop->uv));
	} else {
		conn->security = (uint8_t)security;
		fl_count(&loop->counters.classified[conn->direction][conn->security], 1);
	}
	conn->peer = fl_peer_counts_opened(loop->peers, loop->number, conn->direction, id,
					   uv_now(loop->uv));
}

/* NULL: the INI has lost its upstream. */
static struct fl_section_cell *cell_of(const struct fl_conn *conn)
{
	const struct fl_conf *conf = conn->share->generation->conf;
	size_t number;

	if (conn->direction == FL_INBOUND) {
		number = conn->service != NULL ? (size_t)(conn->service - conf->services)
					       : conf->service_count;
	} else if (conn->upstream != NULL) {
		number = conn->upstream != &conf->outbound
				 ? (size_t)(conn->upstream - conf->upstreams)
				 : conf->upstream_count;
		number += conf->service_count + 1;
	} else {
		return NULL;
	}
	return fl_section_cell(conn->share->sections->items[number], conn->share->worker);
}

/* A section that stays has one cell, whatever the generation. Sessions of another one are in another place. */
void fl_conn_belongs(struct fl_conn *conn)
{
	struct fl_section_cell *cell = cell_of(conn);

	if (cell == conn->section) {
		return;
	}
	leave_section(conn);
	fl_pool_end(&conn->loop->parking.pool, conn->place, uv_now(conn->loop->uv));
	conn->place = NULL;
	conn->section = cell;
	if (cell != NULL) {
		fl_count(&cell->opened, 1);
	}
}

/* --- what follows from it ------------------------------------------------------------------------ */

bool fl_conn_shorten_dial(struct fl_conn *conn)
{
	uint64_t latest = uv_now(conn->loop->uv) + conn->loop->connecting.duration_ms;
	bool is_shorter = conn->dial_until_ms > latest;

	if (is_shorter) {
		conn->dial_until_ms = latest;
	}
	return is_shorter;
}

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

/* The connection to the app is not captured again: loopback is not captured, and elsewhere a mark prevents it
 * (base/capture.h). The client's address is used as the source only if the app is at the address that the client dialled:
 * an app elsewhere could not answer. */
struct fl_dial fl_conn_app(const struct fl_conn *conn, union fl_sockaddr *to,
			   union fl_sockaddr *from)
{
	struct fl_dial dial = {.to = &to->any}; /* probes begin later: stream_watch.c */

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
	if (to->any.sa_family == AF_UNIX) {
		dial.is_patient = true; /* for connect_timeout */
	} else {
		struct fl_inet inet = fl_inet_of(&to->any);

		dial.tos = fl_inet_is_loopback(&inet) ? 0 : FL_CAPTURE_TO_APP_TOS;
	}
	return dial;
}

struct fl_plaintext_counter *fl_conn_plaintext_counter(const struct fl_conn *conn)
{
	const struct fl_conf *conf = conn->share->generation->conf;
	size_t number = conn->upstream == &conf->outbound
				? conf->upstream_count
				: (size_t)(conn->upstream - conf->upstreams);

	return conn->share->plaintext[number];
}

const char *fl_detected_word(enum fl_detected detected)
{
	switch (detected) {
	case FL_DETECTED_NOTHING:
		break;
	case FL_DETECTED_FAIRLEAD:
		return "fairlead";
	case FL_DETECTED_TLS:
		return "tls";
	case FL_DETECTED_PLAINTEXT:
		return "plaintext";
	case FL_DETECTED_SILENCE:
		return "silence";
	}
	return NULL;
}
