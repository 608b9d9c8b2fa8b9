/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_WORKER_BIND_H
#define FL_WORKER_BIND_H
/* bind - the listeners of the INI as bound sockets, and the paths of those that are Unix sockets.
 * Thread: main, at start and at end; the set of bound sockets never changes in between. */
#include <sys/types.h>

#include "conf/conf.h"
#include "net/inherited.h"
#include "worker/listeners.h"

/* The path of a Unix socket that this process has made, or got from the sidecar that it replaces. */
struct fl_made_path {
	const char *path; /* of the INI that was bound, borrowed; NULL: the list ends here */
	dev_t dev;
	ino_t ino;
	bool is_inherited;
};

/* Returns how many listeners the INI asks for on each worker: for captured inbound and outbound
 * traffic, and one for each section with `listen`. */
size_t fl_bind_count(const struct fl_conf *conf);

/* Names and binds the listeners of one worker, in that order, services before upstreams; an fd of
 * -1 is not bound. All other code uses the list that this makes; nothing else walks the INI for
 * listeners. conf: must outlive the listeners. items: zeroed, one for each; owned by the caller,
 * also after an error. first: the items of worker 0; NULL for worker 0 itself. inherited: sockets of a sidecar that this one
 * replaces, which are taken where they fit; NULL: none. Errors: FL_ERR_IO with the section and address. */
int fl_bind_endpoints(const struct fl_conf *conf, struct fl_bound *items,
		      const struct fl_bound *first, struct fl_inherited *inherited,
		      struct fl_err *err) FL_MUST_USE;

/* Records which paths are our sockets. items: count items of worker 0, before it listens. Returns a
 * list, to free(). */
struct fl_made_path *fl_bind_note_paths(const struct fl_bound *items, size_t count);

/* Removes the paths that are still ours: a successor may have taken over a path while we
 * drained. and_inherited: the sidecar that they are from does not serve them any more. */
void fl_bind_unlink_paths(const struct fl_made_path *made, bool and_inherited);

#endif
