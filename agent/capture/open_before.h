/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_CAPTURE_OPEN_BEFORE_H
#define FL_AGENT_CAPTURE_OPEN_BEFORE_H
/* open_before - the TCP connections of this network namespace that were open before the rules of capture.
 *
 * The rules refuse whatever would bypass the sidecar. Connections that were open when the rules came were never captured, so
 * they bypass it; they are listed in sets of the table and may continue until they end. Thread: any. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/capture/ruleset.h"
#include "base/err.h"
#include "base/text.h"

/* The elements of the sets of the rules in force: connections that were open before those rules. */
struct fl_open_before_set;
struct fl_open_before_set *fl_open_before_set_new(void);
void fl_open_before_set_free(struct fl_open_before_set *kept); /* may be NULL */
/* An fl_nft_ends_cb. user: a struct fl_open_before_set. */
void fl_open_before_set_add(void *user, const char *const addrs[2], const uint16_t ports[2]);

struct fl_open_before_scope {
	struct fl_ruleset_ports inbound, outbound; /* the ports to which connections are captured */
	uid_t sidecar_uid;
	/* NULL: no rules are in force yet. Otherwise connections that are not in it were captured or excluded by those
	 * rules, and the kernel remembers which (the ct mark). Borrowed; its order changes. */
	struct fl_open_before_set *kept;
};

/* Appends commands that add them to the sets of the table, to be loaded after it in the same transaction. Left out are
 * connections that are captured already (the sidecar is their other end) and those that stay in this network namespace.
 * Errors: FL_ERR_IO, /proc cannot be read; out is unchanged then. */
int fl_open_before_format(const struct fl_open_before_scope *scope, struct fl_text *out,
			  struct fl_err *err) FL_MUST_USE;

/* Counts the open captured connections whose other end may still send, for rules that redirect to these ports: sockets at
 * those ports, and with tproxy (which keeps the destination) sockets with a foreign local address. Connections from
 * loopback were never captured. Errors: FL_ERR_IO, /proc or the interfaces cannot be read. */
int fl_open_before_count(const uint16_t *ports, size_t port_count, bool tproxy, size_t *ret_count,
			 struct fl_err *err) FL_MUST_USE;

#endif
