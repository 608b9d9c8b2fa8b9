/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_CAPTURE_RULESET_INTERNAL_H
#define FL_AGENT_CAPTURE_RULESET_INTERNAL_H
/* ruleset_internal - shared by the files that write the rules.
 *
 * ruleset.c          listeners, the table, errors
 * ruleset_parts.c    lines and matches
 * ruleset_capture.c  chains that redirect connections to the sidecar: nat and tproxy
 * ruleset_gate.c     chains that decide what may pass: filter
 * ruleset_forward.c  both, for connections that the pod forwards */
#include "agent/capture/ruleset.h"

/* Our chains run just before those of other software, whose priority is -100. */
#define FL_RULESET_DSTNAT "-101"
#define SYN "tcp flags & (fin | syn | rst | ack) == syn"
#define NOT_SYN "tcp flags & (fin | syn | rst | ack) != syn"

/* In which direction a packet is matched, and which of its ends the selector is about. */
enum fl_ruleset_match {
	FL_MATCH_INBOUND,         /* incoming: its destination port, its source address */
	FL_MATCH_OUTBOUND,        /* outgoing: its destination port and address */
	FL_MATCH_OWN,             /* outgoing: its source port and address */
	FL_MATCH_ANSWER,          /* incoming answers: their source port and address */
	FL_MATCH_DIALLED_INBOUND, /* as FL_MATCH_INBOUND, with the port before NAT of other software */
	FL_MATCH_DIALLED_OUTBOUND, /* as FL_MATCH_OUTBOUND, with port and address before that */
	FL_MATCH_COUNT
};
enum fl_ruleset_protocol { FL_RULESET_TCP, FL_RULESET_OTHER };

struct fl_writer {
	const struct fl_conf *conf;
	const struct fl_ruleset_uplinks *uplinks;
	struct fl_text *out;
	struct fl_ruleset_ports inbound, outbound;
};

static inline bool fl_writer_captures(const struct fl_ruleset_ports *ports)
{
	return ports->v4 != 0;
}

static inline bool fl_writer_is_tproxy(const struct fl_writer *w)
{
	return w->conf->redirect.mode == FL_REDIRECT_TPROXY;
}

/* Does the sidecar dial the app from the client's address? */
static inline bool fl_writer_keeps_source(const struct fl_writer *w)
{
	return fl_writer_is_tproxy(w) && fl_writer_captures(&w->inbound);
}

/* --- lines ------------------------------------------------------------------------------------ */

/* base: "filter hook input priority filter"; NULL: a chain to jump to. */
void fl_writer_chain(const struct fl_writer *w, const char *name, const char *base);
void fl_writer_chain_end(const struct fl_writer *w);
void fl_writer_rule(const struct fl_writer *w, const char *comment, const char *fmt, ...)
	FL_PRINTF(3, 4);
/* Redirects to these ports: a rule for each family if they differ. A family without a listener is refused: whatever listens
 * at that port of that family is not the sidecar. */
void fl_writer_redirect(const struct fl_writer *w, const struct fl_ruleset_ports *ports,
			const char *match, const char *counter, const char *comment);
/* Writes the match of a selector, with a space at its end; nothing if it matches everything. */
void fl_writer_selector(const struct fl_conf_selector *selector, enum fl_ruleset_match kind,
			enum fl_ruleset_protocol protocol, struct fl_text *out);
/* One rule for each selector. */
void fl_writer_rules_of(const struct fl_writer *w, const struct fl_conf_selectors *selectors,
			enum fl_ruleset_match kind, enum fl_ruleset_protocol protocol,
			const char *verdict, const char *comment);
/* One accepting rule for each listener of the sidecar that the network may reach: capture, admin, [service] listen. It names
 * the family and address of that listener, because another process may listen at the same port of other ones. So there is
 * none for a loopback address. FL_MATCH_OUTBOUND: packets to that listener; FL_MATCH_OWN: packets that it sends. */
void fl_writer_listeners(const struct fl_writer *w, enum fl_ruleset_match kind);

/* --- chains ----------------------------------------------------------------------------------- */

void fl_writer_capture(const struct fl_writer *w);
void fl_writer_sets(const struct fl_writer *w);
void fl_writer_gate(const struct fl_writer *w);
/* Both kinds of chain, for connections that the pod forwards. */
void fl_writer_forwarded(const struct fl_writer *w);

#endif
