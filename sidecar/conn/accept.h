/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_CONN_ACCEPT_H
#define FL_CONN_ACCEPT_H
/* accept - accepts a connection that waits at a listener, and finds out what it is. Loop-bound. */
#include "conn/conn.h"
#include "net/listener.h"

/* Accepts the connection that waits at the listener, and finds out what it is. One that cannot be served (its destination
 * is unknown or ourselves, its section has gone) is reset, counted and logged inside. NULL: it was reset, no connection
 * waits, or memory is out. Otherwise returns one reference, and the socket, which has no user yet. */
struct fl_conn *fl_conn_accept(struct fl_endpoint *endpoint, struct fl_listener *listener,
			       struct fl_sock **ret_sock);
/* A further connection of an inbound session that came from source to destination (family 0: a fixed listener) at that endpoint: what
 * an accepted one would be, under the current share. One reference; NULL: it would not be served in TLS, or memory is
 * out. */
struct fl_conn *fl_conn_again(struct fl_endpoint *endpoint, const struct fl_inet *source,
			      const struct fl_inet *destination, enum fl_detected detected);
/* Resets the connection that waits. detail: for the log. quietly: count it without logging it. */
void fl_conn_refuse(struct fl_endpoint *endpoint, struct fl_listener *listener,
		    enum fl_reason reason, const char *detail, bool quietly);

#endif
