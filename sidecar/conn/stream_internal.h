/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_CONN_STREAM_INTERNAL_H
#define FL_CONN_STREAM_INTERNAL_H
/* A stream as its files share it: stream.c relays, stream_name.c finds its upstream, stream_dial.c dials, stream_watch.c
 * watches it, stream_describe.c describes it. Private to them. */
#include "conn/naming.h"
#include "conn/state.h"
#include "conn/stream.h"

enum fl_stream_state {
	FL_STREAM_NAMING,
	FL_STREAM_WAITING,
	FL_STREAM_DIAL_MESH,
	FL_STREAM_DIAL_APP,
	FL_STREAM_OPEN,
	FL_STREAM_HALF_APP,
	FL_STREAM_HALF_MESH,
	FL_STREAM_FINISHED,
	FL_STREAM_CLOSED
};

struct fl_stream {
	struct fl_corpse corpse; /* first member: buried when closed */
	struct fl_stream *prev, *next;
	struct fl_conn *conn;    /* a reference */
	struct fl_mesh *mesh;    /* owned; NULL until it is dialled, and after its end */
	struct fl_sock *app;     /* NULL after its end */
	struct fl_kept *kept;    /* owned; outbound: what starts over with it; NULL: nothing */
	struct early *early;     /* owned; NULL: no early bytes, or already sent to the app */
	struct fl_waiter waiter; /* WAITING */
	struct fl_naming_waiter unnamed; /* NAMING */
	/* WAITING and DIAL_APP: connect_timeout. NAMING: the next check of its name. OPEN and later: the next check for
	 * idleness */
	struct fl_deadline deadline;
	struct fl_deadline
		unanswered; /* while the peer may owe us an acknowledgement: the next check */
	struct fl_silence silence; /* of the peer, as far as that */
	uint64_t active_ms;        /* uv_now() of the last byte */
	uint64_t to_app, to_mesh;
	struct fl_verdict verdict; /* inbound; its strings belong to the session's generation */
	uint32_t walked;           /* number of the last walk that has visited it */
	uint32_t logged_s;         /* its age when last logged as open; 0: never */
	uint8_t state;             /* enum fl_stream_state */
	bool succeeded;            /* the section's success has been noted (trouble.h) */
	bool again;                /* it starts over, on a fresh session */
	bool had_turn;             /* a slot was free for it: the next one is its own, too */
	bool ended_before;         /* and its app had finished sending */
	bool asks;                 /* the side that opened the connection has sent the last byte */
};

extern const struct fl_states fl_stream_states;

/* stream.c: the mesh side's, and the app's. */
extern const struct fl_mesh_events fl_stream_mesh_events;
extern const struct fl_sock_events fl_stream_app_events;

/* NULL: no memory. */
struct fl_stream *fl_stream_new(struct fl_conn *conn, enum fl_stream_state state);
void fl_stream_enter(struct fl_stream *stream, enum fl_stream_state next);
/* One side has finished. */
void fl_stream_set_half_open(struct fl_stream *stream, enum fl_stream_state state);
/* Ends both sides with a reset. */
void fl_stream_abort(struct fl_stream *stream, enum fl_reason reason);
/* Its mesh side is ready: is it still admitted (fl_loop_hooks.admit_stream)? False: it has been ended. */
bool fl_stream_is_admitted(struct fl_stream *stream);
/* Its section works; the first call is noted (trouble.h). */
void fl_stream_note_success(struct fl_stream *stream);
void fl_stream_start_relay(struct fl_stream *stream);
void fl_stream_read_both(struct fl_stream *stream); /* sides that the other side does not block */

/* stream_name.c: outbound: finds out which upstream it belongs to and where that leads, waits for DNS if it must (NAMING), and
 * continues with fl_stream_go_out(). */
void fl_stream_find_name(struct fl_stream *stream);
/* stream_watch.c: the relay begins. */
void fl_stream_watch(struct fl_stream *stream);
/* Bytes were sent to the peer. */
void fl_stream_expect_answer(struct fl_stream *stream);
/* Both sides are probed as often as conntrack now needs to see packets; it forgets half-closed connections soonest. */
void fl_stream_keep(struct fl_stream *stream);

/* stream_dial.c: outbound: the upstream is known. */
void fl_stream_go_out(struct fl_stream *stream);
/* stream_dial.c: a session that was used before has not carried it (mesh.h). user: the stream. */
void fl_stream_start_over(void *user, struct fl_kept *kept);
/* stream_dial.c: the outbound mesh side is ready. user: the stream. */
void fl_stream_mesh_ready(void *user);

#endif
