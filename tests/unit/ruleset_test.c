/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agent/capture/ruleset.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define ALL_PORTS                                                                                  \
	{                                                                                          \
		0, UINT16_MAX                                                                      \
	}

static struct fl_conf_selector everything[] = {{.any_net = true, .ports = ALL_PORTS}};

struct world {
	struct fl_conf conf;
	struct fl_addr inbound[2], outbound[2];
	struct fl_ruleset_uplinks uplinks;
	struct fl_text text;
	struct fl_err err;
};

static void listen_at(struct fl_addr *addrs, size_t *count, const char *text)
{
	cr_assert_eq(fl_addr_parse(text, FL_ADDR_ALLOW_ANY, &addrs[(*count)++], NULL), 0);
}

/* What an INI without [redirect] means. */
static void world_init(struct world *w)
{
	*w = (struct world){0};
	w->conf.agent.sidecar_uid = 2112;
	w->conf.sidecar.inbound = w->inbound;
	w->conf.sidecar.outbound = w->outbound;
	listen_at(w->inbound, &w->conf.sidecar.inbound_count, "*:15006");
	listen_at(w->outbound, &w->conf.sidecar.outbound_count, "127.0.0.1:15001");
	listen_at(w->outbound, &w->conf.sidecar.outbound_count, "[::1]:15001");
	cr_assert_eq(fl_addr_parse("*:15020", FL_ADDR_ALLOW_ANY, &w->conf.sidecar.admin, NULL), 0);
	w->conf.redirect.inbound_ports = (struct fl_conf_selectors){everything, 1};
	w->conf.redirect.outbound = (struct fl_conf_selectors){everything, 1};
}

static const char *format(struct world *w)
{
	fl_text_done(&w->text);
	w->text = (struct fl_text){0};
	cr_assert_eq(fl_ruleset_format(&w->conf, &w->uplinks, &w->text, &w->err), 0, "%s",
		     w->err.text);
	return w->text.data;
}

static const char *refusal(struct world *w)
{
	struct fl_text text = {0};

	cr_assert_eq(fl_ruleset_format(&w->conf, &w->uplinks, &text, &w->err), FL_ERR_INVALID);
	fl_text_done(&text);
	return w->err.text;
}

static void world_done(struct world *w)
{
	fl_text_done(&w->text);
}

/* The lines of a chain, as one string to free(). */
static char *chain(const char *rules, const char *name)
{
	char *head = fl_format("\tchain %s {\n", name);
	const char *at = strstr(rules, head), *end = at != NULL ? strstr(at, "\n\t}") : NULL;
	char *text = NULL;

	if (at != NULL) {
		text = fl_strndup(at + strlen(head), (size_t)(end - at) - strlen(head) + 1);
	}
	free(head);
	return text;
}

static void expect(const char *rules, const char *name, const char *part, bool there)
{
	char *text = chain(rules, name);

	cr_assert_not_null(text, "no chain %s in\n%s", name, rules);
	cr_expect_eq(strstr(text, part) != NULL, there, "chain %s %s `%s`:\n%s", name,
		     there ? "lacks" : "has", part, text);
	free(text);
}

static void select_port(struct fl_conf_selector *selector, uint16_t first, uint16_t last)
{
	*selector =
		(struct fl_conf_selector){.any_net = true, .ports = {.first = first, .last = last}};
}

static void select_net(struct fl_conf_selector *selector, const char *net)
{
	*selector = (struct fl_conf_selector){.ports = ALL_PORTS};
	cr_assert_eq(fl_cidr_parse(net, &selector->net, NULL), 0);
}

Test(ruleset, replaces_the_table_in_one_transaction)
{
	struct world w;
	const char *rules;

	world_init(&w);
	rules = format(&w);
	cr_expect(strncmp(rules, fl_ruleset_removal, strlen(fl_ruleset_removal)) == 0);
	cr_expect_not_null(strstr(rules, "\ntable inet fairlead {\n"));
	cr_expect_null(strstr(rules, "flush"), "rules of others are nobody's business here");
	world_done(&w);
}

Test(ruleset, every_rule_has_a_comment)
{
	struct world w;
	char *copy, *rest = NULL;

	world_init(&w);
	w.conf.redirect.mode = FL_REDIRECT_TPROXY;
	copy = fl_strdup(format(&w));
	for (char *line = strtok_r(copy, "\n", &rest); line != NULL;
	     line = strtok_r(NULL, "\n", &rest)) {
		if (strncmp(line, "\t\t", 2) == 0 && strncmp(line, "\t\ttype ", 7) != 0) {
			cr_expect_not_null(strstr(line, " comment \""), "%s", line);
		}
	}
	free(copy);
	world_done(&w);
}

Test(ruleset, leads_inbound_only_where_somebody_listens)
{
	struct world w;
	const char *rules;

	world_init(&w);
	rules = format(&w);
	expect(rules, "take_inbound",
	       "socket transparent { 0, 1 } counter name inbound redirect to :15006", true);
	expect(rules, "take_inbound", "reject with tcp reset", true);
	expect(rules, "inbound", "goto take_inbound", true);
	expect(rules, "spared_inbound", "\t\ttcp dport 15006 accept", true);
	expect(rules, "spared_inbound", "\t\ttcp dport 15020 accept", true);
	world_done(&w);
}

Test(ruleset, knows_the_sidecar_by_its_uid)
{
	struct world w;
	const char *rules;

	world_init(&w);
	w.conf.agent.sidecar_uid = 4294967294;
	rules = format(&w);
	expect(rules, "outbound", "meta skuid 4294967294 accept", true);
	expect(rules, "outbound", "meta skuid 4294967294 oifname \"lo\" goto to_self", true);
	expect(rules, "outbound",
	       "meta skuid 4294967294 ip6 daddr ::1 tcp dport 15099 redirect to :15001", true);
	expect(rules, "to_self", "ip dscp 35 accept", true);
	expect(rules, "to_self", "ip6 dscp 35 accept", true);
	world_done(&w);
}

Test(ruleset, one_direction_alone)
{
	struct world w;
	char *text;

	world_init(&w);
	w.conf.sidecar.outbound_count = 0;
	expect(format(&w), "outbound", "take_outbound", false);
	expect(w.text.data, "outbound", "goto to_self", true);

	w.conf.sidecar.outbound_count = 2;
	w.conf.sidecar.inbound_count = 0;
	text = chain(format(&w), "inbound");
	cr_expect_null(text);
	free(text);
	expect(w.text.data, "outbound", "to_self", false);
	expect(w.text.data, "outbound", "goto take_outbound", true);

	w.conf.sidecar.outbound_count = 0;
	cr_expect_not_null(strstr(refusal(&w), "both empty"));
	world_done(&w);
}

/* The other family's connections are refused: they neither bypass the sidecar nor reach whatever listens at its port. */
Test(ruleset, a_family_without_a_listener_does_not_slip_past)
{
	struct world w;
	struct fl_ruleset_ports ports;

	world_init(&w);
	w.conf.sidecar.outbound_count = 1;
	cr_assert_eq(fl_ruleset_outbound(&w.conf, &ports, NULL), 0);
	cr_expect(ports.v4_listens && !ports.v6_listens && ports.v6 == 15001);
	expect(format(&w), "take_outbound",
	       "\t\tmeta nfproto ipv4 meta l4proto $TCP counter name outbound redirect to :15001",
	       true);
	expect(w.text.data, "take_outbound",
	       "\t\tmeta nfproto ipv6 meta l4proto $TCP counter name outbound reject with tcp reset",
	       true);
	expect(w.text.data, "gate_out", "ip daddr 127.0.0.1 tcp dport 15001 accept", true);
	expect(w.text.data, "gate_out", "ip6 daddr ::1", false);
	expect(w.text.data, "outbound", "ip6 daddr ::1", false);
	expect(w.text.data, "forgotten", "ip saddr 127.0.0.1 tcp sport 15001", true);
	expect(w.text.data, "forgotten", "ip6", false);
	expect(w.text.data, "forgotten_end", "ip6", false);
	world_done(&w);
}

Test(ruleset, families_with_ports_of_their_own)
{
	struct world w;

	world_init(&w);
	w.conf.sidecar.outbound_count = 1;
	listen_at(w.outbound, &w.conf.sidecar.outbound_count, "[::1]:15002");
	expect(format(&w), "take_outbound",
	       "meta nfproto ipv4 meta l4proto $TCP counter name outbound redirect to :15001",
	       true);
	expect(w.text.data, "take_outbound",
	       "meta nfproto ipv6 meta l4proto $TCP counter name outbound redirect to :15002",
	       true);
	world_done(&w);
}

static void expect_ports(const char *rules, const char *match, const char *own, bool there)
{
	expect(rules, "spared_inbound", match, there);
	expect(rules, "gate_in", match, there);
	expect(rules, "judge", own, there);
}

/* Another process may listen at the same port of other addresses. */
Test(ruleset, a_port_is_ours_only_where_we_listen)
{
	struct world w;
	struct fl_conf_service services[2] = {{0}};

	world_init(&w);
	expect_ports(format(&w), "\t\ttcp dport 15006 accept", "\t\ttcp sport 15006 accept", true);
	expect_ports(w.text.data, "\t\ttcp dport 15020 accept", "\t\ttcp sport 15020 accept", true);
	expect_ports(w.text.data, "15001", "15001", false);

	w.conf.sidecar.inbound_count = w.conf.sidecar.outbound_count = 0;
	listen_at(w.inbound, &w.conf.sidecar.inbound_count, "0.0.0.0:15006");
	listen_at(w.inbound, &w.conf.sidecar.inbound_count, "[fd00::1]:15006");
	listen_at(w.outbound, &w.conf.sidecar.outbound_count, "[::]:15001");
	cr_assert_eq(fl_addr_parse("[::1]:15020", 0, &w.conf.sidecar.admin, NULL), 0);
	cr_assert_eq(fl_addr_parse("127.0.0.2:8443", 0, &services[0].listen, NULL), 0);
	cr_assert_eq(fl_addr_parse("0.0.0.0:9443", 0, &services[1].listen, NULL), 0);
	w.conf.services = services;
	w.conf.service_count = 2;
	expect_ports(format(&w), "\t\tmeta nfproto ipv4 tcp dport 15006 accept",
		     "\t\tmeta nfproto ipv4 tcp sport 15006 accept", true);
	expect_ports(w.text.data, "\t\ttcp dport 15006 ip6 daddr fd00::1 accept",
		     "\t\ttcp sport 15006 ip6 saddr fd00::1 accept", true);
	expect_ports(w.text.data, "\t\tmeta nfproto ipv6 tcp dport 15001 accept",
		     "\t\tmeta nfproto ipv6 tcp sport 15001 accept", true);
	expect_ports(w.text.data, "\t\tmeta nfproto ipv4 tcp dport 9443 accept",
		     "\t\tmeta nfproto ipv4 tcp sport 9443 accept", true);
	expect_ports(w.text.data, "15020", "15020", false);
	expect_ports(w.text.data, "8443", "8443", false);
	world_done(&w);
}

Test(ruleset, listeners_that_captured_traffic_does_not_reach)
{
	struct world w;

	world_init(&w);
	w.conf.sidecar.inbound_count = 0;
	listen_at(w.inbound, &w.conf.sidecar.inbound_count, "127.0.0.1:15006");
	cr_expect_not_null(strstr(refusal(&w), "`[sidecar] inbound` at 127.0.0.1:15006"), "%s",
			   w.err.text);

	world_init(&w);
	w.conf.sidecar.outbound_count = 0;
	listen_at(w.outbound, &w.conf.sidecar.outbound_count, "127.0.0.5:15001");
	cr_expect_not_null(strstr(refusal(&w), "`[sidecar] outbound` at 127.0.0.5:15001"), "%s",
			   w.err.text);

	world_init(&w);
	listen_at(w.inbound, &w.conf.sidecar.inbound_count, "0.0.0.0:15007");
	cr_expect_not_null(strstr(refusal(&w), "15006 and 15007"), "%s", w.err.text);
}

Test(ruleset, exclusions)
{
	struct world w;
	struct fl_conf_selector out[6], in[2];
	const char *rules;

	world_init(&w);
	select_port(&out[0], 53, 53);
	select_port(&out[1], 9000, 9010);
	select_net(&out[2], "169.254.169.254");
	select_net(&out[3], "fd00::/8");
	select_port(&out[4], 0, UINT16_MAX);
	out[4].interface = "net1";
	select_net(&out[5], "10.0.0.0/8");
	out[5].ports = (struct fl_port_range){80, 80};
	out[5].interface = "eth0";
	select_net(&in[0], "10.1.0.0/16");
	select_port(&in[1], 8081, 8081);
	w.conf.redirect.exclude_outbound = (struct fl_conf_selectors){out, 6};
	w.conf.redirect.exclude_inbound = (struct fl_conf_selectors){in, 2};
	rules = format(&w);

	expect(rules, "outbound", "\t\ttcp dport 53 accept", true);
	expect(rules, "outbound", "\t\ttcp dport 9000-9010 accept", true);
	expect(rules, "outbound", "\t\tip daddr 169.254.169.254 accept", true);
	expect(rules, "outbound", "\t\tip6 daddr fd00::/8 accept", true);
	expect(rules, "outbound", "\t\toifname \"net1\" accept", true);
	expect(rules, "outbound", "\t\ttcp dport 80 ip daddr 10.0.0.0/8 oifname \"eth0\" accept",
	       true);
	expect(rules, "spared_inbound", "\t\tip saddr 10.1.0.0/16 accept", true);
	expect(rules, "spared_inbound", "\t\ttcp dport 8081 accept", true);
	/* Excluded traffic is excluded for every protocol. */
	expect(rules, "other_outbound", "th dport 9000-9010 accept", true);
	expect(rules, "other_outbound", "\t\tip6 daddr fd00::/8 accept", true);
	expect(rules, "other_inbound", "\t\tip saddr 10.1.0.0/16 accept", true);
	world_done(&w);
}

/* Sender and destination decide whether a packet may pass; conntrack's state never does. */
Test(ruleset, nothing_passes_because_conntrack_knows_it)
{
	struct world w;
	const char *rules, *at;
	size_t established = 0;

	world_init(&w);
	w.conf.redirect.mode = FL_REDIRECT_TPROXY;
	rules = format(&w);
	for (at = strstr(rules, "established"); at != NULL; at = strstr(at + 1, "established")) {
		established++;
	}
	cr_expect_eq(established, 1, "by itself it says nothing:\n%s", rules);
	expect(rules, "judge",
	       "ct original zone 2112 ct direction original ct state established accept", true);
	cr_expect_null(strstr(rules, "related"));
	cr_expect_null(strstr(rules, "ct state new"));
	world_done(&w);
}

Test(ruleset, what_leaves_past_the_sidecar_is_refused)
{
	struct world w;
	struct fl_conf_selector out[1];
	const char *rules;

	world_init(&w);
	select_net(&out[0], "169.254.169.254");
	w.conf.redirect.exclude_outbound = (struct fl_conf_selectors){out, 1};
	rules = format(&w);
	expect(rules, "zone", "meta skuid 2112 goto zone_of_sidecar", true);
	expect(rules, "zone_of_sidecar", "ct original zone set 2112 accept", true);
	expect(rules, "gate_out", "meta skuid 2112 accept", true);
	expect(rules, "gate_out", "ip daddr 127.0.0.1 tcp dport 15001 accept", true);
	expect(rules, "gate_out", "ip6 daddr ::1 tcp dport 15001 accept", true);
	expect(rules, "gate_out", "meta mark", false);
	expect(rules, "gate_out", "counter name past_outbound reject with tcp reset", true);
	expect(rules, "gate_out", "counter name astray reject with tcp reset", true);
	expect(rules, "leaving", "type filter hook postrouting", true);
	expect(rules, "leaving", "counter name slipped drop", true);
	expect(rules, "judge_app", "\t\tip daddr 169.254.169.254 goto spare_outbound", true);
	expect(rules, "judge_app", "ct original ip daddr 169.254.169.254 goto spare_outbound",
	       true);
	expect(rules, "judge_app", "\t\treturn comment", true);
	expect(rules, "open_outbound", "@open4 update @open4", true);
	expect(rules, "open_outbound", "@open6 update @open6", true);
	expect(rules, "outbound", "delete @open4", true);
	/* Traffic that is not captured at all may leave, except answers to connections that should have been redirected. */
	w.conf.sidecar.outbound_count = 0;
	rules = format(&w);
	expect(rules, "judge_app", "\t\treturn comment", false);
	expect(rules, "judge_app", "ct direction reply return", true);
	expect(rules, "judge_app", "\t\tgoto spare_outbound", true);
	world_done(&w);
}

Test(ruleset, what_comes_in_past_the_sidecar_is_refused)
{
	struct world w;
	struct fl_conf_selector in[1], out[1];
	const char *rules;

	world_init(&w);
	select_port(&in[0], 8081, 8081);
	select_port(&out[0], 53, 53);
	w.conf.redirect.exclude_inbound = (struct fl_conf_selectors){in, 1};
	w.conf.redirect.exclude_outbound = (struct fl_conf_selectors){out, 1};
	rules = format(&w);
	expect(rules, "gate_in", "\t\ttcp dport 15006 accept", true);
	expect(rules, "gate_in", "\t\ttcp dport 15020 accept", true);
	expect(rules, "gate_in", "socket transparent 1 accept", false);
	expect(rules, "gate_in", "ct original zone 2112 ct direction reply accept", true);
	expect(rules, "gate_in", "\t\ttcp sport 53 accept", true);
	expect(rules, "gate_in", "\t\tgoto past_inbound", true);
	expect(rules, "new_inbound", "\t\ttcp dport 8081 goto spare_inbound", true);
	expect(rules, "new_inbound", "\t\tgoto past_inbound", true);
	expect(rules, "past_inbound", "counter name past_inbound reject with tcp reset", true);
	w.conf.redirect.mode = FL_REDIRECT_TPROXY;
	rules = format(&w);
	expect(rules, "gate_in", "socket transparent 1 accept", true);
	expect(rules, "gate_out", "meta mark 0x539 accept", true);
	expect(rules, "judge", "meta mark 0x53a accept", true);
	w.conf.sidecar.inbound_count = 0;
	w.conf.redirect.mode = FL_REDIRECT_NAT;
	rules = format(&w);
	expect(rules, "new_inbound", "goto past_inbound", false);
	expect(rules, "new_inbound", "\t\tgoto spare_inbound", true);
	world_done(&w);
}

Test(ruleset, captures_what_it_is_told)
{
	struct world w;
	struct fl_conf_selector in[2], out[1];

	world_init(&w);
	select_port(&in[0], 8080, 8080);
	select_port(&in[1], 9000, 9010);
	select_net(&out[0], "10.0.0.0/8");
	w.conf.redirect.inbound_ports = (struct fl_conf_selectors){in, 2};
	w.conf.redirect.outbound = (struct fl_conf_selectors){out, 1};
	expect(format(&w), "inbound", "tcp dport 8080 goto take_inbound", true);
	expect(w.text.data, "inbound", "tcp dport 9000-9010 goto take_inbound", true);
	expect(w.text.data, "inbound", "\t\tgoto take_inbound", false);
	expect(w.text.data, "to_self", "tcp dport 8080 goto take_to_self", true);
	expect(w.text.data, "outbound", "ip daddr 10.0.0.0/8 goto take_outbound", true);
	expect(w.text.data, "outbound", "\t\tgoto take_outbound", false);

	w.conf.redirect.inbound_ports.count = 0;
	expect(format(&w), "inbound", "goto take_inbound", false);
	world_done(&w);
}

Test(ruleset, a_name_of_an_interface_stays_one)
{
	struct world w;
	struct fl_conf_selector out[1];

	world_init(&w);
	select_port(&out[0], 0, UINT16_MAX);
	out[0].interface = "a\" accept #";
	w.conf.redirect.exclude_outbound = (struct fl_conf_selectors){out, 1};
	cr_expect_not_null(strstr(refusal(&w), "interface"), "%s", w.err.text);
}

Test(ruleset, fixed_listeners_are_not_captured)
{
	struct world w;
	struct fl_conf_service services[3] = {{0}};

	world_init(&w);
	cr_assert_eq(fl_addr_parse("*:8443", FL_ADDR_ALLOW_ANY, &services[0].listen, NULL), 0);
	cr_assert_eq(fl_addr_parse("10.0.0.1:9443", 0, &services[1].listen, NULL), 0);
	services[2].port = 8081; /* a captured port */
	w.conf.services = services;
	w.conf.service_count = 3;
	expect(format(&w), "spared_inbound", "\t\ttcp dport 8443 accept", true);
	expect(w.text.data, "spared_inbound", "\t\ttcp dport 9443 ip daddr 10.0.0.1 accept", true);
	expect(w.text.data, "gate_in", "\t\ttcp dport 9443 ip daddr 10.0.0.1 accept", true);
	expect(w.text.data, "judge", "\t\ttcp sport 9443 ip saddr 10.0.0.1 accept", true);
	expect(w.text.data, "spared_inbound", "8081", false);
	world_done(&w);
}

Test(ruleset, other_protocols)
{
	struct world w;

	world_init(&w);
	expect(format(&w), "other_outbound", "reject", false);
	expect(w.text.data, "other_outbound", "counter name other_outbound", true);
	w.conf.redirect.drop_other_protocols = true;
	expect(format(&w), "other_outbound",
	       "counter name other_outbound reject with icmpx port-unreachable", true);
	expect(w.text.data, "other_inbound",
	       "counter name other_inbound reject with icmpx port-unreachable", true);
	expect(w.text.data, "other_outbound", "ct original proto-dst 53 accept", true);
	world_done(&w);
}

Test(ruleset, what_the_pod_forwards)
{
	struct world w;
	struct fl_conf_selector in[1], out[2];
	const char *rules;

	world_init(&w);
	select_port(&in[0], 8081, 8081);
	select_net(&out[0], "10.9.0.0/16");
	select_port(&out[1], 0, UINT16_MAX);
	out[1].interface = "net1";
	w.conf.redirect.exclude_inbound = (struct fl_conf_selectors){in, 1};
	w.conf.redirect.exclude_outbound = (struct fl_conf_selectors){out, 2};
	rules = format(&w);
	expect(rules, "refuse_forwarded", "counter name forwarded reject with tcp reset", true);
	expect(rules, "gate_forward",
	       "iifkind \"bridge\" meta oifkind \"bridge\" iifname != { \"lo\" } oifname != { \"lo\" }",
	       true);
	expect(rules, "gate_forward", "\t\tip daddr 10.9.0.0/16 goto spare_forwarded", true);
	expect(rules, "gate_forward", "ct original proto-dst 8081 goto spare_forwarded", true);
	expect(rules, "gate_forward", "\t\tgoto refuse_forwarded", true);
	cr_expect_null(strstr(rules, "chain lead_forwarded"));

	w.conf.redirect.forwarded = FL_FORWARDED_COUNT;
	expect(format(&w), "gate_forward", "counter name forwarded accept", true);
	expect(w.text.data, "gate_forward", "refuse", false);

	w.conf.redirect.forwarded = FL_FORWARDED_CAPTURE;
	cr_expect_not_null(strstr(refusal(&w), "no interface has a default route"), "%s",
			   w.err.text);
	w.uplinks = (struct fl_ruleset_uplinks){.names = {"eth0", "eth1"}, .count = 2};
	rules = format(&w);
	expect(rules, "lead_forwarded", "iifname { \"lo\", \"eth0\", \"eth1\" } accept", true);
	expect(rules, "lead_forwarded", "meta iifkind != \"bridge\" accept", true);
	expect(rules, "lead_forwarded", "\t\tip daddr 10.9.0.0/16 accept", true);
	expect(rules, "lead_forwarded", "net1", false);
	expect(rules, "take_forwarded", "counter name forwarded_captured redirect to :15001", true);
	expect(rules, "gate_forward", "\t\tgoto refuse_forwarded", true);
	world_done(&w);
}

Test(ruleset, tproxy_keeps_the_destination)
{
	struct world w;

	world_init(&w);
	w.conf.redirect.mode = FL_REDIRECT_TPROXY;
	expect(format(&w), "take_inbound", "tproxy ip to :15006", true);
	expect(w.text.data, "take_inbound", "tproxy ip6 to :15006", true);
	expect(w.text.data, "take_inbound", "redirect", false);
	/* Under SYN cookies the last packet of a handshake has no socket as yet. */
	expect(w.text.data, "take_inbound",
	       "!= syn socket transparent { 0, 1 } tproxy ip to :15006 accept", true);
	expect(w.text.data, "take_inbound", "reject with tcp reset", true);
	expect(w.text.data, "inbound", "type filter hook prerouting priority mangle", true);
	expect(w.text.data, "answers", "ct mark 0x539 ct direction reply", true);
	expect(w.text.data, "to_self", "meta mark 0x539 accept", true);
	world_done(&w);
}
