/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_CONN_SESSION_H
#define FL_CONN_SESSION_H
/* session - one TLS connection to an authenticated peer: a socket, an engine, and no knowledge of the app. A mesh side
 * (mesh.h).
 *
 *   dial   --> DIALING --> HANDSHAKE --> READY --> CLOSED
 *   accept ------------------^  (every state except READY has a deadline; any state may go to CLOSED)
 *
 * HANDSHAKE goes back to DIALING once if a server refuses our application protocol. Loop-bound. */
#include "conn/conn.h"
#include "conn/mesh.h"

/* The bytes that were read of a connection before its handshake, and the deadline that already runs. */
struct fl_session_begun {
	struct fl_span early; /* bytes that have been read already */
	struct fl_deadline *
		deadline; /* its running handshake_timeout; NULL, or not queued: the timeout begins now */
};

/* Server role, on a connection. Takes sock over. early: all that the engine needs for its first answer; if the engine gives
 * none, the session ends. The user of events, which may run inside, is the session's struct fl_mesh. False: no memory, and
 * the caller keeps sock. */
bool fl_session_accept(struct fl_conn *conn, struct fl_sock *sock,
		       const struct fl_session_begun *begun, const struct fl_mesh_events *events);
/* A connection of that lane needs a slot: ends the inbound handshake that blocks it, if that peer has been silent for
 * `patience` times the lane's patience (fl_slots_patience_ms()). False: it has not been silent for so long, or there is
 * none. Connections that wait for slots may be served inside. */
bool fl_session_make_room(struct fl_loop *loop, uint32_t lane, unsigned patience);
/* Client role: dials the connection's addresses in order until one answers; its peer must match the upstream's `peer`.
 * NULL: it failed already, *ret_reason says why; no event runs inside. */
struct fl_mesh *fl_session_dial(struct fl_conn *conn, const struct fl_mesh_events *events,
				void *user, enum fl_reason *ret_reason);

/* Adds the sessions that no stream has taken over yet: clients in a handshake. */
void fl_session_list(struct fl_loop *loop, struct fl_listing *ret);

/* Ends every session of the loop that has no stream yet (shutdown). */
void fl_session_end_all(struct fl_loop *loop);

#endif
