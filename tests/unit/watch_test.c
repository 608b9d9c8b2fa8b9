/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Real directories, real events, a real loop. Each step changes something and runs the loop until that is told, or
 * until a time in which it would have been. */
#include <criterion/criterion.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>

#include "base/err.h"
#include "base/mem.h"
#include "certs-watch/watch.h"

#define NOBODY 65533
#define LONG_MS 20000u /* something is broken when it takes so long */
#define REST_MS 200u   /* long enough for whatever is still on its way */

struct bench {
	uv_loop_t loop;
	uv_timer_t limit, ticker;
	struct fl_watch *watch;
	char root[64];
	unsigned changes, notes;
	char note[512];
	uint64_t changed_at; /* uv_hrtime() of the last */
	bool timed_out;
	void (*tick)(struct bench *bench, unsigned count);
	unsigned ticks;
};

static void on_change(void *user)
{
	struct bench *bench = user;

	bench->changes++;
	bench->changed_at = uv_hrtime();
}

static void on_note(void *user, const char *text)
{
	struct bench *bench = user;

	bench->notes++;
	(void)snprintf(bench->note, sizeof(bench->note), "%s", text);
}

static const struct fl_watch_events events = {on_change, on_note};

static void begin(struct bench *bench, const struct fl_watch_options *options)
{
	*bench = (struct bench){.root = "/tmp/fairlead-watch.XXXXXX"};
	cr_assert_not_null(mkdtemp(bench->root));
	cr_assert_eq(uv_loop_init(&bench->loop), 0);
	cr_assert_eq(uv_timer_init(&bench->loop, &bench->limit), 0);
	cr_assert_eq(uv_timer_init(&bench->loop, &bench->ticker), 0);
	bench->limit.data = bench->ticker.data = bench;
	bench->watch = fl_watch_new(&bench->loop, options, &events, bench);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void end(struct bench *bench)
{
	fl_watch_close(bench->watch);
	uv_close((uv_handle_t *)&bench->limit, NULL);
	uv_close((uv_handle_t *)&bench->ticker, NULL);
	cr_assert_eq(uv_run(&bench->loop, UV_RUN_DEFAULT), 0);
	cr_assert_eq(uv_loop_close(&bench->loop), 0);
	(void)nftw(bench->root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void on_limit(uv_timer_t *timer)
{
	((struct bench *)timer->data)->timed_out = true;
}

/* Runs the loop until there are so many changes; false after ms. */
static bool run_until(struct bench *bench, unsigned changes, unsigned ms)
{
	bench->timed_out = false;
	uv_update_time(&bench->loop);
	cr_assert_eq(uv_timer_start(&bench->limit, on_limit, ms, 0), 0);
	while (!bench->timed_out && bench->changes < changes) {
		(void)uv_run(&bench->loop, UV_RUN_ONCE);
	}
	(void)uv_timer_stop(&bench->limit);
	return bench->changes >= changes;
}

/* What has been done is told; what came with it, too, and then there is silence. */
static void expect_change(struct bench *bench, const char *what)
{
	cr_assert(run_until(bench, bench->changes + 1, LONG_MS), "%s: nothing was told", what);
	while (run_until(bench, bench->changes + 1, REST_MS)) {
		cr_assert_lt(bench->changes, 1000, "%s: it does not end", what);
	}
}

static void expect_silence(struct bench *bench, const char *what)
{
	cr_assert(!run_until(bench, bench->changes + 1, REST_MS), "%s: that was told", what);
}

static void drain(struct bench *bench)
{
	while (run_until(bench, bench->changes + 1, REST_MS)) {
	}
}

/* --- doing things in the folder ------------------------------------------------------------------- */

static char *in(const struct bench *bench, const char *name)
{
	return fl_format("%s/%s", bench->root, name);
}

static void put(const struct bench *bench, const char *name, const char *text)
{
	char *path = in(bench, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	cr_assert_geq(fd, 0, "%s: %s", path, strerror(errno));
	cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	cr_assert_eq(close(fd), 0);
	free(path);
}

static void make_dir(const struct bench *bench, const char *name)
{
	char *path = in(bench, name);

	cr_assert_eq(mkdir(path, 0755), 0, "%s: %s", path, strerror(errno));
	free(path);
}

static void make_link(const struct bench *bench, const char *target, const char *name)
{
	char *path = in(bench, name);

	cr_assert_eq(symlink(target, path), 0, "%s: %s", path, strerror(errno));
	free(path);
}

static void move(const struct bench *bench, const char *from, const char *to)
{
	char *a = in(bench, from), *b = in(bench, to);

	cr_assert_eq(rename(a, b), 0, "%s: %s", a, strerror(errno));
	free(a);
	free(b);
}

static void take_away(const struct bench *bench, const char *name)
{
	char *path = in(bench, name);

	cr_assert_eq(nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
	free(path);
}

static void watch(struct bench *bench, const char *const *names, size_t count)
{
	const char *paths[8] = {NULL};

	for (size_t i = 0; i < count; i++) {
		paths[i] = in(bench, names[i]);
	}
	fl_watch_set(bench->watch, paths, count);
	for (size_t i = 0; i < count; i++) {
		free((char *)paths[i]);
	}
}

static void watch_one(struct bench *bench, const char *name)
{
	watch(bench, &name, 1);
}

/* The kubelet's order of events, for `volume/`; see its atomic writer. */
static void kubelet_write(struct bench *bench, unsigned number, const char *const *names,
			  size_t count, const char *text)
{
	char *data = in(bench, "volume/..data"), old[256] = "";
	char *fresh = fl_format("..2026_11_21_%u", number);
	ssize_t len = readlink(data, old, sizeof(old) - 1);
	char *dir = fl_format("volume/%s", fresh);

	make_dir(bench, dir);
	for (size_t i = 0; i < count; i++) {
		char *file = fl_format("%s/%s", dir, names[i]);

		put(bench, file, text);
		free(file);
	}
	make_link(bench, fresh, "volume/..data_tmp");
	move(bench, "volume/..data_tmp", "volume/..data");
	for (size_t i = 0; i < count; i++) {
		char *link = fl_format("volume/%s", names[i]), *path = in(bench, link);
		char *target = fl_format("..data/%s", names[i]);
		struct stat st;

		if (lstat(path, &st) < 0) {
			make_link(bench, target, link);
		}
		free(link);
		free(path);
		free(target);
	}
	if (len > 0) {
		char *gone = fl_format("volume/%s", old);

		take_away(bench, gone);
		free(gone);
	}
	free(data);
	free(fresh);
	free(dir);
}

static const char *const volume[] = {"tls.crt", "tls.key", "ca.crt"};
static const char *const volume_paths[] = {"volume/tls.crt", "volume/tls.key", "volume/ca.crt"};

static void begin_volume(struct bench *bench, const struct fl_watch_options *options)
{
	begin(bench, options);
	make_dir(bench, "volume");
	kubelet_write(bench, 0, volume, 3, "zero");
	watch(bench, volume_paths, 3);
	drain(bench);
}

/* --- Kubernetes ----------------------------------------------------------------------------------- */

/* Told once, and sooner than any settling would be. */
Test(watch, kubernetes_swap)
{
	struct fl_watch_options options = {.settle_ms = 5000, .limit_ms = 10000};
	struct bench bench;
	unsigned before;

	begin_volume(&bench, &options);
	before = bench.changes;
	for (unsigned i = 1; i <= 5; i++) {
		uint64_t at = uv_hrtime();

		kubelet_write(&bench, i, volume, 3, "text");
		expect_change(&bench, "a swap");
		cr_assert_lt(bench.changed_at - at, 2000 * 1000000ULL, "a swap needs no settling");
	}
	cr_assert_eq(bench.changes, before + 5, "each once: %u", bench.changes - before);
	end(&bench);
}

/* The kubelet begins with an empty volume, and makes the visible links after the swap. */
Test(watch, kubernetes_first_write)
{
	struct bench bench;

	begin(&bench, NULL);
	make_dir(&bench, "volume");
	watch(&bench, volume_paths, 3);
	expect_silence(&bench, "nothing there");
	kubelet_write(&bench, 1, volume, 3, "one");
	expect_change(&bench, "the first write");
	kubelet_write(&bench, 2, volume, 3, "two");
	expect_change(&bench, "the second");
	end(&bench);
}

/* A key that vanishes from the Secret, and one that comes; the volume itself comes later. */
Test(watch, kubernetes_keys_and_volume_come_and_go)
{
	struct bench bench;

	begin(&bench, NULL);
	watch(&bench, volume_paths, 3);
	make_dir(&bench, "volume");
	drain(&bench);
	kubelet_write(&bench, 1, volume, 2, "one");
	expect_change(&bench, "two of three");
	kubelet_write(&bench, 2, volume, 3, "two");
	expect_change(&bench, "all three");
	kubelet_write(&bench, 3, volume, 2, "three");
	expect_change(&bench, "two again");
	take_away(&bench, "volume");
	expect_change(&bench, "no volume");
	make_dir(&bench, "volume");
	kubelet_write(&bench, 4, volume, 3, "four");
	expect_change(&bench, "a new volume");
	kubelet_write(&bench, 5, volume, 3, "five");
	expect_change(&bench, "a swap in it");
	end(&bench);
}

/* --- plain files ------------------------------------------------------------------------------------ */

/* One at a time, with the writer's pauses shorter than the rest we wait for: told once, at the end. */
static void write_next(struct bench *bench, unsigned count)
{
	static const char *const names[] = {"tls.crt", "tls.key", "ca.crt"};

	put(bench, names[count % 3], "new");
}

static void on_ticker(uv_timer_t *timer)
{
	struct bench *bench = timer->data;

	bench->tick(bench, bench->ticks++);
}

static void every(struct bench *bench, unsigned ms,
		  void (*tick)(struct bench *bench, unsigned count))
{
	bench->tick = tick;
	bench->ticks = 0;
	uv_update_time(&bench->loop);
	cr_assert_eq(uv_timer_start(&bench->ticker, on_ticker, ms, ms), 0);
}

static void write_nine(struct bench *bench, unsigned count)
{
	write_next(bench, count);
	if (count == 8) {
		(void)uv_timer_stop(&bench->ticker);
	}
}

Test(watch, plain_files_settle)
{
	static const char *const names[] = {"tls.crt", "tls.key", "ca.crt"};
	struct fl_watch_options options = {.settle_ms = 600, .limit_ms = 60000};
	struct bench bench;

	begin(&bench, &options);
	for (size_t i = 0; i < 3; i++) {
		put(&bench, names[i], "old");
	}
	watch(&bench, names, 3);
	every(&bench, 20, write_nine);
	cr_assert(run_until(&bench, 1, LONG_MS));
	cr_assert_eq(bench.ticks, 9, "told before the writer had finished");
	expect_silence(&bench, "once is enough");
	end(&bench);
}

/* We were held up for longer than the rest that we wait for, and meanwhile the writer went on. */
Test(watch, what_was_not_read_yet_is_no_rest)
{
	struct fl_watch_options options = {.settle_ms = 300, .limit_ms = 60000};
	struct bench bench;
	uint64_t at;

	begin(&bench, &options);
	put(&bench, "ca.crt", "old");
	watch_one(&bench, "ca.crt");
	put(&bench, "ca.crt", "new");
	cr_assert(!run_until(&bench, 1, 50), "the first write is read");
	uv_sleep(options.settle_ms);
	put(&bench, "ca.crt", "newer");
	at = uv_hrtime();
	cr_assert(run_until(&bench, 1, LONG_MS));
	cr_assert_geq(bench.changed_at - at, 290 * 1000000ULL, "rest was not waited for");
	end(&bench);
}

/* Same size, same second, same inode: what counts is the event. */
Test(watch, plain_file_in_place_and_by_rename)
{
	struct bench bench;

	begin(&bench, NULL);
	put(&bench, "ca.crt", "a");
	watch_one(&bench, "ca.crt");
	put(&bench, "ca.crt", "b");
	expect_change(&bench, "in place");
	put(&bench, "ca.crt", "c");
	expect_change(&bench, "in place again");
	put(&bench, "ca.crt.new", "d");
	drain(&bench);
	move(&bench, "ca.crt.new", "ca.crt");
	expect_change(&bench, "renamed over");
	put(&bench, "ca.crt", "e");
	expect_change(&bench, "the new one in place");
	take_away(&bench, "ca.crt");
	expect_change(&bench, "gone");
	put(&bench, "ca.crt", "f");
	expect_change(&bench, "back");
	end(&bench);
}

Test(watch, neighbours_are_not_told)
{
	struct fl_watch_options options = {.limit_ms = 50};
	struct bench bench;

	begin(&bench, &options);
	put(&bench, "ca.crt", "a");
	watch_one(&bench, "ca.crt");
	put(&bench, "ca.crt.swp", "b");
	make_dir(&bench, "other");
	put(&bench, "other/ca.crt", "c");
	take_away(&bench, "ca.crt.swp");
	expect_silence(&bench, "other names, the same name elsewhere");
	put(&bench, "ca.crt", "d");
	expect_change(&bench, "ours");
	end(&bench);
}

/* --- links ------------------------------------------------------------------------------------------ */

Test(watch, links_that_lead_elsewhere)
{
	struct bench bench;
	char *absolute;

	begin(&bench, NULL);
	make_dir(&bench, "one");
	make_dir(&bench, "two");
	make_dir(&bench, "here");
	put(&bench, "one/ca.crt", "a");
	put(&bench, "two/ca.crt", "a");
	make_link(&bench, "../one/ca.crt", "here/ca.crt");
	watch_one(&bench, "here/ca.crt");
	put(&bench, "one/ca.crt", "b");
	expect_change(&bench, "the target");
	absolute = in(&bench, "two/ca.crt");
	make_link(&bench, absolute, "here/fresh");
	drain(&bench);
	move(&bench, "here/fresh", "here/ca.crt");
	expect_change(&bench, "the link");
	put(&bench, "two/ca.crt", "c");
	expect_change(&bench, "its new target");
	put(&bench, "one/ca.crt", "d");
	expect_silence(&bench, "its old target");
	free(absolute);
	end(&bench);
}

Test(watch, chain_of_links_and_linked_directory)
{
	struct bench bench;

	begin(&bench, NULL);
	make_dir(&bench, "v1");
	make_dir(&bench, "v2");
	put(&bench, "v1/ca.crt", "a");
	put(&bench, "v2/ca.crt", "b");
	make_link(&bench, "v1", "current");
	make_link(&bench, "./current/../current/ca.crt", "link");
	make_link(&bench, "link", "ca.crt");
	watch_one(&bench, "ca.crt");
	make_link(&bench, "v2", "fresh");
	drain(&bench);
	move(&bench, "fresh", "current");
	expect_change(&bench, "the directory's link");
	put(&bench, "v2/ca.crt", "c");
	expect_change(&bench, "behind it");
	take_away(&bench, "link");
	make_link(&bench, "ca.crt", "link");
	expect_change(&bench, "a loop of links");
	take_away(&bench, "link");
	make_link(&bench, "v1/ca.crt", "link");
	expect_change(&bench, "none any more");
	end(&bench);
}

/* --- directories -------------------------------------------------------------------------------------- */

Test(watch, directory_replaced)
{
	struct bench bench;

	begin(&bench, NULL);
	make_dir(&bench, "certs");
	put(&bench, "certs/ca.crt", "a");
	watch_one(&bench, "certs/ca.crt");
	for (unsigned i = 0; i < 3; i++) {
		make_dir(&bench, "fresh");
		put(&bench, "fresh/ca.crt", "b");
		move(&bench, "certs", "old");
		move(&bench, "fresh", "certs");
		expect_change(&bench, "another directory");
		put(&bench, "certs/ca.crt", "c");
		expect_change(&bench, "in the new one");
		put(&bench, "old/ca.crt", "d");
		expect_silence(&bench, "in the old one");
		take_away(&bench, "old");
		expect_silence(&bench, "the old one");
	}
	end(&bench);
}

Test(watch, directories_that_vanish_and_come_back)
{
	struct bench bench;

	begin(&bench, NULL);
	watch_one(&bench, "a/b/c/ca.crt");
	make_dir(&bench, "a");
	drain(&bench);
	make_dir(&bench, "a/b");
	make_dir(&bench, "a/b/c");
	drain(&bench);
	put(&bench, "a/b/c/ca.crt", "a");
	expect_change(&bench, "the whole way");
	take_away(&bench, "a");
	expect_change(&bench, "gone");
	make_dir(&bench, "a");
	make_dir(&bench, "a/b");
	make_dir(&bench, "a/b/c");
	put(&bench, "a/b/c/ca.crt", "b");
	expect_change(&bench, "back at once");
	put(&bench, "a/b/c/ca.crt", "c");
	expect_change(&bench, "watched again");
	end(&bench);
}

/* A parent far up is replaced, which no event tells: the regular look finds it. */
Test(watch, missed_event_is_found)
{
	struct fl_watch_options options = {.recheck_ms = 100};
	struct bench bench;

	begin(&bench, &options);
	make_dir(&bench, "a");
	make_dir(&bench, "a/b");
	make_dir(&bench, "a/b/c");
	put(&bench, "a/b/c/ca.crt", "a");
	watch_one(&bench, "a/b/c/ca.crt");
	make_dir(&bench, "x");
	make_dir(&bench, "x/b");
	make_dir(&bench, "x/b/c");
	put(&bench, "x/b/c/ca.crt", "b");
	move(&bench, "a", "y");
	move(&bench, "x", "a");
	expect_change(&bench, "another way");
	put(&bench, "a/b/c/ca.crt", "c");
	expect_change(&bench, "watched, too");
	/* Behind `..data` nothing is watched. */
	make_dir(&bench, "volume");
	kubelet_write(&bench, 1, volume, 3, "one");
	watch(&bench, volume_paths, 3);
	put(&bench, "volume/..data/tls.crt", "in place");
	expect_change(&bench, "what the kubelet would never do");
	end(&bench);
}

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
	do { /* longer where others keep the processor from us */
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
	put(&bench, "one", "b"); /* told by nobody: whoever sets, reads */
	watch_one(&bench, "two");
	expect_silence(&bench, "the old path");
	put(&bench, "two", "b");
	expect_change(&bench, "the new path");
	fl_watch_set(bench.watch, NULL, 0);
	put(&bench, "two", "c");
	expect_silence(&bench, "no path");
	end(&bench);
}
