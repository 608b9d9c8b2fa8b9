/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the policy language means: a truth table, from the INI's text to the verdict.
 *
 * Each world is a set of rules and the questions that are asked under it, both sides of each border. A row has the peer (an
 * ID, or `plaintext`), the port, the service, the source, the verdict, and the rule that decided. The line of the rule is
 * checked too: it is where `[allow NAME]` or `[deny NAME]` stands in the text. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "conf/conf.h"

enum answer {
	NO_MORE_ROWS,
	ALLOW,
	DENY,
	WOULD_DENY,  /* admitted, and recorded: the rule would refuse it */
	WOULD_ALLOW, /* refused, and recorded: the rule would admit it */
};

struct row {
	enum answer answer;
	const char *rule; /* NULL: the default */
	const char *from;
	unsigned port;
	const char *source;  /* NULL: unknown */
	const char *service; /* NULL: none of that name */
};

#define ROWS 40
struct world {
	const char *name;
	const char *rules;
	struct row rows[ROWS];
};

#define TD "spiffe://prod.example"
#define WEB TD "/ns/web/sa/front"
#define OPS TD "/ns/ops/sa/deploy"
#define BAD TD "/ns/quarantine/sa/front"
#define ANY "192.0.2.1"

/* What every world has besides its rules. */
static const char head[] = "[identity]\n"
			   "cert = /x/tls.crt\n"
			   "key = /x/tls.key\n"
			   "bundle = /x/ca.crt\n"
			   "[service web]\n"
			   "listen = *:8443\n"
			   "app = 127.0.0.1:8080\n"
			   "[service web2]\n"
			   "listen = *:8444\n"
			   "app = 127.0.0.1:8081\n"
			   "[service db]\n"
			   "listen = *:8445\n"
			   "app = unix:/run/x/db.sock\n";

static const struct world worlds[] = {
	{"no rules, the default is to deny",
	 "",
	 {{DENY, NULL, WEB, 80, ANY, NULL},
	  {DENY, NULL, WEB, 8443, ANY, "web"},
	  {DENY, NULL, WEB, 0, NULL, "db"},
	  {DENY, NULL, "plaintext", 80, ANY, NULL}}},

	{"default = deny, said",
	 "[policy]\ndefault = deny\n",
	 {{DENY, NULL, WEB, 80, ANY, NULL}, {DENY, NULL, "plaintext", 80, ANY, NULL}}},

	{"default = allow",
	 "[policy]\ndefault = allow\n"
	 "[deny quarantine]\nfrom = " TD "/ns/quarantine/**\n",
	 {{ALLOW, NULL, WEB, 80, ANY, NULL},
	  {ALLOW, NULL, "spiffe://elsewhere.example/x", 80, ANY, NULL},
	  {ALLOW, NULL, "plaintext", 80, ANY, NULL},
	  {DENY, "quarantine", BAD, 80, ANY, NULL},
	  {ALLOW, NULL, TD "/ns/quarantine", 80, ANY, NULL},
	  {ALLOW, NULL, TD "/ns/quarantin/x", 80, ANY, NULL}}},

	{"a whole ID",
	 "[allow one]\nfrom = " WEB "\n",
	 {{ALLOW, "one", WEB, 80, ANY, NULL},
	  {ALLOW, "one", WEB, 0, NULL, "db"},
	  {ALLOW, "one", WEB, 65535, ANY, NULL},
	  {DENY, NULL, WEB "2", 80, ANY, NULL},
	  {DENY, NULL, TD "/ns/web/sa/fron", 80, ANY, NULL},
	  {DENY, NULL, TD "/ns/web/sa/Front", 80, ANY, NULL},
	  {DENY, NULL, WEB "/x", 80, ANY, NULL},
	  {DENY, NULL, TD "/ns/web/sa", 80, ANY, NULL},
	  {DENY, NULL, TD "/x/ns/web/sa/front", 80, ANY, NULL},
	  {DENY, NULL, "plaintext", 80, ANY, NULL}}},

	{"the trust domain must be literal",
	 "[allow own]\nfrom = " TD "/**\n",
	 {{ALLOW, "own", WEB, 80, ANY, NULL},
	  {DENY, NULL, "spiffe://prod.example.evil/ns/web/sa/front", 80, ANY, NULL},
	  {DENY, NULL, "spiffe://aprod.example/ns/web/sa/front", 80, ANY, NULL},
	  {DENY, NULL, "spiffe://prod-example/ns/web/sa/front", 80, ANY, NULL},
	  {DENY, NULL, "spiffe://example/ns/web/sa/front", 80, ANY, NULL},
	  {DENY, NULL, "spiffe://x.prod.example/ns/web/sa/front", 80, ANY, NULL},
	  {DENY, NULL, "spiffe://evil/prod.example/ns/web/sa/front", 80, ANY, NULL}}},

	{"`*` is one segment, `**` one or more",
	 "[allow last]\nfrom = " TD "/a/*\n"
	 "[allow middle]\nfrom = " TD "/b/*/sa/x\n"
	 "[allow deep]\nfrom = " TD "/c/**\n"
	 "[allow both]\nfrom = " TD "/d/*/e/**\n"
	 "[allow twice]\nfrom = " TD "/f/*/*\n",
	 {{ALLOW, "last", TD "/a/1", 80, ANY, NULL},
	  {DENY, NULL, TD "/a", 80, ANY, NULL},
	  {DENY, NULL, TD "/a/1/2", 80, ANY, NULL},
	  {DENY, NULL, TD "/aa/1", 80, ANY, NULL},
	  {ALLOW, "middle", TD "/b/1/sa/x", 80, ANY, NULL},
	  {DENY, NULL, TD "/b/sa/x", 80, ANY, NULL},
	  {DENY, NULL, TD "/b/1/2/sa/x", 80, ANY, NULL},
	  {DENY, NULL, TD "/b/1/sa/y", 80, ANY, NULL},
	  {DENY, NULL, TD "/b/1/sa/x/y", 80, ANY, NULL},
	  {DENY, NULL, TD "/b/1/sa", 80, ANY, NULL},
	  {ALLOW, "deep", TD "/c/1", 80, ANY, NULL},
	  {ALLOW, "deep", TD "/c/1/2/3", 80, ANY, NULL},
	  {DENY, NULL, TD "/c", 80, ANY, NULL},
	  {DENY, NULL, TD "/cc/1", 80, ANY, NULL},
	  {ALLOW, "both", TD "/d/1/e/2", 80, ANY, NULL},
	  {ALLOW, "both", TD "/d/1/e/2/3", 80, ANY, NULL},
	  {DENY, NULL, TD "/d/1/e", 80, ANY, NULL},
	  {DENY, NULL, TD "/d/1/2/e/3", 80, ANY, NULL},
	  {ALLOW, "twice", TD "/f/1/2", 80, ANY, NULL},
	  {DENY, NULL, TD "/f/1", 80, ANY, NULL},
	  {DENY, NULL, TD "/f/1/2/3", 80, ANY, NULL}}},

	{"several patterns, each counts",
	 "[allow some]\nfrom = " WEB ", " TD "/ns/ops/**, plaintext\n",
	 {{ALLOW, "some", WEB, 80, ANY, NULL},
	  {ALLOW, "some", OPS, 80, ANY, NULL},
	  {ALLOW, "some", "plaintext", 80, ANY, NULL},
	  {DENY, NULL, BAD, 80, ANY, NULL}}},

	{"ports",
	 "[allow one]\nfrom = " WEB "\nto = 8080\n"
	 "[allow range]\nfrom = " WEB "\nto = 9000-9010, 9020\n"
	 "[allow ends]\nfrom = " OPS "\nto = 1, 65535\n",
	 {{DENY, NULL, WEB, 8079, ANY, NULL},
	  {ALLOW, "one", WEB, 8080, ANY, NULL},
	  {DENY, NULL, WEB, 8081, ANY, NULL},
	  {DENY, NULL, WEB, 8999, ANY, NULL},
	  {ALLOW, "range", WEB, 9000, ANY, NULL},
	  {ALLOW, "range", WEB, 9005, ANY, NULL},
	  {ALLOW, "range", WEB, 9010, ANY, NULL},
	  {DENY, NULL, WEB, 9011, ANY, NULL},
	  {DENY, NULL, WEB, 9019, ANY, NULL},
	  {ALLOW, "range", WEB, 9020, ANY, NULL},
	  {DENY, NULL, WEB, 9021, ANY, NULL},
	  {DENY, NULL, WEB, 0, NULL, "db"},
	  {DENY, NULL, OPS, 0, NULL, "db"},
	  {ALLOW, "ends", OPS, 1, ANY, NULL},
	  {DENY, NULL, OPS, 2, ANY, NULL},
	  {DENY, NULL, OPS, 65534, ANY, NULL},
	  {ALLOW, "ends", OPS, 65535, ANY, NULL},
	  {DENY, NULL, BAD, 8080, ANY, NULL}}},

	{"services, and ports beside them",
	 "[allow named]\nfrom = " WEB "\nto = web\n"
	 "[allow mixed]\nfrom = " OPS "\nto = 9000, web2, db\n",
	 {{ALLOW, "named", WEB, 8443, ANY, "web"},
	  {ALLOW, "named", WEB, 1, ANY, "web"},
	  {DENY, NULL, WEB, 8443, ANY, NULL},
	  {DENY, NULL, WEB, 8444, ANY, "web2"},
	  {DENY, NULL, WEB, 0, NULL, "db"},
	  {DENY, NULL, WEB, 8443, ANY, "we"},
	  {ALLOW, "mixed", OPS, 9000, ANY, NULL},
	  {ALLOW, "mixed", OPS, 9000, ANY, "web"},
	  {ALLOW, "mixed", OPS, 8444, ANY, "web2"},
	  {ALLOW, "mixed", OPS, 0, NULL, "db"},
	  {DENY, NULL, OPS, 8443, ANY, "web"},
	  {DENY, NULL, OPS, 9001, ANY, NULL},
	  {DENY, NULL, OPS, 8999, ANY, NULL}}},

	{"sources, IPv4",
	 "[allow net]\nfrom = " WEB "\nsources = 10.1.16.0/20\n"
	 "[allow host]\nfrom = " OPS "\nsources = 192.0.2.7, 192.0.2.8/31\n"
	 "[allow world]\nfrom = " BAD "\nsources = 0.0.0.0/0\n",
	 {{DENY, NULL, WEB, 80, "10.1.15.255", NULL},
	  {ALLOW, "net", WEB, 80, "10.1.16.0", NULL},
	  {ALLOW, "net", WEB, 80, "10.1.24.1", NULL},
	  {ALLOW, "net", WEB, 80, "10.1.31.255", NULL},
	  {DENY, NULL, WEB, 80, "10.1.32.0", NULL},
	  {ALLOW, "net", WEB, 80, "::ffff:10.1.16.0", NULL},
	  {DENY, NULL, WEB, 80, "::ffff:10.1.32.0", NULL},
	  {DENY, NULL, WEB, 80, "::10.1.16.0", NULL},
	  {DENY, NULL, WEB, 80, NULL, NULL},
	  {DENY, NULL, OPS, 80, "10.1.16.0", NULL},
	  {DENY, NULL, OPS, 80, "192.0.2.6", NULL},
	  {ALLOW, "host", OPS, 80, "192.0.2.7", NULL},
	  {ALLOW, "host", OPS, 80, "192.0.2.8", NULL},
	  {ALLOW, "host", OPS, 80, "192.0.2.9", NULL},
	  {DENY, NULL, OPS, 80, "192.0.2.10", NULL},
	  {ALLOW, "world", BAD, 80, "255.255.255.255", NULL},
	  {ALLOW, "world", BAD, 80, "0.0.0.0", NULL},
	  {DENY, NULL, BAD, 80, "::1", NULL},
	  {DENY, NULL, BAD, 0, NULL, "db"}}},

	{"sources, IPv6",
	 "[allow net]\nfrom = " WEB "\nsources = 2001:db8:0:8000::/49\n"
	 "[allow host]\nfrom = " OPS "\nsources = fd00::7\n"
	 "[allow both]\nfrom = " BAD "\nsources = fe80::/10, 10.0.0.0/8\n",
	 {{DENY, NULL, WEB, 80, "2001:db8:0:7fff:ffff:ffff:ffff:ffff", NULL},
	  {ALLOW, "net", WEB, 80, "2001:db8:0:8000::", NULL},
	  {ALLOW, "net", WEB, 80, "2001:db8:0:ffff:ffff:ffff:ffff:ffff", NULL},
	  {DENY, NULL, WEB, 80, "2001:db8:1::", NULL},
	  {DENY, NULL, WEB, 80, "32.1.13.184", NULL}, /* the first bits of that network, as IPv4 */
	  {DENY, NULL, OPS, 80, "fd00::6", NULL},
	  {ALLOW, "host", OPS, 80, "fd00::7", NULL},
	  {DENY, NULL, OPS, 80, "fd00::8", NULL},
	  {ALLOW, "both", BAD, 80, "febf:ffff::1", NULL},
	  {DENY, NULL, BAD, 80, "fec0::1", NULL},
	  {DENY, NULL, BAD, 80, "fe7f::1", NULL},
	  {ALLOW, "both", BAD, 80, "10.255.255.255", NULL},
	  {DENY, NULL, BAD, 80, "11.0.0.0", NULL}}},

	{"all parts of a rule have to fit",
	 "[allow all]\nfrom = " WEB "\nto = 8080, web\nsources = 10.0.0.0/8\n",
	 {{ALLOW, "all", WEB, 8080, "10.0.0.1", NULL},
	  {ALLOW, "all", WEB, 8443, "10.0.0.1", "web"},
	  {DENY, NULL, OPS, 8080, "10.0.0.1", NULL},
	  {DENY, NULL, WEB, 8081, "10.0.0.1", NULL},
	  {DENY, NULL, WEB, 8080, "11.0.0.1", NULL},
	  {DENY, NULL, "plaintext", 8080, "10.0.0.1", NULL}}},

	{"plaintext is an identity of its own",
	 "[allow kubelet]\nfrom = plaintext\nsources = 10.0.0.1/32\nto = 8081\n"
	 "[allow mesh]\nfrom = " TD "/**\n"
	 "[deny lab]\nfrom = plaintext\nto = 8081\nsources = 10.0.0.1\n[deny x]\nfrom = " BAD "\n",
	 {{DENY, "lab", "plaintext", 8081, "10.0.0.1", NULL},
	  {DENY, NULL, "plaintext", 8080, "10.0.0.1", NULL},
	  {ALLOW, "mesh", WEB, 8081, "10.0.0.1", NULL},
	  {DENY, "x", BAD, 8081, "10.0.0.1", NULL}}},

	{"plaintext, let in",
	 "[allow kubelet]\nfrom = plaintext\nsources = 10.0.0.1/32\nto = 8081\n",
	 {{ALLOW, "kubelet", "plaintext", 8081, "10.0.0.1", NULL},
	  {DENY, NULL, "plaintext", 8081, "10.0.0.2", NULL},
	  {DENY, NULL, "plaintext", 8081, "10.0.0.0", NULL},
	  {DENY, NULL, "plaintext", 8082, "10.0.0.1", NULL},
	  {DENY, NULL, "plaintext", 8080, "10.0.0.1", NULL},
	  {DENY, NULL, "plaintext", 8081, NULL, NULL},
	  {DENY, NULL, WEB, 8081, "10.0.0.1", NULL}}},

	{"deny wins, wherever it stands",
	 "[allow web]\nfrom = " TD "/ns/web/**\n"
	 "[deny front]\nfrom = " WEB "\nto = 22\n"
	 "[deny far]\nfrom = " TD "/**\nsources = 203.0.113.0/24\n"
	 "[allow again]\nfrom = " WEB "\nto = 22\n",
	 {{DENY, "front", WEB, 22, ANY, NULL},
	  {ALLOW, "web", WEB, 21, ANY, NULL},
	  {ALLOW, "web", WEB, 23, ANY, NULL},
	  {ALLOW, "web", TD "/ns/web/sa/back", 22, ANY, NULL},
	  {DENY, "far", WEB, 23, "203.0.113.9", NULL},
	  {DENY, "front", WEB, 22, "203.0.113.9", NULL},
	  {DENY, "far", OPS, 23, "203.0.113.9", NULL},
	  {DENY, NULL, OPS, 23, ANY, NULL},
	  {ALLOW, "web", WEB, 23, NULL, NULL}}},

	{"exceptions of an allow rule: identities",
	 "[allow all]\nfrom = " TD "/ns/**\nexcept_from = " TD "/ns/web/*/front, " OPS "\n",
	 {{ALLOW, "all", TD "/ns/web/sa/back", 80, ANY, NULL},
	  {DENY, NULL, WEB, 80, ANY, NULL},
	  {DENY, NULL, OPS, 80, ANY, NULL},
	  {ALLOW, "all", OPS "/x", 80, ANY, NULL},
	  {ALLOW, "all", BAD, 80, ANY, NULL}}},

	{"exceptions of an allow rule: ports and services",
	 "[allow some]\nfrom = " WEB "\nto = 8000-9000, web, db\nexcept_to = 8100-8199, db\n"
	 "[allow any]\nfrom = " OPS "\nexcept_to = 22, web\n",
	 {{ALLOW, "some", WEB, 8099, ANY, NULL},
	  {DENY, NULL, WEB, 8100, ANY, NULL},
	  {DENY, NULL, WEB, 8199, ANY, NULL},
	  {ALLOW, "some", WEB, 8200, ANY, NULL},
	  {ALLOW, "some", WEB, 8443, ANY, "web"},
	  {DENY, NULL, WEB, 8445, ANY, "db"},
	  {DENY, NULL, WEB, 0, NULL, "db"},
	  {DENY, NULL, WEB, 8100, ANY, "web"},
	  {ALLOW, "any", OPS, 23, ANY, NULL},
	  {DENY, NULL, OPS, 22, ANY, NULL},
	  {DENY, NULL, OPS, 8443, ANY, "web"},
	  {ALLOW, "any", OPS, 8444, ANY, "web2"}}},

	/* An unknown address may be an excepted one. */
	{"exceptions of an allow rule: addresses",
	 "[allow net]\nfrom = " WEB ", plaintext\nsources = 10.0.0.0/8, fd00::/8\n"
	 "except_sources = 10.9.0.0/16, fd00:9::/32\n"
	 "[allow far]\nfrom = " OPS "\nexcept_sources = 10.0.0.0/8\n",
	 {{ALLOW, "net", WEB, 80, "10.8.255.255", NULL},
	  {DENY, NULL, WEB, 80, "10.9.0.0", NULL},
	  {DENY, NULL, WEB, 80, "::ffff:10.9.0.0", NULL},
	  {DENY, NULL, "plaintext", 80, "10.9.0.0", NULL},
	  {ALLOW, "net", "plaintext", 80, "10.10.0.0", NULL},
	  {ALLOW, "net", WEB, 80, "fd00:8::1", NULL},
	  {DENY, NULL, WEB, 80, "fd00:9::1", NULL},
	  {ALLOW, "far", OPS, 80, ANY, NULL},
	  {ALLOW, "far", OPS, 80, "fd00::1", NULL},
	  {DENY, NULL, OPS, 80, "10.0.0.1", NULL},
	  {DENY, NULL, OPS, 80, NULL, NULL}}},

	{"exceptions of a deny rule let nobody in by themselves",
	 "[policy]\ndefault = deny\n"
	 "[deny all]\nfrom = " TD "/**, plaintext\nexcept_from = " WEB "\n"
	 "[allow web]\nfrom = " WEB "\nto = 80\n",
	 {{ALLOW, "web", WEB, 80, ANY, NULL},
	  {DENY, NULL, WEB, 81, ANY, NULL},
	  {DENY, "all", OPS, 80, ANY, NULL},
	  {DENY, "all", "plaintext", 80, ANY, NULL}}},

	{"a deny rule that leaves out addresses covers an unknown one",
	 "[policy]\ndefault = allow\n"
	 "[deny near]\nfrom = " TD "/**\nto = 22\nexcept_sources = 10.0.0.0/8\n"
	 "[deny port]\nfrom = " OPS "\nexcept_to = 80-443\n",
	 {{ALLOW, NULL, WEB, 22, "10.0.0.1", NULL},
	  {DENY, "near", WEB, 22, ANY, NULL},
	  {DENY, "near", WEB, 22, NULL, NULL},
	  {ALLOW, NULL, WEB, 23, NULL, NULL},
	  {ALLOW, NULL, OPS, 443, ANY, NULL},
	  {DENY, "port", OPS, 444, ANY, NULL}}},

	{"each kind of exception is enough",
	 "[allow all]\nfrom = " TD "/**\nexcept_from = " BAD "\nexcept_to = 22\n"
	 "except_sources = 10.0.0.0/8\n",
	 {{ALLOW, "all", WEB, 80, ANY, NULL},
	  {DENY, NULL, BAD, 80, ANY, NULL},
	  {DENY, NULL, WEB, 22, ANY, NULL},
	  {DENY, NULL, WEB, 80, "10.0.0.1", NULL}}},

	{"exceptions under audit",
	 "[deny trial]\nmode = audit\nfrom = " TD "/**\nexcept_from = " OPS "\n"
	 "[allow all]\nfrom = " TD "/**\n",
	 {{WOULD_DENY, "trial", WEB, 80, ANY, NULL}, {ALLOW, "all", OPS, 80, ANY, NULL}}},

	{"of several rules, the first in the file is named",
	 "[allow third]\nfrom = " TD "/**\nto = 3\n"
	 "[allow first]\nfrom = " WEB "\n"
	 "[allow second]\nfrom = " TD "/ns/web/sa/*\n"
	 "[deny b]\nfrom = " TD "/ns/quarantine/**\n"
	 "[deny a]\nfrom = " BAD "\n",
	 {{ALLOW, "first", WEB, 1, ANY, NULL},
	  {ALLOW, "third", WEB, 3, ANY, NULL},
	  {ALLOW, "second", TD "/ns/web/sa/back", 1, ANY, NULL},
	  {DENY, "b", BAD, 3, ANY, NULL}}},

	{"a deny rule in audit mode grants nothing and refuses nobody",
	 "[deny trial]\nmode = audit\nfrom = " TD "/ns/web/**\n"
	 "[allow front]\nfrom = " WEB "\n"
	 "[deny strict]\nfrom = " WEB "\nto = 22\n",
	 {{WOULD_DENY, "trial", WEB, 80, ANY, NULL},
	  {DENY, NULL, TD "/ns/web/sa/back", 80, ANY, NULL},
	  {DENY, "strict", WEB, 22, ANY, NULL},
	  {DENY, NULL, OPS, 80, ANY, NULL}}},

	{"an allow rule in audit mode lets nobody in",
	 "[allow trial]\nmode = audit\nfrom = " TD "/ns/web/**\n"
	 "[allow front]\nfrom = " WEB "\n"
	 "[deny strict]\nfrom = " TD "/ns/web/sa/bad\n",
	 {{WOULD_ALLOW, "trial", TD "/ns/web/sa/back", 80, ANY, NULL},
	  {ALLOW, "front", WEB, 80, ANY, NULL},
	  {DENY, "strict", TD "/ns/web/sa/bad", 80, ANY, NULL},
	  {DENY, NULL, OPS, 80, ANY, NULL}}},

	{"audit rules of both kinds that meet",
	 "[deny no]\nmode = audit\nfrom = " TD "/**\n"
	 "[allow yes]\nmode = audit\nfrom = " WEB "\n",
	 {{DENY, NULL, WEB, 80, ANY, NULL}, {DENY, NULL, OPS, 80, ANY, NULL}}},

	{"audit rules under default = allow",
	 "[policy]\ndefault = allow\n"
	 "[deny trial]\nmode = audit\nfrom = " WEB ", plaintext\n"
	 "[allow vain]\nmode = audit\nfrom = " OPS "\n",
	 {{WOULD_DENY, "trial", WEB, 80, ANY, NULL},
	  {WOULD_DENY, "trial", "plaintext", 80, ANY, NULL},
	  {ALLOW, NULL, OPS, 80, ANY, NULL},
	  {ALLOW, NULL, BAD, 80, ANY, NULL}}},

	{"mode = enforce, said, is as if it were not said",
	 "[policy]\nmode = enforce\n"
	 "[allow front]\nmode = enforce\nfrom = " WEB "\n"
	 "[deny back]\nmode = enforce\nfrom = " TD "/ns/web/sa/back\n",
	 {{ALLOW, "front", WEB, 80, ANY, NULL},
	  {DENY, "back", TD "/ns/web/sa/back", 80, ANY, NULL},
	  {DENY, NULL, OPS, 80, ANY, NULL}}},

	{"[policy] mode = audit lets all in, and says what it would have refused",
	 "[policy]\nmode = audit\n"
	 "[allow front]\nfrom = " WEB "\nto = 80\n"
	 "[deny quarantine]\nfrom = " TD "/ns/quarantine/**\n"
	 "[deny trial]\nmode = audit\nfrom = " WEB "\nsources = 10.0.0.0/8\n"
	 "[allow vain]\nmode = audit\nfrom = " OPS "\n",
	 {{ALLOW, "front", WEB, 80, ANY, NULL},
	  {WOULD_DENY, NULL, WEB, 81, ANY, NULL},
	  {WOULD_DENY, "quarantine", BAD, 80, ANY, NULL},
	  {WOULD_DENY, "trial", WEB, 80, "10.0.0.1", NULL},
	  {WOULD_DENY, NULL, WEB, 81, "10.0.0.1", NULL},
	  {WOULD_DENY, NULL, OPS, 80, ANY, NULL},
	  {WOULD_DENY, NULL, "plaintext", 80, ANY, NULL}}},

	{"[policy] mode = audit with default = allow",
	 "[policy]\nmode = audit\ndefault = allow\n"
	 "[deny quarantine]\nfrom = " TD "/ns/quarantine/**\n",
	 {{ALLOW, NULL, WEB, 80, ANY, NULL},
	  {ALLOW, NULL, "plaintext", 80, ANY, NULL},
	  {WOULD_DENY, "quarantine", BAD, 80, ANY, NULL}}},
};

static struct fl_conf *parse(const struct world *world)
{
	char *text = fl_format("%s%s", head, world->rules);
	struct fl_problems problems = {0};
	struct fl_conf *conf = NULL;

	if (fl_conf_parse("fairlead.ini", text, strlen(text), &conf, &problems) != 0) {
		fl_problems_print(&problems, "fairlead.ini", stderr);
		cr_assert_fail("%s: is refused", world->name);
	}
	fl_problems_done(&problems);
	fl_wipe_free(text, strlen(text));
	return conf;
}

/* Where `[allow NAME]` or `[deny NAME]` stands; 0 for the default. */
static unsigned line_of(const struct world *world, const char *rule)
{
	char *allow, *deny, *text;
	const char *at;
	unsigned line = 1;

	if (rule == NULL) {
		return 0;
	}
	text = fl_format("%s%s", head, world->rules);
	allow = fl_format("[allow %s]", rule);
	deny = fl_format("[deny %s]", rule);
	at = strstr(text, allow) != NULL ? strstr(text, allow) : strstr(text, deny);
	cr_assert_not_null(at, "%s: no rule %s", world->name, rule);
	for (const char *c = text; c < at; c++) {
		line += *c == '\n';
	}
	fl_wipe_free(text, strlen(text));
	fl_wipe_free(allow, strlen(allow));
	fl_wipe_free(deny, strlen(deny));
	return line;
}

static void set_source(struct fl_request *request, union fl_sockaddr *addr, const char *source)
{
	if (source == NULL) {
		return;
	}
	memset(addr, 0, sizeof(*addr));
	if (inet_pton(AF_INET, source, &addr->in.sin_addr) == 1) {
		addr->in.sin_family = AF_INET;
	} else {
		cr_assert_eq(inet_pton(AF_INET6, source, &addr->in6.sin6_addr), 1, "%s", source);
		addr->in6.sin6_family = AF_INET6;
	}
	request->source = &addr->any;
}

static enum answer answer_of(const struct fl_verdict *verdict)
{
	if (verdict->effect == FL_ALLOW) {
		return verdict->audited ? WOULD_DENY : ALLOW;
	}
	return verdict->audited ? WOULD_ALLOW : DENY;
}

static void check(const struct world *world, const struct fl_policy *policy, const struct row *row,
		  size_t number)
{
	static const char *const words[] = {"", "allow", "deny", "would deny", "would allow"};
	bool plaintext = strcmp(row->from, "plaintext") == 0;
	struct fl_request request = {.id = plaintext ? NULL : row->from,
				     .id_len = plaintext ? 0 : strlen(row->from),
				     .port = (uint16_t)row->port,
				     .service = row->service};
	union fl_sockaddr source;
	struct fl_verdict verdict;

	set_source(&request, &source, row->source);
	verdict = fl_policy_decide(policy, &request);
	cr_expect_eq(answer_of(&verdict), row->answer, "%s, row %zu: %s, not %s", world->name,
		     number, words[answer_of(&verdict)], words[row->answer]);
	cr_expect_str_eq(verdict.rule != NULL ? verdict.rule : "default",
			 row->rule != NULL ? row->rule : "default", "%s, row %zu: %s", world->name,
			 number, verdict.rule != NULL ? verdict.rule : "default");
	cr_expect_eq(verdict.line, line_of(world, row->rule), "%s, row %zu: line %u", world->name,
		     number, verdict.line);
	cr_expect_eq(verdict.file != NULL, row->rule != NULL);
}

Test(policy_truth, test_policy_truth__every_row__is_as_the_table_says)
{
	size_t rows = 0;

	for (size_t w = 0; w < FL_COUNT_OF(worlds); w++) {
		struct fl_conf *conf = parse(&worlds[w]);

		for (size_t i = 0; i < ROWS && worlds[w].rows[i].answer != NO_MORE_ROWS; i++) {
			check(&worlds[w], conf->policy, &worlds[w].rows[i], i + 1);
			rows++;
		}
		fl_conf_free(conf);
	}
	cr_expect_geq(rows, 150, "%zu rows", rows);
}
