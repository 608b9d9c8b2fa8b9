/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Which changes of an INI require new rules of capture, and that no others do. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "base/capture.h"
#include "base/mem.h"
#include "conf/settings.h"
#include "conf_case.h"

static struct fl_conf *conf_of(const char *text)
{
	char *ini = fl_format("%s%s", IDENTITY, text);
	struct fl_conf *conf = NULL;
	struct fl_problems problems = {0};

	cr_assert_eq(fl_conf_parse("f.ini", ini, strlen(ini), &conf, &problems), FL_OK, "%s", ini);
	fl_problems_done(&problems);
	free(ini);
	return conf;
}

/* keys: those that differ; NULL: the rules of one INI also serve the other. */
static void expect(const char *applied, const char *wanted, const char *keys)
{
	struct fl_conf *a = conf_of(applied), *b = conf_of(wanted);
	char *found = fl_conf_capture_keys(a, b);

	if (keys == NULL) {
		cr_expect_null(found, "%s", found);
	} else {
		cr_expect_str_eq(found, keys);
	}
	cr_expect_eq(fl_conf_capture_print(a) == fl_conf_capture_print(b), keys == NULL, "%s | %s",
		     applied, wanted);
	cr_expect_lt(fl_conf_capture_print(a), FL_CAPTURE_PRINTS);
	free(found);
	fl_conf_free(a);
	fl_conf_free(b);
}

Test(conf_capture, what_means_the_same)
{
	expect("", "", NULL);
	expect("", "[redirect]\n", NULL);
	expect("",
	       "[redirect]\nmode = redirect\nexclude_inbound = 15020\nother_protocols = count\n",
	       NULL);
	expect("[redirect]\nexclude_outbound = 10.0.0.0/8, *:53\n",
	       "; a comment\n[redirect]\nexclude_outbound = *:53,10.0.0.0/8\n", NULL);
	expect("", "[sidecar]\noutbound = [::1]:15001, 127.0.0.1:15001\n", NULL);
	expect("", "[sidecar]\ninbound = 0.0.0.0:15006, [::]:15006\n", NULL);
	expect("[sidecar]\nadmin =\n", "[sidecar]\nadmin = 127.0.0.1:15020\n", NULL);
	expect("", "[service a]\nlisten = [::1]:8443\napp = 127.0.0.1:1\n", NULL);
	expect("[service a]\nlisten = *:8443\napp = 127.0.0.1:1\n",
	       "[service b]\nlisten = *:8443\napp = 127.0.0.1:2\nmode = permissive\n", NULL);
	expect("",
	       "[service a]\nport = 8080\n[limits]\nidle_timeout = 5m\n[outbound]\ndefault = "
	       "plaintext\n",
	       NULL);
}

Test(conf_capture, what_does_not)
{
	expect("", "[redirect]\nmode = tproxy\n", "[redirect] mode");
	expect("", "[redirect]\ninbound_ports = 8080\n", "[redirect] inbound_ports");
	expect("", "[redirect]\nexclude_inbound = 15020, 22\n", "[redirect] exclude_inbound");
	expect("", "[redirect]\nexclude_inbound =\n", "[redirect] exclude_inbound");
	expect("", "[redirect]\noutbound = *:80\n", "[redirect] outbound");
	expect("[redirect]\nexclude_outbound = 10.0.0.0/8\n",
	       "[redirect]\nexclude_outbound = 10.0.0.0/9\n", "[redirect] exclude_outbound");
	expect("[redirect]\nexclude_outbound = interface:eth1\n",
	       "[redirect]\nexclude_outbound = interface:eth2\n", "[redirect] exclude_outbound");
	expect("", "[redirect]\nforwarded = count\n", "[redirect] forwarded");
	expect("", "[redirect]\nother_protocols = drop\n", "[redirect] other_protocols");
	expect("", "[sidecar]\ninbound = *:15007\noutbound = 127.0.0.1:15002\nadmin = *:15021\n",
	       "[sidecar] inbound, [sidecar] outbound, [sidecar] admin");
	expect("", "[sidecar]\noutbound = 127.0.0.1:15001\n", "[sidecar] outbound");
	expect("", "[sidecar]\ninbound = 10.0.0.1:15006, [fd00::1]:15006\n", "[sidecar] inbound");
	expect("", "[sidecar]\nadmin = 127.0.0.1:15020\n", "[sidecar] admin");
	expect("", "[agent]\nsidecar_uid = 2999\n", "[agent] sidecar_uid");
}

Test(conf_capture, fixed_listeners)
{
	static const char a[] = "[service a]\nlisten = *:8443\napp = 127.0.0.1:1\n";

	expect("", a, "[service a] listen");
	expect(a, "", "[service a] listen");
	expect(a, "[service a]\nlisten = 10.0.0.1:8443\napp = 127.0.0.1:1\n", "[service a] listen");
	expect(a, "[service a]\nlisten = 127.0.0.1:8443\napp = 127.0.0.1:1\n",
	       "[service a] listen");
	expect("[service a]\nlisten = 127.0.0.1:8443\napp = 127.0.0.1:1\n", a,
	       "[service a] listen");
	expect(a, "[service b]\nlisten = *:8444\napp = 127.0.0.1:1\n",
	       "[service b] listen, [service a] listen");
}

/* A key that is missing here could change the rules without any test noticing. */
Test(conf_capture, knows_every_key_of_redirect)
{
	static const char *const known[] = {"mode",           "inbound_ports",    "exclude_inbound",
					    "outbound",       "exclude_outbound", "forwarded",
					    "other_protocols"};

	for (size_t i = 0; i < FL_SECTIONS; i++) {
		const struct fl_section *section = &fl_sections[i];

		for (size_t k = 0; strcmp(section->name, "redirect") == 0 && k < section->key_count;
		     k++) {
			bool found = false;

			for (size_t n = 0; n < FL_COUNT_OF(known); n++) {
				found = found || strcmp(section->keys[k].name, known[n]) == 0;
			}
			cr_expect(found, "[redirect] %s: add it to conf/capture.c, and here",
				  section->keys[k].name);
		}
	}
}
