/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Which destinations are remembered, and for how long. resume.c decides what is remembered about them. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "base/mem.h"
#include "conn/resume_map.h"

struct bench {
	uv_loop_t loop;
	struct fl_resume_map map;
};

static void bench_init(struct bench *bench)
{
	cr_assert_eq(uv_loop_init(&bench->loop), 0);
	fl_resume_map_init(&bench->map, &bench->loop);
}

static void bench_done(struct bench *bench)
{
	fl_resume_map_close(&bench->map);
	(void)uv_run(&bench->loop, UV_RUN_DEFAULT);
	cr_assert_eq(uv_loop_close(&bench->loop), 0);
}

static struct fl_inet destination(unsigned number)
{
	return (struct fl_inet){.family = AF_INET,
				.port = 8443,
				.ip = {10, 0, (uint8_t)(number >> 8), (uint8_t)number}};
}

Test(resume_map, each_destination_has_its_own)
{
	struct bench bench;
	struct fl_inet a = destination(1), b = destination(2), port = a;
	struct fl_resume *of_a;

	bench_init(&bench);
	port.port = 80;
	cr_expect_null(fl_resume_map_find(&bench.map, &a));
	of_a = fl_resume_map_get(&bench.map, &a);
	cr_assert_not_null(of_a);
	cr_expect_eq(fl_resume_map_find(&bench.map, &a), of_a);
	cr_expect_eq(fl_resume_map_get(&bench.map, &a), of_a);
	cr_expect_null(fl_resume_map_find(&bench.map, &b));
	cr_expect_null(fl_resume_map_find(&bench.map, &port), "another port is another server");
	bench_done(&bench);
}

Test(resume_map, the_longest_unused_makes_room)
{
	struct bench bench;
	struct fl_inet first = destination(0), second = destination(1);

	bench_init(&bench);
	for (unsigned i = 0; i < FL_RESUME_MAP_MAX; i++) {
		struct fl_inet to = destination(i);

		cr_assert_not_null(fl_resume_map_get(&bench.map, &to));
	}
	cr_assert_not_null(fl_resume_map_find(&bench.map, &first), "which is a use");
	for (unsigned i = 0; i < FL_RESUME_MAP_MAX - 1; i++) {
		struct fl_inet to = destination(1000 + i);

		cr_assert_not_null(fl_resume_map_get(&bench.map, &to));
	}
	cr_expect_not_null(fl_resume_map_find(&bench.map, &first));
	cr_expect_null(fl_resume_map_find(&bench.map, &second));
	bench_done(&bench);
}

Test(resume_map, what_nobody_uses_is_forgotten_and_the_loop_sleeps)
{
	struct bench bench;
	struct fl_inet to = destination(1);

	bench_init(&bench);
	fl_deadline_queue_set(&bench.map.idle, 5);
	cr_assert_not_null(fl_resume_map_get(&bench.map, &to));
	/* Returns when no timer is active any more. */
	cr_assert_eq(uv_run(&bench.loop, UV_RUN_DEFAULT), 0);
	cr_expect_null(fl_resume_map_find(&bench.map, &to));
	cr_assert_not_null(fl_resume_map_get(&bench.map, &to));
	fl_resume_map_flush(&bench.map);
	cr_expect_null(fl_resume_map_find(&bench.map, &to));
	bench_done(&bench);
}
