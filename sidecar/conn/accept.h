/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_CONN_ACCEPT_H
#define FL_CONN_ACCEPT_H
/* accept - takes a connection that waits at a listener, and finds out what it is. Loop-bound. */
#include "conn/conn.h"
#include "net/listener.h"

/* Takes the connection that waits at the listener, and finds out what it is. One that cannot be served (its destination
 * is unknown or ourselves, its section has gone) is reset, counted and logged inside. NULL: that, or nobody waits, or
 * no memory. Else one reference, and the socket, which has no user yet. */
struct fl_conn *fl_conn_accept(struct fl_endpoint *endpoint, struct fl_listener *listener,
			       struct fl_sock **ret_sock);
/* Resets the connection that waits. detail: for the log. quietly: it is counted, and not logged. */
void fl_conn_refuse(struct fl_endpoint *endpoint, struct fl_listener *listener,
		    enum fl_reason reason, const char *detail, bool quietly);

#endif
