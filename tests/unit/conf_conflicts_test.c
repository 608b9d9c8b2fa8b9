/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The INI: settings that contradict each other, and settings that only cause a warning. */
#include "conf_case.h"

static void expect_problem(const char *text, fl_conf_line line, const char *part)
{
	struct fl_problems problems = {0};
	struct fl_conf *conf = parse(text, &problems);
	bool found = false;

	for (size_t i = 0; i < problems.count; i++) {
		found = found || (problems.items[i].line == line &&
				  strstr(problems.items[i].text, part) != NULL);
	}
	cr_expect(found, "no `%s` in line %u but, in line %u: %s", part, line,
		  problems.count > 0 ? problems.items[0].line : 0,
		  problems.count > 0 ? problems.items[0].text : "nothing");
	cr_expect_eq(problems.count, 1, "%zu problems: %s", problems.count,
		     problems.count > 1 ? problems.items[1].text : "");
	fl_problems_done(&problems);
	fl_conf_free(conf);
}

static void expect_warning(const char *text, fl_conf_line line, const char *part)
{
	struct fl_problems problems = {0};
	struct fl_conf *conf = parse(text, &problems);

	cr_expect_not_null(conf);
	cr_assert_eq(problems.count, 1, "%zu problems, not one `%s`", problems.count, part);
	cr_expect_eq(problems.errors, 0);
	cr_expect_eq(problems.items[0].kind, FL_PROBLEM_WARNING);
	cr_expect_eq(problems.items[0].line, line, "line %u", problems.items[0].line);
	cr_expect_not_null(strstr(problems.items[0].text, part), "%s", problems.items[0].text);
	fl_problems_done(&problems);
	fl_conf_free(conf);
}

#define BUNDLE "bundle = /ca\n"
#define REST SERVICE RULE

Test(conf, test_conf__identity__is_complete_and_says_one_thing)
{
	expect_problem(REST, 0, "[identity] is missing");
	expect_problem("[identity]\n" BUNDLE REST, 1, "names no credentials");
	expect_problem("[identity]\ncert = /c\n" BUNDLE REST, 2, "`cert` requires `key`");
	expect_problem("[identity]\nkey = /c\n" BUNDLE REST, 2, "`key` requires `cert`");
	expect_problem("[identity]\ncert = /c\nkey = /k\n" REST, 1, "no `bundle`");
	expect_problem("[identity]\ncert = /c\nkey = /k\n" BUNDLE "credential_bundle = /b\n" REST,
		       5, "replaces `cert` and `key` (line 2)");
	expect_problem("[identity]\ncredential_bundle = /b\nkey = /k\n" BUNDLE REST, 2,
		       "replaces `cert` and `key` (line 3)");
	expect_problem("[identity]\ncert = c\nkey = /k\n" BUNDLE REST, 2, "absolute path");
}

#define FIXED "[sidecar]\ninbound =\noutbound =\n" /* in lines 5 to 7, behind IDENTITY */

Test(conf, test_conf__nothing_to_listen_on__says_what_to_add)
{
	expect_problem(IDENTITY FIXED, 0, "the sidecar would listen nowhere");
	expect_problem(IDENTITY "[upstream x]\nlisten = 127.0.0.1:1\n", 5, "no `to`");
	expect_problem(IDENTITY "[upstream x]\nmode = refuse\n", 5, "no `to`");
	fl_conf_free(parse_good(IDENTITY RULE));
	fl_conf_free(parse_good(IDENTITY RULE "[sidecar]\ninbound =\n"));
	fl_conf_free(parse_good(IDENTITY RULE "[sidecar]\noutbound =\n"));
}

Test(conf, test_conf__captured_and_fixed__are_not_mixed)
{
	expect_problem(GOOD "[service x]\nport = 80\nlisten = *:81\napp = 127.0.0.1:80\n", 11,
		       "`listen` (line 12) for a fixed listener: keep one of the two");
	expect_problem(GOOD "[service x]\nport = 80\napp = 127.0.0.1:80\n", 12,
		       "remove `app`, or write `listen` in place of `port`");
	expect_problem(GOOD "[service x]\napp = 127.0.0.1:80\n", 10, "neither `port` nor `listen`");
	expect_problem(GOOD "[service x]\nlisten =\napp = 127.0.0.1:80\n", 11,
		       "neither `port` nor `listen`");
	fl_conf_free(parse_good(GOOD "[service x]\nlisten =\nport = 80\n"));
	expect_problem(GOOD "[service x]\nport = 80\n[service y]\nport = 80\n", 13,
		       "`port = 80` is [service x] already (line 11)");
	expect_problem(IDENTITY FIXED RULE "[service x]\nport = 80\n", 11,
		       "`[sidecar] inbound` is empty (line 6)");
	expect_problem(IDENTITY FIXED "[upstream x]\nto = a:1\n", 8,
		       "`[sidecar] outbound` is empty (line 7)");
	expect_problem(GOOD "[upstream x]\nlisten = 127.0.0.1:1\nto = 10.0.0.0/8:1\n", 12,
		       "networks and port ranges are for captured traffic");
	expect_problem(GOOD "[upstream x]\nlisten = 127.0.0.1:1\nto = a:1-2\n", 12,
		       "networks and port ranges are for captured traffic");
	expect_problem(GOOD "[upstream x]\nlisten = 127.0.0.1:1\nto = a:*\n", 12,
		       "networks and port ranges are for captured traffic");
	expect_problem(GOOD "[upstream x]\nlisten = 127.0.0.1:1\nto = a:1\nmode = refuse\n", 13,
		       "would listen only to refuse");
}

Test(conf, test_conf__listener_of_ours_that_is_captured__is_refused)
{
	expect_problem(
		GOOD "[redirect]\ninbound_ports = 80, 8000-9000\n", 11,
		"8443 is to be captured, but the sidecar listens on it itself ([service web] listen in line 6)");
	expect_problem(GOOD "[redirect]\nexclude_inbound = 10.0.0.0/8:8443\ninbound_ports = 8443\n",
		       12, "remove it, or name it in `exclude_inbound`");
	expect_problem(GOOD "[redirect]\ninbound_ports = 15006\n", 11,
		       "([sidecar] inbound, the default)");
	fl_conf_free(parse_good(GOOD "[redirect]\ninbound_ports = *\n"));
	fl_conf_free(parse_good(GOOD "[redirect]\ninbound_ports = 80, 15001, 15020\n"));
	fl_conf_free(parse_good(
		GOOD "[redirect]\ninbound_ports = 8000-9000\nexclude_inbound = 8440-8450\n"));
}

Test(conf, test_conf__peer_where_nobody_proves_who_he_is__is_refused)
{
	expect_problem(GOOD
		       "[upstream x]\nto = 10.0.0.1:1\nmode = plaintext\npeer = spiffe://td/x\n",
		       13, "`mode = plaintext` (line 12) nobody proves an identity");
	expect_problem(GOOD "[upstream x]\nto = a:1\nmode = refuse\npeer = spiffe://td/x\n", 13,
		       "`mode = refuse` (line 12)");
	expect_problem(GOOD "[outbound]\npeer = spiffe://td/x\ndefault = plaintext\n", 11,
		       "`default = plaintext` (line 12)");
	expect_problem(GOOD "[outbound]\npeer = spiffe://td/x\ndefault = refuse\n", 11,
		       "`default = refuse` (line 12)");
	fl_conf_free(parse_good(GOOD "[outbound]\npeer =\ndefault = refuse\n"));
	fl_conf_free(parse_good(GOOD "[outbound]\npeer = spiffe://td/x\ndefault = mtls\n"));
}

Test(conf, test_conf__an_app_elsewhere__has_to_be_allowed)
{
	static const char *const elsewhere[] = {"10.77.0.9:5432", "[fd00::1]:5432",
						"[::ffff:10.77.0.9]:5432", "128.0.0.1:1"};
	static const char *const here[] = {"127.0.0.1:5432", "127.9.9.9:1", "[::1]:5432",
					   "[::ffff:127.0.0.1]:1", "unix:/run/app.sock"};

	for (size_t i = 0; i < FL_COUNT_OF(elsewhere); i++) {
		char *text = fl_format(IDENTITY RULE "[service x]\nlisten = *:81\napp = %s\n",
				       elsewhere[i]);
		char *refused = fl_format("%sremote = refuse\n", text);
		char *allowed = fl_format("%sremote = allow\n", text);

		expect_problem(text, 9, "write `remote = allow` in [service x]");
		expect_problem(refused, 9, "may be another machine");
		fl_conf_free(parse_good(allowed));
		free(text);
		free(refused);
		free(allowed);
	}
	for (size_t i = 0; i < FL_COUNT_OF(here); i++) {
		char *text =
			fl_format(IDENTITY RULE "[service x]\nlisten = *:81\napp = %s\n", here[i]);
		char *allowed = fl_format("%sremote = allow\n", text);

		fl_conf_free(parse_good(text));
		fl_conf_free(parse_good(allowed));
		free(text);
		free(allowed);
	}
	expect_problem(GOOD "[service x]\nport = 80\nremote = allow\n", 12, "remove `remote`");
}

#define PLAIN "mode = plaintext\n"
#define KUBELET "[allow kubelet]\nfrom = plaintext\nsources = 10.0.0.1\n"

Test(conf, test_conf__alpn_and_mutual__are_where_there_is_a_handshake)
{
	struct fl_conf *conf =
		parse_good(GOOD "[service x]\nport = 80\nalpn = h2 , http/1.1\n"
				"[upstream x]\nto = a:1\nalpn = http/1.1,h2\n"
				"mutual = optional\n[upstream y]\nto = b:1\nalpn =\n");

	cr_expect_str_eq(conf->services[conf->service_count - 1].alpn, "h2,http/1.1");
	cr_expect_str_eq(conf->upstreams[0].alpn, "http/1.1,h2");
	cr_expect(conf->upstreams[0].mutual_optional);
	cr_expect_null(conf->upstreams[1].alpn);
	cr_expect_not(conf->upstreams[1].mutual_optional);
	fl_conf_free(conf);
	expect_problem(GOOD "[service x]\nport = 80\nmode = permissive\nalpn = h2\n" KUBELET, 13,
		       "write `mode = strict` in [service x]");
	expect_problem(GOOD
		       "[service x]\nport = 80\nalpn = h2\n[inbound]\nmode = plaintext\n" KUBELET,
		       12, "goes to the app unchanged");
	expect_problem(GOOD "[upstream x]\nto = 10.0.0.1:1\nmode = plaintext\nalpn = h2\n", 13,
		       "with `mode = plaintext` (line 12) there is none");
	expect_problem(GOOD "[upstream x]\nto = 10.0.0.1:1\nmode = refuse\nmutual = optional\n", 13,
		       "with `mode = refuse` (line 12) there is none");
}

#define WITHIN "within = 10.0.0.0/8\n"

Test(conf, test_conf__names_of_plaintext_upstreams__are_bounded)
{
	fl_conf_free(parse_good(GOOD "[upstream x]\nto = a:1\n" PLAIN WITHIN));
	fl_conf_free(parse_good(GOOD "[upstream x]\nto = a:1\nwithin =\n"));
	fl_conf_free(parse_good(GOOD "[upstream x]\nto = 10.0.0.1:1\n" PLAIN));
	expect_warning(GOOD "[upstream x]\nto = a:1\n" PLAIN, 11, "within = 10.0.0.0/8");
	expect_warning(GOOD "[upstream x]\nlisten = 127.0.0.1:1\nto = a:1\n" PLAIN, 12,
		       "whoever answers for a in DNS");
	expect_problem(GOOD "[upstream x]\nto = a:1\n" WITHIN, 12, "remove it");
	expect_problem(GOOD "[upstream x]\nto = a:1\nmode = refuse\n" WITHIN, 13, "remove it");
	expect_problem(GOOD "[upstream x]\nto = 10.0.0.1:1\n" PLAIN WITHIN, 13,
		       "this one has no name");
	expect_problem(GOOD "[upstream x]\nto = a:1\n" PLAIN "within = b\n", 13, "`within`");
}

Test(conf, test_conf__a_plaintext_name_that_can_have_no_address__is_refused)
{
	static const struct {
		const char *name, *other;
		bool is_good;
	} cases[] = {
		{"to = a:1\n" WITHIN, "to = 10.0.0.0/8:1\n", false},
		{"to = a:1\n" WITHIN, "to = 0.0.0.0/0:1-9\nmode = refuse\n", false},
		{"to = a:1\nlisten = 127.0.0.1:1\n" WITHIN, "to = *:*\n", false},
		{"to = a:1\n" WITHIN, "to = 10.0.0.0/9:1\n", true},
		{"to = a:1\n" WITHIN, "to = 10.0.0.0/9:1\n[upstream z]\nto = 10.128.0.0/9:1\n",
		 false},
		{"to = a:1\n" WITHIN, "to = 10.0.0.0/9:1\n[upstream z]\nto = 10.128.0.0/10:1\n",
		 true},
		{"to = a:1-2\n" WITHIN, "to = 10.0.0.0/8:1\n", true},
		{"to = a:1\nwithin = 10.0.0.0/8, fd00::/8\n", "to = 10.0.0.0/8:1\n", true},
		{"to = a:1\n" WITHIN, "to = 10.0.0.0/8:1\nmode = plaintext\n", true},
	};

	for (size_t i = 0; i < FL_COUNT_OF(cases); i++) {
		char *text = fl_format(IDENTITY RULE "[upstream x]\n" PLAIN "%s[upstream y]\n%s",
				       cases[i].name, cases[i].other);

		if (cases[i].is_good) {
			fl_conf_free(parse_good(text));
		} else {
			expect_problem(text, 9, "can never be used");
		}
		free(text);
	}
}

Test(conf, test_conf__upstreams_that_overlap__are_a_tie_where_neither_is_more_specific)
{
	static const struct {
		const char *a, *b;
		bool tie;
	} rows[] = {
		{"10.0.0.0/8:80", "10.0.0.0/8:80", true},
		{"10.0.0.0/8:80", "10.0.0.0/8:81", false},
		{"10.0.0.0/8:80", "10.0.0.0/16:80", false},
		{"10.0.0.0/8:80", "10.0.0.0/8:80-81", false},
		{"10.0.0.0/8:80", "10.0.0.0/8:*", false},
		{"10.0.0.0/8:*", "10.0.0.0/8:*", true},
		{"10.0.0.0/8:1-10", "10.0.0.0/8:10-19", true},
		{"10.0.0.0/8:10-19", "10.0.0.0/8:1-10", true},
		{"10.0.0.0/8:1-10", "10.0.0.0/8:11-20", false},
		{"10.0.0.0/8:1-10", "10.0.0.0/8:10-20", false},
		{"10.0.0.1:80", "10.0.0.1/32:80", true},
		{"10.0.0.1:80", "[::ffff:10.0.0.1]:80", true},
		{"10.0.0.1:80", "10.0.0.2:80", false},
		{"[fd00::1]:80", "[fd00:0::1]:80", true},
		{"[fd00::]/8:80", "[fd00::]/16:80", false},
		{"0.0.0.0/0:80", "[::]/0:80", false},
		{"*:80", "[::]/0:80", true},
		{"*:80", "*:81", false},
		{"ledger:80", "LEDGER:80", true},
		{"ledger:80", "ledger:81", false},
		{"ledger:80", "ledger.prod:80", false},
		{"ledger:80", "ledger:80-90", false},
		{"ledger:80", "10.0.0.1:80", false},
		{"x:1, 10.0.0.0/8:80, y:1", "z:1, 10.0.0.0/8:80", true},
	};

	for (size_t i = 0; i < FL_COUNT_OF(rows); i++) {
		char *text = fl_format("%s[upstream a]\nto = %s\n[upstream b]\nto = %s\n", IDENTITY,
				       rows[i].a, rows[i].b);

		if (rows[i].tie) {
			expect_problem(text, 8, "also belongs to [upstream a] (line 6)");
		} else {
			fl_conf_free(parse_good(text));
		}
		free(text);
	}
	/* In one and the same upstream it makes no difference. */
	fl_conf_free(parse_good(IDENTITY "[upstream a]\nto = 10.0.0.0/8:1-10, 10.0.0.0/8:5-14\n"));
}

Test(conf, test_conf__two_listeners_in_one_place__are_refused)
{
	static const struct {
		const char *first;
		const char *second;
		bool collide;
	} rows[] = {
		{"*:7000", "*:7000", true},
		{"*:7000", "*:7001", false},
		{"*:7000", "127.0.0.1:7000", true},
		{"127.0.0.1:7000", "*:7000", true},
		{"*:7000", "[::1]:7000", true},
		{"127.0.0.1:7000", "127.0.0.1:7000", true},
		{"127.0.0.1:7000", "127.0.0.2:7000", false},
		{"127.0.0.1:7000", "[::1]:7000", false},
		{"127.0.0.1:7000", "[::ffff:127.0.0.1]:7000", true},
		{"[::1]:7000", "[0:0:0:0:0:0:0:1]:7000", true},
		{"[::1]:7000", "[::2]:7000", false},
		{"0.0.0.0:7000", "10.0.0.1:7000", true},
		{"0.0.0.0:7000", "[::1]:7000", false},
		{"[::]:7000", "[::1]:7000", true},
		{"unix:/run/x", "unix:/run/x", true},
		{"unix:/run/x", "unix:/run/y", false},
		{"unix:/run/x", "*:7000", false},
		{"127.0.0.1:7000", "127.0.0.1:15020", true}, /* the admin listener's default */
		{"*:7000", "unix:/run/fairlead/agent.sock", true}, /* the agent's */
	};

	for (size_t i = 0; i < FL_COUNT_OF(rows); i++) {
		char *text = fl_format("%s[upstream a]\nlisten = %s\nto = a:1\n"
				       "[upstream b]\nlisten = %s\nto = a:1\n",
				       IDENTITY, rows[i].first, rows[i].second);

		if (rows[i].collide) {
			expect_problem(text, 9, "is also used by");
		} else {
			fl_conf_free(parse_good(text));
		}
		free(text);
	}
	expect_problem(GOOD "[sidecar]\nadmin = 127.0.0.1:8443\n", 11,
		       "also used by [service web] listen in line 6 (*:8443)");
}

Test(conf, test_conf__destination_that_leads_back__is_refused)
{
	expect_problem(IDENTITY "[upstream a]\nlisten = 127.0.0.1:7000\nto = 127.0.0.1:7000\n", 7,
		       "leads back");
	expect_problem(IDENTITY "[upstream a]\nlisten = *:7000\nto = x:1, [::1]:7000\n", 7,
		       "leads back");
	expect_problem(GOOD "[service x]\nlisten = *:8444\napp = 127.0.0.1:8443\n", 12,
		       "leads back");
	expect_problem(GOOD "[service x]\nlisten = *:8444\napp = 127.0.0.1:15006\n", 12,
		       "leads back to the sidecar itself ([sidecar] inbound, the default)");
	expect_problem(GOOD "[service x]\nlisten = *:8444\napp = [::1]:15001\n", 12, "leads back");
	expect_problem(IDENTITY "[upstream a]\nlisten = *:7000\nto = 127.0.0.1:15001\n", 7,
		       "leads back");
	/* The admin endpoint for peers, with mutual TLS. */
	fl_conf_free(parse_good(GOOD "[service x]\nlisten = *:8444\napp = 127.0.0.1:15020\n"));
	fl_conf_free(parse_good(IDENTITY "[upstream a]\nlisten = *:7000\nto = 192.0.2.1:7000\n"));
	fl_conf_free(parse_good(IDENTITY "[upstream a]\nlisten = 127.0.0.1:7000\nto = x:7000\n"));
	/* On purpose: inbound connections go out again to another mesh peer. */
	fl_conf_free(parse_good(IDENTITY RULE "[service a]\nlisten = *:8443\napp = unix:/run/up\n"
					      "[upstream b]\nlisten = unix:/run/up\nto = x:1\n"));
}

Test(conf, test_conf__what_never_matches__is_a_warning)
{
	expect_warning(GOOD "[allow x]\nfrom = plaintext\n", 11,
		       "never matches, because no port accepts plaintext");
	expect_warning(GOOD "[deny x]\nfrom = spiffe://td/x, plaintext\n", 11,
		       "no port accepts plaintext");
	expect_warning(
		IDENTITY SERVICE
		"[sidecar]\ninbound =\n[inbound]\nmode = plaintext\n[allow x]\nfrom = plaintext\n",
		13, "no port accepts plaintext");
	fl_conf_free(
		parse_good(GOOD "[allow x]\nfrom = plaintext\n[inbound]\nmode = permissive\n"));
	fl_conf_free(parse_good(
		GOOD "[allow x]\nfrom = plaintext\n[service y]\nport = 1\nmode = plaintext\n"));
	expect_warning(GOOD "[upstream x]\nto = 10.0.0.1:1, 127.0.0.1:1\n", 11,
		       "127.0.0.1 never matches, because traffic to loopback is not captured");
	expect_warning(GOOD "[upstream x]\nto = [::1]:1\n", 11, "::1 never matches");
}

Test(conf, test_conf__nobody_let_in__is_a_warning)
{
	expect_warning(IDENTITY SERVICE, 0, "no [allow NAME]");
	expect_warning(IDENTITY, 0, "no [allow NAME]");
	fl_conf_free(parse_good(IDENTITY SERVICE "[policy]\ndefault = allow\n"));
	fl_conf_free(parse_good(IDENTITY "[upstream a]\nlisten = *:7000\nto = x:1\n"));
}
