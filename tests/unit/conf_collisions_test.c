/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Listeners that collide are found as by a walk over all pairs, although large INIs are compared in about n log n steps: the agent
 * signs handshakes in the same thread. */
#include "conf_case.h"

#include <stdio.h>

#include "base/text.h"

static const char *const hosts[] = {"*",     "0.0.0.0",  "[::]",      "127.0.0.1",
				    "[::1]", "10.0.0.1", "[fd00::1]", "[::ffff:10.0.0.1]"};

static bool takes_all(const struct fl_addr *a, const struct fl_addr *b)
{
	return a->kind == FL_ADDR_ANY ||
	       (a->sa.any.sa_family == b->sa.any.sa_family && fl_addr_is_unspecified(a));
}

static bool collide(const struct fl_addr *a, const struct fl_addr *b)
{
	char one[FL_ADDR_TEXT], other[FL_ADDR_TEXT];

	return a->port == b->port &&
	       (takes_all(a, b) || takes_all(b, a) ||
		strcmp(fl_addr_format(a, one), fl_addr_format(b, other)) == 0);
}

Test(conf_collisions, test_conf__random_listeners__collide_as_in_a_plain_walk)
{
	enum { LISTENERS = 4 };
	unsigned seed = 3;

	for (unsigned round = 0; round < 1000; round++) {
		struct fl_addr addrs[LISTENERS];
		struct fl_problems problems = {0};
		struct fl_text text = {0};

		fl_text_print(&text, "%s", GOOD); /* 9 lines */
		for (unsigned i = 0; i < LISTENERS; i++) {
			char *addr = fl_format("%s:%d",
					       hosts[(size_t)rand_r(&seed) % FL_COUNT_OF(hosts)],
					       7000 + rand_r(&seed) % 2);

			cr_assert_eq(fl_addr_parse(addr, FL_ADDR_ALLOW_ANY, &addrs[i], NULL), 0);
			fl_text_print(&text, "[upstream u%u]\nto = a:1\nlisten = %s\n", i, addr);
			free(addr);
		}
		fl_conf_free(parse(text.data, &problems));
		for (unsigned i = 0; i < LISTENERS; i++) {
			char *said = NULL;

			for (unsigned k = 0; k < i && said == NULL; k++) {
				said = collide(&addrs[i], &addrs[k])
					       ? fl_format("used by [upstream u%u]", k)
					       : NULL;
			}
			cr_expect_eq(
				count_at(&problems, 12 + i * 3, said != NULL ? said : "used by"),
				said != NULL, "line %u: %s", 12 + i * 3, text.data);
			free(said);
		}
		fl_problems_done(&problems);
		fl_text_done(&text);
	}
}
