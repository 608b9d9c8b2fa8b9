/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_CAPTURE_RULESET_H
#define FL_AGENT_CAPTURE_RULESET_H
/* ruleset - what [redirect] comes to: one nftables table, `inet fairlead`, as the text that `nft -f` takes.
 *
 * Pure: nothing is asked of the kernel and nothing loaded. Thread: any. Loading the text is one transaction that
 * replaces the table of before, so that it can be loaded again and again, and touches nothing but that table. Only
 * new TCP connections are led elsewhere; what was open before, its sets say, and all else that goes past the sidecar is
 * refused. */
#include <net/if.h>

#include "base/err.h"
#include "base/text.h"
#include "conf/conf.h"

#define FL_RULESET_TABLE "fairlead"
/* Its sets of connections that were there before: local address and port, remote address and port. Empty in the
 * text; see agent/open.h. */
#define FL_RULESET_OPEN4 "open4"
#define FL_RULESET_OPEN6 "open6"
/* Rules to be added where connections of the sidecar are in the sets, whose entries have no zone. */
extern const char fl_ruleset_before[];
/* What holds an element while something was refused lately that would have gone past the sidecar. */
#define FL_RULESET_REFUSED_INBOUND "refused_inbound"
#define FL_RULESET_REFUSED_OUTBOUND "refused_outbound"

/* Interfaces that lead out of the pod (agent/outside.h). */
#define FL_RULESET_UPLINKS_MAX 16
struct fl_ruleset_uplinks {
	char names[FL_RULESET_UPLINKS_MAX][IF_NAMESIZE];
	size_t count;
};

/* Appends the text. outside: for `[redirect] forwarded`. Errors: FL_ERR_INVALID, the listeners cannot be
 * reached by captured traffic, or nothing is captured at all, or inside and outside cannot be told apart where they have
 * to be; out then holds a part of it. */
int fl_ruleset_format(const struct fl_conf *conf, const struct fl_ruleset_uplinks *outside,
		      struct fl_text *out, struct fl_err *err) FL_MUST_USE;

/* The text that takes the table away, also where there is none. */
extern const char fl_ruleset_removal[];

/* Where captured connections are led. A family without a listener has the port of the other one, which is closed
 * for it: its connections are refused, and do not slip past. */
struct fl_ruleset_ports {
	uint16_t v4, v6; /* 0: this direction is not captured */
	bool v4_listens, v6_listens;
};
int fl_ruleset_inbound(const struct fl_conf *conf, struct fl_ruleset_ports *ret,
		       struct fl_err *err) FL_MUST_USE;
int fl_ruleset_outbound(const struct fl_conf *conf, struct fl_ruleset_ports *ret,
			struct fl_err *err) FL_MUST_USE;

/* The named counters of the table, in the order in which people want to read them. */
struct fl_ruleset_counter {
	const char *name;
	const char *what; /* "inbound connections to a port where nobody listens, refused" */
};
extern const struct fl_ruleset_counter fl_ruleset_counters[];
extern const size_t fl_ruleset_counter_count;

#endif
