/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Suggested rules, pasted behind the INI: every observed connection is admitted, and nothing else. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "conf/conf.h"
#include "policy/suggest.h"

#define TD "spiffe://prod.example"

static const char head[] = "[identity]\ncert = /x/c\nkey = /x/k\nbundle = /x/b\n"
			   "[service web]\nlisten = *:8443\napp = 127.0.0.1:1\n"
			   "[service db]\nlisten = *:8444\napp = 127.0.0.1:2\n";

static struct fl_conf *parse(const char *rules, const char *more)
{
	char *text = fl_format("%s%s\n%s", head, rules, more);
	struct fl_problems problems = {0};
	struct fl_conf *conf = NULL;

	cr_assert_eq(fl_conf_parse("x.ini", text, strlen(text), &conf, &problems), 0, "%s\n%s",
		     text, problems.count > 0 ? problems.items[0].text : "");
	fl_problems_done(&problems);
	fl_wipe_free(text, strlen(text));
	return conf;
}

static struct fl_observation seen(const char *id, unsigned port, const char *source)
{
	struct fl_observation it = {.id = id,
				    .port = (uint16_t)port,
				    .service = port == 8443   ? "web"
					       : port == 8444 ? "db"
							      : NULL};

	it.source.family = AF_UNSPEC;
	if (source != NULL) {
		cr_assert_eq(fl_cidr_parse(source, &it.source, NULL), 0);
	}
	return it;
}

static bool is_let_in(const struct fl_policy *policy, const struct fl_observation *it)
{
	struct fl_request request = {.id = it->id,
				     .id_len = it->id != NULL ? strlen(it->id) : 0,
				     .port = it->port,
				     .service = it->service};
	struct sockaddr_in in = {.sin_family = AF_INET};

	if (it->source.family != AF_UNSPEC) {
		memcpy(&in.sin_addr, it->source.addr, 4);
		request.source = (const struct sockaddr *)(const void *)&in;
	}
	return fl_policy_decide(policy, &request).effect == FL_ALLOW;
}

static void expect_text(const char *rules, const struct fl_observation *items, size_t count,
			bool wildcards, const char *wanted)
{
	struct fl_conf *conf = parse(rules, "");
	struct fl_text text = {0};

	(void)fl_policy_suggest(conf->policy, items, count, wildcards, &text);
	cr_expect_str_eq(text.len > 0 ? text.data : "", wanted);
	fl_text_done(&text);
	fl_conf_free(conf);
}

Test(suggest, test_suggest__what_is_let_in_already__needs_nothing)
{
	struct fl_observation items[] = {seen(TD "/a", 80, NULL)};

	expect_text("[allow x]\nfrom = " TD "/*\n", items, 1, false, "");
	expect_text("[policy]\ndefault = allow\n", items, 1, false, "");
	expect_text("", items, 0, false, "");
}

Test(suggest, test_suggest__shapes__take_the_fewest_rules)
{
	struct fl_observation one[] = {seen(TD "/ns/a/sa/b", 8443, "10.0.0.1"),
				       seen(TD "/ns/a/sa/b", 8443, "10.0.0.2")};
	struct fl_observation ports[] = {seen(TD "/a", 9000, NULL), seen(TD "/a", 9002, NULL),
					 seen(TD "/a", 9001, NULL), seen(TD "/a", 8444, NULL),
					 seen(TD "/a", 80, NULL)};
	struct fl_observation peers[] = {seen(TD "/b", 8443, NULL), seen(TD "/a", 8443, NULL)};
	/* Three identities, two places: two rules if grouped by place, three by identity. */
	struct fl_observation cross[] = {seen(TD "/a", 80, NULL), seen(TD "/a", 8443, NULL),
					 seen(TD "/b", 80, NULL), seen(TD "/c", 8443, NULL)};
	struct fl_observation plain[] = {seen(NULL, 8443, "10.0.0.1"), seen(NULL, 8443, "10.0.0.9"),
					 seen(NULL, 80, NULL)};

	expect_text("", one, 2, false, "[allow ns-a-sa-b]\nfrom = " TD "/ns/a/sa/b\nto = web\n");
	expect_text("", ports, 5, false, "[allow a]\nfrom = " TD "/a\nto = db, 80, 9000-9002\n");
	expect_text("", peers, 2, false, "[allow to-web]\nfrom = " TD "/a, " TD "/b\nto = web\n");
	expect_text("", cross, 4, false,
		    "[allow to-web]\nfrom = " TD "/a, " TD "/c\nto = web\n\n"
		    "[allow to-80]\nfrom = " TD "/a, " TD "/b\nto = 80\n");
	expect_text(
		"", plain, 3, false,
		"; plaintext to 80 from an unknown address: left out\n\n"
		"[allow plaintext]\nfrom = plaintext\nsources = 10.0.0.1, 10.0.0.9\nto = web\n");
}

Test(suggest, test_suggest__wildcards__only_when_asked_for)
{
	struct fl_observation items[] = {
		seen(TD "/ns/a/sa/x", 80, NULL), seen(TD "/ns/a/sa/y", 80, NULL),
		seen(TD "/ns/b/sa/x", 80, NULL), seen(TD "/ns/a/sa/x/z", 80, NULL)};

	expect_text("", items, 4, true,
		    "[allow to-80]\nfrom = " TD "/ns/a/sa/*, " TD "/ns/a/sa/x/z, " TD
		    "/ns/b/sa/x\nto = 80\n");
	expect_text("", items, 3, false,
		    "[allow to-80]\nfrom = " TD "/ns/a/sa/x, " TD "/ns/a/sa/y, " TD
		    "/ns/b/sa/x\nto = 80\n");
}

Test(suggest, test_suggest__names__do_not_collide)
{
	struct fl_observation items[] = {seen(TD "/a", 80, NULL), seen(TD "/a.", 81, NULL),
					 seen(TD "/default", 82, NULL), seen(TD "/1", 83, NULL)};

	expect_text("[allow a]\nfrom = " TD "/z\n[deny a-]\nfrom = " TD "/y\n", items, 4, false,
		    "[allow peer]\nfrom = " TD "/1\nto = 83\n\n"
		    "[allow a-2]\nfrom = " TD "/a\nto = 80\n\n"
		    "[allow a--2]\nfrom = " TD "/a.\nto = 81\n\n"
		    "[allow default-2]\nfrom = " TD "/default\nto = 82\n");
}

Test(suggest, test_suggest__a_rule_that_lacks_the_address__is_told)
{
	struct fl_observation items[] = {seen(TD "/a", 8443, "10.0.0.9"),
					 seen(TD "/b", 8443, "10.0.0.9")};

	expect_text("[allow x]\nfrom = " TD "/a\nsources = 10.0.0.1\n", items, 2, false,
		    "; [allow x] (x.ini:11) admits " TD "/a, but not from 10.0.0.9: add that to "
		    "its sources, in place of a rule below\n\n"
		    "[allow to-web]\nfrom = " TD "/a, " TD "/b\nto = web\n");
	expect_text("[allow x]\nfrom = " TD "/a\nsources = 10.0.0.1\nmode = audit\n", items, 1,
		    false, "[allow a]\nfrom = " TD "/a\nto = web\n");
}

Test(suggest, test_suggest__a_rule_that_leaves_it_out__is_told)
{
	struct fl_observation items[] = {seen(TD "/a", 8443, "10.0.0.9")};

	expect_text("[allow x]\nfrom = " TD "/**\nexcept_from = " TD "/a\n", items, 1, false,
		    "; [allow x] (x.ini:11) excludes " TD "/a by an exception: a rule below admits "
		    "it all the same\n\n"
		    "[allow a]\nfrom = " TD "/a\nto = web\n");
}

Test(suggest, test_suggest__what_a_deny_rule_covers__is_told)
{
	struct fl_observation items[] = {seen(TD "/bad", 8443, NULL), seen(NULL, 81, "10.0.0.1")};

	expect_text(
		"[deny q]\nfrom = " TD "/bad, plaintext\n", items, 2, false,
		"; [deny q] (x.ini:11) refuses " TD "/bad to web: no [allow] rule changes that\n"
		"; [deny q] (x.ini:11) refuses plaintext to 81: no [allow] rule changes that\n");
}

/* Connections that only audit mode admitted will need rules. */
Test(suggest, test_suggest__audit__counts_as_denied)
{
	struct fl_observation items[] = {seen(TD "/a", 80, NULL)};
	const char *rule = "[allow a]\nfrom = " TD "/a\nto = 80\n";

	expect_text("[policy]\nmode = audit\n", items, 1, false, rule);
	expect_text("[allow t]\nmode = audit\nfrom = " TD "/*\n", items, 1, false, rule);
}

/* A deny rule in audit mode refuses nothing, so the rule is needed all the same. */
Test(suggest, test_suggest__deny_rule_in_audit_mode__keeps_no_rule_back)
{
	struct fl_observation items[] = {seen(TD "/a", 80, "10.0.0.1")};

	expect_text("[deny t]\nmode = audit\nfrom = " TD "/a\n", items, 1, false,
		    "[allow a]\nfrom = " TD "/a\nto = 80\n");
	expect_text("[deny t]\nmode = audit\nfrom = " TD "/a\n[deny q]\nfrom = " TD "/a\n", items,
		    1, false,
		    "; [deny q] (x.ini:14) refuses " TD "/a to 80: no [allow] rule changes that\n");
}

#define MANY 1024

/* Both lists of a rule may be longer than a line of the INI may be. */
Test(suggest, test_suggest__long_lists__make_several_rules)
{
	static const bool kinds[] = {false, true}; /* many ports of services, many identities */

	for (size_t k = 0; k < FL_COUNT_OF(kinds); k++) {
		struct fl_observation items[MANY];
		struct fl_text services = {0}, text = {0};
		struct fl_conf *before, *after;
		char *texts[MANY];
		size_t rules;

		for (unsigned i = 0; i < MANY; i++) {
			texts[i] = kinds[k] ? fl_format("%s/ns/%060u/sa/x%u", TD, 0U, i)
					    : fl_format("s%060u", i);
			items[i] =
				seen(kinds[k] ? texts[i] : TD "/a", kinds[k] ? 80 : 1000 + i, NULL);
			if (!kinds[k]) {
				items[i].service = texts[i];
				fl_text_print(&services,
					      "[service %s]\nlisten = *:%u\napp = 127.0.0.1:1\n",
					      texts[i], 1000 + i);
			}
		}
		before = parse("", services.len > 0 ? services.data : "");
		rules = fl_policy_suggest(before->policy, items, MANY, false, &text);
		after = parse(text.data, services.len > 0 ? services.data : "");
		cr_expect_geq(rules, 2u);
		cr_expect_eq(rules, fl_policy_rule_count(after->policy));
		for (size_t i = 0; i < MANY; i++) {
			cr_expect(is_let_in(after->policy, &items[i]), "%s", texts[i]);
			free(texts[i]);
		}
		fl_conf_free(before);
		fl_conf_free(after);
		fl_text_done(&services);
		fl_text_done(&text);
	}
}

#define IDS 6
#define PORTS 7
#define SOURCES 4

/* Each crossing of a grid is admitted afterwards if and only if it was observed. */
Test(suggest, test_suggest__random_observations__exactly_what_was_seen)
{
	static const char *const ids[IDS] = {TD "/a",   TD "/a/b", TD "/a/c",
					     TD "/b/c", TD "/b",   "spiffe://other.example/a"};
	static const unsigned ports[PORTS] = {1, 2, 3, 80, 8443, 8444, 65535};
	static const char *const sources[SOURCES] = {"10.0.0.1", "10.0.0.2", "10.0.1.1",
						     "192.0.2.1"};
	unsigned seed = 7;

	for (int round = 0; round < 300; round++) {
		bool wanted[IDS + SOURCES][PORTS];
		struct fl_observation items[(IDS + SOURCES) * PORTS];
		struct fl_conf *before = parse("", ""), *after;
		struct fl_text text = {0};
		size_t count = 0, rules;

		for (size_t i = 0; i < IDS + SOURCES; i++) {
			for (size_t p = 0; p < PORTS; p++) {
				wanted[i][p] = (unsigned)rand_r(&seed) % 10 < (unsigned)round % 10;
				if (wanted[i][p]) {
					items[count++] = seen(i < IDS ? ids[i] : NULL, ports[p],
							      i < IDS ? NULL : sources[i - IDS]);
				}
			}
		}
		rules = fl_policy_suggest(before->policy, items, count, false, &text);
		cr_expect_leq(rules, 2 * PORTS);
		after = parse("", text.len > 0 ? text.data : "");
		cr_expect_eq(fl_policy_rule_count(after->policy), rules);
		for (size_t i = 0; i < IDS + SOURCES; i++) {
			for (size_t p = 0; p < PORTS; p++) {
				struct fl_observation it = seen(i < IDS ? ids[i] : NULL, ports[p],
								i < IDS ? NULL : sources[i - IDS]);

				cr_expect_eq(is_let_in(after->policy, &it), wanted[i][p],
					     "%s %u\n%s", i < IDS ? ids[i] : sources[i - IDS],
					     ports[p], text.data);
			}
		}
		fl_text_done(&text);
		fl_conf_free(before);
		fl_conf_free(after);
	}
}
