/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_OPEN_H
#define FL_AGENT_OPEN_H
/* open - which TCP connections of this network namespace were there before the rules.
 *
 * The rules cut off what conntrack does not know, so that a captured connection whose entry has gone never goes on in
 * the clear. A connection that was never captured is not known either, when the rules come; those are listed. Thread:
 * any. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/ruleset.h"
#include "base/err.h"
#include "base/text.h"

/* Appends commands that put them into the sets of the table, to be loaded after it, in the same transaction. Those that
 * are captured already, and so have the sidecar at their other end, are left out. outbound: where those are led.
 * Errors: FL_ERR_IO, the kernel does not tell; out is then as it was. */
int fl_open_format(const struct fl_ruleset_ports *outbound, struct fl_text *out,
		   struct fl_err *err) FL_MUST_USE;

/* How many captured connections are open, on which the other end may still send, of rules that lead to these ports, or
 * with tproxy keep the destination: sockets at those ports, and sockets that have somebody else's address. What comes
 * from loopback was never captured.
 * Errors: FL_ERR_IO, the kernel does not tell. */
int fl_open_count(const uint16_t *ports, size_t port_count, bool tproxy, size_t *ret_count,
		  struct fl_err *err) FL_MUST_USE;

#endif
