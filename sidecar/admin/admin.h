/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_ADMIN_ADMIN_H
#define FL_ADMIN_ADMIN_H
/* admin - the HTTP endpoint of `[sidecar] admin`. It only reads: nothing that is asked here
 * changes anything.
 *
 * Loop: the main thread's; never a worker's Owns: its listener and connections; fl_admin_close()
 * ends both Borrows: what source's callbacks need, until fl_admin_close() Limits: 64
 * connections, the oldest goes when another comes; 8 KiB of request head; 10 s from connection to
 * answer; one request a connection Security: callers are not authenticated, so what they send is
 * bounded and judged before it counts */
#include "base/addr.h"
#include "base/err.h"
#include "base/text.h"
#include "net/sock.h"

/* What the answers are made from. Callbacks run on the loop and must not block. */
struct fl_admin_source {
	/* Can the sidecar carry traffic? When not, reason gets one sentence (NUL-terminated). */
	bool (*ready)(void *user, char *reason, size_t size);
	/* Each appends a whole document: Prometheus text, JSON, HTML. */
	void (*metrics)(void *user, struct fl_text *ret);
	void (*status)(void *user, struct fl_text *ret);
	void (*page)(void *user, struct fl_text *ret);
	void *user;
};

struct fl_admin;

/* Listens on addr; source is copied. Errors: FL_ERR_IO, the address cannot be had. */
int fl_admin_open(struct fl_net *net, const struct fl_addr *addr,
		  const struct fl_admin_source *source, struct fl_admin **ret,
		  struct fl_err *err) FL_MUST_USE;

/* Answers that are on their way are still sent; the memory goes with the loop's next turns. NULL
 * is fine. */
void fl_admin_close(struct fl_admin *admin);

#endif
