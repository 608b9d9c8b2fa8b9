/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_CONN_STREAM_H
#define FL_CONN_STREAM_H
/* stream - one app connection and its mesh side: the relay, its half-closes and its end.
 *
 *   outbound: the app connected --> NAMING --> [WAITING] --> DIAL_MESH --\
 *   inbound:  the peer was let in --> DIAL_APP ---+--> OPEN --> HALF_APP  --> CLOSED
 *                                                        \--> HALF_MESH --/
 *
 * HALF_APP: the app has finished sending
 * (its FIN became close_notify, or a FIN); HALF_MESH: the peer has. The other direction goes on until it finishes, or until
 * nothing moves for idle_timeout. A reset or a truncation of either side becomes a reset of the other. Each direction
 * holds back at most one read's worth of bytes and stops reading its source meanwhile. Loop-bound. */
#include "conn/conn.h"
#include "conn/listing.h"
#include "conn/mesh.h"

/* An app has connected to an outbound endpoint. Takes sock over; ends by itself. */
void fl_stream_outbound(struct fl_conn *conn, struct fl_sock *sock);
/* An inbound mesh side is ready and was admitted by rule (NULL: by default). Takes it over. early: what has been read of it
 * already; copied. */
void fl_stream_inbound(struct fl_mesh *mesh, struct fl_span early,
		       const struct fl_verdict *verdict);

/* Outbound: DNS has answered, so that streams that wait for it may go on. */
void fl_stream_names_answered(struct fl_loop *loop);

/* Fills ret with what is open, up to its max; streams whose mesh side is not there yet included. */
void fl_stream_list(struct fl_loop *loop, struct fl_listing *ret);
/* One of them; fl_listed_done() frees what ret then holds. */
void fl_stream_describe(const struct fl_stream *stream, struct fl_listed *ret);

/* --- for walk, judge and recycle ------------------------------------------------------------------ */

/* The next stream that the walk with that number has not visited yet; marks it as visited. NULL: there is none. */
struct fl_stream *fl_stream_take_turn(struct fl_loop *loop, uint32_t walk);
/* All of a loop: the first one, and the one after it; NULL: there is none. */
struct fl_stream *fl_stream_first(const struct fl_loop *loop);
struct fl_stream *fl_stream_next(const struct fl_stream *stream);
uint64_t fl_stream_age_s(const struct fl_stream *stream);
/* Logs that it is still open. */
void fl_stream_log_open(struct fl_stream *stream);
/* Its age when that was last logged; 0: never. */
uint64_t fl_stream_logged_s(const struct fl_stream *stream);
struct fl_conn *fl_stream_conn(const struct fl_stream *stream);
/* Is its mesh side there: a verified peer, or a plaintext connection? */
bool fl_stream_has_mesh(const struct fl_stream *stream);
/* NULL: plaintext, or not verified yet. Borrowed. */
struct fl_tls_peer *fl_stream_peer(const struct fl_stream *stream);
/* Has its TLS peer asked for our certificate, as a client's always has? */
bool fl_stream_is_mutual(const struct fl_stream *stream);
bool fl_stream_is_relayed(const struct fl_stream *stream); /* OPEN, HALF_* */
uint64_t
fl_stream_active_ms(const struct fl_stream *stream); /* the last byte, on the loop's clock */
/* Outbound in plaintext: does its address belong to an mtls or refuse upstream now, or lie outside of `within`, and is none
 * that the INI itself writes where this one leads? */
bool fl_stream_is_claimed(const struct fl_stream *stream, const struct fl_share *share);
/* Has the side that opened it sent the last byte, so that an answer may be on its way? */
bool fl_stream_asks(const struct fl_stream *stream);
bool fl_stream_is_quiet(const struct fl_stream *stream); /* nothing waits to be sent, either way */

struct fl_ending {
	enum fl_reason reason;
	bool orderly; /* close_notify and FIN to the peer, FIN to the app; only where it is relayed */
	uint8_t alert; /* otherwise, to a peer that we have not sent close_notify: this alert; 0: a reset */
	enum fl_rule broken_rule;
	const char *detail;               /* for the log; NULL: nothing to add */
	const struct fl_verdict *verdict; /* that ended it; NULL: that of its start */
};
/* Ends it; in every way but the orderly one, the app gets a reset. */
void fl_stream_end(struct fl_stream *stream, const struct fl_ending *ending);

/* Ends every stream of the worker, with a reset (shutdown). */
void fl_stream_end_all(struct fl_loop *loop, enum fl_reason reason);

#endif
