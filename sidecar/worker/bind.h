/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_WORKER_BIND_H
#define FL_WORKER_BIND_H
/* bind - the listeners of the INI as bound sockets, and the paths of those that are Unix sockets. On the
 * main thread, at the start and at the end: what is bound in between never changes. */
#include <sys/types.h>

#include "conf/conf.h"
#include "worker/listeners.h"

/* A Unix socket that we have made; ino 0: none. */
struct fl_made_path {
	dev_t dev;
	ino_t ino;
};

/* How many listeners the INI has on each worker: captured inbound and outbound traffic, and the sections with `listen`. */
size_t fl_bind_count(const struct fl_conf *conf);

/* Names and binds the endpoints of one worker, in that order, services before upstreams; an fd of -1 is not bound.
 * items: zeroed, one for each. first: those of worker 0; NULL when these are they. Errors: FL_ERR_IO
 * with the section and address. */
int fl_bind_endpoints(const struct fl_conf *conf, struct fl_bound *items,
		      const struct fl_bound *first, struct fl_err *err) FL_MUST_USE;

/* Whose sockets the paths are from now on: one for each upstream, to free(). items: of worker 0. */
struct fl_made_path *fl_bind_note_paths(const struct fl_conf *conf, const struct fl_bound *items);

/* Only what is still ours: a successor may have taken the path while we drained. */
void fl_bind_unlink_paths(const struct fl_conf *conf, const struct fl_made_path *made);

#endif
