/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_WORKER_BIND_H
#define FL_WORKER_BIND_H
/* bind - the listeners of the INI as bound sockets, and the paths of those that are Unix sockets. On the
 * main thread, at the start and at the end: what is bound in between never changes. */
#include <sys/types.h>

#include "conf/conf.h"
#include "worker/listeners.h"

/* The path of a Unix socket that this process has made. */
struct fl_made_path {
	const char *path; /* of the INI that was bound, borrowed; NULL: the list ends here */
	dev_t dev;
	ino_t ino;
};

/* How many listeners the INI has on each worker: captured inbound and outbound traffic, and the sections with `listen`. */
size_t fl_bind_count(const struct fl_conf *conf);

/* Names and binds the listeners of one worker, in that order, services before upstreams; an fd of -1 is not bound. The list that
 * this makes is the one that everything else goes through: nothing walks the INI again for listeners.
 * conf: stays as long as the listeners. items: zeroed, one for each; owned by the caller, whatever comes of it. first: those of
 * worker 0; NULL when these are they. Errors: FL_ERR_IO with the section and address. */
int fl_bind_endpoints(const struct fl_conf *conf, struct fl_bound *items,
		      const struct fl_bound *first, struct fl_err *err) FL_MUST_USE;

/* Which paths are our sockets from now on. items: count of them, of worker 0, before it listens. Returns a list, to free(). */
struct fl_made_path *fl_bind_note_paths(const struct fl_bound *items, size_t count);

/* Removes those that are still ours: a successor may have taken the path while we drained. */
void fl_bind_unlink_paths(const struct fl_made_path *made);

#endif
