/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_CONN_PLAINTEXT_H
#define FL_CONN_PLAINTEXT_H
/* plaintext - a mesh side that is a plain socket, where the INI says so. Loop-bound. */
#include "conn/conn.h"
#include "conn/mesh.h"

/* Of a connection that was accepted. Takes sock over, which is not being read; the user is to be set at once. NULL: no
 * memory, and sock is left alone. */
struct fl_mesh *fl_plaintext_accept(struct fl_conn *conn, struct fl_sock *sock);
/* Dials the connection's addresses in order until one answers. NULL: it failed already, *ret_reason says why; no event
 * runs inside. */
struct fl_mesh *fl_plaintext_dial(struct fl_conn *conn, const struct fl_mesh_events *events,
				  void *user, enum fl_reason *ret_reason);

#endif
