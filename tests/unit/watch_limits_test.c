/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Watching without events, with too many events, and closing. */
#include "watch_bench.h"

/* --- where there are no events -------------------------------------------------------------------------- */

Test(watch, polling)
{
	struct fl_watch_options options = {.no_events = true, .poll_ms = 60, .recheck_ms = 60};
	struct bench bench;

	begin(&bench, &options);
	put(&bench, "ca.crt", "a");
	watch_one(&bench, "ca.crt");
	drain(&bench);
	put(&bench, "ca.crt",
	    "b"); /* same size, perhaps in the same tick of the file system's clock */
	expect_change(&bench, "in place");
	take_away(&bench, "ca.crt");
	expect_change(&bench, "gone");
	put(&bench, "ca.crt", "c");
	expect_change(&bench, "back");
	expect_silence(&bench, "nothing");
	cr_assert_eq(bench.notes, 0, "as asked for");
	end(&bench);
}

/* Two changes within one tick, with a look in between: the mark alone would hide the second. */
Test(watch, polling_sees_through_coarse_clocks)
{
	struct fl_watch_options options = {.no_events = true, .poll_ms = 60};
	struct timespec times[2];
	struct bench bench;
	struct stat st;
	char *path;

	begin(&bench, &options);
	put(&bench, "ca.crt", "a");
	watch_one(&bench, "ca.crt");
	path = in(&bench, "ca.crt");
	cr_assert(run_until(&bench, 1, LONG_MS), "so young a file is told again");
	cr_assert_eq(stat(path, &st), 0);
	times[0] = st.st_atim;
	times[1] = st.st_mtim;
	put(&bench, "ca.crt", "b");
	cr_assert_eq(utimensat(AT_FDCWD, path, times, 0), 0);
	cr_assert(run_until(&bench, 2, LONG_MS));
	free(path);
	end(&bench);
}

/* inotify's descriptor needs one that is free, as it needs an instance that is. */
Test(watch, out_of_descriptors)
{
	struct fl_watch_options options = {.poll_ms = 60};
	struct rlimit limit, none;
	struct bench bench;

	begin(&bench, &options);
	put(&bench, "ca.crt", "a");
	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = limit;
	none.rlim_cur = 0;
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	watch_one(&bench, "ca.crt");
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	cr_assert_eq(bench.notes, 1);
	cr_assert(strstr(bench.note, "checked every 60 ms instead") &&
			  strstr(bench.note, "max_user_instances"),
		  "%s", bench.note);
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	drain(&bench);
	cr_assert_eq(bench.notes, 1, "said once");
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	drain(&bench);
	cr_assert_eq(bench.notes, 2);
	cr_assert(strstr(bench.note, "watched again"), "%s", bench.note);
	put(&bench, "ca.crt", "b");
	expect_change(&bench, "by event");
	end(&bench);
}

enum { SKIPPED = 77 };

/* 0, or the number of the step that did not come out right. */
static int run_out_of_watches(struct bench *bench)
{
	int fd = open("/proc/sys/user/max_inotify_watches", O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, "0", 1) != 1) {
		return SKIPPED;
	}
	watch_one(bench, "ca.crt");
	if (bench->notes != 1 || !strstr(bench->note, "max_user_watches")) {
		return 1;
	}
	drain(bench);
	put(bench, "ca.crt", "b");
	if (!run_until(bench, bench->changes + 1, LONG_MS)) {
		return 2;
	}
	drain(bench);
	if (pwrite(fd, "100", 3, 0) != 3) {
		return 3;
	}
	drain(bench);
	if (bench->notes != 2) {
		return 4;
	}
	put(bench, "ca.crt", "c");
	if (!run_until(bench, bench->changes + 1, LONG_MS)) {
		return 5;
	}
	return 0;
}

/* A namespace of users of our own has limits of its own; the process that makes it must have one thread. */
Test(watch, out_of_watches)
{
	struct fl_watch_options options = {.poll_ms = 60};
	pid_t child = fork();
	int status;

	cr_assert_geq(child, 0);
	if (child == 0) {
		int step = SKIPPED;

		if (unshare(CLONE_NEWUSER) == 0) {
			struct bench bench;

			begin(&bench, &options);
			put(&bench, "ca.crt", "a");
			step = run_out_of_watches(&bench);
			end(&bench);
		}
		_exit(step);
	}
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_assert(WIFEXITED(status));
	if (WEXITSTATUS(status) == SKIPPED) {
		cr_skip("this system does not let us lower the limit");
	}
	cr_assert_eq(WEXITSTATUS(status), 0, "step %d", WEXITSTATUS(status));
}

/* It may be walked through, and not be read, so inotify refuses it. */
Test(watch, unreadable_directory)
{
	struct bench bench;
	char *path;

	if (geteuid() == 0) {
		cr_assert_eq(seteuid(NOBODY), 0);
	}
	begin(&bench, NULL);
	make_dir(&bench, "dark");
	put(&bench, "dark/ca.crt", "a");
	path = in(&bench, "dark");
	cr_assert_eq(chmod(path, 0311), 0);
	watch_one(&bench, "dark/ca.crt");
	cr_assert_eq(bench.notes, 1);
	cr_assert(strstr(bench.note, "allow this user to read"), "%s", bench.note);
	put(&bench, "dark/ca.crt", "b");
	expect_change(&bench, "without events");
	cr_assert_eq(chmod(path, 0755), 0);
	free(path);
	end(&bench);
	if (getuid() == 0) {
		cr_assert_eq(seteuid(0), 0);
		(void)prctl(PR_SET_DUMPABLE, 1); /* for the leak checker */
	}
}

/* --- directories that never rest ------------------------------------------------------------------------ */

static void write_ours(struct bench *bench, unsigned count)
{
	char text[16];

	(void)snprintf(text, sizeof(text), "%u", count);
	put(bench, "ca.crt", text);
}

Test(watch, never_resting_file_is_told_at_last)
{
	struct fl_watch_options options = {.settle_ms = 200, .limit_ms = 500};
	struct bench bench;
	uint64_t at;

	begin(&bench, &options);
	put(&bench, "ca.crt", "a");
	watch_one(&bench, "ca.crt");
	every(&bench, 10, write_ours);
	at = uv_hrtime();
	cr_assert(run_until(&bench, 3, LONG_MS));
	cr_assert_geq(uv_hrtime() - at, 3 * 490 * 1000000ULL, "rest was not waited for");
	(void)uv_timer_stop(&bench.ticker);
	end(&bench);
}

static void write_many(struct bench *bench, unsigned count)
{
	for (unsigned i = 0; i < 300; i++) {
		put(bench, i % 2 ? "noise" : "ca.crt", count % 2 ? "x" : "y");
	}
}

static void swap_many(struct bench *bench, unsigned count)
{
	for (unsigned i = 0; i < 10; i++) {
		kubelet_write(bench, 1 + count * 10 + i, volume, 3, "text");
	}
}

/* Reports stay below 20 a second, however fast the files change. */
static void storm(struct bench *bench, void (*tick)(struct bench *bench, unsigned count))
{
	unsigned before = bench->changes;
	uint64_t at = uv_hrtime(), ms;

	every(bench, 1, tick);
	do { /* longer if other processes use the CPU */
		(void)run_until(bench, before + 1000, 2000);
		ms = (uv_hrtime() - at) / 1000000;
	} while ((bench->ticks <= 2 || bench->changes == before) && ms < LONG_MS);
	cr_assert_gt(bench->ticks, 2);
	cr_assert_geq(bench->changes, before + 1);
	cr_assert_leq(bench->changes, before + ms / 50 + 1);
	(void)uv_timer_stop(&bench->ticker);
	drain(bench);
}

Test(watch, storms_are_bounded)
{
	struct bench bench;

	begin(&bench, NULL);
	put(&bench, "ca.crt", "a");
	watch_one(&bench, "ca.crt");
	storm(&bench, write_many);
	put(&bench, "ca.crt", "still watched");
	expect_change(&bench, "after the storm");
	end(&bench);
}

Test(watch, swaps_without_end_are_bounded)
{
	struct bench bench;

	begin_volume(&bench, NULL);
	storm(&bench, swap_many);
	kubelet_write(&bench, 1000000, volume, 3, "still watched");
	expect_change(&bench, "after the storm");
	end(&bench);
}

/* --- life ------------------------------------------------------------------------------------------------- */

static struct fl_watch *to_close;

static void close_in_callback(void *user)
{
	on_change(user);
	fl_watch_close(to_close);
	to_close = NULL;
}

Test(watch, may_be_closed_in_its_callback)
{
	static const struct fl_watch_events closing = {close_in_callback, on_note};
	struct bench bench;
	char *path;

	begin(&bench, NULL);
	put(&bench, "ca.crt", "a");
	path = in(&bench, "ca.crt");
	to_close = fl_watch_new(&bench.loop, NULL, &closing, &bench);
	fl_watch_set(to_close, (const char *const *)&path, 1);
	put(&bench, "ca.crt", "b");
	cr_assert(run_until(&bench, 1, LONG_MS));
	cr_assert_null(to_close);
	free(path);
	end(&bench);
}

Test(watch, other_paths)
{
	struct bench bench;

	begin(&bench, NULL);
	put(&bench, "one", "a");
	put(&bench, "two", "a");
	watch_one(&bench, "one");
	put(&bench, "one", "b"); /* not reported: the caller that sets the paths reads the files */
	watch_one(&bench, "two");
	expect_silence(&bench, "the old path");
	put(&bench, "two", "b");
	expect_change(&bench, "the new path");
	fl_watch_set(bench.watch, NULL, 0);
	put(&bench, "two", "c");
	expect_silence(&bench, "no path");
	end(&bench);
}
