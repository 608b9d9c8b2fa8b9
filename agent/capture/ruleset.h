/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_CAPTURE_RULESET_H
#define FL_AGENT_CAPTURE_RULESET_H
/* ruleset - [redirect] as one nftables table, `inet fairlead`, in the text form that `nft -f` reads.
 *
 * Pure: asks the kernel nothing and loads nothing. Thread: any. Loading the text is one transaction that replaces the
 * previous table; it can be repeated, and touches no other table. Only new TCP connections are redirected. Connections that
 * were open before are in sets of the table and continue; everything else that would bypass the sidecar is refused. */
#include <net/if.h>

#include "base/err.h"
#include "base/text.h"
#include "conf/conf.h"

#define FL_RULESET_TABLE "fairlead"
/* Its sets of connections that were open before: local address and port, remote address and port. Empty in this text;
 * capture/open_before.h fills them. */
#define FL_RULESET_OPEN4 "open4"
#define FL_RULESET_OPEN6 "open6"
/* Rules to add if connections of the sidecar are in those sets: their conntrack entries have no zone. */
extern const char fl_ruleset_before[];
/* Sets that hold an element for a minute after something was refused that would have bypassed the sidecar. */
#define FL_RULESET_REFUSED_INBOUND "refused_inbound"
#define FL_RULESET_REFUSED_OUTBOUND "refused_outbound"

/* Interfaces that lead out of the pod (capture/uplinks.h). */
#define FL_RULESET_UPLINKS_MAX 16
struct fl_ruleset_uplinks {
	char names[FL_RULESET_UPLINKS_MAX][IF_NAMESIZE];
	size_t count;
};

/* Appends the text. uplinks: for `[redirect] forwarded`. Errors: FL_ERR_INVALID, captured traffic cannot reach the
 * listeners, nothing is captured at all, or `forwarded` needs to tell inside from outside and no interface has a default
 * route; out may then hold a part of the text. */
int fl_ruleset_format(const struct fl_conf *conf, const struct fl_ruleset_uplinks *uplinks,
		      struct fl_text *out, struct fl_err *err) FL_MUST_USE;

/* The text that deletes the table; loading it succeeds if there is no such table. */
extern const char fl_ruleset_removal[];

/* The ports to which captured connections are redirected. A family without a listener has the port of the other family; the
 * rules refuse its connections, so that they do not bypass the sidecar. */
struct fl_ruleset_ports {
	uint16_t v4, v6; /* 0: this direction is not captured */
	bool v4_listens, v6_listens;
};
/* Of `[sidecar] inbound` and `outbound`. Errors: FL_ERR_INVALID, captured traffic cannot reach a listener, or two
 * listeners of one family have different ports. */
int fl_ruleset_inbound(const struct fl_conf *conf, struct fl_ruleset_ports *ret,
		       struct fl_err *err) FL_MUST_USE;
int fl_ruleset_outbound(const struct fl_conf *conf, struct fl_ruleset_ports *ret,
			struct fl_err *err) FL_MUST_USE;
/* Is at least one direction captured? Errors: FL_ERR_INVALID, with the remedy: both lists are empty. */
int fl_ruleset_something(const struct fl_ruleset_ports *inbound,
			 const struct fl_ruleset_ports *outbound, struct fl_err *err) FL_MUST_USE;

/* The named counters of the table, in the order of display. */
struct fl_ruleset_counter {
	const char *name;
	const char *what; /* "inbound connections captured" */
};
extern const struct fl_ruleset_counter fl_ruleset_counters[];
extern const size_t fl_ruleset_counter_count;

#endif
