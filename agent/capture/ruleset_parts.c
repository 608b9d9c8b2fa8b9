/* SPDX-License-Identifier: GPL-3.0-or-later */
/* ruleset_parts - writes lines of the ruleset, and turns selectors and listeners of the INI into matches. */
#include <stdarg.h>
#include <stdio.h>

#include "agent/capture/ruleset_internal.h"
#include "base/mem.h"

/* Protocols with their ports at the same place as TCP. */
#define WITH_PORTS "meta l4proto { $TCP, $UDP, $UDPLITE, $SCTP, $DCCP }"

/* --- lines ------------------------------------------------------------------------------------ */

void fl_writer_chain(const struct fl_writer *w, const char *name, const char *base)
{
	fl_text_print(w->out, "\n\tchain %s {\n", name);
	if (base != NULL) {
		fl_text_print(w->out, "\t\ttype %s; policy accept;\n", base);
	}
}

void fl_writer_chain_end(const struct fl_writer *w)
{
	fl_text_print(w->out, "\t}\n");
}

void fl_writer_rule(const struct fl_writer *w, const char *comment, const char *fmt, ...)
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

void fl_writer_redirect(const struct fl_writer *w, const struct fl_ruleset_ports *ports,
			const char *match, const char *counter, const char *comment)
{
	const struct {
		const char *name;
		uint16_t port;
		bool listens;
	} families[] = {{"ipv4", ports->v4, ports->v4_listens},
			{"ipv6", ports->v6, ports->v6_listens}};

	if (ports->v4 == ports->v6 && ports->v4_listens && ports->v6_listens) {
		fl_writer_rule(w, comment, "meta l4proto $TCP %scounter name %s redirect to :%u",
			       match, counter, ports->v4);
		return;
	}
	for (size_t i = 0; i < FL_COUNT_OF(families); i++) {
		if (families[i].listens) {
			fl_writer_rule(w, comment,
				       "meta nfproto %s meta l4proto $TCP %scounter name %s "
				       "redirect to :%u",
				       families[i].name, match, counter, families[i].port);
		} else {
			fl_writer_rule(w, "the sidecar has no listener of this family: refused",
				       "meta nfproto %s meta l4proto $TCP %scounter name %s "
				       "reject with tcp reset",
				       families[i].name, match, counter);
		}
	}
}

/* --- selectors -------------------------------------------------------------------------------- */

/* How nft names the ends of a packet; before_port: the match that it requires before a port. */
static const struct match_words {
	const char *before_port, *port, *addr, *interface;
} match_words[FL_MATCH_COUNT] = {
	[FL_MATCH_INBOUND] = {"", "dport", "saddr", "iifname"},
	[FL_MATCH_OUTBOUND] = {"", "dport", "daddr", "oifname"},
	[FL_MATCH_OWN] = {"", "sport", "saddr", "oifname"},
	[FL_MATCH_ANSWER] = {"", "sport", "saddr", "iifname"},
	[FL_MATCH_DIALLED_INBOUND] = {"meta l4proto $TCP ", "ct original proto-dst", "saddr",
				      "iifname"},
	[FL_MATCH_DIALLED_OUTBOUND] = {"meta l4proto $TCP ", "ct original proto-dst", "daddr",
				       "oifname"},
};

static bool is_dialled(enum fl_ruleset_match kind)
{
	return kind == FL_MATCH_DIALLED_INBOUND || kind == FL_MATCH_DIALLED_OUTBOUND;
}

static void put_port(const struct fl_port_range *ports, enum fl_ruleset_match kind,
		     enum fl_ruleset_protocol protocol, struct fl_text *out)
{
	if (ports->first == 0 && ports->last == UINT16_MAX) {
		return;
	}
	if (is_dialled(kind)) {
		fl_text_print(out, "%s%s %u", match_words[kind].before_port, match_words[kind].port,
			      ports->first);
	} else {
		fl_text_print(out, "%s %s %u",
			      protocol == FL_RULESET_TCP ? "tcp" : WITH_PORTS " th",
			      match_words[kind].port, ports->first);
	}
	if (ports->first != ports->last) {
		fl_text_print(out, "-%u", ports->last);
	}
	fl_text_print(out, " ");
}

void fl_writer_selector(const struct fl_conf_selector *selector, enum fl_ruleset_match kind,
			enum fl_ruleset_protocol protocol, struct fl_text *out)
{
	char net[FL_CIDR_TEXT];

	put_port(&selector->ports, kind, protocol, out);
	if (!selector->any_net) {
		fl_text_print(out, "%s%s %s %s ", is_dialled(kind) ? "ct original " : "",
			      selector->net.family == AF_INET ? "ip" : "ip6",
			      match_words[kind].addr, fl_cidr_format(&selector->net, net));
	}
	if (selector->interface != NULL) {
		fl_text_print(out, "%s \"%s\" ", match_words[kind].interface, selector->interface);
	}
}

void fl_writer_rules_of(const struct fl_writer *w, const struct fl_conf_selectors *selectors,
			enum fl_ruleset_match kind, enum fl_ruleset_protocol protocol,
			const char *verdict, const char *comment)
{
	for (size_t i = 0; i < selectors->count; i++) {
		struct fl_text match = {0};

		fl_writer_selector(&selectors->items[i], kind, protocol, &match);
		fl_writer_rule(w, comment, "%s%s%s",
			       is_dialled(kind) ? "ct status dnat ct direction original " : "",
			       match.len > 0 ? match.data : "", verdict);
		fl_text_done(&match);
	}
}

/* --- listeners -------------------------------------------------------------------------------- */

static void put_listener(const struct fl_addr *listen, enum fl_ruleset_match kind,
			 struct fl_text *out)
{
	struct fl_conf_selector to = {.any_net = true, .ports = {listen->port, listen->port}};

	if (fl_addr_is_unspecified(listen)) {
		fl_text_print(out, "meta nfproto %s ",
			      listen->sa.any.sa_family == AF_INET ? "ipv4" : "ipv6");
	} else if (listen->kind == FL_ADDR_IP) {
		to.any_net = false;
		FL_REQUIRE(fl_cidr_of(&listen->sa.any, &to.net));
	}
	fl_writer_selector(&to, kind, FL_RULESET_TCP, out);
}

static void listener_rule(const struct fl_writer *w, const struct fl_addr *listen,
			  enum fl_ruleset_match kind, const char *comment)
{
	bool is_ip = listen->kind == FL_ADDR_IP || listen->kind == FL_ADDR_ANY;
	struct fl_text match = {0};

	if (is_ip && listen->port != 0 && !fl_addr_is_loopback(listen)) {
		put_listener(listen, kind, &match);
		fl_writer_rule(w, comment, "%saccept", match.data);
		fl_text_done(&match);
	}
}

void fl_writer_listeners(const struct fl_writer *w, enum fl_ruleset_match kind)
{
	const struct fl_conf *conf = w->conf;

	for (size_t i = 0; i < conf->sidecar.inbound_count; i++) {
		listener_rule(w, &conf->sidecar.inbound[i], kind,
			      "the sidecar's own: [sidecar] inbound");
	}
	for (size_t i = 0; i < conf->sidecar.outbound_count; i++) {
		listener_rule(w, &conf->sidecar.outbound[i], kind,
			      "the sidecar's own: [sidecar] outbound");
	}
	listener_rule(w, &conf->sidecar.admin, kind, "the sidecar's own: [sidecar] admin");
	for (size_t i = 0; i < conf->service_count; i++) {
		listener_rule(w, &conf->services[i].listen, kind,
			      "a fixed listener: [service] listen");
	}
}
