/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_CONN_SESSION_H
#define FL_CONN_SESSION_H
/* session - one TLS connection to an authenticated peer: a socket, an engine, and nothing of the app. A mesh side (mesh.h).
 *
 *   dial   --> DIALING --> HANDSHAKE --> READY --> CLOSED
 *   accept ------------------^  (every state but READY has a deadline; any state may go to CLOSED)
 *
 * HANDSHAKE goes back to DIALING once, where a server refuses our application protocol. Loop-bound. */
#include "conn/conn.h"
#include "conn/mesh.h"

/* What was read of a connection, and how much of its time has passed, before its handshake. */
struct fl_session_begun {
	struct fl_span early; /* what has been read already */
	struct fl_deadline *
		deadline; /* its handshake_timeout runs since then; NULL, or not queued: it begins now */
};

/* Server role, on a connection. Takes sock over. early: what the engine needs for its first answer; when it gives none
 * it is the end. The user of events, which may run inside, is the session's struct fl_mesh. False: no memory, and sock is
 * left alone. */
bool fl_session_accept(struct fl_conn *conn, struct fl_sock *sock,
		       const struct fl_session_begun *begun, const struct fl_mesh_events *events);
/* A connection of that lane needs a slot: ends the inbound handshake that is in its way, if its peer has been silent for
 * `patience` times the lane's (fl_slots_patience_ms()). False: it is not, or there is none. Those that wait for slots may be
 * served inside. */
bool fl_session_make_room(struct fl_loop *loop, uint32_t lane, unsigned patience);
/* Client role: dials the connection's addresses in order until one answers; its peer must be one that the upstream names.
 * NULL: it failed already, *ret_reason says why; no event runs inside. */
struct fl_mesh *fl_session_dial(struct fl_conn *conn, const struct fl_mesh_events *events,
				void *user, enum fl_reason *ret_reason);

/* Adds those that no stream has yet: clients that shake hands. */
void fl_session_list(struct fl_loop *loop, struct fl_listing *ret);

/* Ends every session of the loop that has no stream yet (shutdown). */
void fl_session_end_all(struct fl_loop *loop);

#endif
