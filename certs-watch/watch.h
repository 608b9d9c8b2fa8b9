/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_CERTS_WATCH_WATCH_H
#define FL_CERTS_WATCH_WATCH_H
/* watch - tells when mounted files may have changed. It never opens one of them, and says rather too
 * often than too late: whoever is told reads (source.h), and compares. certs-watch/example.c is the whole of it.
 *
 * Knows Kubernetes' way (`..data` renamed over; the files themselves get no event), plain files that are
 * rewritten one at a time or replaced, links that lead elsewhere, files and directories that vanish and
 * come back, directories that are replaced. Watches directories, never files. Where the system does not
 * let it (inotify's limits, a directory that we may not read) it looks every second instead, and goes back to
 * events as soon as it can. A change that no event told is found at the next regular look.
 *
 * Loop:     the one passed to fl_watch_new(); all calls and callbacks there. It keeps the loop alive until it is closed.
 * Owns:     copies of the paths, one descriptor of the loop, a handle for each directory.
 * Errors:   none are returned. What cannot be watched is looked at; out of memory ends the process (base/mem.h).
 * Limits:   at most 20 reports and 20 looks (a few system calls a path) each second, whatever happens in the
 *           directories; one whose events come by the thousand is looked at instead, once a second.
 * Not seen: a file that is a mount by itself (subPath) never changes. fl_source_load() warns about it. */
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct fl_watch;

struct fl_watch_options {    /* 0: the default */
	uint32_t settle_ms;  /* 50: rest after a change of plain files, before it is told */
	uint32_t limit_ms;   /* 1000: told after this time, rest or no rest */
	uint32_t recheck_ms; /* 30000: regular look, in case an event was missed */
	uint32_t poll_ms;    /* 1000: regular look where there are no events */
	bool no_events;      /* only ever look: for file systems that tell nothing */
};

struct fl_watch_events {
	/* Some of the files may be others than before. Not from within a call of ours. It may call fl_watch_set()
	 * and fl_watch_close(). */
	void (*on_change)(void *user);
	/* One sentence: events had to be given up, or work again. May come from within fl_watch_set(). */
	void (*on_note)(void *user, const char *text);
};

/* Watches nothing yet. Never NULL. options may be NULL, and is copied; events is borrowed until fl_watch_close(); user is
 * handed to the callbacks. */
struct fl_watch *fl_watch_new(uv_loop_t *loop, const struct fl_watch_options *options,
			      const struct fl_watch_events *events, void *user);

/* Watches these paths from now on, instead of those before; they are copied. None of them has to exist; a relative one is
 * followed from the working directory at each look. Nothing is told of what they are at this moment: set first, then
 * read. The same paths again change nothing. */
void fl_watch_set(struct fl_watch *watch, const char *const *paths, size_t count);

/* No callback from now on, and watch is not to be used any more. The memory goes with the loop's next turns: run the loop
 * until it ends before uv_loop_close(). */
void fl_watch_close(struct fl_watch *watch);

#endif
