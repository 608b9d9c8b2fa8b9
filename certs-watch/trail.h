/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_CERTS_WATCH_TRAIL_H
#define FL_CERTS_WATCH_TRAIL_H
/* trail - the way from paths to files: in which directories a change of it would show, and what the
 * files look like at its end; for watch.h. Asks the file system and opens nothing. What cannot be found out is part of what
 * it looks like. Thread: any. */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Something of this name in this directory decides where a path leads, or would, if it existed. */
struct fl_trail_place {
	char *dir; /* absolute, no link in it */
	char *name;
};

/* What tells one state of a file from the next. All bytes count, padding is zero. */
struct fl_trail_mark {
	int error; /* errno when there is no file */
	dev_t dev;
	ino_t ino;
	off_t size;
	int64_t mtime_ns, ctime_ns; /* since the epoch */
};

/* All zero: of no path. Owned by fl_trail_done(). */
struct fl_trail {
	struct fl_trail_place *places;
	size_t place_count;
	struct fl_trail_mark *marks; /* one for each path, in order */
	size_t mark_count;
};

/* Follows one more path; a relative one from the working directory. */
void fl_trail_add(struct fl_trail *trail, const char *path);
void fl_trail_done(struct fl_trail *trail);

bool fl_trail_same_marks(const struct fl_trail *a, const struct fl_trail *b);
/* Was a file changed so short a time before now_ns (since the epoch) that a further change may leave
 * the same mark? File systems keep time in steps of some milliseconds. */
bool fl_trail_is_fresh(const struct fl_trail *trail, int64_t now_ns);

#endif
