/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Outbound: the app has connected, and the upstream of its destination has to be found (naming.h).
 *
 * Happy path: the upstream is known already. Otherwise the stream waits until DNS has answered, within connect_timeout; the
 * rest of that time is for dialling. Failure: the app sees a reset.
 *
 * A stream that then waits for a slot comes here once more if another generation has come into force meanwhile. */
#include <utlist.h>

#include "conn/stream_internal.h"

#define DETAIL 512

static void end_without_name(struct fl_stream *stream, enum fl_reason reason, const char *detail)
{
	fl_stream_end(stream, &(struct fl_ending){.reason = reason, .detail = detail});
}

static void go_on(struct fl_stream *stream, enum fl_naming naming, const char *detail)
{
	fl_naming_leave(stream->conn->loop, &stream->unnamed);
	fl_deadline_drop(&stream->deadline);
	if (stream->conn->upstream != NULL) {
		fl_conn_belongs(stream->conn);
	}
	switch (naming) {
	case FL_NAMING_KNOWN:
	case FL_NAMING_LINGER:
		fl_stream_go_out(stream);
		break;
	case FL_NAMING_WAIT:
	case FL_NAMING_NOBODY:
		end_without_name(stream, FL_REASON_NO_ADDRESS, detail[0] != '\0' ? detail : NULL);
		break;
	case FL_NAMING_NO_SUCH:
		end_without_name(stream, FL_REASON_RESTART_NEEDED, NULL);
		break;
	}
}

static uint64_t now_of(const struct fl_stream *stream)
{
	return uv_now(stream->conn->loop->uv);
}

static void on_check(struct fl_deadline *deadline);

/* connect_timeout begins here: it includes the time for asking. */
static void wait_for_name(struct fl_stream *stream)
{
	struct fl_loop *loop = stream->conn->loop;

	if (stream->unnamed.prev == NULL) {
		stream->conn->dial_until_ms = now_of(stream) + loop->connecting.duration_ms;
		if (stream->state != FL_STREAM_NAMING) {
			fl_stream_enter(stream, FL_STREAM_NAMING);
		}
		fl_naming_wait(loop, &stream->unnamed);
		fl_deadline_add(&loop->dialing, &stream->deadline, on_check);
	}
}

void fl_stream_find_name(struct fl_stream *stream)
{
	char detail[DETAIL];
	enum fl_naming naming = fl_naming_decide(stream->conn, detail, sizeof(detail));

	if (naming == FL_NAMING_WAIT || naming == FL_NAMING_LINGER) {
		wait_for_name(stream);
	} else {
		go_on(stream, naming, detail);
	}
}

/* FL_DIAL_CHECKS times in one connect_timeout; a stream that only lingers continues at the first check. */
static void on_check(struct fl_deadline *deadline)
{
	struct fl_stream *stream = FL_CONTAINER_OF(deadline, struct fl_stream, deadline);
	char detail[DETAIL];
	enum fl_naming naming = fl_naming_decide(stream->conn, detail, sizeof(detail));

	(void)fl_conn_shorten_dial(stream->conn);
	if (naming == FL_NAMING_WAIT && now_of(stream) < stream->conn->dial_until_ms) {
		fl_deadline_add(&stream->conn->loop->dialing, deadline, on_check);
	} else {
		go_on(stream, naming, detail);
	}
}

void fl_stream_names_answered(struct fl_loop *loop)
{
	struct fl_naming_waiter *waiter, *next;

	DL_FOREACH_SAFE(loop->unnamed, waiter, next)
	{
		fl_stream_find_name(FL_CONTAINER_OF(waiter, struct fl_stream, unnamed));
	}
}

/* --- whose address it is -------------------------------------------------------------------------- */

/* Does the INI itself write that address in `to` of this upstream? */
static bool is_written(const struct fl_conf_upstream *upstream, const struct fl_inet *to)
{
	for (size_t i = 0; upstream != NULL && i < upstream->to_count; i++) {
		if (upstream->to[i].kind == FL_ADDR_IP) {
			struct fl_inet written = fl_inet_of(&upstream->to[i].sa.any);

			if (fl_inet_equal(&written, to)) {
				return true;
			}
		}
	}
	return false;
}

bool fl_stream_is_claimed(const struct fl_stream *stream, const struct fl_share *share)
{
	const struct fl_conn *conn = stream->conn;
	const struct fl_conf_upstream *upstream;
	union fl_sockaddr sa;
	bool claimed;
	struct fl_inet to;
	struct fl_cidr address;

	if (conn->direction != FL_OUTBOUND || conn->security != FL_SECURITY_PLAINTEXT ||
	    stream->mesh == NULL) {
		return false;
	}
	upstream = fl_conn_upstream_under(conn, share);
	to = fl_conn_is_captured(conn) ? conn->destination
				       : stream->mesh->ops->peer_inet(stream->mesh);
	if (to.family == 0 || (fl_conn_is_captured(conn) && upstream != NULL &&
			       upstream->mode == FL_OUTBOUND_PLAINTEXT)) {
		return false;
	}
	sa = fl_inet_sockaddr(&to);
	if (!fl_cidr_of(&sa.any, &address)) {
		return false;
	}
	claimed = fl_upstream_map_is_claimed(share->upstream_map, &address,
					     (struct fl_port_range){to.port, to.port}, NULL);
	if (fl_conn_is_captured(conn)) {
		return claimed;
	}
	return upstream != NULL && !is_written(upstream, &to) &&
	       (claimed || !fl_conf_is_within(upstream, &address));
}
