/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Errors and memory: texts, bounds, codes. */
#include <criterion/criterion.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"

#define TEXT_MAX sizeof(((struct fl_err *)NULL)->text)

Test(err, test_err__set__fills_text_and_code_and_forgets_errno)
{
	struct fl_err err = {.sys = EACCES};

	cr_expect_eq(fl_err_set(&err, FL_ERR_LIMIT, "%d of %s", 3, "four"), FL_ERR_LIMIT);
	cr_expect_eq(err.code, FL_ERR_LIMIT);
	cr_expect_eq(err.sys, 0);
	cr_expect_str_eq(err.text, "3 of four");
}

Test(err, test_err__no_storage__codes_are_returned_all_the_same)
{
	cr_expect_eq(fl_err_set(NULL, FL_ERR_PEER, "x"), FL_ERR_PEER);
	cr_expect_eq(fl_err_sys(NULL, ENOENT, "x"), FL_ERR_IO);
	cr_expect_eq(fl_err_prefix(NULL, "x"), FL_ERR_BUG);
}

Test(err, test_err__system_error__either_sign_means_the_same)
{
	static const int signs[] = {ENOENT, -ENOENT};

	for (size_t i = 0; i < FL_COUNT_OF(signs); i++) {
		struct fl_err err = {0};

		cr_expect_eq(fl_err_sys(&err, signs[i], "open %s", "/x"), FL_ERR_IO);
		cr_expect_eq(err.sys, ENOENT);
		cr_expect_str_eq(err.text, "open /x: No such file or directory");
	}
}

Test(err, test_err__system_error_unknown__is_reported_by_number)
{
	struct fl_err err = {0};

	(void)fl_err_sys(&err, -4095, "read");
	cr_expect_not_null(strstr(err.text, "4095"), "%s", err.text);
	(void)fl_err_sys(&err, INT_MIN, "read");
	cr_expect_eq(strncmp(err.text, "read: ", 6), 0, "%s", err.text);
}

Test(err, test_err__prefix__goes_before_and_keeps_the_code)
{
	struct fl_err err = {0};

	(void)fl_err_set(&err, FL_ERR_DENIED, "inner");
	cr_expect_eq(fl_err_prefix(&err, "middle %d", 1), FL_ERR_DENIED);
	cr_expect_eq(fl_err_prefix(&err, "outer"), FL_ERR_DENIED);
	cr_expect_str_eq(err.text, "outer: middle 1: inner");
	cr_expect_eq(err.code, FL_ERR_DENIED);
}

Test(err, test_err__own_text_as_argument__is_read_before_it_is_overwritten)
{
	struct fl_err err = {0};

	(void)fl_err_set(&err, FL_ERR_IO, "inner");
	(void)fl_err_set(&err, FL_ERR_PEER, "around %s", err.text);
	cr_expect_str_eq(err.text, "around inner");
	(void)fl_err_prefix(&err, "%s", err.text);
	cr_expect_str_eq(err.text, "around inner: around inner");
}

Test(err, test_err__text_at_the_bound__is_kept_and_one_byte_more_is_marked)
{
	char text[TEXT_MAX + 1];
	struct fl_err err = {0};

	memset(text, 'a', sizeof(text));
	text[TEXT_MAX - 1] = '\0';
	(void)fl_err_set(&err, FL_ERR_BUG, "%s", text);
	cr_expect_str_eq(err.text, text);
	text[TEXT_MAX - 1] = 'a';
	text[TEXT_MAX] = '\0';
	(void)fl_err_set(&err, FL_ERR_BUG, "%s", text);
	cr_expect_eq(strlen(err.text), TEXT_MAX - 1);
	cr_expect_str_eq(err.text + TEXT_MAX - 4, "...");
	(void)fl_err_prefix(&err, "prefix");
	cr_expect_eq(strncmp(err.text, "prefix: aaa", 11), 0);
	cr_expect_str_eq(err.text + TEXT_MAX - 4, "...");
	(void)fl_err_sys(&err, ENOENT, "%s", text);
	cr_expect_str_eq(err.text + TEXT_MAX - 4, "...");
}

Test(err, test_err__codes__are_negative_and_different)
{
	static const enum fl_code codes[] = {
#define CODE(name) FL_ERR_##name,
		FL_CODES(CODE)
#undef CODE
	};

	for (size_t i = 0; i < FL_COUNT_OF(codes); i++) {
		cr_expect_lt((int)codes[i], 0);
		for (size_t k = 0; k < i; k++) {
			cr_expect_neq(codes[i], codes[k]);
		}
	}
}

Test(err, test_require__broken__ends_the_process, .signal = SIGABRT)
{
	cr_assert_not_null(freopen("/dev/null", "w", stderr));
	FL_REQUIRE(1 + 1 == 2);
	FL_REQUIRE(1 + 1 == 3);
}

static void break_invariant(void)
{
	FL_REQUIRE(strcmp("a", "b") == 0);
}

static void ask_for_too_much(void)
{
	free(fl_grow(NULL, SIZE_MAX, 2));
}

/* What a child writes to stderr that dies in there. */
static void expect_last_line(void (*die)(void), const char *part)
{
	char line[1024] = "";
	size_t len = 0;
	ssize_t n;
	int ends[2], status;
	pid_t child;

	cr_assert_eq(pipe(ends), 0);
	child = fork();
	if (child == 0) {
		(void)signal(SIGABRT, SIG_DFL);
		(void)dup2(ends[1], STDERR_FILENO);
		die();
		_exit(0);
	}
	(void)close(ends[1]);
	while ((n = read(ends[0], line + len, sizeof(line) - 1 - len)) > 0) {
		len += (size_t)n;
	}
	(void)close(ends[0]);
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_expect(WIFSIGNALED(status));
	cr_expect_eq(strncmp(line, "{\"time\":\"", 9), 0, "%s", line);
	cr_expect_eq(strchr(line, '\n'), line + len - 1, "one line: %s", line);
	cr_expect_not_null(strstr(line, part), "%s", line);
}

Test(err, last_line_is_json)
{
	expect_last_line(break_invariant, "\"level\":\"error\",\"msg\":\"invariant violated\"");
	expect_last_line(break_invariant, "\"detail\":\"strcmp(\\\"a\\\", \\\"b\\\") == 0\"");
	expect_last_line(ask_for_too_much, "\"msg\":\"out of memory\"");
}

Test(mem, test_mem__strings__are_copied)
{
	char *copy = fl_strdup("text");
	char *part = fl_strndup("text", 2);
	char *format = fl_format("%d-%s", 7, "x");
	char *none = fl_strndup(NULL, 0);

	cr_expect_str_eq(copy, "text");
	cr_expect_str_eq(part, "te");
	cr_expect_str_eq(format, "7-x");
	cr_expect_str_eq(none, "");
	cr_expect_null(fl_strdup(NULL));
	free(copy);
	free(part);
	free(format);
	free(none);
}

Test(mem, test_mem__new_memory__is_zero_and_never_null)
{
	unsigned char *memory = fl_new(100);
	void *nothing = fl_new(0);
	int *array = fl_grow(NULL, 0, sizeof(int));

	for (size_t i = 0; i < 100; i++) {
		cr_assert_eq(memory[i], 0);
	}
	cr_expect_not_null(nothing);
	cr_expect_not_null(array);
	array = fl_grow(array, 2, sizeof(int));
	array[1] = 5;
	array = fl_grow(array, 0, sizeof(int));
	cr_expect_not_null(array);
	free(array);
	free(nothing);
	free(memory);
}

Test(mem, test_mem__wipe__leaves_zeros)
{
	char secret[] = "secret";

	fl_wipe(secret, 3);
	cr_expect_eq(memcmp(secret, "\0\0\0ret", 7), 0);
	fl_wipe(NULL, 0);
	fl_wipe_free(NULL, 0);
	fl_wipe_free(fl_strdup("secret"), 6);
}

Test(mem, test_mem__size_that_overflows__ends_the_process, .signal = SIGABRT)
{
	cr_assert_not_null(freopen("/dev/null", "w", stderr));
	free(fl_grow(NULL, SIZE_MAX / 2, 4));
}
