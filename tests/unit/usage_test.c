/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What this process uses grows when it uses more. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/usage.h"

#define MIB ((size_t)1024 * 1024)

Test(usage, grows_with_what_is_used)
{
	struct fl_usage before, after;
	struct fl_usage_files files;
	volatile uint64_t work = 0;
	char *memory;
	int fds[2];

	fl_usage_open(&files);
	fl_usage_read(&files, &before);
	cr_assert_geq(before.descriptors, 3);
	cr_assert_geq(before.cpu_us, 0);
	cr_assert_gt(before.resident_bytes, 0);
	memory = fl_new(32 * MIB);
	memset(memory, 1, 32 * MIB);
	cr_assert_eq(pipe(fds), 0);
	do {
		work += (uint8_t)memory[work % MIB];
		fl_usage_read(&files, &after);
	} while (after.cpu_us == before.cpu_us);
	cr_assert_eq(after.descriptors, before.descriptors + 2);
	cr_assert_geq(after.resident_bytes, before.resident_bytes + (int64_t)(31 * MIB));
	(void)close(fds[0]);
	(void)close(fds[1]);
	free(memory);
	fl_usage_read(&files, &after);
	cr_assert_eq(after.descriptors, before.descriptors);
	fl_usage_close(&files);
}

Test(usage, knows_the_limit)
{
	struct fl_usage_files files = {-1, -1};
	struct rlimit limit;
	struct fl_usage usage;

	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = 77;
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	fl_usage_read(&files, &usage);
	cr_assert_eq(usage.descriptors_max, 77);
}

Test(usage, says_when_it_does_not_know)
{
	struct rlimit before, none;
	struct fl_usage_files files;
	struct fl_usage usage;

	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = 0; /* no descriptor can be opened meanwhile */
	(void)setrlimit(RLIMIT_NOFILE, &none);
	fl_usage_open(&files);
	(void)setrlimit(RLIMIT_NOFILE, &before);
	fl_usage_read(&files, &usage);
	cr_assert_eq(usage.descriptors, -1);
	cr_assert_eq(usage.resident_bytes, -1);
	cr_assert_geq(usage.cpu_us, 0);
	fl_usage_close(&files);
}

/* The sandbox opens nothing, and neither does this. */
Test(usage, reads_without_opening)
{
	struct rlimit before, none;
	struct fl_usage_files files;
	struct fl_usage usage;

	fl_usage_open(&files);
	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = 0;
	(void)setrlimit(RLIMIT_NOFILE, &none);
	fl_usage_read(&files, &usage);
	(void)setrlimit(RLIMIT_NOFILE, &before);
	cr_assert_geq(usage.descriptors, 5);
	cr_assert_gt(usage.resident_bytes, 0);
	fl_usage_close(&files);
}
