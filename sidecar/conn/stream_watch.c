/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Watches streams whose relay is open: for idleness, and for peers that are gone. What the kernel detects by itself arrives
 * as an error of the socket; this file detects what the kernel would detect too late.
 *
 * A socket that we have dialled gets its keep-alive options when the relay has been open for loop.young: they are up to five
 * system calls, and most connections end before a probe could be due. */
#include "conn/stream_internal.h"

/* --- checks --------------------------------------------------------------------------------------------- */

static bool end_if_idle(struct fl_stream *stream)
{
	const struct fl_loop *loop = stream->conn->loop;

	if (loop->idle_timeout_ms == 0 ||
	    uv_now(loop->uv) - stream->active_ms < loop->idle_timeout_ms) {
		return false;
	}
	fl_stream_abort(stream, FL_REASON_IDLE_TIMEOUT);
	return true;
}

static void on_idle_check(struct fl_deadline *deadline);

/* The first check. */
static void on_grown(struct fl_deadline *deadline)
{
	struct fl_stream *stream = FL_CONTAINER_OF(deadline, struct fl_stream, deadline);

	fl_sock_begin_keep(stream->app);
	stream->mesh->ops->begin_keep(stream->mesh);
	on_idle_check(deadline);
}

/* Checks at intervals instead of re-arming a timer for every byte: at most an eighth of idle_timeout late. */
static void on_idle_check(struct fl_deadline *deadline)
{
	struct fl_stream *stream = FL_CONTAINER_OF(deadline, struct fl_stream, deadline);
	struct fl_loop *loop = stream->conn->loop;

	if (!end_if_idle(stream)) {
		fl_deadline_add(&loop->idle, deadline, on_idle_check);
	}
}

/* Has the peer's machine sent nothing for peer_timeout? An answer that says it has no buffer space also counts. */
static bool is_peer_gone(struct fl_stream *stream, const struct fl_debt *debt)
{
	const struct fl_loop *loop = stream->conn->loop;

	return fl_silence_is_too_long(&stream->silence, debt, uv_now(loop->uv),
				      loop->peer_timeout_ms);
}

static void on_unanswered_check(struct fl_deadline *deadline)
{
	struct fl_stream *stream = FL_CONTAINER_OF(deadline, struct fl_stream, unanswered);
	struct fl_debt debt = stream->mesh->ops->debt(stream->mesh);

	if (!debt.is_open) {
		/* The peer has taken all, and has not ended the connection. */
		fl_stream_note_success(stream);
		return; /* until we write again */
	}
	if (is_peer_gone(stream, &debt)) {
		fl_stream_abort(stream, FL_REASON_PEER_TIMEOUT);
	} else {
		fl_deadline_add(&stream->conn->loop->unanswered, deadline, on_unanswered_check);
	}
}

/* The peer's kernel has to acknowledge what was sent. That is checked at intervals, not for each byte; keep-alive probes an
 * idle peer. */
void fl_stream_expect_answer(struct fl_stream *stream)
{
	struct fl_loop *loop = stream->conn->loop;

	if (stream->unanswered.next == NULL) {
		fl_silence_begin(&stream->silence, uv_now(loop->uv));
		fl_deadline_add(&loop->unanswered, &stream->unanswered, on_unanswered_check);
	}
}

/* Probes as often as conntrack needs to see packets; it forgets half-closed connections soonest. */
void fl_stream_keep(struct fl_stream *stream)
{
	fl_loop_check_conntrack(stream->conn->loop);
	fl_sock_keep(stream->app);
	stream->mesh->ops->keep(stream->mesh);
}

void fl_stream_watch(struct fl_stream *stream)
{
	fl_stream_keep(stream);
	fl_deadline_add(&stream->conn->loop->young, &stream->deadline, on_grown);
}
