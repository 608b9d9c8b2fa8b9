/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The INI: sections whose traffic the rules of capture leave alone, and which therefore keep none of their promises. */
#include "conf_case.h"

#include "conf/spared.h"

#define STRICT "[service adm]\nport = 9090\n"
#define PAY "[upstream pay]\nto = 10.1.2.3:9000\npeer = spiffe://td/pay\n"
#define NET "[upstream net]\nto = 10.0.0.0/8:9000-9010\n"
#define NET6 "[upstream net]\nto = [fd00::]/8:443\n"
#define ALL "[upstream all]\nto = *:443\n"
#define NAME "[upstream db]\nto = db.example:5432\n"

enum outcome { GOOD_INI, WARNED, REFUSED };

static const struct row {
	const char *sections, *redirect; /* redirect: NULL: no such section */
	enum outcome outcome;
	const char *parts[3]; /* of the only message */
} rows[] = {
	/* inbound */
	{STRICT, "", GOOD_INI, {0}},
	{STRICT, "exclude_inbound = 15020\n", GOOD_INI, {0}},
	{STRICT,
	 "exclude_inbound = 15020, 9090\n",
	 REFUSED,
	 {"`port = 9090`: `[redirect] exclude_inbound` (line 13)",
	  "`mode` of [service adm] is strict", "narrow that list, or remove it here"}},
	{STRICT, "exclude_inbound = 9000-9100\n", REFUSED, {"plaintext reaches the app"}},
	{STRICT, "exclude_inbound = *\n", REFUSED, {"exclude_inbound"}},
	{STRICT, "exclude_inbound = *:9090\n", REFUSED, {"exclude_inbound"}},
	{STRICT, "exclude_inbound = 0.0.0.0/0:9090, [::]/0\n", REFUSED, {"exclude_inbound"}},
	{STRICT, "exclude_inbound = 0.0.0.0/0:9090\n", WARNED, {"for one IP version"}},
	{STRICT, "exclude_inbound = [::]/0\n", WARNED, {"for one IP version"}},
	{STRICT,
	 "exclude_inbound = 10.0.0.0/8, 10.0.0.1:9090, interface:eth1, 9089, 9091-9100\n",
	 GOOD_INI,
	 {0}},
	{STRICT,
	 "inbound_ports = 8080, 9091\n",
	 REFUSED,
	 {"`port = 9090`: `[redirect] inbound_ports` (line 13)", "add it to that list"}},
	{STRICT, "inbound_ports =\n", REFUSED, {"inbound_ports"}},
	{STRICT, "inbound_ports = 9000-9100\n", GOOD_INI, {0}},
	{STRICT "mode = permissive\n[allow k]\nfrom = plaintext\n",
	 "exclude_inbound = 9090\n",
	 WARNED,
	 {"no rule decides who reaches the app, whatever `mode` of [service adm] is"}},
	{STRICT "mode = plaintext\n[allow k]\nfrom = plaintext\n",
	 "inbound_ports = 80\n",
	 WARNED,
	 {"no rule decides"}},
	/* The mode is that of [inbound]. */
	{STRICT "[inbound]\nmode = plaintext\n[allow k]\nfrom = plaintext\n",
	 "exclude_inbound = 9090\n",
	 WARNED,
	 {"no rule decides"}},
	/* the defaults, and no [redirect] */
	{"[sidecar]\nadmin = *:15021\n[service adm]\nport = 15020\n",
	 "mode = redirect\n",
	 REFUSED,
	 {"the default of `[redirect] exclude_inbound`", "set that key to a list without it"}},
	{"[sidecar]\nadmin = *:15021\n[service adm]\nport = 15020\n",
	 NULL,
	 WARNED,
	 {"this INI has no [redirect]"}},
	{"[service fixed]\nlisten = *:9090\napp = 127.0.0.1:80\n",
	 "exclude_inbound = 9090\n",
	 GOOD_INI,
	 {0}},
	/* outbound */
	{PAY, "", GOOD_INI, {0}},
	{PAY,
	 "exclude_outbound = 10.0.0.0/8, *:53\n",
	 REFUSED,
	 {"`to`: `[redirect] exclude_outbound` (line 14) leaves 10.1.2.3:9000 alone",
	  "without TLS, although `mode` of [upstream pay] is mtls", "narrow that list"}},
	{PAY, "exclude_outbound = 10.1.2.3\n", REFUSED, {"exclude_outbound"}},
	{PAY, "exclude_outbound = *:9000\n", REFUSED, {"exclude_outbound"}},
	{PAY, "exclude_outbound = 10.1.0.0/16:1-9000\n", REFUSED, {"exclude_outbound"}},
	{PAY, "exclude_outbound = *\n", REFUSED, {"exclude_outbound"}},
	{PAY,
	 "exclude_outbound = 10.1.2.4, 10.2.0.0/16, *:9001, [::]/0, interface:eth1\n",
	 GOOD_INI,
	 {0}},
	{PAY,
	 "outbound = 10.1.0.0/16:9001, 10.2.0.0/16\n",
	 REFUSED,
	 {"`[redirect] outbound` (line 14)", "add it to that list"}},
	{PAY, "outbound =\n", REFUSED, {"`[redirect] outbound`"}},
	{PAY, "outbound = 10.1.2.3:9000-9001\n", GOOD_INI, {0}},
	{PAY, "outbound = interface:eth1\n", GOOD_INI, {0}},
	{"[upstream pay]\nto = 10.0.0.0/8:9000-9010\n", "outbound = 10.1.2.0/24\n", GOOD_INI, {0}},
	{"[upstream pay]\nto = 10.0.0.0/8:9000-9010\n",
	 "outbound = 10.1.2.0/24:80\n",
	 REFUSED,
	 {0}},
	{"[upstream pay]\nto = 10.0.0.0/8:9000-9010\n",
	 "exclude_outbound = 10.0.0.0/8:9000-9005, 10.0.0.0/8:9006-9010\n",
	 REFUSED,
	 {0}},
	{"[upstream pay]\nto = 10.0.0.0/8:9000-9010\n",
	 "exclude_outbound = 10.0.0.0/8:9000-9005, 10.0.0.0/8:9007-9010, 10.1.0.0/16\n",
	 GOOD_INI,
	 {0}},
	{"[upstream pay]\nto = [fd00::1]:443\n", "exclude_outbound = [fd00::]/8\n", REFUSED, {0}},
	{"[upstream dns]\nto = 10.0.0.10:53\n",
	 "mode = redirect\n",
	 REFUSED,
	 {"the default of `[redirect] exclude_outbound`"}},
	{"[upstream dns]\nto = 10.0.0.10:53\n", NULL, WARNED, {"this INI has no [redirect]"}},
	{"[upstream dns]\nto = dns.example:53\n",
	 "mode = redirect\n",
	 REFUSED,
	 {"leaves dns.example:53 alone"}},
	{"[upstream db]\nto = db.example:5432\n", "exclude_outbound = 10.0.0.0/8\n", GOOD_INI, {0}},
	{"[upstream db]\nto = db.example:5432\n", "outbound = 10.0.0.0/8:443\n", REFUSED, {0}},
	{"[upstream db]\nto = db.example:5432\n",
	 "exclude_outbound = [::]/0\n",
	 WARNED,
	 {"for one IP version"}},
	{NAME, "outbound = [fd00::]/8\n", WARNED, {"for one IP version", "add it to that list"}},
	{NAME, "outbound = 10.0.0.0/8, [fd00::]/8:5432\n", GOOD_INI, {0}},
	/* the halves of `*` */
	{ALL,
	 "exclude_outbound = [::]/0, *:53\n",
	 WARNED,
	 {"`[redirect] exclude_outbound` (line 13) leaves *:443 alone for one IP version",
	  "narrow that list"}},
	{ALL,
	 "outbound = 0.0.0.0/0\n",
	 WARNED,
	 {"`[redirect] outbound` (line 13) leaves *:443 alone for one IP version",
	  "add it to that list"}},
	{ALL, "exclude_outbound = [::]/0:80, 0.0.0.0/1\n", GOOD_INI, {0}},
	{ALL,
	 "exclude_outbound = [::]/0, 0.0.0.0/0:400-500\n",
	 REFUSED,
	 {"leaves *:443 alone, so"}},
	{ALL, "exclude_outbound = [::]/0\noutbound = [::]/0\n", REFUSED, {0}},
	{ALL, "outbound = *:80\n", REFUSED, {"leaves *:443 alone, so"}},
	{"[upstream all]\nto = [::]/0:443\n", "exclude_outbound = [::]/0\n", REFUSED, {0}},
	/* several that are all of it only together */
	{NET,
	 "exclude_outbound = 10.0.0.0/9, 10.128.0.0/9\n",
	 REFUSED,
	 {"leaves 10.0.0.0/8:9000-9010 alone, so"}},
	{NET, "exclude_outbound = 10.0.0.0/9, 10.128.0.0/10\n", GOOD_INI, {0}},
	{NET,
	 "exclude_outbound = 10.192.0.0/10, 10.0.0.0/10, 10.64.0.0/10, 10.128.0.0/10, 10.0.0.0/16\n",
	 REFUSED,
	 {0}},
	{NET,
	 "exclude_outbound = 10.192.0.0/10, 10.0.0.0/10, 10.128.0.0/10, 10.0.0.0/16\n",
	 GOOD_INI,
	 {0}},
	{NET,
	 "exclude_outbound = 8.0.0.0/8, 9.0.0.0/8, 10.0.0.0/9, 10.128.0.0/9, 11.0.0.0/8\n",
	 REFUSED,
	 {0}},
	{NET, "exclude_outbound = 10.0.0.0/9:9000-9010, 10.128.0.0/9:1-9100\n", REFUSED, {0}},
	{NET, "exclude_outbound = 10.0.0.0/9:9000-9009, 10.128.0.0/9\n", GOOD_INI, {0}},
	{NET,
	 "exclude_outbound = *:9000-9004, 10.0.0.0/9:9005-9010, 10.128.0.0/9:9003-9010\n",
	 REFUSED,
	 {0}},
	{NET,
	 "exclude_outbound = *:9000-9004, 10.0.0.0/9:9005-9010, 10.128.0.0/9:9006-9010\n",
	 GOOD_INI,
	 {0}},
	{PAY, "exclude_outbound = 0.0.0.0/1, 128.0.0.0/1\n", REFUSED, {0}},
	{NET6, "exclude_outbound = [fd00::]/9, [fd80::]/9\n", REFUSED, {0}},
	{NET6, "exclude_outbound = [fd00::]/9, [fd80::]/10\n", GOOD_INI, {0}},
	{NET6, "exclude_outbound = [fd00::]/9, [fe00::]/9\n", GOOD_INI, {0}},
	{ALL,
	 "exclude_outbound = 0.0.0.0/1, 128.0.0.0/1, [::]/1, [8000::]/1:443\n",
	 REFUSED,
	 {"leaves *:443 alone, so"}},
	{ALL, "exclude_outbound = 0.0.0.0/1, [::]/1, [8000::]/1\n", WARNED, {"one IP version"}},
	{NAME, "exclude_outbound = 0.0.0.0/1, 128.0.0.0/1, [::]/0\n", REFUSED, {0}},
	{NET,
	 "outbound = 10.0.0.0/9\nexclude_outbound = 10.0.0.0/10, 10.64.0.0/10\n",
	 REFUSED,
	 {0}},
	{NET, "outbound = 10.0.0.0/9\nexclude_outbound = 10.0.0.0/10\n", GOOD_INI, {0}},
	{NET, "outbound = 10.0.0.0/9:443, 11.0.0.0/8:9000\n", REFUSED, {"add it to that list"}},
	{NET, "outbound = 10.0.0.0/9:443, 10.128.0.0/9:9010\n", GOOD_INI, {0}},
	{STRICT,
	 "exclude_inbound = 0.0.0.0/1, 128.0.0.0/1:9090, [::]/0\n",
	 REFUSED,
	 {"leaves this port alone, so"}},
	{STRICT,
	 "exclude_inbound = 0.0.0.0/1, 128.0.0.0/2, [::]/0\n",
	 WARNED,
	 {"for one IP version"}},
	{STRICT, "exclude_inbound = 0.0.0.0/1, 128.0.0.0/1, [::]/1\n", WARNED, {"one IP version"}},
	{STRICT, "exclude_inbound = 0.0.0.0/1, [::]/1\n", GOOD_INI, {0}},
	{"[upstream no]\nto = 10.0.0.0/8:25\nmode = refuse\n",
	 "exclude_outbound = *:25\n",
	 REFUSED,
	 {"the app reaches it, although `mode` of [upstream no] is refuse"}},
	{"[upstream dns]\nto = 10.0.0.10:53\nmode = plaintext\n",
	 "mode = redirect\n",
	 GOOD_INI,
	 {0}},
	{"[upstream db]\nlisten = 127.0.0.1:7001\nto = 10.0.0.10:53\n",
	 "mode = redirect\n",
	 GOOD_INI,
	 {0}},
	/* rules */
	{"[deny x]\nfrom = spiffe://td/x\nto = 9090\n",
	 "exclude_inbound = 9000-9100\n",
	 WARNED,
	 {"`to`: `[redirect] exclude_inbound` (line 14) leaves port 9090 alone, so no rule is asked"}},
	{"[deny x]\nfrom = spiffe://td/x\nto = 9090-9099\n",
	 "inbound_ports = 9089, 9100\n",
	 WARNED,
	 {"`[redirect] inbound_ports` (line 14) leaves port 9090-9099 alone"}},
	{"[deny x]\nfrom = spiffe://td/x\nto = 9090-9099\n",
	 "inbound_ports = 9099\n",
	 GOOD_INI,
	 {0}},
	{"[deny x]\nfrom = spiffe://td/x\nto = 8443\n", "inbound_ports = 80\n", GOOD_INI, {0}},
	{"[deny x]\nfrom = spiffe://td/x\nto = 9090\n", NULL, GOOD_INI, {0}},
};

static void expect_row(const struct row *row)
{
	char *text = fl_format("%s%s%s%s", GOOD, row->sections,
			       row->redirect != NULL ? "[redirect]\n" : "",
			       row->redirect != NULL ? row->redirect : "");
	struct fl_problems problems = {0};
	struct fl_conf *conf = parse(text, &problems);
	const char *said = problems.count > 0 ? problems.items[0].text : "nothing";

	cr_expect_eq(problems.errors, row->outcome == REFUSED, "%s%s: %s", row->sections,
		     row->redirect, said);
	cr_expect_eq(problems.warnings, row->outcome == WARNED, "%s%s: %s", row->sections,
		     row->redirect, said);
	for (size_t i = 0; i < FL_COUNT_OF(row->parts) && row->parts[i] != NULL; i++) {
		cr_expect_not_null(strstr(said, row->parts[i]), "no `%s`: %s", row->parts[i], said);
	}
	fl_problems_done(&problems);
	fl_conf_free(conf);
	free(text);
}

Test(conf_spared, test_conf__promise_for_what_capture_leaves_alone__is_refused)
{
	for (size_t i = 0; i < FL_COUNT_OF(rows); i++) {
		expect_row(&rows[i]);
	}
}

/* --- against a plain walk ------------------------------------------------------------------- */

static struct fl_cidr random_net(unsigned *seed)
{
	static const char *const nets[] = {"0.0.0.0/0",   "10.0.0.0/8", "10.1.0.0/16", "10.1.2.3",
					   "10.2.0.0/16", "::/0",       "fd00::/8",    "fd00::1"};
	struct fl_cidr net;

	cr_assert_eq(fl_cidr_parse(nets[(size_t)rand_r(seed) % FL_COUNT_OF(nets)], &net, NULL), 0);
	return net;
}

static struct fl_port_range random_ports(unsigned *seed)
{
	uint16_t first = (uint16_t)(rand_r(seed) % 6);

	return (struct fl_port_range){
		first, (uint16_t)(first == 0 ? UINT16_MAX : first + rand_r(seed) % 3)};
}

static struct fl_conf_selectors random_selectors(struct fl_conf_selector *items, size_t most,
						 unsigned *seed)
{
	size_t count = (size_t)rand_r(seed) % (most + 1);

	for (size_t i = 0; i < count; i++) {
		items[i] = (struct fl_conf_selector){.any_net = rand_r(seed) % 4 == 0,
						     .net = random_net(seed),
						     .ports = random_ports(seed)};
	}
	return (struct fl_conf_selectors){items, count};
}

static bool has(const struct fl_conf_selector *item, const struct fl_cidr *net, uint16_t port)
{
	return (item->any_net || fl_cidr_covers(&item->net, net)) && item->ports.first <= port &&
	       port <= item->ports.last;
}

static bool any_has(const struct fl_conf_selectors *all, const struct fl_cidr *net, uint16_t port)
{
	bool found = false;

	for (size_t i = 0; i < all->count; i++) {
		found = found || has(&all->items[i], net, port);
	}
	return found;
}

/* For a destination of one address and one port there is a simple answer. */
Test(conf_spared, test_spared__random_selectors__agree_with_a_plain_walk)
{
	unsigned seed = 7;

	for (unsigned round = 0; round < 500; round++) {
		struct fl_conf_selector items[4][4];
		struct fl_conf conf = {0};
		struct fl_spared *spared;

		conf.redirect.outbound = random_selectors(items[0], 4, &seed);
		conf.redirect.exclude_outbound = random_selectors(items[1], 4, &seed);
		conf.redirect.inbound_ports = random_selectors(items[2], 4, &seed);
		conf.redirect.exclude_inbound = random_selectors(items[3], 4, &seed);
		for (size_t i = 0; i < conf.redirect.inbound_ports.count; i++) {
			items[2][i].any_net = true;
		}
		spared = fl_spared_new(&conf);
		for (uint16_t port = 1; port < 9; port++) {
			static const struct fl_cidr all4 = {.family = AF_INET},
						    all6 = {.family = AF_INET6};
			const struct fl_conf_selectors *excluded = &conf.redirect.exclude_inbound;
			struct fl_conf_dest dest = {.net = random_net(&seed),
						    .ports = {port, port}};
			bool single = fl_cidr_is_single(&dest.net);
			enum fl_spared_how how = fl_spared_dest(spared, &dest);
			bool in4 = any_has(excluded, &all4, port),
			     in6 = any_has(excluded, &all6, port);
			bool named = any_has(&conf.redirect.inbound_ports, &all4, port);

			if (any_has(&conf.redirect.exclude_outbound, &dest.net, port)) {
				cr_expect_eq(how, FL_SPARED_EXCLUDED);
			} else if (any_has(&conf.redirect.outbound, &dest.net, port)) {
				cr_expect_eq(how, FL_SPARED_NOT);
			} else if (single) {
				cr_expect_eq(how, FL_SPARED_UNNAMED);
			}
			cr_expect_eq(fl_spared_port(spared, port), !named       ? FL_SPARED_UNNAMED
								   : in4 && in6 ? FL_SPARED_EXCLUDED
								   : in4 || in6 ? FL_SPARED_FAMILY
										: FL_SPARED_NOT);
		}
		fl_spared_free(spared);
	}
}
