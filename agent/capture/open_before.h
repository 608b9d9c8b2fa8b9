/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_CAPTURE_OPEN_BEFORE_H
#define FL_AGENT_CAPTURE_OPEN_BEFORE_H
/* open - which TCP connections of this network namespace were there before the rules.
 *
 * The rules refuse whatever goes past the sidecar. A connection that was never captured does, when the rules come; those
 * are listed, and may go on until they end. Thread:
 * any. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/capture/ruleset.h"
#include "base/err.h"
#include "base/text.h"

/* What the sets of the rules in force hold. */
struct fl_open_before_set;
struct fl_open_before_set *fl_open_before_set_new(void);
void fl_open_before_set_free(struct fl_open_before_set *kept); /* NULL is fine */
/* An fl_nft_ends_cb. user: a struct fl_open_before_set. */
void fl_open_before_set_add(void *user, const char *const addrs[2], const uint16_t ports[2]);

struct fl_open_before_scope {
	struct fl_ruleset_ports inbound, outbound; /* where captured connections are led */
	uid_t sidecar_uid;
	/* NULL: there were no rules. Otherwise what is not in it was captured or left alone by those, which the kernel
	 * remembers (the ct mark). Borrowed, and put in order. */
	struct fl_open_before_set *kept;
};

/* Appends commands that put them into the sets of the table, to be loaded after it, in the same transaction. Left out are
 * those that are captured already, and so have the sidecar at their other end, and those that stay in this network
 * namespace. Errors: FL_ERR_IO, the kernel does not tell; out is then as it was. */
int fl_open_before_format(const struct fl_open_before_scope *scope, struct fl_text *out,
			  struct fl_err *err) FL_MUST_USE;

/* How many captured connections are open, on which the other end may still send, of rules that lead to these ports, or
 * with tproxy keep the destination: sockets at those ports, and sockets that have somebody else's address. What comes
 * from loopback was never captured.
 * Errors: FL_ERR_IO, the kernel does not tell. */
int fl_open_before_count(const uint16_t *ports, size_t port_count, bool tproxy, size_t *ret_count,
			 struct fl_err *err) FL_MUST_USE;

#endif
