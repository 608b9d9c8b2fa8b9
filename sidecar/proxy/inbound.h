/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_PROXY_INBOUND_H
#define FL_PROXY_INBOUND_H
/* inbound - mesh to app: accept, handshake, authorize, and hand over to a stream. */
#include "proxy/worker.h"

/* A peer connected to an inbound endpoint. Takes the waiting connection. */
void fl_inbound_accept(struct fl_endpoint *endpoint, struct fl_listener *listener);

#endif
