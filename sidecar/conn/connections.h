/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_CONN_CONNECTIONS_H
#define FL_CONN_CONNECTIONS_H
/* connections - all of one loop, of whatever kind. Loop-bound. */
#include "conn/endpoint.h"
#include "conn/listing.h"
#include "conn/loop.h"
#include "net/listener.h"

/* An app or a peer has connected to that endpoint and waits to be accepted. Everything that follows happens by itself,
 * until the end of the connection. */
void fl_connections_accept(struct fl_endpoint *endpoint, struct fl_listener *listener);

/* DNS has answered: those that wait for it go on, as far as they can. */
void fl_connections_names_answered(struct fl_loop *loop);

/* Fills ret, up to its max, and adds the callers. */
void fl_connections_list(struct fl_loop *loop, struct fl_listing *ret);

/* Ends every one, with a reset; nobody is served any more. fl_loop_close() may follow. */
void fl_connections_end_all(struct fl_loop *loop);

#endif
