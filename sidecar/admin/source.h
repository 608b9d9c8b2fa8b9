/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_ADMIN_SOURCE_H
#define FL_ADMIN_SOURCE_H
/* source - the callbacks that give the answers of the endpoints. The server fills them in; respond.c calls them. */
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/mem.h"
#include "base/text.h"

/* What the answers are made from. Callbacks run on the loop and must not block. */
struct fl_admin_source {
	/* Can the sidecar carry traffic? When not, reason gets one sentence (NUL-terminated). */
	bool (*ready)(void *user, char *reason, size_t size);
	/* Each appends a whole document: Prometheus text, JSON, HTML. ret is soft: for want of memory, it is made to fail. */
	void (*metrics)(void *user, struct fl_text *ret);
	void (*status)(void *user, struct fl_text *ret);
	/* False, of each of these: it is being made, and fl_admin_go_on() is called when it can be asked for again. */
	bool (*page)(void *user, struct fl_text *ret);
	bool (*connections)(void *user, struct fl_text *ret);
	bool (*callers)(void *user, struct fl_text *ret);
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

#endif
