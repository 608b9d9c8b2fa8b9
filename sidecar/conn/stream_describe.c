/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Reads streams without changing them: for /connections, the log, and judge/. */
#include <utlist.h>

#include "conn/access.h"
#include "conn/stream_internal.h"

#define NS_PER_S 1000000000u

/* --- in words ----------------------------------------------------------------------------------- */

static const char *const state_words[] = {
	[FL_STREAM_NAMING] = "resolving",
	[FL_STREAM_WAITING] = "waiting",
	[FL_STREAM_DIAL_MESH] = "connecting",
	[FL_STREAM_DIAL_APP] = "connecting",
	[FL_STREAM_OPEN] = "open",
	[FL_STREAM_HALF_APP] = "app_done",
	[FL_STREAM_HALF_MESH] = "peer_done",
	[FL_STREAM_FINISHED] = "ending",
};

/* Is there no mesh side yet? */
static bool is_on_its_way(const struct fl_stream *stream)
{
	return stream->state == FL_STREAM_NAMING || stream->state == FL_STREAM_WAITING ||
	       stream->state == FL_STREAM_DIAL_MESH;
}

static const char *state_word(const struct fl_stream *stream)
{
	return stream->state == FL_STREAM_DIAL_MESH && stream->mesh != NULL
		       ? stream->mesh->ops->state_word(stream->mesh)
		       : state_words[stream->state];
}

void fl_stream_describe(const struct fl_stream *stream, struct fl_listed *ret)
{
	const struct fl_conn *conn = stream->conn;
	bool has_mesh = stream->mesh != NULL && !is_on_its_way(stream);
	bool is_inbound = conn->direction == FL_INBOUND;
	char far[FL_ADDR_TEXT];

	fl_conn_describe(conn, state_word(stream), ret);
	ret->security =
		conn->security != FL_SECURITY_NONE ? fl_security_word(conn->security) : NULL;
	if (has_mesh) {
		struct fl_mesh_use use = stream->mesh->ops->use(stream->mesh);

		ret->session = use.session;
		ret->use = use.use;
	}
	ret->peer = has_mesh ? fl_listed_copy(ret, stream->mesh->ops->peer_id(stream->mesh)) : NULL;
	ret->rule = is_inbound ? fl_listed_copy(ret, stream->verdict.rule) : NULL;
	ret->to_app = stream->to_app;
	ret->to_mesh = stream->to_mesh;
	if (!is_inbound && !fl_conn_is_captured(conn) && has_mesh) {
		ret->far = fl_listed_copy(ret, stream->mesh->ops->peer_addr(stream->mesh, far));
	}
}

void fl_stream_list(struct fl_loop *loop, struct fl_listing *ret)
{
	struct fl_stream *stream;

	ret->open = fl_loop_open_connections(loop);
	DL_FOREACH(loop->streams, stream)
	{
		struct fl_listed *item = fl_listing_add(ret);

		if (item == NULL) {
			return;
		}
		fl_stream_describe(stream, item);
		fl_listing_keep(ret);
	}
}

uint64_t fl_stream_age_s(const struct fl_stream *stream)
{
	return (uv_hrtime() - stream->conn->started_ns) / NS_PER_S;
}

void fl_stream_log_open(struct fl_stream *stream)
{
	const struct fl_conn *conn = stream->conn;
	struct fl_access access = {
		.conn = conn,
		.mesh = stream->mesh,
		.verdict = conn->direction == FL_INBOUND ? &stream->verdict : NULL,
		.to_app = stream->to_app,
		.to_mesh = stream->to_mesh,
	};

	stream->logged_s = (uint32_t)fl_stream_age_s(stream);
	if (fl_access_of(conn) == FL_ACCESS_ALL) {
		fl_access_goes_on(&access);
	}
}

uint64_t fl_stream_logged_s(const struct fl_stream *stream)
{
	return stream->logged_s;
}

/* --- for walk, judge and recycle -------------------------------------------------------------------- */

struct fl_stream *fl_stream_take_turn(struct fl_loop *loop, uint32_t walk)
{
	struct fl_stream *stream = loop->streams;

	if (stream == NULL || stream->walked == walk) {
		return NULL;
	}
	stream->walked = walk;
	DL_DELETE(loop->streams, stream);
	DL_APPEND(loop->streams, stream);
	return stream;
}

struct fl_stream *fl_stream_first(const struct fl_loop *loop)
{
	return loop->streams;
}

struct fl_stream *fl_stream_next(const struct fl_stream *stream)
{
	return stream->next;
}

struct fl_conn *fl_stream_conn(const struct fl_stream *stream)
{
	return stream->conn;
}

bool fl_stream_is_mutual(const struct fl_stream *stream)
{
	return stream->mesh != NULL && stream->mesh->ops->is_mutual(stream->mesh);
}

struct fl_tls_peer *fl_stream_peer(const struct fl_stream *stream)
{
	return stream->mesh != NULL ? stream->mesh->ops->peer(stream->mesh) : NULL;
}

bool fl_stream_has_mesh(const struct fl_stream *stream)
{
	return stream->mesh != NULL && stream->mesh->ops->is_ready(stream->mesh);
}

bool fl_stream_is_relayed(const struct fl_stream *stream)
{
	return stream->state == FL_STREAM_OPEN || stream->state == FL_STREAM_HALF_APP ||
	       stream->state == FL_STREAM_HALF_MESH;
}

uint64_t fl_stream_active_ms(const struct fl_stream *stream)
{
	return stream->active_ms;
}

bool fl_stream_asks(const struct fl_stream *stream)
{
	return stream->asks;
}
