/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_TESTS_UNIT_WATCH_BENCH_H
#define FL_TESTS_UNIT_WATCH_BENCH_H
/* watch_bench - a folder that is watched, and what tests do in it. Header only: each test is a program of its own. */
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
#define LONG_MS 20000u /* a test that waits this long has failed */
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

static inline void on_change(void *user)
{
	struct bench *bench = user;

	bench->changes++;
	bench->changed_at = uv_hrtime();
}

static inline void on_note(void *user, const char *text)
{
	struct bench *bench = user;

	bench->notes++;
	(void)snprintf(bench->note, sizeof(bench->note), "%s", text);
}

static const struct fl_watch_events events = {on_change, on_note};

static inline void begin(struct bench *bench, const struct fl_watch_options *options)
{
	*bench = (struct bench){.root = "/tmp/fairlead-watch.XXXXXX"};
	cr_assert_not_null(mkdtemp(bench->root));
	cr_assert_eq(uv_loop_init(&bench->loop), 0);
	cr_assert_eq(uv_timer_init(&bench->loop, &bench->limit), 0);
	cr_assert_eq(uv_timer_init(&bench->loop, &bench->ticker), 0);
	bench->limit.data = bench->ticker.data = bench;
	bench->watch = fl_watch_new(&bench->loop, options, &events, bench);
}

static inline int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static inline void end(struct bench *bench)
{
	fl_watch_close(bench->watch);
	uv_close((uv_handle_t *)&bench->limit, NULL);
	uv_close((uv_handle_t *)&bench->ticker, NULL);
	cr_assert_eq(uv_run(&bench->loop, UV_RUN_DEFAULT), 0);
	cr_assert_eq(uv_loop_close(&bench->loop), 0);
	(void)nftw(bench->root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static inline void on_limit(uv_timer_t *timer)
{
	((struct bench *)timer->data)->timed_out = true;
}

/* Runs the loop until there are so many changes; false after ms. */
static inline bool run_until(struct bench *bench, unsigned changes, unsigned ms)
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

/* The change is reported, with others that came with it, and then nothing more. */
static inline void expect_change(struct bench *bench, const char *what)
{
	cr_assert(run_until(bench, bench->changes + 1, LONG_MS), "%s: nothing was told", what);
	while (run_until(bench, bench->changes + 1, REST_MS)) {
		cr_assert_lt(bench->changes, 1000, "%s: it does not end", what);
	}
}

static inline void expect_silence(struct bench *bench, const char *what)
{
	cr_assert(!run_until(bench, bench->changes + 1, REST_MS), "%s: that was told", what);
}

static inline void drain(struct bench *bench)
{
	while (run_until(bench, bench->changes + 1, REST_MS)) {
	}
}

/* --- doing things in the folder ------------------------------------------------------------------- */

static inline char *in(const struct bench *bench, const char *name)
{
	return fl_format("%s/%s", bench->root, name);
}

static inline void put(const struct bench *bench, const char *name, const char *text)
{
	char *path = in(bench, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	cr_assert_geq(fd, 0, "%s: %s", path, strerror(errno));
	cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	cr_assert_eq(close(fd), 0);
	free(path);
}

static inline void make_dir(const struct bench *bench, const char *name)
{
	char *path = in(bench, name);

	cr_assert_eq(mkdir(path, 0755), 0, "%s: %s", path, strerror(errno));
	free(path);
}

static inline void make_link(const struct bench *bench, const char *target, const char *name)
{
	char *path = in(bench, name);

	cr_assert_eq(symlink(target, path), 0, "%s: %s", path, strerror(errno));
	free(path);
}

static inline void move(const struct bench *bench, const char *from, const char *to)
{
	char *a = in(bench, from), *b = in(bench, to);

	cr_assert_eq(rename(a, b), 0, "%s: %s", a, strerror(errno));
	free(a);
	free(b);
}

static inline void take_away(const struct bench *bench, const char *name)
{
	char *path = in(bench, name);

	cr_assert_eq(nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
	free(path);
}

static inline void watch(struct bench *bench, const char *const *names, size_t count)
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

static inline void watch_one(struct bench *bench, const char *name)
{
	watch(bench, &name, 1);
}

/* The kubelet's order of events, for `volume/`; see its atomic writer. */
static inline void kubelet_write(struct bench *bench, unsigned number, const char *const *names,
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

static inline void begin_volume(struct bench *bench, const struct fl_watch_options *options)
{
	begin(bench, options);
	make_dir(bench, "volume");
	kubelet_write(bench, 0, volume, 3, "zero");
	watch(bench, volume_paths, 3);
	drain(bench);
}

static inline void on_ticker(uv_timer_t *timer)
{
	struct bench *bench = timer->data;

	bench->tick(bench, bench->ticks++);
}

static inline void every(struct bench *bench, unsigned ms,
			 void (*tick)(struct bench *bench, unsigned count))
{
	bench->tick = tick;
	bench->ticks = 0;
	uv_update_time(&bench->loop);
	cr_assert_eq(uv_timer_start(&bench->ticker, on_ticker, ms, ms), 0);
}

#endif
