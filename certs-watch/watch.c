/* SPDX-License-Identifier: GPL-3.0-or-later */
/* watch - events trigger checks; a check that finds a difference, or an event of one of our names, is a change.
 *
 * A check follows all paths anew (trail.c) and then watches the directories that it found. If some of them are new, something
 * may have happened before they were watched, so it checks once more. Then it compares the marks. One timer serves all
 * reasons for a check:
 *
 *   `..data` was swapped              -> at once, because the swap is the last thing that the kubelet does
 *   an event of one of our names      -> after settle_ms without another one, after limit_ms at the latest
 *   any other event                   -> after limit_ms: only a check, because the burst may have hidden an event of ours
 *   no event                          -> after recheck_ms, or poll_ms without events
 *
 * and never sooner than PAUSE_MS after the last check, which bounds the work.
 *
 * Failure: while a directory cannot be watched, checks come every poll_ms; each of them tries to watch it again.
 * A directory that has been replaced, or whose events come too fast, loses its handle and gets a new
 * one at the next check. */
#include "certs-watch/watch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/err.h"
#include "base/mem.h"
#include "certs-watch/trail.h"

#define PAUSE_MS 50u
#define EVENTS_MAX 1000u /* of one directory between two checks */
#define ROUNDS_MAX 4u

/* A watched directory. Frees itself when its handle is closed. */
struct dir {
	struct fl_watch *watch;
	uv_fs_event_t handle;
	char *path;
	dev_t dev; /* with ino: which directory it was */
	ino_t ino;
	unsigned events; /* since the last check */
	bool is_stale;   /* its handle must be replaced */
	bool is_wanted;  /* within one check */
};

struct fl_watch {
	uv_loop_t *loop;
	struct fl_watch_options options;
	const struct fl_watch_events *events;
	void *user;
	char **paths;
	size_t path_count;
	struct fl_trail trail;
	bool is_fresh;     /* the marks are so recent that they may hide a change */
	struct dir **dirs; /* open ones */
	size_t dir_count;
	uv_timer_t timer;
	uv_check_t read; /* runs once events have been read */
	/* Pending reasons for a check; times of uv_now(). */
	bool is_touched, is_swapped, is_noisy;
	bool has_rested; /* all events were read, and none has come since */
	uint64_t touched_first, touched_last, noisy_first, looked;
	bool is_polling;
	bool is_closing;
	size_t handles; /* not closed yet */
};

/* --- when to check ------------------------------------------------------------------------------ */

static void on_timer(uv_timer_t *timer);

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static void arm(struct fl_watch *watch)
{
	const struct fl_watch_options *options = &watch->options;
	uint64_t now = uv_now(watch->loop), event = UINT64_MAX, due;

	if (watch->is_closing) {
		return;
	}
	due = watch->looked + (watch->is_polling ? options->poll_ms : options->recheck_ms);
	if (watch->is_touched) {
		event = least(watch->touched_last + options->settle_ms,
			      watch->touched_first + options->limit_ms);
	}
	if (watch->is_noisy) {
		event = least(event, watch->noisy_first + options->limit_ms);
	}
	if (watch->is_swapped) {
		event = now;
	}
	if (event < watch->looked + PAUSE_MS) {
		event = watch->looked + PAUSE_MS;
	}
	due = least(due, event);
	FL_REQUIRE(uv_timer_start(&watch->timer, on_timer, due > now ? due - now : 0, 0) == 0);
}

static void note_touch(struct fl_watch *watch)
{
	watch->touched_last = uv_now(watch->loop);
	watch->has_rested = false;
	(void)uv_check_stop(&watch->read);
	if (!watch->is_touched) {
		watch->is_touched = true;
		watch->touched_first = watch->touched_last;
	}
}

static void note_noise(struct fl_watch *watch)
{
	if (!watch->is_noisy) {
		watch->is_noisy = true;
		watch->noisy_first = uv_now(watch->loop);
	}
}

/* --- directories -------------------------------------------------------------------------------- */

static bool is_place(const struct fl_watch *watch, const char *dir, const char *name)
{
	for (size_t i = 0; i < watch->trail.place_count; i++) {
		if (strcmp(watch->trail.places[i].name, name) == 0 &&
		    strcmp(watch->trail.places[i].dir, dir) == 0) {
			return true;
		}
	}
	return false;
}

/* Events of the directory itself carry its own name. */
static bool is_own_name(const struct dir *dir, const char *name)
{
	const char *slash = strrchr(dir->path, '/');

	return strcmp(slash != NULL ? slash + 1 : dir->path, name) == 0;
}

static void on_event(uv_fs_event_t *handle, const char *name, int events, int status)
{
	struct dir *dir = handle->data;
	struct fl_watch *watch = dir->watch;

	if (watch->is_closing) {
		return;
	}
	if (status < 0 || name == NULL) {
		dir->is_stale = true;
		note_touch(watch);
	} else if (is_place(watch, dir->path, name)) {
		note_touch(watch);
		watch->is_swapped = watch->is_swapped || strcmp(name, "..data") == 0;
	} else if (is_own_name(dir, name)) {
		dir->is_stale = dir->is_stale || (events & UV_RENAME) != 0;
		note_touch(watch);
	} else {
		note_noise(watch);
	}
	if (++dir->events >= EVENTS_MAX) {
		(void)uv_fs_event_stop(handle);
		dir->is_stale = true;
		note_noise(watch);
	}
	arm(watch);
}

static void free_watch_if_done(struct fl_watch *watch)
{
	if (--watch->handles > 0 || !watch->is_closing) {
		return;
	}
	for (size_t i = 0; i < watch->path_count; i++) {
		free(watch->paths[i]);
	}
	free(watch->paths);
	free(watch->dirs);
	fl_trail_done(&watch->trail);
	free(watch);
}

static void on_dir_closed(uv_handle_t *handle)
{
	struct dir *dir = handle->data;
	struct fl_watch *watch = dir->watch;

	free(dir->path);
	free(dir);
	free_watch_if_done(watch);
}

static void dir_close(struct dir *dir)
{
	uv_close((uv_handle_t *)&dir->handle, on_dir_closed);
}

/* Returns 0 with the directory among the watched ones, or a libuv error. */
static int dir_open(struct fl_watch *watch, const char *path)
{
	struct dir *dir = fl_new(sizeof(*dir));
	struct stat st = {0};
	int rc;

	dir->watch = watch;
	dir->path = fl_strdup(path);
	FL_REQUIRE(uv_fs_event_init(watch->loop, &dir->handle) == 0);
	dir->handle.data = dir;
	watch->handles++;
	rc = uv_fs_event_start(&dir->handle, on_event, path, 0);
	if (rc == 0 && stat(path, &st) < 0) {
		rc = uv_translate_sys_error(errno);
	}
	if (rc < 0) {
		dir_close(dir);
		return rc;
	}
	dir->dev = st.st_dev;
	dir->ino = st.st_ino;
	dir->is_wanted = true;
	watch->dirs = fl_grow(watch->dirs, watch->dir_count + 1, sizeof(struct dir *));
	watch->dirs[watch->dir_count++] = dir;
	return 0;
}

static struct dir *find_dir(const struct fl_watch *watch, const char *path)
{
	for (size_t i = 0; i < watch->dir_count; i++) {
		if (strcmp(watch->dirs[i]->path, path) == 0 && !watch->dirs[i]->is_stale) {
			return watch->dirs[i];
		}
	}
	return NULL;
}

static void close_unwanted(struct fl_watch *watch)
{
	size_t kept = 0;

	for (size_t i = 0; i < watch->dir_count; i++) {
		if (watch->dirs[i]->is_wanted && !watch->dirs[i]->is_stale) {
			watch->dirs[kept++] = watch->dirs[i];
		} else {
			dir_close(watch->dirs[i]);
		}
	}
	watch->dir_count = kept;
}

static const char *remedy_of(int rc)
{
	switch (rc) {
	case UV_ENOSPC:
		return "; raise the sysctl fs.inotify.max_user_watches";
	case UV_EMFILE:
		return "; raise the sysctl fs.inotify.max_user_instances, or the limit of open files";
	case UV_EACCES:
		return "; allow this user to read that directory";
	default:
		return "";
	}
}

static void set_polling(struct fl_watch *watch, const char *dir, int rc)
{
	char *text;

	if (watch->is_polling == (rc != 0)) {
		return;
	}
	watch->is_polling = rc != 0;
	if (watch->options.no_events) {
		return;
	}
	text = rc != 0 ? fl_format("the directory %s cannot be watched (%s): its files are checked "
				   "every %u ms instead%s",
				   dir, uv_strerror(rc), watch->options.poll_ms, remedy_of(rc))
		       : fl_format("all directories can be watched again");
	watch->events->on_note(watch->user, text);
	free(text);
}

/* Watches the directories of the trail, and no others. True: some are new, so check once more. */
static bool sync_dirs(struct fl_watch *watch)
{
	const char *failed = NULL;
	bool some_new = false;
	int failure = 0;

	for (size_t i = 0; i < watch->dir_count; i++) {
		struct dir *dir = watch->dirs[i];
		struct stat st;

		dir->is_wanted = false;
		dir->events = 0;
		dir->is_stale = dir->is_stale || stat(dir->path, &st) < 0 ||
				st.st_dev != dir->dev || st.st_ino != dir->ino;
	}
	for (size_t i = 0; i < watch->trail.place_count; i++) {
		const char *path = watch->trail.places[i].dir;
		struct dir *dir = find_dir(watch, path);
		int rc = 0;

		if (dir != NULL) {
			dir->is_wanted = true;
			continue;
		}
		if (failed != NULL && strcmp(failed, path) == 0) {
			continue;
		}
		rc = watch->options.no_events ? UV_ENOTSUP : dir_open(watch, path);
		if (rc == 0 || rc == UV_ENOENT || rc == UV_ENOTDIR) {
			some_new = true; /* or it is gone since the trail was made */
		} else {
			failed = path;
			failure = rc;
		}
	}
	close_unwanted(watch);
	set_polling(watch, failed, failure);
	return some_new;
}

/* --- checks ------------------------------------------------------------------------------------- */

static int64_t wall_clock_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_REALTIME, &ts);
	return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

/* Follows the paths and watches where they lead now. True: the files have changed since the last check, or may have. */
static bool check(struct fl_watch *watch)
{
	bool changed = watch->is_fresh;
	bool again = true;

	watch->is_touched = watch->is_swapped = watch->is_noisy = watch->has_rested = false;
	watch->looked = uv_now(watch->loop);
	for (unsigned i = 0; again && i < ROUNDS_MAX; i++) {
		struct fl_trail trail = {0};

		for (size_t p = 0; p < watch->path_count; p++) {
			fl_trail_add(&trail, watch->paths[p]);
		}
		changed = changed || !fl_trail_same_marks(&trail, &watch->trail);
		fl_trail_done(&watch->trail);
		watch->trail = trail;
		again = sync_dirs(watch);
	}
	if (again) {
		note_noise(watch);
	}
	/* Without polling, events report changes that marks would miss. */
	watch->is_fresh = watch->is_polling && fl_trail_is_fresh(&watch->trail, wall_clock_ns());
	return changed;
}

/* libuv runs timers before it reads events. If the loop was held up, events that prove further changes may still be unread. */
static bool may_have_unread(const struct fl_watch *watch)
{
	return watch->is_touched && !watch->is_swapped && !watch->has_rested &&
	       uv_now(watch->loop) < watch->touched_first + watch->options.limit_ms;
}

static void on_read(uv_check_t *read)
{
	((struct fl_watch *)read->data)->has_rested = true;
	(void)uv_check_stop(read);
}

static void on_timer(uv_timer_t *timer)
{
	struct fl_watch *watch = timer->data;
	bool touched = watch->is_touched, changed;

	if (may_have_unread(watch)) {
		FL_REQUIRE(uv_check_start(&watch->read, on_read) == 0);
		FL_REQUIRE(uv_timer_start(timer, on_timer, 1, 0) == 0);
		return;
	}
	changed = check(watch);
	arm(watch);
	if (changed || touched) {
		watch->events->on_change(watch->user);
	}
}

/* --- the interface ------------------------------------------------------------------------------ */

static uint32_t or_default(uint32_t value, uint32_t usual)
{
	return value != 0 ? value : usual;
}

struct fl_watch *fl_watch_new(uv_loop_t *loop, const struct fl_watch_options *options,
			      const struct fl_watch_events *events, void *user)
{
	struct fl_watch *watch = fl_new(sizeof(*watch));

	watch->loop = loop;
	watch->options = options != NULL ? *options : (struct fl_watch_options){0};
	watch->options.settle_ms = or_default(watch->options.settle_ms, 50);
	watch->options.limit_ms = or_default(watch->options.limit_ms, 1000);
	watch->options.recheck_ms = or_default(watch->options.recheck_ms, 30000);
	watch->options.poll_ms = or_default(watch->options.poll_ms, 1000);
	watch->events = events;
	watch->user = user;
	FL_REQUIRE(uv_timer_init(loop, &watch->timer) == 0);
	FL_REQUIRE(uv_check_init(loop, &watch->read) == 0);
	watch->timer.data = watch->read.data = watch;
	watch->handles = 2;
	return watch;
}

static bool has_paths(const struct fl_watch *watch, const char *const *paths, size_t count)
{
	bool same = count == watch->path_count;

	for (size_t i = 0; same && i < count; i++) {
		same = strcmp(paths[i], watch->paths[i]) == 0;
	}
	return same;
}

void fl_watch_set(struct fl_watch *watch, const char *const *paths, size_t count)
{
	if (watch->is_closing || has_paths(watch, paths, count)) {
		return;
	}
	for (size_t i = 0; i < watch->path_count; i++) {
		free(watch->paths[i]);
	}
	watch->paths = fl_grow(watch->paths, count + 1, sizeof(char *));
	watch->path_count = count;
	for (size_t i = 0; i < count; i++) {
		watch->paths[i] = fl_strdup(paths[i]);
	}
	(void)check(watch);
	arm(watch);
}

static void on_handle_closed(uv_handle_t *handle)
{
	free_watch_if_done(handle->data);
}

void fl_watch_close(struct fl_watch *watch)
{
	watch->is_closing = true;
	for (size_t i = 0; i < watch->dir_count; i++) {
		dir_close(watch->dirs[i]);
	}
	watch->dir_count = 0;
	uv_close((uv_handle_t *)&watch->timer, on_handle_closed);
	uv_close((uv_handle_t *)&watch->read, on_handle_closed);
}
