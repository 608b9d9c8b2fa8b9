/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_CONN_SESSION_H
#define FL_CONN_SESSION_H
/* session - one TLS connection to an authenticated peer: a socket, an engine, and nothing of the app.
 *
 *   dial   --> DIALING --> HANDSHAKE --> READY --> CLOSED
 *   accept ------------------^  (every state but READY has a deadline; any state may go to CLOSED)
 *
 * Its user is told through events and is, once READY, a stream that relays an app connection; who the user is can
 * change. Reading is off when READY is reached: fl_session_read_start() turns it on. Plaintext handed to on_data
 * is the worker's scratch. An ended session is gone for its user: on_closed is the last event, and
 * fl_session_close/reset/refuse end it without one. Loop-bound. */
#include "conn/conn.h"
#include "wire/proxy_v2.h"

struct fl_session;

struct fl_session_events {
	void (*on_ready)(void *user);                           /* the peer is verified */
	void (*on_data)(void *user, uint8_t *data, size_t len); /* plaintext */
	void (*on_eof)(void *user);   /* close_notify: no more plaintext will come */
	void (*on_drain)(void *user); /* pending is empty again */
	void (*on_closed)(void *user, enum fl_reason reason); /* failed; gone */
};

/* What others have had of a connection before its handshake. */
struct fl_session_begun {
	struct fl_span early; /* that has been read already */
	struct fl_deadline *
		deadline; /* its handshake_timeout runs since then; NULL, or not queued: it begins now */
};

/* Server role, on a connection. Takes sock over. early: what the engine needs for its first answer; when it gives none
 * it is the end. Its user is, until set, the session itself. Without memory the connection is reset, and that is logged. Events may run inside. */
void fl_session_accept(struct fl_conn *conn, struct fl_sock *sock,
		       const struct fl_session_begun *begun,
		       const struct fl_session_events *events);
/* Somebody of that lane needs a place: ends the inbound handshake that is in its way, if its peer has been silent for `patience`
 * times the lane's (fl_slots_patience_ms()). False: it is not, or there is none. Who waits for places may be served inside. */
bool fl_session_make_room(struct fl_loop *loop, uint32_t lane, unsigned patience);
/* Client role: dials the connection's addresses in order until one answers; its peer must be one that the upstream names.
 * NULL: it failed already, *ret_reason says why; no event runs inside. */
struct fl_session *fl_session_dial(struct fl_conn *conn, const struct fl_session_events *events,
				   void *user, enum fl_reason *ret_reason);
/* Both take a reference of their own to the connection, and keep it until their end. */
struct fl_conn *fl_session_route(const struct fl_session *session);

void fl_session_set_user(struct fl_session *session, const struct fl_session_events *events,
			 void *user);

void fl_session_read_start(
	struct fl_session *
		session); /* may run on_data, on_eof and on_closed inside: bytes that came with the handshake */
void fl_session_read_stop(struct fl_session *session);

/* In on_data: these bytes are the last, on_eof follows at once. */
bool fl_session_read_is_last(const struct fl_session *session);

/* 0: all in the kernel; 1: pending, stop producing until on_drain; negative: broken, end it with fl_session_reset().
 * more: something follows at once, and both can go in one packet. */
int fl_session_write(struct fl_session *session, const uint8_t *data, size_t len,
		     bool more) FL_MUST_USE;
bool fl_session_pending(const struct fl_session *session);
struct fl_debt fl_session_debt(const struct fl_session *session); /* as fl_sock_debt() */
void fl_session_keep(struct fl_session *session);                 /* as fl_sock_keep() */
/* close_notify and FIN: we have nothing more to say; reading goes on. Once. closing: fl_session_close() follows at
 * once, and is the FIN. */
void fl_session_shutdown(struct fl_session *session, bool closing);

void fl_session_close(struct fl_session *session); /* both sides have finished */
void fl_session_reset(struct fl_session *session); /* TCP reset: never a clean end */
void fl_session_refuse(struct fl_session *session, uint8_t alert); /* TLS alert, then closed */
/* After fl_session_shutdown(): closed so that what we have said arrives, whatever the peer says still. */
void fl_session_leave(struct fl_session *session);

/* Adds those that no stream has yet: clients that shake hands. */
void fl_session_list(struct fl_loop *loop, struct fl_listing *ret);
bool fl_session_is_in_handshake(const struct fl_session *session); /* else it dials, or is READY */

/* READY, else NULL; borrowed. */
struct fl_tls_peer *fl_session_peer(const struct fl_session *session);
/* READY: has the peer asked for our certificate? */
bool fl_session_is_mutual(const struct fl_session *session);
/* READY or later. */
const char *fl_session_peer_id(const struct fl_session *session);
/* What an app is told of the peer; strings are the session's. */
void fl_session_introduce(const struct fl_session *session, struct fl_proxy_v2_peer *ret);
struct fl_inet fl_session_local_inet(const struct fl_session *session); /* our end of it */
/* "10.0.0.1:8443"; buf of FL_ADDR_TEXT bytes; returns buf, or NULL where there is no socket. */
const char *fl_session_peer_addr(const struct fl_session *session, char *buf);
/* Fields of the access log: security, peer, tls ... */
void fl_session_describe(const struct fl_session *session, struct fl_line *line);
/* Why the engine failed; NULL when it has not. Valid inside on_closed. */
const struct fl_tls_failure *fl_session_failure(const struct fl_session *session);

/* Ends every session of the worker that has no stream yet (shutdown). */
void fl_session_end_all(struct fl_loop *loop);

#endif
