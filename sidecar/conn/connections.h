/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_CONN_CONNECTIONS_H
#define FL_CONN_CONNECTIONS_H
/* connections - all connections of one loop, of every kind. Loop-bound. */
#include "conn/endpoint.h"
#include "conn/listing.h"
#include "conn/loop.h"
#include "net/listener.h"

/* An app or a peer has connected to that endpoint and waits to be accepted. The rest, until the end of the connection,
 * needs no further call. */
void fl_connections_accept(struct fl_endpoint *endpoint, struct fl_listener *listener);

/* DNS has answered: connections that wait for it continue if they can. */
void fl_connections_names_answered(struct fl_loop *loop);

/* Fills ret with the open connections, up to its max, and adds the callers and the denials. */
void fl_connections_list(struct fl_loop *loop, struct fl_listing *ret);

/* Ends every connection with a reset; no new one is served. fl_loop_close() may follow. */
void fl_connections_end_all(struct fl_loop *loop);

#endif
