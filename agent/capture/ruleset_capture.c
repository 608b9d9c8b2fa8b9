/* SPDX-License-Identifier: GPL-3.0-or-later */
/* ruleset_capture - the chains that redirect connections to the sidecar. They decide nothing: the chains of ruleset_gate.c
 * stop whatever these chains do not redirect, for any reason.
 *
 * - Base chains run just before those of others at the same hook (FL_RULESET_DSTNAT, theirs is -100), so that we see the destination that was
 *   dialled; connections that we do not redirect continue to their chains.
 * - `accept` in a base chain ends our part only.
 * - A SYN for a port where no socket listens is refused with a reset. If it were redirected, the kernel would complete
 *   the handshake for an app that is not there; if it could pass, an app that begins to listen at that moment would be
 *   reached without the sidecar. `socket transparent { 0, 1 }` matches any socket, even one in TIME-WAIT.
 * - Conntrack translates each packet of a captured connection, as it translated the first.
 * - Connections over lo never come to the prerouting hook: the output hook handles them. */
#include "agent/capture/ruleset_internal.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/capture.h"
#include "base/mem.h"

#define A_SOCKET "socket transparent { 0, 1 } "

/* --- inbound ---------------------------------------------------------------------------------- */

static void spared_inbound(const struct fl_writer *w)
{
	fl_writer_chain(w, "spared_inbound", NULL);
	fl_writer_listeners(w, FL_MATCH_OUTBOUND);
	fl_writer_rules_of(w, &w->conf->redirect.exclude_inbound, FL_MATCH_INBOUND, FL_RULESET_TCP,
			   "accept", "[redirect] exclude_inbound");
	fl_writer_chain_end(w);
}

/* A packet other than a SYN may be the last of a handshake that the sidecar answered with a SYN cookie, and that has no
 * socket until then: tproxy finds an existing socket for it, or the sidecar's listener. */
static void take_inbound_by_tproxy(const struct fl_writer *w, const char *family, unsigned port)
{
	fl_writer_rule(w, "an app listens there: to the sidecar, with its destination",
		       "meta nfproto %s meta l4proto $TCP " SYN " " A_SOCKET
		       "tproxy %s to :%u counter name inbound accept",
		       strcmp(family, "ip") == 0 ? "ipv4" : "ipv6", family, port);
	fl_writer_rule(w, "the same for the end of its handshake",
		       "meta nfproto %s meta l4proto $TCP " NOT_SYN " " A_SOCKET
		       "tproxy %s to :%u accept",
		       strcmp(family, "ip") == 0 ? "ipv4" : "ipv6", family, port);
}

static void take_inbound(const struct fl_writer *w)
{
	fl_writer_chain(w, "take_inbound", NULL);
	if (fl_writer_is_tproxy(w)) {
		take_inbound_by_tproxy(w, "ip", w->inbound.v4);
		take_inbound_by_tproxy(w, "ip6", w->inbound.v6);
		fl_writer_rule(w, "of an existing connection, or of none: decided at input",
			       NOT_SYN " accept");
	} else {
		fl_writer_redirect(w, &w->inbound, A_SOCKET, "inbound",
				   "an app listens there: to the sidecar");
	}
	fl_writer_rule(w, "nothing listens there: refused, as without capture",
		       "meta l4proto $TCP counter name inbound_closed reject with tcp reset");
	fl_writer_chain_end(w);
}

static void inbound_chain(const struct fl_writer *w)
{
	bool tproxy = fl_writer_is_tproxy(w);

	fl_writer_chain(w, "inbound",
			tproxy ? "filter hook prerouting priority mangle"
			       : "nat hook prerouting priority " FL_RULESET_DSTNAT);
	fl_writer_rule(w, "not TCP", "meta l4proto != $TCP accept");
	if (tproxy) {
		fl_writer_rule(w, "over lo: decided at output", "iifname \"lo\" accept");
		fl_writer_rule(w, "to a socket of the sidecar already",
			       NOT_SYN " socket transparent 1 accept");
		fl_writer_rule(w, "answers to the sidecar",
			       NOT_SYN " ct original zone %u ct direction reply accept",
			       FL_CAPTURE_ZONE);
		fl_writer_rule(w, "excluded when it began", NOT_SYN " ct mark and 0x%x != 0 accept",
			       FL_CAPTURE_SPARED);
	} else {
		fl_writer_rule(w, "not the first packet of a connection: decided at input",
			       NOT_SYN " accept");
	}
	fl_writer_rule(w, "not for this pod", "fib daddr type != local accept");
	fl_writer_rule(w, "exclusions", "jump spared_inbound");
	fl_writer_rules_of(w, &w->conf->redirect.inbound_ports, FL_MATCH_INBOUND, FL_RULESET_TCP,
			   "goto take_inbound", "[redirect] inbound_ports");
	fl_writer_chain_end(w);
}

/* mode = tproxy: the sidecar dials the app from the client's address. The app's answers would leave the pod; the mark and
 * its routing table bring them back. */
static void tproxy_answers(const struct fl_writer *w)
{
	fl_writer_chain(w, "answers", "route hook output priority mangle");
	fl_writer_rule(w, "a new connection: its ends are not those of an old one any more",
		       "meta mark 0x%x " SYN " delete @" FL_RULESET_OPEN4
		       " { ip daddr . tcp dport . ip saddr . tcp sport }",
		       FL_CAPTURE_MARK);
	fl_writer_rule(w, "the same for IPv6",
		       "meta mark 0x%x " SYN " delete @" FL_RULESET_OPEN6
		       " { ip6 daddr . tcp dport . ip6 saddr . tcp sport }",
		       FL_CAPTURE_MARK);
	fl_writer_rule(w, "the sidecar to the app from the client's address: remembered",
		       "meta skuid %u meta mark 0x%x oifname \"lo\" ct mark set meta mark",
		       w->conf->agent.sidecar_uid, FL_CAPTURE_MARK);
	fl_writer_rule(w, "... in case conntrack forgets it: its answers must not leave",
		       "meta skuid %u meta mark 0x%x oifname \"lo\" update @brought4 "
		       "{ ip daddr . tcp dport . ip saddr . tcp sport }",
		       w->conf->agent.sidecar_uid, FL_CAPTURE_MARK);
	fl_writer_rule(w, "the same for IPv6",
		       "meta skuid %u meta mark 0x%x oifname \"lo\" update @brought6 "
		       "{ ip6 daddr . tcp dport . ip6 saddr . tcp sport }",
		       w->conf->agent.sidecar_uid, FL_CAPTURE_MARK);
	fl_writer_rule(w, "answers of the app to that: back to the sidecar",
		       "ct mark 0x%x ct direction reply meta mark set ct mark", FL_CAPTURE_MARK);
	fl_writer_chain_end(w);
}

/* --- outbound --------------------------------------------------------------------------------- */

/* The sidecar dials this every few seconds to see whether the rules are there, and whether they have refused something. It
 * is redirected to one of its own listeners. */
static void probe_rules(const struct fl_writer *w, unsigned port, const char *match,
			const char *comment)
{
	unsigned uid = w->conf->agent.sidecar_uid;
	const struct fl_ruleset_ports *to =
		fl_writer_captures(&w->outbound) ? &w->outbound : &w->inbound;

	if (to->v4_listens) {
		fl_writer_rule(w, comment,
			       "meta skuid %u ip daddr 127.0.0.1 tcp dport %u %sredirect to :%u",
			       uid, port, match, to->v4);
	}
	if (to->v6_listens) {
		fl_writer_rule(w, comment,
			       "meta skuid %u ip6 daddr ::1 tcp dport %u %sredirect to :%u", uid,
			       port, match, to->v6);
	}
}

static const char *ipv4(uint32_t addr, char buf[INET_ADDRSTRLEN])
{
	struct in_addr in = {.s_addr = htonl(addr)};

	return inet_ntop(AF_INET, &in, buf, INET_ADDRSTRLEN);
}

/* base/capture.h */
static void print_rule(const struct fl_writer *w)
{
	const struct fl_ruleset_ports *to =
		fl_writer_captures(&w->outbound) ? &w->outbound : &w->inbound;
	char printed[INET_ADDRSTRLEN], print[INET_ADDRSTRLEN];

	if (to->v4_listens) {
		fl_writer_rule(w, "the fingerprint of the INI that these rules are from",
			       "meta skuid %u ip daddr { %s, %s } tcp dport %u redirect to :%u",
			       w->conf->agent.sidecar_uid, ipv4(FL_CAPTURE_PRINTED, printed),
			       ipv4(FL_CAPTURE_PRINT_BASE + fl_conf_capture_print(w->conf), print),
			       FL_CAPTURE_PROBE_PORT, to->v4);
	}
}

/* The sidecar dials an address of its own pod: for example, when the pod dials a service that it belongs to. */
static void to_self_chain(const struct fl_writer *w)
{
	fl_writer_chain(w, "take_to_self", NULL);
	fl_writer_redirect(w, &w->inbound, "", "to_self", "judged like a connection of a peer");
	fl_writer_chain_end(w);
	fl_writer_chain(w, "to_self", NULL);
	fl_writer_rule(w, "on to the app, for a peer", "ip dscp %d accept", FL_CAPTURE_TO_APP_DSCP);
	fl_writer_rule(w, "the same for IPv6", "ip6 dscp %d accept", FL_CAPTURE_TO_APP_DSCP);
	if (fl_writer_is_tproxy(w)) {
		fl_writer_rule(w, "the same from the client's address", "meta mark 0x%x accept",
			       FL_CAPTURE_MARK);
	}
	fl_writer_rule(w, "to loopback addresses", "ip daddr 127.0.0.0/8 accept");
	fl_writer_rule(w, "the same for IPv6", "ip6 daddr ::1 accept");
	fl_writer_rule(w, "exclusions", "jump spared_inbound");
	fl_writer_rules_of(w, &w->conf->redirect.inbound_ports, FL_MATCH_INBOUND, FL_RULESET_TCP,
			   "goto take_to_self", "[redirect] inbound_ports");
	fl_writer_chain_end(w);
}

static void outbound_chain(const struct fl_writer *w)
{
	unsigned uid = w->conf->agent.sidecar_uid;

	fl_writer_chain(w, "outbound", "nat hook output priority " FL_RULESET_DSTNAT);
	fl_writer_rule(w, "not TCP", "meta l4proto != $TCP accept");
	fl_writer_rule(w, "not the first packet of a connection: decided below", NOT_SYN " accept");
	probe_rules(w, FL_CAPTURE_PROBE_PORT, "",
		    "the sidecar checks that these rules are in force");
	print_rule(w);
	probe_rules(w, FL_CAPTURE_REFUSED_INBOUND_PORT,
		    "meta l4proto @" FL_RULESET_REFUSED_INBOUND " ",
		    "... whether they refused something inbound lately");
	probe_rules(w, FL_CAPTURE_REFUSED_OUTBOUND_PORT,
		    "meta l4proto @" FL_RULESET_REFUSED_OUTBOUND " ", "... or outbound");
	if (fl_writer_captures(&w->inbound)) {
		fl_writer_rule(w, "the sidecar to its own pod",
			       "meta skuid %u oifname \"lo\" goto to_self", uid);
	}
	fl_writer_rule(w, "the sidecar to anywhere", "meta skuid %u accept", uid);
	fl_writer_rule(w, "the app to itself: loopback, or an address of its own pod",
		       "oifname \"lo\" accept");
	fl_writer_rule(w, "a new connection: its ends are not those of an old one any more",
		       "delete @" FL_RULESET_OPEN4
		       " { ip saddr . tcp sport . ip daddr . tcp dport }");
	fl_writer_rule(w, "the same for IPv6",
		       "delete @" FL_RULESET_OPEN6
		       " { ip6 saddr . tcp sport . ip6 daddr . tcp dport }");
	if (fl_writer_captures(&w->outbound)) {
		fl_writer_rules_of(w, &w->conf->redirect.exclude_outbound, FL_MATCH_OUTBOUND,
				   FL_RULESET_TCP, "accept", "[redirect] exclude_outbound");
		fl_writer_rules_of(w, &w->conf->redirect.outbound, FL_MATCH_OUTBOUND,
				   FL_RULESET_TCP, "goto take_outbound", "[redirect] outbound");
	}
	fl_writer_chain_end(w);
}

/* The app expects packets from the address that it dialled. Conntrack translates the sidecar's own into it; if conntrack
 * forgets the connection, the app receives nothing more and waits forever. So the original destination is kept here as
 * well. (Two maps for each family: nft 1.0.6 cannot write an IPv6 address and a port into one.) */
static void remember_rules(const struct fl_writer *w)
{
	fl_writer_rule(w, "in case conntrack forgets the original destination",
		       "meta nfproto ipv4 meta l4proto $TCP update @led4 { tcp sport : ip daddr } "
		       "update @led4_port { tcp sport : tcp dport }");
	fl_writer_rule(w, "the same for IPv6",
		       "meta nfproto ipv6 meta l4proto $TCP update @led6 { tcp sport : ip6 daddr } "
		       "update @led6_port { tcp sport : tcp dport }");
}

/* For conntrack a packet in mid-connection is new, and is translated like a first one; but a FIN or RST is invalid, and is
 * never translated. */
static void forgotten_chains(const struct fl_writer *w)
{
	const struct {
		const char *ip, *loopback, *led;
		uint16_t port;
		bool listens;
	} families[] = {{"ip", "127.0.0.1", "led4", w->outbound.v4, w->outbound.v4_listens},
			{"ip6", "::1", "led6", w->outbound.v6, w->outbound.v6_listens}};

	fl_writer_chain(w, "forgotten", "nat hook postrouting priority 90");
	for (size_t i = 0; i < FL_COUNT_OF(families); i++) {
		if (families[i].listens) {
			fl_writer_rule(
				w, "the sidecar to an app whose connection conntrack has forgotten",
				NOT_SYN " oifname \"lo\" %s saddr %s tcp sport %u "
					"snat %s to tcp dport map @%s : tcp dport map @%s_port",
				families[i].ip, families[i].loopback, families[i].port,
				families[i].ip, families[i].led, families[i].led);
		}
	}
	fl_writer_chain_end(w);
	fl_writer_chain(w, "forgotten_end", "filter hook output priority mangle");
	for (size_t i = 0; i < FL_COUNT_OF(families); i++) {
		if (families[i].listens) {
			fl_writer_rule(
				w, "the same for a FIN or RST",
				"ct state invalid oifname \"lo\" %s saddr %s tcp sport %u "
				"%s saddr set tcp dport map @%s tcp sport set tcp dport map @%s_port",
				families[i].ip, families[i].loopback, families[i].port,
				families[i].ip, families[i].led, families[i].led);
		}
	}
	fl_writer_chain_end(w);
}

void fl_writer_capture(const struct fl_writer *w)
{
	if (fl_writer_captures(&w->inbound)) {
		spared_inbound(w);
		take_inbound(w);
		inbound_chain(w);
		to_self_chain(w);
		if (fl_writer_is_tproxy(w)) {
			tproxy_answers(w);
		}
	}
	if (fl_writer_captures(&w->outbound)) {
		fl_writer_chain(w, "take_outbound", NULL);
		remember_rules(w);
		fl_writer_redirect(w, &w->outbound, "", "outbound", "to the sidecar");
		fl_writer_chain_end(w);
	}
	outbound_chain(w);
	if (fl_writer_captures(&w->outbound)) {
		forgotten_chains(w);
	}
}
