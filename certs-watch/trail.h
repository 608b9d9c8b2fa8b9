/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_CERTS_WATCH_TRAIL_H
#define FL_CERTS_WATCH_TRAIL_H
/* trail - the way from paths to files, for watch.h: the directories in which a change of the way would show, and the state of
 * the files at its end. Reads metadata only and opens no file. A file that cannot be examined has its errno as its state.
 * Thread: any. */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* The entry of this name in this directory decides where a path leads, whether it exists or not. */
struct fl_trail_place {
	char *dir; /* absolute, no link in it */
	char *name;
};

/* Tells one state of a file from the next. Compared with memcmp(): padding is zero. */
struct fl_trail_mark {
	int error; /* errno when there is no file */
	dev_t dev;
	ino_t ino;
	off_t size;
	int64_t mtime_ns, ctime_ns; /* since the epoch */
};

/* All zero: of no path. Free with fl_trail_done(). */
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
/* Did a file change so shortly before now_ns (since the epoch) that a further change might leave the same mark? File systems
 * count time in steps of several milliseconds. */
bool fl_trail_is_fresh(const struct fl_trail *trail, int64_t now_ns);

#endif
