/* SPDX-License-Identifier: GPL-3.0-or-later */
/* ruleset - writes the chains one after the other; each rule says in its comment what it is for.
 *
 * - Base chains run just before those of others at the same hook (DSTNAT, theirs is -100), so that we see the destination that was
 *   dialled; what we leave alone goes on to theirs.
 * - `accept` in a base chain ends our part only.
 * - A SYN for a port where no socket listens is refused with a reset. Were it redirected, the kernel would complete
 *   the handshake for an app that is not there; were it let pass, an app that begins to listen in that moment would be
 *   reached without the sidecar.
 * - Conntrack translates each packet of a captured connection. What it has forgotten (entries were flushed, or are
 *   older than its time-outs) or takes for invalid, it does not: such a packet would leave the pod for the address that
 *   the app knows, in the clear. It is refused, so that the app sees its connection end.
 * - Connections over lo never come to the prerouting hook: what is to be done with them is done at output. */
#include "agent/ruleset.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/capture.h"
#include "base/mem.h"

#define DSTNAT "-101"
#define SYN "tcp flags & (fin | syn | rst | ack) == syn"
#define NOT_SYN "tcp flags & (fin | syn | rst | ack) != syn"
#define INTERFACE_LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.@:"
/* Protocols whose ports are where those of TCP are. */
#define WITH_PORTS "meta l4proto { $TCP, $UDP, $UDPLITE, $SCTP, $DCCP }"

/* Their names stand in /etc/protocols, which a container image need not have. */
static const char protocols[] = "define ICMP = 1\n"
				"define TCP = 6\n"
				"define UDP = 17\n"
				"define DCCP = 33\n"
				"define ICMPV6 = 58\n"
				"define SCTP = 132\n"
				"define UDPLITE = 136\n";

const char fl_ruleset_removal[] = "add table inet " FL_RULESET_TABLE "\n"
				  "delete table inet " FL_RULESET_TABLE "\n";

const struct fl_ruleset_counter fl_ruleset_counters[] = {
	{"inbound", "inbound connections captured"},
	{"inbound_closed", "inbound connections refused, as nobody listened there"},
	{"outbound", "outbound connections captured"},
	{"astray", "outbound packets of connections that conntrack does not know, refused"},
	{"to_self", "connections of the sidecar to its own pod, captured as inbound"},
	{"other_inbound", "inbound packets of other protocols"},
	{"other_outbound", "outbound packets of other protocols"},
};
const size_t fl_ruleset_counter_count = FL_COUNT_OF(fl_ruleset_counters);

/* What a rule is about: where it is asked, and whose ports. */
enum direction { INBOUND, OUTBOUND };
enum protocol { TCP, OTHER };

struct writer {
	const struct fl_conf *conf;
	struct fl_text *out;
	struct fl_ruleset_ports inbound, outbound;
};

static bool captures(const struct fl_ruleset_ports *ports)
{
	return ports->v4 != 0;
}

static bool is_tproxy(const struct writer *w)
{
	return w->conf->redirect.mode == FL_REDIRECT_TPROXY;
}

/* --- listeners -------------------------------------------------------------------------------- */

static bool is_loopback(const struct fl_addr *addr)
{
	return addr->sa.any.sa_family == AF_INET
		       ? ntohl(addr->sa.in.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET
		       : IN6_IS_ADDR_LOOPBACK(&addr->sa.in6.sin6_addr);
}

static bool is_unspecified(const struct fl_addr *addr)
{
	return addr->sa.any.sa_family == AF_INET ? addr->sa.in.sin_addr.s_addr == htonl(INADDR_ANY)
						 : IN6_IS_ADDR_UNSPECIFIED(&addr->sa.in6.sin6_addr);
}

/* What a redirect at output makes of every destination. */
static bool is_redirect_target(const struct fl_addr *addr)
{
	return is_unspecified(addr) ||
	       (addr->sa.any.sa_family == AF_INET
			? addr->sa.in.sin_addr.s_addr == htonl(INADDR_LOOPBACK)
			: is_loopback(addr));
}

static int take_port(const char *key, const struct fl_addr *addr, uint16_t *port, bool *listens,
		     struct fl_err *err)
{
	if (*listens && *port != addr->port) {
		return fl_err_set(err, FL_ERR_INVALID,
				  "`[sidecar] %s` has the ports %u and %u for the same traffic: "
				  "captured connections are led to one port",
				  key, *port, addr->port);
	}
	*port = addr->port;
	*listens = true;
	return FL_OK;
}

static int take_ports(const char *key, const struct fl_addr *addrs, size_t count,
		      struct fl_ruleset_ports *ret, struct fl_err *err)
{
	struct fl_ruleset_ports ports = {0};
	int rc = FL_OK;

	for (size_t i = 0; i < count && rc == FL_OK; i++) {
		bool any = addrs[i].kind == FL_ADDR_ANY;

		if (any || addrs[i].sa.any.sa_family == AF_INET) {
			rc = take_port(key, &addrs[i], &ports.v4, &ports.v4_listens, err);
		}
		if (rc == FL_OK && (any || addrs[i].sa.any.sa_family == AF_INET6)) {
			rc = take_port(key, &addrs[i], &ports.v6, &ports.v6_listens, err);
		}
	}
	if (rc == FL_OK) {
		ports.v4 = ports.v4_listens ? ports.v4 : ports.v6;
		ports.v6 = ports.v6_listens ? ports.v6 : ports.v4;
		*ret = ports;
	}
	return rc;
}

static int cannot_reach(const char *key, const struct fl_addr *addr, const char *remedy,
			struct fl_err *err)
{
	char text[FL_ADDR_TEXT];

	return fl_err_set(err, FL_ERR_INVALID,
			  "captured traffic does not reach `[sidecar] %s` at %s: write %s", key,
			  fl_addr_format(addr, text), remedy);
}

int fl_ruleset_inbound(const struct fl_conf *conf, struct fl_ruleset_ports *ret, struct fl_err *err)
{
	for (size_t i = 0; i < conf->sidecar.inbound_count; i++) {
		const struct fl_addr *addr = &conf->sidecar.inbound[i];

		if (addr->kind == FL_ADDR_IP && is_loopback(addr)) {
			return cannot_reach("inbound", addr, "*:15006", err);
		}
	}
	return take_ports("inbound", conf->sidecar.inbound, conf->sidecar.inbound_count, ret, err);
}

int fl_ruleset_outbound(const struct fl_conf *conf, struct fl_ruleset_ports *ret,
			struct fl_err *err)
{
	for (size_t i = 0; i < conf->sidecar.outbound_count; i++) {
		const struct fl_addr *addr = &conf->sidecar.outbound[i];

		if (addr->kind == FL_ADDR_IP && !is_redirect_target(addr)) {
			return cannot_reach("outbound", addr, "127.0.0.1:15001, [::1]:15001", err);
		}
	}
	return take_ports("outbound", conf->sidecar.outbound, conf->sidecar.outbound_count, ret,
			  err);
}

/* --- parts of rules --------------------------------------------------------------------------- */

static void chain_begin(const struct writer *w, const char *name, const char *base)
{
	fl_text_print(w->out, "\n\tchain %s {\n", name);
	if (base != NULL) {
		fl_text_print(w->out, "\t\ttype %s; policy accept;\n", base);
	}
}

static void chain_end(const struct writer *w)
{
	fl_text_print(w->out, "\t}\n");
}

static FL_PRINTF(3, 4) void rule(const struct writer *w, const char *comment, const char *fmt, ...)
{
	va_list args;
	char text[1024];
	int len;

	va_start(args, fmt);
	len = vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	FL_REQUIRE(len >= 0 && (size_t)len < sizeof(text));
	fl_text_print(w->out, "\t\t%s comment \"%s\"\n", text, comment);
}

/* "tcp dport 80-90 ip daddr 10.0.0.0/8 oifname \"eth1\" ", or nothing where all fits. */
static void put_selector(const struct fl_conf_selector *selector, enum direction direction,
			 enum protocol protocol, struct fl_text *out)
{
	char net[FL_CIDR_TEXT];

	if (selector->ports.first != 0 || selector->ports.last != UINT16_MAX) {
		fl_text_print(out, "%s dport %u", protocol == TCP ? "tcp" : WITH_PORTS " th",
			      selector->ports.first);
		if (selector->ports.first != selector->ports.last) {
			fl_text_print(out, "-%u", selector->ports.last);
		}
		fl_text_print(out, " ");
	}
	if (!selector->any_net) {
		fl_text_print(out, "%s %s %s ", selector->net.family == AF_INET ? "ip" : "ip6",
			      direction == INBOUND ? "saddr" : "daddr",
			      fl_cidr_format(&selector->net, net));
	}
	if (selector->interface != NULL) {
		fl_text_print(out, "%s \"%s\" ", direction == INBOUND ? "iifname" : "oifname",
			      selector->interface);
	}
}

/* One rule for each selector. */
static void rules_of(const struct writer *w, const struct fl_conf_selectors *selectors,
		     enum direction direction, enum protocol protocol, const char *verdict,
		     const char *comment)
{
	for (size_t i = 0; i < selectors->count; i++) {
		struct fl_text match = {0};

		put_selector(&selectors->items[i], direction, protocol, &match);
		rule(w, comment, "%s%s", match.len > 0 ? match.data : "", verdict);
		fl_text_done(&match);
	}
}

/* With a rule for each family where their ports differ. */
static void redirect_rules(const struct writer *w, const struct fl_ruleset_ports *ports,
			   const char *match, const char *counter, const char *comment)
{
	if (ports->v4 == ports->v6) {
		rule(w, comment, "meta l4proto $TCP %scounter name %s redirect to :%u", match,
		     counter, ports->v4);
		return;
	}
	rule(w, comment, "meta nfproto ipv4 meta l4proto $TCP %scounter name %s redirect to :%u",
	     match, counter, ports->v4);
	rule(w, comment, "meta nfproto ipv6 meta l4proto $TCP %scounter name %s redirect to :%u",
	     match, counter, ports->v6);
}

/* --- inbound ---------------------------------------------------------------------------------- */

static void add_port(uint16_t *ports, size_t *count, uint16_t port)
{
	for (size_t i = 0; i < *count; i++) {
		if (ports[i] == port) {
			return;
		}
	}
	if (port != 0) {
		ports[(*count)++] = port;
	}
}

/* Ports that the sidecar answers itself, whatever the address. */
static void own_ports(const struct writer *w)
{
	uint16_t ports[5];
	struct fl_text list = {0};
	size_t count = 0;

	add_port(ports, &count, w->inbound.v4);
	add_port(ports, &count, w->inbound.v6);
	add_port(ports, &count, w->outbound.v4);
	add_port(ports, &count, w->outbound.v6);
	if (w->conf->sidecar.admin.kind != FL_ADDR_NONE) {
		add_port(ports, &count, w->conf->sidecar.admin.port);
	}
	for (size_t i = 0; i < count; i++) {
		fl_text_print(&list, "%s%u", i == 0 ? "" : ", ", ports[i]);
	}
	rule(w, "the sidecar's own: capture and admin", "tcp dport { %s } accept", list.data);
	fl_text_done(&list);
}

static void fixed_listeners(const struct writer *w)
{
	for (size_t i = 0; i < w->conf->service_count; i++) {
		const struct fl_addr *listen = &w->conf->services[i].listen;
		struct fl_conf_selector to = {.any_net = true};
		struct fl_text match = {0};

		if (listen->kind != FL_ADDR_ANY && listen->kind != FL_ADDR_IP) {
			continue;
		}
		to.ports = (struct fl_port_range){listen->port, listen->port};
		if (listen->kind == FL_ADDR_IP && !is_unspecified(listen)) {
			to.any_net = !fl_cidr_of(&listen->sa.any, &to.net);
		}
		/* Its address is where the connection goes, not where it is from. */
		put_selector(&to, OUTBOUND, TCP, &match);
		rule(w, "a fixed listener: [service] listen", "%saccept", match.data);
		fl_text_done(&match);
	}
}

static void spared_inbound(const struct writer *w)
{
	chain_begin(w, "spared_inbound", NULL);
	own_ports(w);
	fixed_listeners(w);
	rules_of(w, &w->conf->redirect.exclude_inbound, INBOUND, TCP, "accept",
		 "[redirect] exclude_inbound");
	chain_end(w);
}

static void take_inbound_by_redirect(const struct writer *w)
{
	redirect_rules(w, &w->inbound, "socket wildcard { 0, 1 } ", "inbound",
		       "an app listens there: to the sidecar");
}

static void take_inbound_by_tproxy(const struct writer *w)
{
	rule(w, "an app listens there: to the sidecar, with the destination as it is",
	     "meta nfproto ipv4 meta l4proto $TCP socket wildcard { 0, 1 } tproxy ip to :%u "
	     "counter name inbound accept",
	     w->inbound.v4);
	rule(w, "the same for IPv6",
	     "meta nfproto ipv6 meta l4proto $TCP socket wildcard { 0, 1 } tproxy ip6 to :%u "
	     "counter name inbound accept",
	     w->inbound.v6);
}

static void inbound_chains(const struct writer *w)
{
	spared_inbound(w);
	chain_begin(w, "take_inbound", NULL);
	if (is_tproxy(w)) {
		take_inbound_by_tproxy(w);
	} else {
		take_inbound_by_redirect(w);
	}
	rule(w, "nobody listens there: refused, as without capture",
	     "meta l4proto $TCP counter name inbound_closed reject with tcp reset");
	chain_end(w);

	chain_begin(w, "inbound",
		    is_tproxy(w) ? "filter hook prerouting priority mangle"
				 : "nat hook prerouting priority " DSTNAT);
	rule(w, "not the begin of a TCP connection", "meta l4proto != $TCP accept");
	rule(w, "the same: what was open before goes on", NOT_SYN " accept");
	if (is_tproxy(w)) {
		rule(w, "over lo: decided at output", "iifname \"lo\" accept");
	}
	rule(w, "not for this pod", "fib daddr type != local accept");
	rule(w, "what is left alone", "jump spared_inbound");
	rules_of(w, &w->conf->redirect.inbound_ports, INBOUND, TCP, "goto take_inbound",
		 "[redirect] inbound_ports");
	chain_end(w);
}

/* mode = tproxy: the sidecar dials the app under the client's address. The app's answers to that would leave the pod;
 * the mark, and the routing table for it, lead them back. */
static void tproxy_answers(const struct writer *w)
{
	if (!is_tproxy(w) || !captures(&w->inbound)) {
		return;
	}
	chain_begin(w, "answers", "route hook output priority mangle");
	rule(w, "the sidecar to the app under the client's address: remembered",
	     "meta skuid %u meta mark 0x%x oifname \"lo\" ct mark set meta mark",
	     w->conf->agent.sidecar_uid, FL_CAPTURE_MARK);
	rule(w, "what the app answers to that: back to the sidecar",
	     "ct mark 0x%x ct direction reply meta mark set ct mark", FL_CAPTURE_MARK);
	chain_end(w);
}

/* --- outbound --------------------------------------------------------------------------------- */

static const char *ipv4(uint32_t addr, char buf[INET_ADDRSTRLEN])
{
	struct in_addr in = {.s_addr = htonl(addr)};

	return inet_ntop(AF_INET, &in, buf, INET_ADDRSTRLEN);
}

/* What the sidecar dials every few seconds to see whether the rules are there: led to any listener of its own. */
static void probe_rules(const struct writer *w, unsigned uid)
{
	const struct fl_ruleset_ports *to = captures(&w->outbound) ? &w->outbound : &w->inbound;
	char printed[INET_ADDRSTRLEN], print[INET_ADDRSTRLEN];

	rule(w, "the sidecar looks whether these rules are in force",
	     "meta skuid %u ip daddr 127.0.0.1 tcp dport %u redirect to :%u", uid,
	     FL_CAPTURE_PROBE_PORT, to->v4);
	rule(w, "the same for IPv6", "meta skuid %u ip6 daddr ::1 tcp dport %u redirect to :%u",
	     uid, FL_CAPTURE_PROBE_PORT, to->v6);
	/* base/capture.h */
	rule(w, "the print of the INI that these rules are from",
	     "meta skuid %u ip daddr { %s, %s } tcp dport %u redirect to :%u", uid,
	     ipv4(FL_CAPTURE_PRINTED, printed),
	     ipv4(FL_CAPTURE_PRINT_BASE + fl_conf_capture_print(w->conf), print),
	     FL_CAPTURE_PROBE_PORT, to->v4);
}

/* The sidecar to an address of its own pod, as when a service has us among its pods. */
static void to_self_chain(const struct writer *w)
{
	chain_begin(w, "take_to_self", NULL);
	redirect_rules(w, &w->inbound, "", "to_self", "judged like what a peer sends");
	chain_end(w);
	chain_begin(w, "to_self", NULL);
	rule(w, "on to the app, for a peer", "ip dscp %d accept", FL_CAPTURE_TO_APP_DSCP);
	rule(w, "the same for IPv6", "ip6 dscp %d accept", FL_CAPTURE_TO_APP_DSCP);
	if (is_tproxy(w)) {
		rule(w, "the same under the client's address", "meta mark 0x%x accept",
		     FL_CAPTURE_MARK);
	}
	rule(w, "to loopback addresses", "ip daddr 127.0.0.0/8 accept");
	rule(w, "the same for IPv6", "ip6 daddr ::1 accept");
	rule(w, "what is left alone", "jump spared_inbound");
	rules_of(w, &w->conf->redirect.inbound_ports, INBOUND, TCP, "goto take_to_self",
		 "[redirect] inbound_ports");
	chain_end(w);
}

static void outbound_chains(const struct writer *w)
{
	unsigned uid = w->conf->agent.sidecar_uid;

	if (captures(&w->inbound)) {
		to_self_chain(w);
	}
	if (captures(&w->outbound)) {
		chain_begin(w, "take_outbound", NULL);
		redirect_rules(w, &w->outbound, "", "outbound", "to the sidecar");
		chain_end(w);
	}
	chain_begin(w, "outbound", "nat hook output priority " DSTNAT);
	rule(w, "not the begin of a TCP connection", "meta l4proto != $TCP accept");
	rule(w, "the same: what was open before goes on", NOT_SYN " accept");
	probe_rules(w, uid);
	if (captures(&w->inbound)) {
		rule(w, "the sidecar to its own pod", "meta skuid %u oifname \"lo\" goto to_self",
		     uid);
	}
	rule(w, "the sidecar to anywhere", "meta skuid %u accept", uid);
	rule(w, "the app to itself: loopback, or an address of its own pod",
	     "oifname \"lo\" accept");
	if (captures(&w->outbound)) {
		rules_of(w, &w->conf->redirect.exclude_outbound, OUTBOUND, TCP, "accept",
			 "[redirect] exclude_outbound");
		rules_of(w, &w->conf->redirect.outbound, OUTBOUND, TCP, "goto take_outbound",
			 "[redirect] outbound");
	}
	chain_end(w);
}

/* --- connections that conntrack does not know -------------------------------------------------- */

static void open_sets(const struct writer *w)
{
	fl_text_print(w->out,
		      "\tset " FL_RULESET_OPEN4 " { type ipv4_addr . inet_service . ipv4_addr . "
		      "inet_service; comment \"open before these rules\"; }\n"
		      "\tset " FL_RULESET_OPEN6 " { type ipv6_addr . inet_service . ipv6_addr . "
		      "inet_service; comment \"the same for IPv6\"; }\n");
}

/* A packet without a socket (its app has gone, and the kernel sends what is left) has no uid, and is refused. */
static void astray_chain(const struct writer *w)
{
	chain_begin(w, "astray", "filter hook output priority filter");
	rule(w, "of no captured protocol", "meta l4proto != $TCP accept");
	rule(w, "known, so it goes where it was led", "ct state { established, related } accept");
	rule(w, "the begin of a connection, led above", SYN " accept");
	rule(w, "inside the pod", "oifname \"lo\" accept");
	rule(w, "the sidecar's own", "meta skuid %u accept", w->conf->agent.sidecar_uid);
	rule(w, "open before these rules",
	     "ip saddr . tcp sport . ip daddr . tcp dport @" FL_RULESET_OPEN4 " accept");
	rule(w, "the same for IPv6",
	     "ip6 saddr . tcp sport . ip6 daddr . tcp dport @" FL_RULESET_OPEN6 " accept");
	rules_of(w, &w->conf->redirect.exclude_outbound, OUTBOUND, TCP, "accept",
		 "[redirect] exclude_outbound");
	rules_of(w, &w->conf->redirect.outbound, OUTBOUND, TCP,
		 "counter name astray reject with tcp reset",
		 "not known: it would go out as it is");
	chain_end(w);
}

/* --- other protocols -------------------------------------------------------------------------- */

static void other_chain(const struct writer *w, enum direction direction)
{
	const struct fl_conf_selectors *spared = direction == INBOUND
							 ? &w->conf->redirect.exclude_inbound
							 : &w->conf->redirect.exclude_outbound;
	const char *key =
		direction == INBOUND ? "[redirect] exclude_inbound" : "[redirect] exclude_outbound";
	const char *counter = direction == INBOUND ? "other_inbound" : "other_outbound";

	chain_begin(w, counter,
		    direction == INBOUND ? "filter hook input priority filter"
					 : "filter hook output priority filter");
	rule(w, "captured, or left alone, above", "meta l4proto $TCP accept");
	rule(w, "inside the pod", "%s \"lo\" accept", direction == INBOUND ? "iifname" : "oifname");
	rule(w, "ICMP and neighbour discovery", "meta l4proto { $ICMP, $ICMPV6 } accept");
	rule(w, "answers: decided with what they answer", "ct direction reply accept");
	rule(w, "DNS", "meta l4proto $UDP ct original proto-dst 53 accept");
	if (direction == OUTBOUND) {
		rule(w, "the sidecar's own", "meta skuid %u accept", w->conf->agent.sidecar_uid);
	}
	rules_of(w, spared, direction, OTHER, "accept", key);
	if (w->conf->redirect.drop_other_protocols) {
		rule(w, "[redirect] other_protocols = drop",
		     "counter name %s reject with icmpx port-unreachable", counter);
	} else {
		rule(w, "[redirect] other_protocols = count", "counter name %s", counter);
	}
	chain_end(w);
}

/* --- all of it -------------------------------------------------------------------------------- */

static void table(const struct writer *w)
{
	fl_text_print(w->out, "table inet " FL_RULESET_TABLE " {\n");
	for (size_t i = 0; i < fl_ruleset_counter_count; i++) {
		fl_text_print(w->out, "\tcounter %s { comment \"%s\"; }\n",
			      fl_ruleset_counters[i].name, fl_ruleset_counters[i].what);
	}
	if (captures(&w->outbound)) {
		open_sets(w);
	}
	if (captures(&w->inbound)) {
		inbound_chains(w);
	}
	tproxy_answers(w);
	outbound_chains(w);
	if (captures(&w->outbound)) {
		astray_chain(w);
	}
	other_chain(w, INBOUND);
	other_chain(w, OUTBOUND);
	fl_text_print(w->out, "}\n");
}

/* Letters of a name that would end it, or the line. (What the kernel allows is more than what anybody writes.) */
static int check_interfaces(const char *key, const struct fl_conf_selectors *selectors,
			    struct fl_err *err)
{
	for (size_t i = 0; i < selectors->count; i++) {
		const char *name = selectors->items[i].interface;

		if (name != NULL && (name[0] == '\0' || strlen(name) >= IF_NAMESIZE ||
				     strspn(name, INTERFACE_LETTERS) != strlen(name))) {
			return fl_err_set(err, FL_ERR_INVALID,
					  "`[redirect] %s` names an interface that cannot be one: "
					  "%.*s",
					  key, IF_NAMESIZE, name);
		}
	}
	return FL_OK;
}

static int check_redirect(const struct fl_conf *conf, struct fl_err *err)
{
	int rc = check_interfaces("inbound_ports", &conf->redirect.inbound_ports, err);

	rc = rc != FL_OK
		     ? rc
		     : check_interfaces("exclude_inbound", &conf->redirect.exclude_inbound, err);
	rc = rc != FL_OK ? rc : check_interfaces("outbound", &conf->redirect.outbound, err);
	return rc != FL_OK ? rc
			   : check_interfaces("exclude_outbound", &conf->redirect.exclude_outbound,
					      err);
}

int fl_ruleset_format(const struct fl_conf *conf, struct fl_text *out, struct fl_err *err)
{
	struct writer w = {.conf = conf, .out = out};
	int rc = fl_ruleset_inbound(conf, &w.inbound, err);

	if (rc == FL_OK) {
		rc = fl_ruleset_outbound(conf, &w.outbound, err);
	}
	if (rc == FL_OK) {
		rc = check_redirect(conf, err);
	}
	if (rc != FL_OK) {
		return rc;
	}
	if (!captures(&w.inbound) && !captures(&w.outbound)) {
		return fl_err_set(err, FL_ERR_INVALID,
				  "`[sidecar] inbound` and `outbound` are both empty, so captured "
				  "connections could be led nowhere: set them, for example to "
				  "*:15006 and 127.0.0.1:15001, [::1]:15001");
	}
	fl_text_print(out, "%s%s", fl_ruleset_removal, protocols);
	table(&w);
	return FL_OK;
}
