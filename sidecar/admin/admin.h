/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_ADMIN_ADMIN_H
#define FL_ADMIN_ADMIN_H
/* admin - the HTTP endpoints of the sidecar: `[sidecar] admin`, a TCP port that only reads, and `[sidecar] control`,
 * a Unix socket that also changes something. Both speak the same HTTP/1.1 (RFC 9112), one request a connection.
 *
 * Loop: the main thread's; never a worker's. Owns: its listener and connections; fl_admin_close() ends both.
 * Borrows: what source's callbacks need, until fl_admin_close(). Limits: so many connections as source says, of which one goes when another
 * comes (admin.c); 8 KiB of request head; 10 s from connection to answer; documents are made as often as a fifth of the
 * loop's time allows (answer.h). Security: callers of the TCP port are not authenticated, those of the socket by their uid
 * before they have said anything, so what they send is bounded and judged before it counts. Memory that is out costs an
 * answer (503) and never the process. */
#include "admin/source.h"
#include "base/addr.h"
#include "base/err.h"
#include "net/sock.h"

struct fl_admin;

/* Listens on addr; source is copied. Errors: FL_ERR_IO, the address cannot be had. */
int fl_admin_open(struct fl_net *net, const struct fl_addr *addr,
		  const struct fl_admin_source *source, struct fl_admin **ret,
		  struct fl_err *err) FL_MUST_USE;

/* The same on a Unix socket, with control on top; it is copied. Who may not ask is told so (403) when he comes. A path that nobody
 * listens on is taken over; fl_admin_close() removes it, unless it is somebody else's by then. Errors: FL_ERR_IO,
 * FL_ERR_INVALID: the path is in use or cannot be had. */
int fl_admin_open_control(struct fl_net *net, const char *path,
			  const struct fl_admin_source *source,
			  const struct fl_admin_control *control, struct fl_admin **ret,
			  struct fl_err *err) FL_MUST_USE;

/* Asks the source again for the callers that wait. NULL is fine. */
void fl_admin_go_on(struct fl_admin *admin);

/* Answers that are on their way are still sent; the memory goes with the loop's next turns. NULL
 * is fine. */
void fl_admin_close(struct fl_admin *admin);

#endif
