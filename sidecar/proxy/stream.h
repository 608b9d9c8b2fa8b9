/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_PROXY_STREAM_H
#define FL_PROXY_STREAM_H
/* stream - one app connection and its mesh side: the relay, its half-closes and its end.
 *
 *   outbound: the app connected  --> DIAL_MESH --\
 *   inbound:  the peer was let in --> DIAL_APP ---+--> OPEN --> HALF_APP  --> CLOSED
 *                                                        \--> HALF_MESH --/
 *
 * The mesh side is a session, or a plain socket where the INI says plaintext. HALF_APP: the app has finished sending
 * (its FIN became close_notify, or a FIN); HALF_MESH: the peer has. The other direction goes on until it finishes, or until
 * nothing moves for idle_timeout. A reset or a truncation of either side becomes a reset of the other. Each direction
 * holds back at most one read's worth of bytes and stops reading its source meanwhile. Loop-bound. */
#include "proxy/listing.h"
#include "proxy/session.h"

/* An app has connected to an outbound endpoint. Takes sock over; ends by itself. */
void fl_stream_outbound(struct fl_route *route, struct fl_sock *sock);
/* A session was accepted, verified and allowed by rule (NULL: by default). Takes the session over. */
void fl_stream_inbound(struct fl_session *session, const struct fl_verdict *verdict);
/* The same for a client that speaks plaintext. Takes sock over, which is not being read. early: what has been read of it
 * already; copied. */
void fl_stream_inbound_plain(struct fl_route *route, struct fl_sock *sock, struct fl_span early,
			     const struct fl_verdict *verdict);

/* Fills ret with what is open, up to its max; streams whose mesh side is not there yet included. */
void fl_stream_list(struct fl_worker *worker, struct fl_listing *ret);

/* Ends every stream of the worker, with a reset (shutdown). */
void fl_stream_end_all(struct fl_worker *worker, enum fl_reason reason);

#endif
