/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Large INIs: sections are compared with each other in about n log n steps, because the agent signs handshakes in the same
 * thread; and listeners are compared as by a plain walk over all pairs. */
#include "conf_case.h"

#include <stdio.h>
#include <time.h>

#include "base/text.h"

/* --- time ----------------------------------------------------------------------------------- */

typedef void write_ini(struct fl_text *text, unsigned n);

static void write_listeners(struct fl_text *text, unsigned n)
{
	for (unsigned i = 256; i < n + 256; i++) {
		fl_text_print(text, "[upstream u%u]\nlisten = 127.0.%u.%u:7\nto = 127.1.%u.%u:7\n",
			      i, i / 256, i % 256, i / 256, i % 256);
	}
}

static void write_names(struct fl_text *text, unsigned n)
{
	fl_text_print(text, "[upstream p]\nmode = plaintext\nwithin = 10.0.0.0/8\nto = ");
	for (unsigned i = 0; i < n; i++) {
		fl_text_print(text, "%sn%u:%u", i > 0 ? "," : "", i, i + 1);
	}
	fl_text_print(text, "\n[upstream m]\nto = ");
	for (unsigned i = 0; i < n; i++) {
		fl_text_print(text, "%s10.%u.%u.0/24:2", i > 0 ? "," : "", i / 256, i % 256);
	}
	fl_text_print(text, "\n");
}

static void write_exclusions(struct fl_text *text, unsigned n)
{
	fl_text_print(text, "[redirect]\nexclude_outbound = ");
	for (unsigned i = 0; i < n; i++) {
		fl_text_print(text, "%s10.%u.%u.0/24:2", i > 0 ? "," : "", i / 256, i % 256);
	}
	fl_text_print(text, "\n[upstream m]\nto = ");
	for (unsigned i = 0; i < n; i++) {
		fl_text_print(text, "%s10.%u.%u.0/24:3", i > 0 ? "," : "", i / 256, i % 256);
	}
	fl_text_print(text, "\n");
}

static void write_services(struct fl_text *text, unsigned n)
{
	fl_text_print(text, "[redirect]\nexclude_inbound = ");
	for (unsigned i = 0; i < n; i++) {
		fl_text_print(text, "%s10.0.0.1:%u", i > 0 ? "," : "", i + 20000);
	}
	fl_text_print(text, "\n");
	for (unsigned i = 0; i < n; i++) {
		fl_text_print(
			text,
			"[service s%u]\nport = %u\n[upstream u%u]\nlisten = 127.0.%u.%u:7\nto = a:1\n",
			i, i + 20000, i, i / 256, i % 256);
	}
}

static void write_unknown(struct fl_text *text, unsigned n)
{
	fl_text_print(text, "[allow x]\nfrom = spiffe://td/x\nto = ");
	for (unsigned i = 0; i < n; i++) {
		fl_text_print(text, "%sx%u", i > 0 ? "," : "", i);
	}
	fl_text_print(text, "\n");
	for (unsigned i = 0; i < n; i++) {
		fl_text_print(text, "[service s%u]\nport = %u\n", i, i + 20000);
	}
}

/* CPU time in seconds, the least of three. */
static double seconds_of(write_ini *write, unsigned n)
{
	struct fl_text text = {0};
	double least = 1e9;

	fl_text_print(&text, "%s", GOOD);
	write(&text, n);
	for (unsigned i = 0; i < 3; i++) {
		struct fl_problems problems = {0};
		struct timespec from, to;
		double took;

		(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
		fl_conf_free(parse(text.data, &problems));
		(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &to);
		took = (double)(to.tv_sec - from.tv_sec) +
		       (double)(to.tv_nsec - from.tv_nsec) / 1e9;
		least = took < least ? took : least;
		cr_expect_eq(count_at(&problems, 11, "the line has"), 0, "it is too long");
		fl_problems_done(&problems);
	}
	fl_text_done(&text);
	return least;
}

/* With sanitizers realloc() never grows an array in place, so that n items which are added one by one take n * n steps. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define COPIES_ALWAYS true
#else
#define COPIES_ALWAYS false
#endif

/* Ten times as much takes about 12 times as long; if each was compared with each, up to 100 times. */
Test(conf_growth, test_conf__large_INI__takes_no_more_than_n_log_n)
{
	static const struct {
		const char *name;
		write_ini *write;
	} kinds[] = {{"listeners", write_listeners},
		     {"names and networks", write_names},
		     {"exclusions and destinations", write_exclusions},
		     {"services, exclusions and listeners", write_services},
		     {"unknown services", write_unknown}};

	if (COPIES_ALWAYS) {
		cr_skip_test("with this allocator each array takes n * n steps");
	}
	for (size_t i = 0; i < FL_COUNT_OF(kinds); i++) {
		double few = seconds_of(kinds[i].write, 300),
		       many = seconds_of(kinds[i].write, 3000);

		(void)fprintf(stderr, "%s: %.1f ms, %.1f ms\n", kinds[i].name, few * 1e3,
			      many * 1e3);
		cr_expect_lt(many, few * 30, "%s: %.1f times as long", kinds[i].name, many / few);
	}
}

/* --- collisions of listeners ------------------------------------------------------------------ */

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

Test(conf_growth, test_conf__random_listeners__collide_as_in_a_plain_walk)
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
