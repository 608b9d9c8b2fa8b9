/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_SERVER_HAND_OVER_H
#define FL_SERVER_HAND_OVER_H
/* hand_over - gives the listening sockets to a sidecar that is to replace this one (net/inherited.h), and learns when it has.
 * Listens on a Unix socket beside that of the tools. Loop: the main thread's.
 *
 * Only a process of our own uid, or root, gets the sockets, one at a time. If it ends without having replaced us, nothing has
 * happened. */
#include <stdbool.h>

#include "base/log.h"
#include "net/sock.h"

#define FL_HAND_OVER_SUFFIX ".next"

struct fl_hand_over;

struct fl_hand_over_events {
	/* Writes the sockets that are to be given; returns how many, at most max; 0: not now. */
	size_t (*give)(void *user, int *fds, size_t max);
	/* The other one has all it needs, and serves. */
	void (*on_replaced)(void *user);
};

/* The path beside that of the tools' socket, to free(). */
char *fl_hand_over_path(const char *control);

/* fd: bound to path, owned from now on, also after an error. log, events and user are borrowed until the loop has turned after
 * fl_hand_over_close(). Errors: FL_ERR_IO. */
int fl_hand_over_open(struct fl_net *net, int fd, const char *path, struct fl_log *log,
		      const struct fl_hand_over_events *events, void *user,
		      struct fl_hand_over **ret, struct fl_err *err) FL_MUST_USE;

/* The descriptor that it listens on, borrowed. */
int fl_hand_over_fd(const struct fl_hand_over *hand_over);

/* Another process has our sockets now, and may serve at any moment: their paths have to stay. NULL: false. */
bool fl_hand_over_has_successor(const struct fl_hand_over *hand_over);

/* keep_path: it belongs to the one that has replaced us. NULL is fine. */
void fl_hand_over_close(struct fl_hand_over *hand_over, bool keep_path);

#endif
