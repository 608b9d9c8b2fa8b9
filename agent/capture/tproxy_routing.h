/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_CAPTURE_TPROXY_ROUTING_H
#define FL_AGENT_CAPTURE_TPROXY_ROUTING_H
/* tproxy_routing - mode = tproxy: packets with the mark FL_CAPTURE_MARK are delivered locally, whatever their destination.
 *
 * A routing rule for the mark and a table with one route, for IPv4 and, if the pod has it, for IPv6. They have no effect
 * without nftables rules that set the mark. Concerns the network namespace of the process. Errors: FL_ERR_IO; most often
 * NET_ADMIN is missing. Thread: any. */
#include "base/err.h"

int fl_tproxy_routing_add(struct fl_err *err) FL_MUST_USE;    /* succeeds if they exist already */
int fl_tproxy_routing_remove(struct fl_err *err) FL_MUST_USE; /* succeeds if they do not exist */

#endif
