/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_CERTS_WATCH_WATCH_H
#define FL_CERTS_WATCH_WATCH_H
/* watch - reports that mounted files may have changed. It never opens a file, and reports too often rather than too late: the
 * callback reads the files (source.h) and compares. certs-watch/example.c is a complete program.
 *
 * Handles Kubernetes' way (`..data` renamed over; the files themselves get no event), plain files that are
 * rewritten one at a time or replaced, links that change, files and directories that vanish and
 * come back, directories that are replaced. Watches directories, never files. If the system does not
 * allow that (inotify's limits, a directory without read permission) it polls every second, and returns to events as soon as
 * it can. A change without an event is found at the next regular check.
 *
 * Loop:     the one passed to fl_watch_new(); all calls and callbacks there. It keeps the loop alive until it is closed.
 * Owns:     copies of the paths, one descriptor of the loop, a handle for each directory.
 * Errors:   none are returned. Without events it polls; out of memory ends the process (base/mem.h).
 * Limits:   at most 20 reports and 20 checks (a few system calls per path) in a second, whatever happens in the
 *           directories; one that has 1000 events between two checks is polled once a second instead.
 * Not seen: a file that is itself a mount (subPath) never changes. fl_source_load() warns about it. */
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct fl_watch;

struct fl_watch_options { /* 0: the default */
	uint32_t
		settle_ms; /* 50: time without events after a change of plain files, before it is reported */
	uint32_t limit_ms;   /* 1000: a change is reported after this time, even if events go on */
	uint32_t recheck_ms; /* 30000: between regular checks, in case an event was missed */
	uint32_t poll_ms;    /* 1000: between regular checks without events */
	bool no_events;      /* only poll: for file systems that report no events */
};

struct fl_watch_events {
	/* Some of the files may have changed. Never called from within a function of this header. It may call fl_watch_set()
	 * and fl_watch_close(). */
	void (*on_change)(void *user);
	/* One sentence: polling has replaced events, or events work again. fl_watch_set() may call it. */
	void (*on_note)(void *user, const char *text);
};

/* Watches nothing yet. Never returns NULL. options may be NULL, and is copied; events is borrowed until fl_watch_close();
 * the callbacks get user. */
struct fl_watch *fl_watch_new(uv_loop_t *loop, const struct fl_watch_options *options,
			      const struct fl_watch_events *events, void *user);

/* Watches these paths from now on, in place of the previous ones; they are copied. None of them has to exist; a relative one is
 * followed from the working directory at each check. Their present state is not reported: call this first, then read the
 * files. The same paths again change nothing. */
void fl_watch_set(struct fl_watch *watch, const char *const *paths, size_t count);

/* No callback comes from now on, and watch must not be used any more. Its memory is freed in the loop's next iterations: run
 * the loop until it ends before uv_loop_close(). */
void fl_watch_close(struct fl_watch *watch);

#endif
