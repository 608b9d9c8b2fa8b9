/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agent/capture/child.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"

#define SHELL(script) ((const char *const[]){"/bin/sh", "-c", script, NULL})

static struct fl_child_end run(const char *const *argv, const char *input)
{
	struct fl_child_task task = {
		.argv = argv, .input = input, .output_max = 65536, .seconds_max = 20};
	struct fl_child_end end;
	struct fl_err err;

	cr_assert_eq(fl_child_run(&task, &end, &err), FL_OK, "%s", err.text);
	return end;
}

Test(child, what_goes_in_and_what_comes_out)
{
	struct fl_child_end end = run(SHELL("cat; echo bad >&2; exit 3"), "some input\n");

	cr_assert_str_eq(end.out.data, "some input\n");
	cr_assert_str_eq(end.errors.data, "bad\n");
	cr_assert_eq(end.code, 3);
	cr_assert_eq(end.signal, 0);
	fl_child_end_done(&end);
}

Test(child, nothing_is_nothing)
{
	struct fl_child_end end = run(SHELL("cat"), NULL);

	cr_assert_str_eq(end.out.data, "");
	cr_assert_str_eq(end.errors.data, "");
	cr_assert_eq(end.code, 0);
	fl_child_end_done(&end);
}

Test(child, input_that_nobody_reads_is_in_nobodys_way)
{
	char *input = fl_new((4 << 20) + 1);
	struct fl_child_end end;

	memset(input, 'x', 4 << 20);
	end = run(SHELL("exit 1"), input);
	cr_assert_eq(end.code, 1);
	fl_child_end_done(&end);
	free(input);
}

Test(child, no_environment)
{
	const char *const argv[] = {"/usr/bin/env", NULL};
	struct fl_child_end end;

	cr_assert_eq(setenv("LD_PRELOAD_OF_OURS", "x", 1), 0);
	end = run(argv, NULL);
	cr_assert_eq(end.code, 0);
	cr_assert_str_eq(end.out.data, "");
	fl_child_end_done(&end);
}

Test(child, no_descriptor_but_three)
{
	struct fl_child_end end;
	int fd = dup(STDIN_FILENO); /* not closed by exec */

	cr_assert_geq(fd, 3);
	/* The shell itself has opened only the folder. */
	end = run(SHELL("for fd in /proc/self/fd/*; do [ -e $fd ] && printf '%s ' ${fd##*/}; done"),
		  NULL);
	cr_assert_str_eq(end.out.data, "0 1 2 ");
	fl_child_end_done(&end);
	(void)close(fd);
}

Test(child, without_descriptors_of_our_own)
{
	struct fl_child_end end;

	(void)close(STDIN_FILENO);
	end = run(SHELL("cat"), "input");
	cr_assert_str_eq(end.out.data, "input");
	fl_child_end_done(&end);
}

Test(child, too_much_output)
{
	struct fl_child_end end = run(SHELL("exec cat /dev/zero"), NULL);

	cr_assert_eq(end.signal, SIGXFSZ);
	cr_assert_eq(end.out.len, 65536);
	fl_child_end_done(&end);
}

Test(child, too_long)
{
	struct fl_child_task task = {
		.argv = SHELL("exec sleep 60"), .output_max = 65536, .seconds_max = 1};
	struct fl_child_end end;
	struct fl_err err;

	cr_assert_eq(fl_child_run(&task, &end, &err), FL_OK);
	cr_assert_eq(end.signal, SIGALRM);
	fl_child_end_done(&end);
}

Test(child, signals_that_were_ignored)
{
	struct fl_child_end end;

	(void)signal(SIGCHLD, SIG_IGN);
	(void)signal(SIGXFSZ, SIG_IGN);
	end = run(SHELL("exec cat /dev/zero"), NULL);
	cr_assert_eq(end.signal, SIGXFSZ);
	fl_child_end_done(&end);
}

Test(child, no_such_program)
{
	const char *const argv[] = {"/nowhere/program", NULL};
	struct fl_child_end end = run(argv, NULL);

	cr_assert_eq(end.code, 127);
	cr_assert_str_eq(end.errors.data, "No such file or directory\n");
	fl_child_end_done(&end);
}
