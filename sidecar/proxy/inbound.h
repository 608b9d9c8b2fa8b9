/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_PROXY_INBOUND_H
#define FL_PROXY_INBOUND_H
/* inbound - mesh to app: handshake, authorize, and hand over to a stream. */
#include "proxy/route.h"

/* A peer has connected to an inbound endpoint, fixed or captured. Takes sock over; route is borrowed. */
void fl_inbound_start(struct fl_route *route, struct fl_sock *sock);

#endif
