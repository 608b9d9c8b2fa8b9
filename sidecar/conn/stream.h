/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_CONN_STREAM_H
#define FL_CONN_STREAM_H
/* stream - one app connection and its mesh side: the relay, its half-closes and its end.
 *
 *   outbound: the app connected --> NAMING --> [WAITING] --> DIAL_MESH --\
 *   inbound:  the peer is admitted --> DIAL_APP ---+--> OPEN --> HALF_APP  --> CLOSED
 *                                                         \--> HALF_MESH --/
 *
 * HALF_APP: the app has finished sending (its FIN became close_notify, or a FIN); HALF_MESH: the peer has. The other
 * direction continues until it finishes, or until no bytes flow for idle_timeout. A reset or a truncation of either side
 * becomes a reset of the other. Each direction holds back at most one read's worth of bytes and stops reading its source
 * meanwhile. Loop-bound. */
#include "conn/conn.h"
#include "conn/listing.h"
#include "conn/mesh.h"

/* An app has connected to an outbound endpoint. Takes over sock; the stream ends by itself. */
void fl_stream_outbound(struct fl_conn *conn, struct fl_sock *sock);
/* An inbound mesh side is ready and was admitted by rule (NULL: by default). Takes it over. early: bytes that have already
 * been read from it; copied. */
void fl_stream_inbound(struct fl_mesh *mesh, struct fl_span early,
		       const struct fl_verdict *verdict);

/* Outbound: DNS has answered, so streams that wait for it may continue. */
void fl_stream_names_answered(struct fl_loop *loop);

/* Fills ret with the open streams, up to its max, including those without a mesh side yet. */
void fl_stream_list(struct fl_loop *loop, struct fl_listing *ret);
/* Describes one stream; fl_listed_done() frees the contents of ret. */
void fl_stream_describe(const struct fl_stream *stream, struct fl_listed *ret);

/* --- for walk, judge and recycle ------------------------------------------------------------------ */

/* The next stream that the walk with that number has not visited yet; marks it as visited. NULL: there is none. */
struct fl_stream *fl_stream_take_turn(struct fl_loop *loop, uint32_t walk);
/* Iterates over all streams of a loop: the first one, and the next one; NULL: there is none. */
struct fl_stream *fl_stream_first(const struct fl_loop *loop);
struct fl_stream *fl_stream_next(const struct fl_stream *stream);
uint64_t fl_stream_age_s(const struct fl_stream *stream);
/* Logs that the stream is still open, unless its service is not logged. */
void fl_stream_log_open(struct fl_stream *stream);
/* Its age when fl_stream_log_open() last logged it; 0: never. */
uint64_t fl_stream_logged_s(const struct fl_stream *stream);
struct fl_conn *fl_stream_conn(const struct fl_stream *stream);
/* Is its mesh side ready: a verified peer, or a plaintext connection? */
bool fl_stream_has_mesh(const struct fl_stream *stream);
/* NULL: plaintext, or not verified yet. Borrowed. */
struct fl_tls_peer *fl_stream_peer(const struct fl_stream *stream);
/* Has its TLS peer seen our certificate? A client always has; a server only if it asked for one. */
bool fl_stream_is_mutual(const struct fl_stream *stream);
bool fl_stream_is_relayed(const struct fl_stream *stream); /* OPEN, HALF_* */
uint64_t
fl_stream_active_ms(const struct fl_stream *stream); /* the last byte, on the loop's clock */
/* Outbound in plaintext: does its address now belong to an mtls or refuse upstream, or lie outside `within`, without being
 * written in the INI as an address of this upstream? */
bool fl_stream_is_claimed(const struct fl_stream *stream, const struct fl_share *share);
/* Did the side that opened the connection send the last byte, so that an answer may be due? */
bool fl_stream_asks(const struct fl_stream *stream);
bool fl_stream_is_quiet(const struct fl_stream *stream); /* no bytes wait to be sent, either way */

struct fl_ending {
	enum fl_reason reason;
	bool orderly; /* close_notify and FIN to the peer, FIN to the app; only if the relay is open */
	uint8_t alert; /* otherwise: this alert, to a peer to which we have not sent close_notify; 0: a reset */
	enum fl_rule broken_rule;
	const char *detail;               /* additional sentence for the log; NULL: none */
	const struct fl_verdict *verdict; /* the verdict that ended it; NULL: that of its start */
};
/* Ends it; unless the end is orderly, the app gets a reset. */
void fl_stream_end(struct fl_stream *stream, const struct fl_ending *ending);

/* Ends every stream of the worker, with a reset (shutdown). */
void fl_stream_end_all(struct fl_loop *loop, enum fl_reason reason);

#endif
