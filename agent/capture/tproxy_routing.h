/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_CAPTURE_TPROXY_ROUTING_H
#define FL_AGENT_CAPTURE_TPROXY_ROUTING_H
/* route - mode = tproxy: packets that carry FL_CAPTURE_MARK are for this pod, whatever their address.
 *
 * A routing rule for the mark and a table of one route, for IPv4 and, where the pod has it, IPv6. Without rules that set
 * the mark they do nothing. Acts on the network namespace of the process; takes NET_ADMIN. */
#include "base/err.h"

int fl_tproxy_routing_add(struct fl_err *err) FL_MUST_USE;    /* also where it is there */
int fl_tproxy_routing_remove(struct fl_err *err) FL_MUST_USE; /* also where it is not */

#endif
