/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The INI: which keys require a restart. */
#include "conf_case.h"

#include "base/text.h"

#define UPSTREAM                                                                                   \
	"[upstream db]\nlisten = 127.0.0.1:7001\nto = 10.0.0.1:8443\npeer = spiffe://td/db\n"

static const struct {
	const char *running, *wanted, *keys; /* added to GOOD; NULL: everything applies at once */
} restarts[] = {
	{"", "", NULL},
	{UPSTREAM,
	 "[upstream db]\nlisten = 127.0.0.1:7001\nto = 10.0.0.2:1\npeer = spiffe://td/x\n", NULL},
	{"", "[limits]\nconnections = 5\nidle_timeout = 1m\n[log]\nlevel = debug\nformat = text\n",
	 NULL},
	{"", "[policy]\ndefault = allow\n[deny x]\nfrom = spiffe://td/x\n", NULL},
	{"", "[sidecar]\nadmin = *:15021\nworkers = 2\n", "[sidecar] admin, [sidecar] workers"},
	{"", "[agent]\nsocket = /x\nsidecar_uid = 1\nuid = 2\n",
	 "[agent] socket, [agent] sidecar_uid, [agent] uid"},
	{"", "[sidecar]\nadmin_details = everywhere\n", NULL},
	{"[limits]\nbuffer = 16KiB\n", "[limits]\nbuffer = 32KiB\n", "[limits] buffer"},
	{"", "[sidecar]\ncontrol =\noutbound =\ninbound = *:1, *:2\n",
	 "[sidecar] inbound, [sidecar] outbound, [sidecar] control"},
	{"[sidecar]\ninbound = *:1\noutbound = *:3\n", "[sidecar]\ninbound = *:2\noutbound = *:3\n",
	 "[sidecar] inbound"},
	{"[service x]\nport = 1\n[upstream x]\nto = a:1\n",
	 "[service y]\nport = 1\n[upstream y]\nto = a:1\nmode = refuse\n", NULL},
	{"[service x]\nport = 1\n", "[service x]\nlisten = *:1\napp = 127.0.0.1:9\n",
	 "[service x] listen"},
	{"",
	 "[inbound]\ndetect_timeout = 1s\n[outbound]\ndefault = refuse\n[rotation]\nrecycle = 1m\n",
	 NULL},
	{"", UPSTREAM, "[upstream db] listen"},
	{"[sidecar]\ninbound = *:15006\n",
	 "[sidecar]\ninbound = *:15006\n[redirect]\nmode = tproxy\n", "[redirect] mode"},
	{UPSTREAM, "", "[upstream db] listen"},
	{UPSTREAM "[service a]\nlisten = *:1\napp = 127.0.0.1:9\n",
	 "[service a]\nlisten = *:2\napp = 127.0.0.1:9\n[service b]\nlisten = *:3\napp = 127.0.0.1:9\n",
	 "[service a] listen, [service b] listen, [upstream db] listen"},
};

Test(conf, test_restart_keys__are_named)
{
	for (size_t i = 0; i < FL_COUNT_OF(restarts); i++) {
		char *texts[] = {fl_format("%s%s", GOOD, restarts[i].running),
				 fl_format("%s%s", GOOD, restarts[i].wanted)};
		struct fl_conf *running = parse_good(texts[0]);
		struct fl_conf *wanted = parse_good(texts[1]);
		char *keys = fl_conf_restart_keys(running, wanted, FL_PROGRAM_BOTH);

		if (restarts[i].keys == NULL) {
			cr_expect_null(keys, "%zu: %s", i, keys);
		} else {
			cr_assert_not_null(keys, "%zu", i);
			cr_expect_str_eq(keys, restarts[i].keys);
		}
		free(keys);
		fl_conf_free(running);
		fl_conf_free(wanted);
		free(texts[0]);
		free(texts[1]);
	}
}

static char *keys_of(const char *before, const char *after, enum fl_program program)
{
	char *texts[] = {fl_format("%s%s", GOOD, before), fl_format("%s%s", GOOD, after)};
	struct fl_conf *running = parse_good(texts[0]);
	struct fl_conf *wanted = parse_good(texts[1]);
	char *keys = fl_conf_restart_keys(running, wanted, program);

	fl_conf_free(running);
	fl_conf_free(wanted);
	free(texts[0]);
	free(texts[1]);
	return keys;
}

/* Each program has its own, and `socket` and `uid` concern both. */
Test(conf, test_restart_keys__are_those_of_the_program)
{
	static const char after[] = "[sidecar]\nworkers = 2\nsandbox = off\n[agent]\nsocket = /x\n"
				    "sidecar_uid = 1\nuid = 2\nsandbox = off\n";
	char *sidecar = keys_of("", after, FL_PROGRAM_SIDECAR);
	char *agent = keys_of("", after, FL_PROGRAM_AGENT);

	cr_expect_str_eq(sidecar,
			 "[sidecar] workers, [sidecar] sandbox, [agent] socket, [agent] uid");
	cr_expect_str_eq(agent,
			 "[agent] socket, [agent] sidecar_uid, [agent] uid, [agent] sandbox");
	free(sidecar);
	free(agent);
	cr_expect_null(keys_of("", "[sidecar]\nworkers = 2\n", FL_PROGRAM_AGENT));
	cr_expect_null(keys_of("", "[agent]\nsandbox = off\n", FL_PROGRAM_SIDECAR));
}

/* The list is for people, and for a line of the log. In another order the same sections are no change. */
Test(conf, test_restart_keys__of_thousands_of_sections_are_counted)
{
	enum { COUNT = 2000 };
	struct fl_text up = {0}, down = {0};
	char *keys;

	for (unsigned i = 0; i < COUNT; i++) {
		static const char section[] =
			"[service s%u]\nlisten = 127.0.0.1:%u\napp = 127.0.0.1:9\n";

		fl_text_print(&up, section, i, 10000 + i);
		fl_text_print(&down, section, COUNT - 1 - i, 10000 + COUNT - 1 - i);
	}
	keys = keys_of("", up.data, FL_PROGRAM_SIDECAR);
	cr_expect(strncmp(keys, "[service s0] listen, [service s1] listen, ", 42) == 0, "%s", keys);
	cr_expect_not_null(strstr(keys, "[service s31] listen, and 1968 more"), "%s", keys);
	free(keys);
	cr_expect_null(keys_of(up.data, down.data, FL_PROGRAM_SIDECAR));
	fl_text_done(&up);
	fl_text_done(&down);
}
