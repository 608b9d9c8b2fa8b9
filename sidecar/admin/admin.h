/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_ADMIN_ADMIN_H
#define FL_ADMIN_ADMIN_H
/* admin - the HTTP endpoints of the sidecar: `[sidecar] admin`, a read-only TCP port, and
 * `[sidecar] control`, a Unix socket that also accepts changes. Both speak HTTP/1.1 (RFC 9112),
 * with one request for each connection.
 *
 * Loop: the main thread's; never a worker's. Owns: its listener and connections; fl_admin_close()
 * ends both. Borrows: what source's callbacks need, until fl_admin_close(). Limits: as many
 * connections as source says; at the limit, a new one evicts another (admin.c); 8 KiB of request
 * head; 10 s from connection to answer; building documents may use a fifth of the loop's time
 * (answer.h). Security: callers of the TCP port are not authenticated; callers of the socket are
 * authenticated by uid before anything is read. So all input is bounded and validated before use.
 * If memory runs out, the answer is 503 and the process goes on. */
#include "admin/source.h"
#include "base/addr.h"
#include "base/err.h"
#include "net/sock.h"

struct fl_admin;

/* Listens on addr; source is copied. Errors: FL_ERR_IO if the address is not available. */
int fl_admin_open(struct fl_net *net, const struct fl_addr *addr,
		  const struct fl_admin_source *source, struct fl_admin **ret,
		  struct fl_err *err) FL_MUST_USE;

/* The same on a Unix socket, and with control in addition; control is copied. A caller without
 * permission gets 403 when it connects. A path without a listening process is taken over;
 * fl_admin_close() removes it, unless another process owns it by then. Errors: FL_ERR_IO or
 * FL_ERR_INVALID if the path is in use or not available. */
int fl_admin_open_control(struct fl_net *net, const char *path,
			  const struct fl_admin_source *source,
			  const struct fl_admin_control *control, struct fl_admin **ret,
			  struct fl_err *err) FL_MUST_USE;

/* Asks the source again on behalf of the waiting callers. NULL is fine. */
void fl_admin_go_on(struct fl_admin *admin);

/* The descriptor that it listens on, borrowed: to be given to another process. */
int fl_admin_fd(const struct fl_admin *admin);

/* Another process has that descriptor now: accepts no more, and leaves the path of a control socket alone. NULL is fine. */
void fl_admin_hand_over(struct fl_admin *admin);

/* Answers in progress are still sent; the memory is freed in later turns of the loop. NULL is
 * fine. */
void fl_admin_close(struct fl_admin *admin);

#endif
