/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_ADMIN_SOURCE_H
#define FL_ADMIN_SOURCE_H
/* source - the callbacks that give the answers of the endpoints. The server fills them in; respond.c calls them. */
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/mem.h"
#include "base/text.h"
#include "net/inherited.h"

/* What the answers are made from. Callbacks run on the loop and must not block. */
struct fl_admin_source {
	/* Can the sidecar carry traffic? When not, reason gets one sentence (NUL-terminated). */
	bool (*ready)(void *user, char *reason, size_t size);
	/* Each appends a whole document: Prometheus text, OpenMetrics, JSON. ret is soft: if memory runs
	 * out, it is made to fail. */
	void (*metrics)(void *user, struct fl_text *ret);
	void (*openmetrics)(void *user, struct fl_text *ret);
	void (*status)(void *user, struct fl_text *ret);
	/* Each of these returns false while the document is being built; fl_admin_go_on() is called
	 * when it can be asked for again. */
	bool (*page)(void *user, struct fl_text *ret);
	const char *page_policy; /* the Content-Security-Policy of the page */
	bool (*connections)(void *user, struct fl_text *ret);
	bool (*callers)(void *user, struct fl_text *ret);
	/* May all callers of the TCP port read everything? If not, only callers on loopback may;
	 * all others get only /healthz, /readyz and /metrics, which reveal no peers, rules or
	 * addresses. */
	bool (*everywhere)(void *user);
	void *user;
	unsigned connections_max; /* at a time; 0: 1024 */
	/* Sockets of a sidecar that this one replaces, taken where they fit; NULL: none. For opening only. */
	struct fl_inherited *inherited;
};

/* The requests that change something, or that only callers with that permission may make: `POST
 * /drain`, `POST /log-level?level=WORD`, `POST /preview` with a body of FL_ADMIN_BODY_MAX bytes at
 * most. Each appends one line that says what was done, or why it was not, and returns the HTTP
 * status: 200, or 400 for a request that makes no sense. uid: the caller's. Callbacks run on the
 * loop and must not block. */
struct fl_admin_control {
	bool (*may_ask)(void *user, uid_t uid);
	unsigned (*drain)(void *user, uid_t uid, struct fl_text *ret);
	unsigned (*log_level)(void *user, uid_t uid, const char *level, struct fl_text *ret);
	/* False: the document is being built; fl_admin_go_on() is called when it can be asked for
	 * again, with the same asker. */
	bool (*preview)(void *user, struct fl_span body, const void *asker, unsigned *ret_status,
			struct fl_text *ret);
	void *user;
};
#define FL_ADMIN_BODY_MAX (9u * 1024 * 1024)

#endif
