/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_PROXY_STREAM_INTERNAL_H
#define FL_PROXY_STREAM_INTERNAL_H
/* What stream.c relays and stream_look.c looks at. Private to the two. */
#include "proxy/stream.h"

enum fl_stream_state { DIAL_MESH, DIAL_APP, OPEN, HALF_APP, HALF_MESH, FINISHED, CLOSED };

struct fl_stream {
	struct fl_corpse corpse; /* first: buried when closed */
	struct fl_stream *prev, *next;
	struct fl_route *route;           /* a reference */
	struct fl_session *session;       /* the mesh side; NULL once it is gone, or: */
	struct fl_sock *plain;            /* the mesh side in plaintext; NULL once it is gone */
	struct fl_sock *app;              /* NULL once it is gone */
	struct early *early;              /* owned; NULL: nothing, or the app has it */
	struct fl_plain_counter *counter; /* outbound in plaintext */
	/* DIAL_APP, and DIAL_MESH in plaintext: connect_timeout. OPEN and later: the next look for idleness */
	struct fl_deadline deadline;
	uint64_t active_ms; /* uv_now() of the last byte */
	uint64_t to_app, to_mesh;
	struct fl_verdict verdict; /* inbound; its strings belong to the session's generation */
	uint32_t walked;           /* number of the last walk that has seen it */
	uint32_t told_s;           /* how old it was when the log told of it; 0: never */
	uint8_t state;             /* enum fl_stream_state */
	bool asks;                 /* who opened the connection has spoken last */
};

#endif
