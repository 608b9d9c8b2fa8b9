/* SPDX-License-Identifier: GPL-3.0-or-later */
/* ruleset_gate - the chains that decide what may pass, independent of what conntrack believes.
 *
 * Invariants, for TCP that does not stay on lo. A packet passes
 *
 *   out  if the sidecar's user sent it; or its destination is excluded; or it answers a connection that was excluded when
 *        it came in; or its connection was open before the rules;
 *   in   if it is for a port or a connection of the sidecar; or its connection is excluded or was open before.
 *
 * - The socket shows who sends. For a packet without an owned socket (not accepted yet; closed by its owner, while the
 *   kernel sends the rest; TIME-WAIT) the sidecar's are recognized by the address and port, or the mark, of its listener, by
 *   their priority, by what they answer, and by the conntrack entry that the sidecar itself began.
 * - A connection begins with a SYN, or with the ACK of a SYN cookie. So the entry of an excluded connection is marked at
 *   its SYN, and no SYN ever passes because of an entry.
 * - The sidecar's connections have a conntrack zone, in the direction in which they began. Without it the app's next
 *   connection from the same port would meet the entry of an ended one, and would not be captured.
 * - At output the destination is the one after NAT: a captured connection goes to the loopback address. Postrouting checks
 *   once more, with the interface by which the packet really leaves.
 * - Conntrack never confirms what is refused, so nobody can create entries for later.
 * - A reset carries nothing, and kernels send it without a socket: it passes without one. */
#include "agent/capture/ruleset_internal.h"

#include "base/capture.h"

#define OUT4 "ip saddr . tcp sport . ip daddr . tcp dport"
#define OUT6 "ip6 saddr . tcp sport . ip6 daddr . tcp dport"
#define IN4 "ip daddr . tcp dport . ip saddr . tcp sport"
#define IN6 "ip6 daddr . tcp dport . ip6 saddr . tcp sport"
#define OPEN_MAX "1048576"
#define OPEN_TIMEOUT "24h" /* longer than the default interval of keepalive probes */
#define REFUSE_INBOUND                                                                             \
	"add @" FL_RULESET_REFUSED_INBOUND                                                         \
	" { meta l4proto } counter name past_inbound reject with tcp reset"
#define LATELY_TIMEOUT "1m" /* longer than the sidecar needs to ask */

/* --- sets ------------------------------------------------------------------------------------- */

static void open_set(const struct fl_writer *w, const char *name, const char *addr,
		     const char *comment)
{
	fl_text_print(w->out,
		      "\tset %s { type %s . inet_service . %s . inet_service; size " OPEN_MAX
		      "; flags dynamic, timeout; timeout " OPEN_TIMEOUT "; comment \"%s\"; }\n",
		      name, addr, addr, comment);
}

static void gone_set(const struct fl_writer *w, const char *name, const char *addr,
		     const char *comment)
{
	fl_text_print(w->out,
		      "\tset %s { type %s . inet_service . %s . inet_service; size 65535; "
		      "flags dynamic, timeout; timeout 1s; gc-interval 1s; comment \"%s\"; }\n",
		      name, addr, addr, comment);
}

/* Covers connections that stay open: the kernel probes a silent peer, or a closed window, at least every two minutes. */
static void living_set(const struct fl_writer *w, const char *name, const char *addr,
		       const char *comment)
{
	fl_text_print(w->out,
		      "\tset %s { type %s . inet_service . %s . inet_service; size " OPEN_MAX
		      "; flags dynamic, timeout; timeout 5m; comment \"%s\"; }\n",
		      name, addr, addr, comment);
}

static void lately_set(const struct fl_writer *w, const char *name, const char *comment)
{
	fl_text_print(w->out,
		      "\tset %s { type inet_proto; size 4; flags dynamic, timeout; "
		      "timeout " LATELY_TIMEOUT "; comment \"%s\"; }\n",
		      name, comment);
}

static void led_maps(const struct fl_writer *w, const char *family, const char *addr)
{
	static const char *const flags = "size 65535; flags dynamic, timeout; timeout 24h;";

	fl_text_print(
		w->out,
		"\tmap led%s { type inet_service : %s; %s comment \"the original destination, by "
		"the app's port\"; }\n"
		"\tmap led%s_port { type inet_service : inet_service; %s comment \"the same: to "
		"which port\"; }\n",
		family, addr, flags, family, flags);
}

void fl_writer_sets(const struct fl_writer *w)
{
	if (fl_writer_captures(&w->outbound)) {
		led_maps(w, "4", "ipv4_addr");
		led_maps(w, "6", "ipv6_addr");
	}
	open_set(w, FL_RULESET_OPEN4, "ipv4_addr", "open before these rules");
	open_set(w, FL_RULESET_OPEN6, "ipv6_addr", "the same for IPv6");
	gone_set(w, "gone4", "ipv4_addr",
		 "packets that just came for a socket that the sidecar has closed");
	gone_set(w, "gone6", "ipv6_addr", "the same for IPv6");
	living_set(w, "others4", "ipv4_addr",
		   "of other processes, with the priority of the sidecar's sockets");
	living_set(w, "others6", "ipv6_addr", "the same for IPv6");
	if (fl_writer_keeps_source(w)) {
		living_set(w, "brought4", "ipv4_addr",
			   "connections of the sidecar from the client's address");
		living_set(w, "brought6", "ipv6_addr", "the same for IPv6");
	}
	lately_set(w, FL_RULESET_REFUSED_INBOUND,
		   "inbound TCP around the sidecar was refused in the last minute");
	lately_set(w, FL_RULESET_REFUSED_OUTBOUND, "the same outbound");
}

static void open_rules(const struct fl_writer *w, const char *ends4, const char *ends6)
{
	fl_writer_rule(w, "open before these rules",
		       "%s @" FL_RULESET_OPEN4 " update @" FL_RULESET_OPEN4 " { %s } accept", ends4,
		       ends4);
	fl_writer_rule(w, "the same for IPv6",
		       "%s @" FL_RULESET_OPEN6 " update @" FL_RULESET_OPEN6 " { %s } accept", ends6,
		       ends6);
}

/* --- conntrack zones ------------------------------------------------------------------------ */

#define OF_SIDECAR "zone_of_sidecar"
#define OF_OTHERS "zone_of_others"
/* Each of these runs before the ones above it. */
#define INSERT "insert rule inet " FL_RULESET_TABLE " " OF_SIDECAR " "
const char fl_ruleset_before[] = INSERT NOT_SYN
	" " OUT6 " @" FL_RULESET_OPEN6 " accept comment \"the same for IPv6\"\n" INSERT NOT_SYN
	" " OUT4 " @" FL_RULESET_OPEN4 " accept comment \"open before these rules\"\n" INSERT SYN
	" delete @" FL_RULESET_OPEN6 " { " OUT6 " } comment \"the same for IPv6\"\n" INSERT SYN
	" delete @" FL_RULESET_OPEN4 " { " OUT4
	" } comment \"a new connection with the same ends\"\n";

static void zone_chain(const struct fl_writer *w)
{
	unsigned uid = w->conf->agent.sidecar_uid;

	fl_writer_chain(w, OF_SIDECAR, NULL);
	fl_writer_rule(w, "a zone of its own for its entries", "ct original zone set %u accept",
		       FL_CAPTURE_ZONE);
	fl_writer_chain_end(w);
	fl_writer_chain(w, OF_OTHERS, NULL);
	fl_writer_rule(w, "others have no zone: remembered", "update @others4 { " OUT4 " } accept");
	fl_writer_rule(w, "the same for IPv6", "update @others6 { " OUT6 " } accept");
	fl_writer_chain_end(w);
	fl_writer_chain(w, "zone", "filter hook output priority raw");
	fl_writer_rule(w, "inside the pod", "oifname \"lo\" accept");
	fl_writer_rule(w, "not TCP", "meta l4proto != $TCP accept");
	fl_writer_rule(w, "the sidecar's", "meta skuid %u goto " OF_SIDECAR, uid);
	fl_writer_rule(w, "of another user", "meta skuid != %u meta priority != 0:%x accept", uid,
		       FL_CAPTURE_PRIORITY);
	fl_writer_rule(w, "of another user, with the same priority: remembered",
		       "meta skuid != %u goto " OF_OTHERS, uid);
	fl_writer_rule(w, "one of those, whose socket is closed",
		       "meta priority 0:%x " OUT4 " @others4 goto " OF_OTHERS, FL_CAPTURE_PRIORITY);
	fl_writer_rule(w, "the same for IPv6",
		       "meta priority 0:%x " OUT6 " @others6 goto " OF_OTHERS, FL_CAPTURE_PRIORITY);
	fl_writer_rule(w, "the sidecar's, of a socket that it has closed",
		       "meta priority 0:%x ct original zone set %u accept", FL_CAPTURE_PRIORITY,
		       FL_CAPTURE_ZONE);
	fl_writer_rule(w, "the same in TIME-WAIT, where a kernel may forget the priority",
		       OUT4 " @gone4 ct original zone set %u", FL_CAPTURE_ZONE);
	fl_writer_rule(w, "the same for IPv6", OUT6 " @gone6 ct original zone set %u",
		       FL_CAPTURE_ZONE);
	fl_writer_chain_end(w);
}

/* --- inbound ---------------------------------------------------------------------------------- */

/* A SYN that was not redirected. */
static void new_inbound_chain(const struct fl_writer *w)
{
	const struct fl_conf_selectors *spared = &w->conf->redirect.exclude_inbound;

	fl_writer_chain(w, "spare_inbound", NULL);
	fl_writer_rule(w, "excluded, and its answers", "ct mark set ct mark or 0x%x accept",
		       FL_CAPTURE_SPARED);
	fl_writer_chain_end(w);

	fl_writer_chain(w, "new_inbound", NULL);
	if (fl_writer_captures(&w->inbound)) {
		fl_writer_rules_of(w, spared, FL_MATCH_INBOUND, FL_RULESET_TCP,
				   "goto spare_inbound", "[redirect] exclude_inbound");
		fl_writer_rules_of(w, spared, FL_MATCH_DIALLED_INBOUND, FL_RULESET_TCP,
				   "goto spare_inbound", "the same, before NAT of other software");
		fl_writer_rules_of(w, &w->conf->redirect.inbound_ports, FL_MATCH_INBOUND,
				   FL_RULESET_TCP, "goto past_inbound",
				   "[redirect] inbound_ports: it should have been captured");
		fl_writer_rules_of(w, &w->conf->redirect.inbound_ports, FL_MATCH_DIALLED_INBOUND,
				   FL_RULESET_TCP, "goto past_inbound",
				   "the same, before NAT of other software");
	}
	fl_writer_rule(w, "not to be captured", "goto spare_inbound");
	fl_writer_chain_end(w);
}

static void past_inbound_chain(const struct fl_writer *w)
{
	fl_writer_chain(w, "past_inbound", NULL);
	/* For example, a packet outside the window: its sender repeats it, and a reset would end a healthy connection. */
	fl_writer_rule(w, "invalid for conntrack", "ct state invalid counter name stray drop");
	fl_writer_rule(w, "it would begin a connection around the sidecar",
		       SYN " socket transparent { 0, 1 } " REFUSE_INBOUND);
	fl_writer_rule(w, "it would continue one", "meta skuid != %u " REFUSE_INBOUND,
		       w->conf->agent.sidecar_uid);
	fl_writer_rule(w, "there is no such connection",
		       "meta l4proto $TCP counter name stray reject with tcp reset");
	fl_writer_chain_end(w);
}

static void gate_in_chain(const struct fl_writer *w)
{
	fl_writer_chain(w, "gate_in", "filter hook input priority filter");
	fl_writer_rule(w, "inside the pod", "iifname \"lo\" accept");
	fl_writer_rule(w, "not captured", "meta l4proto != $TCP goto other_inbound");
	fl_writer_rule(w, "to a socket of the sidecar's", "meta skuid %u accept",
		       w->conf->agent.sidecar_uid);
	fl_writer_listeners(w, FL_MATCH_OUTBOUND);
	if (fl_writer_is_tproxy(w)) {
		fl_writer_rule(w, "to a socket with a foreign address: the sidecar's",
			       "socket transparent 1 accept");
	}
	fl_writer_rule(w, "the first packet of a connection that was not captured",
		       SYN " goto new_inbound");
	fl_writer_rule(w, "answers to the sidecar, which has closed its socket: remembered",
		       "ct original zone %u ct direction reply update @gone4 { " IN4 " }",
		       FL_CAPTURE_ZONE);
	fl_writer_rule(w, "the same for IPv6",
		       "ct original zone %u ct direction reply update @gone6 { " IN6 " }",
		       FL_CAPTURE_ZONE);
	fl_writer_rule(w, "they pass", "ct original zone %u ct direction reply accept",
		       FL_CAPTURE_ZONE);
	fl_writer_rule(w, "excluded when it began", "ct mark and 0x%x != 0 accept",
		       FL_CAPTURE_SPARED);
	open_rules(w, IN4, IN6);
	if (fl_writer_captures(&w->outbound)) {
		fl_writer_rules_of(w, &w->conf->redirect.exclude_outbound, FL_MATCH_ANSWER,
				   FL_RULESET_TCP, "accept",
				   "answers of [redirect] exclude_outbound");
	}
	fl_writer_rule(w, "of no allowed connection", "goto past_inbound");
	fl_writer_chain_end(w);
}

/* --- outbound --------------------------------------------------------------------------------- */

static void spared_outbound_chains(const struct fl_writer *w)
{
	fl_writer_chain(w, "spare_outbound", NULL);
	fl_writer_rule(w, "excluded, and its answers",
		       "ct direction original ct mark set ct mark or 0x%x", FL_CAPTURE_SPARED);
	fl_writer_rule(w, "excluded", "meta l4proto $TCP accept");
	fl_writer_chain_end(w);

	/* The entry of a forged SYN, to a port where nothing listens, is never assured. */
	fl_writer_chain(w, "spared_outbound", NULL);
	fl_writer_rule(w, "the app's own", "ct direction original accept");
	fl_writer_rule(w, "the app answers, and was answered", "ct status assured accept");
	fl_writer_rule(w, "its first answer", "tcp flags & (syn | ack) == syn | ack accept");
	fl_writer_rule(w, "sent again once it was answered", "meta l4proto $TCP drop");
	fl_writer_chain_end(w);
}

/* Handles packets whose socket is not the sidecar's. A packet that returns from this chain is refused. */
static void judge_out_chain(const struct fl_writer *w)
{
	const struct fl_conf_selectors *spared = &w->conf->redirect.exclude_outbound;
	const struct fl_conf_selectors *taken = &w->conf->redirect.outbound;

	fl_writer_chain(w, "judge_app", NULL);
	fl_writer_rule(w, "excluded when it began",
		       NOT_SYN " ct mark and 0x%x != 0 goto spared_outbound", FL_CAPTURE_SPARED);
	fl_writer_rule(w, "not the first packet of a connection", NOT_SYN " jump open_outbound");
	if (fl_writer_keeps_source(w)) {
		fl_writer_rule(
			w, "answers a connection from the client's address that conntrack forgot",
			NOT_SYN " " OUT4 " @brought4 return");
		fl_writer_rule(w, "the same for IPv6", NOT_SYN " " OUT6 " @brought6 return");
	}
	if (fl_writer_captures(&w->outbound)) {
		fl_writer_rules_of(w, spared, FL_MATCH_OUTBOUND, FL_RULESET_TCP,
				   "goto spare_outbound", "[redirect] exclude_outbound");
		fl_writer_rules_of(w, spared, FL_MATCH_DIALLED_OUTBOUND, FL_RULESET_TCP,
				   "goto spare_outbound", "the same, before NAT of other software");
		fl_writer_rules_of(w, taken, FL_MATCH_OUTBOUND, FL_RULESET_TCP, "return",
				   "[redirect] outbound: it should have been captured");
		fl_writer_rules_of(w, taken, FL_MATCH_DIALLED_OUTBOUND, FL_RULESET_TCP, "return",
				   "the same, before NAT of other software");
	} else if (fl_writer_is_tproxy(w)) {
		fl_writer_rule(w, "it may answer a connection from the client's address",
			       NOT_SYN " return");
	}
	fl_writer_rule(w, "answers a connection that is not excluded", "ct direction reply return");
	fl_writer_rule(w, "not to be captured", "goto spare_outbound");
	fl_writer_chain_end(w);
}

static void judge_chains(const struct fl_writer *w)
{
	fl_writer_chain(w, "open_outbound", NULL);
	open_rules(w, OUT4, OUT6);
	fl_writer_chain_end(w);
	spared_outbound_chains(w);
	judge_out_chain(w);

	fl_writer_chain(w, "judge", NULL);
	fl_writer_rule(w, "not of the sidecar's user", "meta skuid != %u goto judge_app",
		       w->conf->agent.sidecar_uid);
	fl_writer_rule(w, "a reset without a socket", "tcp flags & rst == rst accept");
	/* What the sidecar has accepted, or will, or has closed. */
	fl_writer_listeners(w, FL_MATCH_OWN);
	if (fl_writer_is_tproxy(w)) {
		fl_writer_rule(w, "the same under the destination's address",
			       "meta mark 0x%x accept", FL_CAPTURE_OWN_MARK);
	}
	fl_writer_rule(w, "the rest of an answered connection that the sidecar dialled",
		       "ct original zone %u ct direction original ct state established accept",
		       FL_CAPTURE_ZONE);
	fl_writer_rule(w, "the rest of other connections", "goto judge_app");
	fl_writer_chain_end(w);
}

static void gate_out_chain(const struct fl_writer *w)
{
	fl_writer_chain(w, "gate_out", "filter hook output priority filter");
	fl_writer_rule(w, "inside the pod", "oifname \"lo\" accept");
	fl_writer_rule(w, "not captured", "meta l4proto != $TCP goto other_outbound");
	fl_writer_rule(w, "the sidecar's own", "meta skuid %u accept", w->conf->agent.sidecar_uid);
	if (w->outbound.v4_listens) {
		fl_writer_rule(w, "captured, to the sidecar",
			       "ip daddr 127.0.0.1 tcp dport %u accept", w->outbound.v4);
	}
	if (w->outbound.v6_listens) {
		fl_writer_rule(w, "captured, to the sidecar: IPv6",
			       "ip6 daddr ::1 tcp dport %u accept", w->outbound.v6);
	}
	if (fl_writer_is_tproxy(w)) {
		fl_writer_rule(w, "answers that go to the sidecar", "meta mark 0x%x accept",
			       FL_CAPTURE_MARK);
	}
	fl_writer_rule(w, "may it leave as it is?", "jump judge");
	fl_writer_rule(w, "a reset carries nothing", "tcp flags & rst == rst drop");
	fl_writer_rule(w, "the first packet of a connection that was not captured",
		       SYN " add @" FL_RULESET_REFUSED_OUTBOUND
			   " { meta l4proto } counter name past_outbound reject with tcp reset");
	fl_writer_rule(w, "unknown: it would leave as it is",
		       "meta l4proto $TCP add @" FL_RULESET_REFUSED_OUTBOUND
		       " { meta l4proto } counter name astray reject with tcp reset");
	fl_writer_chain_end(w);
}

/* Checks packets that other rules have redirected in the meantime. Runs before the source NAT of other software. */
static void leaving_chain(const struct fl_writer *w)
{
	fl_writer_chain(w, "leaving", "filter hook postrouting priority mangle");
	fl_writer_rule(w, "inside the pod", "oifname \"lo\" accept");
	fl_writer_rule(w, "not captured", "meta l4proto != $TCP accept");
	fl_writer_rule(w, "the sidecar's own: with normal priority from here on",
		       "meta skuid %u meta priority set 0:0 accept", w->conf->agent.sidecar_uid);
	fl_writer_rule(w, "forwarded", "fib saddr type != local accept");
	fl_writer_rule(w, "may it leave as it is?", "jump judge");
	fl_writer_rule(w, "no: other rules redirected it",
		       "meta l4proto $TCP add @" FL_RULESET_REFUSED_OUTBOUND
		       " { meta l4proto } counter name slipped drop");
	fl_writer_chain_end(w);
}

/* --- other protocols -------------------------------------------------------------------------- */

static void other_chain(const struct fl_writer *w, bool inbound)
{
	const struct fl_conf_selectors *spared =
		inbound ? &w->conf->redirect.exclude_inbound : &w->conf->redirect.exclude_outbound;
	const char *key = inbound ? "[redirect] exclude_inbound" : "[redirect] exclude_outbound";
	const char *counter = inbound ? "other_inbound" : "other_outbound";

	fl_writer_chain(w, counter, NULL);
	fl_writer_rule(w, "ICMP and neighbour discovery", "meta l4proto { $ICMP, $ICMPV6 } accept");
	fl_writer_rule(w, "answers: decided with the first packet", "ct direction reply accept");
	fl_writer_rule(w, "DNS", "meta l4proto $UDP ct original proto-dst 53 accept");
	if (!inbound) {
		fl_writer_rule(w, "the sidecar's own", "meta skuid %u accept",
			       w->conf->agent.sidecar_uid);
	}
	fl_writer_rules_of(w, spared, inbound ? FL_MATCH_INBOUND : FL_MATCH_OUTBOUND,
			   FL_RULESET_OTHER, "accept", key);
	if (w->conf->redirect.drop_other_protocols) {
		fl_writer_rule(w, "[redirect] other_protocols = drop",
			       "counter name %s reject with icmpx port-unreachable", counter);
	} else {
		fl_writer_rule(w, "[redirect] other_protocols = count", "counter name %s accept",
			       counter);
	}
	fl_writer_chain_end(w);
}

void fl_writer_gate(const struct fl_writer *w)
{
	zone_chain(w);
	other_chain(w, true);
	other_chain(w, false);
	past_inbound_chain(w);
	new_inbound_chain(w);
	gate_in_chain(w);
	judge_chains(w);
	gate_out_chain(w);
	leaving_chain(w);
}
