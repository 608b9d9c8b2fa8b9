/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_CONN_PLAINTEXT_H
#define FL_CONN_PLAINTEXT_H
/* plaintext - a mesh side that is a plain socket, if the INI configures plaintext. Loop-bound. */
#include "conn/conn.h"
#include "conn/mesh.h"

/* Makes one for an accepted connection. Takes over sock, which is not being read; set the user immediately. NULL: no
 * memory, and the caller keeps sock. */
struct fl_mesh *fl_plaintext_accept(struct fl_conn *conn, struct fl_sock *sock);
/* Dials the connection's addresses in order until one answers. NULL: it failed already, *ret_reason says why; no event
 * runs inside. */
struct fl_mesh *fl_plaintext_dial(struct fl_conn *conn, const struct fl_mesh_events *events,
				  void *user, enum fl_reason *ret_reason);

#endif
