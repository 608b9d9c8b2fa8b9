/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the main thread tells the workers about addresses, and when. The only names are those that this machine knows. */
#include "server/resolver.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"

#define HEAD "[identity]\ncredential_bundle = /a\nbundle = /b\n[sidecar]\ninbound =\n"

static uv_loop_t loop;
static struct fl_log logger;
static struct fl_resolver *resolver;
static struct fl_conf *conf;
static char events[64];                      /* a letter for each */
static struct fl_targets *targets;           /* of the last event */
static struct fl_resolver_addresses current; /* of the last set() */

static void note(char event)
{
	size_t len = strlen(events);

	cr_assert_lt(len + 1, sizeof(events));
	events[len] = event;
}

static void on_upstream_map(void *user, struct fl_upstream_map *map)
{
	(void)user;
	(void)map;
	note('m');
}

static void on_targets(void *user, const char *upstream, struct fl_targets *changed)
{
	(void)user;
	(void)upstream;
	note('t');
	fl_targets_unref(targets);
	targets = fl_targets_ref(changed);
}

static void on_answer(void *user)
{
	(void)user;
	note('a');
}

static const struct fl_resolver_events to_workers = {
	.on_upstream_map = on_upstream_map, .on_targets = on_targets, .on_answer = on_answer};

static void open_all(void)
{
	cr_assert_eq(uv_loop_init(&loop), 0);
	fl_log_init(&logger, STDERR_FILENO, FL_LOG_ERROR, FL_LOG_TEXT, "test");
	resolver = fl_resolver_new(&loop, &logger, &to_workers, NULL);
}

static void let_go(void)
{
	fl_upstream_map_unref(current.map);
	fl_target_set_unref(current.targets);
	current = (struct fl_resolver_addresses){0};
}

static void close_all(void)
{
	fl_resolver_close(resolver);
	(void)uv_run(&loop, UV_RUN_DEFAULT);
	cr_assert_eq(uv_loop_close(&loop), 0);
	let_go();
	fl_targets_unref(targets);
	targets = NULL;
	fl_conf_free(conf);
	conf = NULL;
}

TestSuite(resolver, .init = open_all, .fini = close_all);

static void set(const char *sections)
{
	char *ini = fl_format("%s%s", HEAD, sections);
	struct fl_problems problems = {0};
	struct fl_conf *before = conf;

	conf = NULL;
	cr_assert_eq(fl_conf_parse("fairlead.ini", ini, strlen(ini), &conf, &problems), FL_OK, "%s",
		     problems.items[0].text);
	fl_problems_done(&problems);
	free(ini);
	let_go();
	current = fl_resolver_set(resolver, conf);
	fl_conf_free(before);
}

static void expect_target(const struct fl_targets *at, uint16_t port)
{
	cr_assert_not_null(at);
	cr_assert_eq(at->count, 1);
	cr_expect_eq(ntohs(at->items[0].in.sin_port), port);
}

static void run_until(char event)
{
	while (strchr(events, event) == NULL) {
		(void)uv_run(&loop, UV_RUN_ONCE);
	}
}

/* An event would be a letter of its own, and a worker could serve a connection between that and the rest of the INI. */
Test(resolver, addresses_of_an_ini_come_with_it_and_not_before)
{
	set("[upstream a]\nlisten = 127.0.0.1:1\nto = 127.0.0.1:10\nmode = plaintext\n"
	    "[upstream b]\nto = 10.0.0.1:80\npeer = spiffe://a/b\n"
	    "[upstream c]\nlisten = 127.0.0.1:2\nto = somewhere.invalid:10\n");
	cr_assert_eq(current.targets->count, 3);
	expect_target(current.targets->items[0], 10);
	cr_expect_null(current.targets->items[1], "it is captured");
	cr_expect_eq(current.targets->items[2]->count, 0, "it waits for DNS");
	set("[upstream a]\nlisten = 127.0.0.1:1\nto = 127.0.0.1:20\n");
	cr_assert_eq(current.targets->count, 1);
	expect_target(current.targets->items[0], 20);
	cr_expect_str_empty(events);
}

/* A worker must know who claims an address before it gets an address that is claimed no more. */
Test(resolver, answer_changes_the_map_then_the_targets)
{
	set("[upstream a]\nlisten = 127.0.0.1:1\nto = a.localhost:10\n");
	run_until('a');
	cr_expect_str_eq(events, "mta");
	cr_assert_gt(targets->count, 0);
}

Test(resolver, answer_of_the_ini_before_comes_with_the_next_ini)
{
	set("[upstream a]\nlisten = 127.0.0.1:1\nto = a.localhost:10\nmode = plaintext\n");
	while (fl_resolver_first_round(resolver) != NULL) {
		cr_assert_str_empty(events);
		(void)uv_run(&loop, UV_RUN_ONCE);
	}
	events[0] = '\0';
	set("[upstream a]\nlisten = 127.0.0.1:1\nto = a.localhost:20\n");
	cr_expect_gt(current.targets->items[0]->count, 0);
	cr_expect_str_empty(events);
}

Test(resolver, name_with_several_ports_is_described_once)
{
	struct fl_resolution about;

	set("[upstream a]\nlisten = 127.0.0.1:1\n"
	    "to = one.invalid:1, ONE.invalid:2, 127.0.0.1:3, two.invalid:1, one.invalid:3\n"
	    "[upstream b]\nto = one.invalid:80, one.invalid:81\npeer = spiffe://a/b\n");
	cr_assert(fl_resolver_describe(resolver, 0, 0, 0, &about));
	cr_expect_str_eq(about.host, "one.invalid");
	cr_assert(fl_resolver_describe(resolver, 0, 1, 0, &about));
	cr_expect_str_eq(about.host, "two.invalid");
	cr_expect_not(fl_resolver_describe(resolver, 0, 2, 0, &about));
	cr_assert(fl_resolver_describe(resolver, 1, 0, 0, &about));
	cr_expect_not(fl_resolver_describe(resolver, 1, 1, 0, &about));
}
