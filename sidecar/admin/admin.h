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
#include <sys/types.h>

#include "base/addr.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "net/sock.h"

/* What the answers are made from. Callbacks run on the loop and must not block. */
struct fl_admin_source {
	/* Can the sidecar carry traffic? When not, reason gets one sentence (NUL-terminated). */
	bool (*ready)(void *user, char *reason, size_t size);
	/* Each appends a whole document: Prometheus text, JSON, HTML. ret is soft: for want of memory, it is made to fail. */
	void (*metrics)(void *user, struct fl_text *ret);
	void (*status)(void *user, struct fl_text *ret);
	/* False: it is being made, and fl_admin_go_on() is called when it can be asked for again. */
	bool (*page)(void *user, struct fl_text *ret);
	bool (*connections)(void *user, struct fl_text *ret); /* likewise */
	bool (*seen)(void *user, struct fl_text *ret);        /* likewise */
	/* Of the TCP port: may everybody read all of it? Else those on loopback, and the others only what tells nothing
	 * of peers, rules and addresses: /healthz, /readyz, /metrics. */
	bool (*everywhere)(void *user);
	void *user;
	unsigned places; /* how many connections there may be at a time; 0: 1024 */
};

/* What can be changed, or asked by those who could: `POST /drain`, `POST /log-level?level=WORD`, `POST /preview` with a
 * body of FL_ADMIN_BODY_MAX bytes at most. Each appends one line that says what has been done,
 * or why not, and returns the status to answer with: 200, or 400 for a request that makes no sense. uid: the
 * caller's. Callbacks run on the loop and must not block. */
struct fl_admin_control {
	bool (*may_ask)(void *user, uid_t uid);
	unsigned (*drain)(void *user, uid_t uid, struct fl_text *ret);
	unsigned (*log_level)(void *user, uid_t uid, const char *level, struct fl_text *ret);
	/* False: it is being made, and fl_admin_go_on() is called when it can be asked for again. asker: the same then. */
	bool (*preview)(void *user, struct fl_span body, const void *asker, unsigned *ret_status,
			struct fl_text *ret);
	void *user;
};
#define FL_ADMIN_BODY_MAX (9u * 1024 * 1024)

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
