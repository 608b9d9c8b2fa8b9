/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The tests' own tools: each call fails once, and time can be skipped (tests/lib/faults.h, clock.h). */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#include "clock.h"
#include "faults.h"

/* Makes three counted calls; returns a bit for each that has failed. */
static unsigned scenario(void)
{
	void *volatile first = malloc(1);
	void *volatile second = calloc(1, 1);
	void *third = realloc(second, 100);
	unsigned failed = (first == NULL) | (second == NULL) << 1 | (third == NULL) << 2;

	free(first);
	free(third != NULL ? third : second);
	return failed;
}

Test(faults, fails_each_call_in_turn)
{
	static const unsigned wanted[] = {0, 1, 2, 4};
	struct faults faults = {.kinds = FAULTS_MEMORY};
	unsigned rounds = 0;

	while (faults_next(&faults)) {
		faults_on();
		unsigned failed = scenario();
		faults_off();
		cr_assert_eq(failed, wanted[rounds++]);
		cr_assert_eq(scenario(), 0, "what is off fails nothing");
		cr_assert_eq(faults.call != NULL, failed != 0);
	}
	cr_assert_eq(rounds, 4);
}

Test(faults, fails_one_kind_of_call_with_the_error_asked_for)
{
	struct faults faults = {.kinds = FAULTS_SYSTEM, .only = "socket", .error = ENFILE};
	unsigned failed = 0;

	while (faults_next(&faults)) {
		faults_on();
		int fd = socket(AF_UNIX, SOCK_STREAM, 0);
		int error = errno;
		faults_off();
		if (fd < 0) {
			failed++;
			cr_assert_eq(error, ENFILE);
		} else {
			close(fd);
		}
	}
	cr_assert_eq(failed, 1);
}

Test(faults, fails_just_one_call)
{
	struct faults faults = {.kinds = FAULTS_MEMORY};

	faults_fail(&faults, 2);
	faults_on();
	cr_expect_eq(scenario(), 2);
	faults_end();
	faults_on();
	cr_expect_eq(scenario(), 0);
	faults_off();
}

Test(faults, shortens_what_is_sent)
{
	struct faults faults = {.kinds = FAULTS_SHORT};
	ssize_t sent[3] = {0};
	int fds[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	while (faults_next(&faults)) {
		faults_on();
		sent[faults.round] = send(fds[0], "abc", 3, 0);
		faults_off();
	}
	cr_assert_eq(sent[0], 3);
	cr_assert_eq(sent[1], 1);
	close(fds[0]);
	close(fds[1]);
}

Test(faults, fails_functions_of_libuv)
{
	struct faults faults = {.kinds = FAULTS_UV};
	unsigned failed = 0;

	while (faults_next(&faults)) {
		uv_loop_t loop;

		faults_on();
		int rc = uv_loop_init(&loop);
		faults_off();
		failed += rc == UV_EMFILE;
		if (rc == 0) {
			cr_assert_eq(uv_loop_close(&loop), 0);
		}
	}
	cr_assert_eq(failed, 1);
}

static void on_timer(uv_timer_t *timer)
{
	*(unsigned *)timer->data += 1;
}

Test(clock, an_hour_passes_at_once)
{
	unsigned fired = 0;
	time_t before = time(NULL);
	uv_timer_t timer = {.data = &fired};
	uv_loop_t loop;

	cr_assert_eq(uv_loop_init(&loop), 0);
	cr_assert_eq(uv_timer_init(&loop, &timer), 0);
	cr_assert_eq(uv_timer_start(&timer, on_timer, 3600000, 0), 0);
	(void)uv_run(&loop, UV_RUN_NOWAIT);
	cr_assert_eq(fired, 0);
	clock_skip_ms(3600000);
	(void)uv_run(&loop, UV_RUN_NOWAIT);
	(void)uv_run(&loop, UV_RUN_NOWAIT);
	cr_assert_eq(fired, 1);
	cr_assert_geq(time(NULL) - before, 3600);
	uv_close((uv_handle_t *)&timer, NULL);
	(void)uv_run(&loop, UV_RUN_DEFAULT);
	cr_assert_eq(uv_loop_close(&loop), 0);
}
