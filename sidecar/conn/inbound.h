/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_CONN_INBOUND_H
#define FL_CONN_INBOUND_H
/* inbound - mesh to app: handshake, authorize, and hand over to a stream. */
#include "conn/conn.h"

/* A peer has connected to an inbound endpoint, fixed or captured. Takes sock over; conn is borrowed. */
void fl_inbound_start(struct fl_conn *conn, struct fl_sock *sock);

#endif
