/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the log says about the sandbox when a program starts. */
#include <criterion/criterion.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sandbox.h"

static const char *said(const struct fl_sandbox *sandbox)
{
	static char text[8192];
	struct fl_log log;
	int pipes[2];
	ssize_t len;

	cr_assert_eq(pipe(pipes), 0);
	fl_log_init(&log, pipes[1], FL_LOG_INFO, FL_LOG_TEXT, "test");
	fl_sandbox_log(sandbox, &log);
	fl_log_flush(&log);
	(void)close(pipes[1]);
	len = read(pipes[0], text, sizeof(text) - 1);
	text[len > 0 ? len : 0] = '\0';
	(void)close(pipes[0]);
	return text;
}

Test(sandbox, one_line_says_what_is_in_force)
{
	struct fl_sandbox all = {.is_wanted = true, .filters_calls = true, .landlock = 6};
	struct fl_sandbox half = {
		.is_wanted = true, .filters_calls = true, .missing = "this kernel has no Landlock"};
	struct fl_sandbox off = {.is_wanted = false};

	cr_expect_not_null(strstr(said(&all), " info sandbox: seccomp, Landlock 6 "));
	cr_expect_not_null(
		strstr(said(&half),
		       " warn sandbox: seccomp, no Landlock; this kernel has no Landlock program"));
	cr_expect_not_null(strstr(said(&off), " warn sandbox = off: "));
}
