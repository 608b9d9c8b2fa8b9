/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_TOOLS_ADMIN_CLIENT_H
#define FL_AGENT_TOOLS_ADMIN_CLIENT_H
/* ask - one request to the sidecar's admin endpoint or its control socket, for the tools. Blocks, for as long as it
 * is told. */
#include <stdbool.h>
#include <sys/types.h>

#include "base/addr.h"
#include "base/mem.h"
#include "base/text.h"

/* Where to ask, and who has to answer there: of a Unix socket, root, we ourselves or `[agent] sidecar_uid`, so that nobody
 * who took its path is told anything or believed. */
struct fl_admin_client {
	struct fl_addr addr;
	uid_t sidecar_uid;
};

/* Where the sidecar tells about itself: `[sidecar] admin`, or, where there is none, or none that tells us as much as is
 * wanted, `[sidecar] control`. details: more than whether it is ready. 0, or having said why on stderr the exit code 2. */
int fl_admin_client_find(const char *conf_path, bool details, struct fl_admin_client *ret);

/* Its `[sidecar] control`, likewise. */
int fl_admin_client_find_control(const char *conf_path, struct fl_admin_client *ret);

/* GETs path (a literal). An endpoint on all addresses is asked on loopback. After 0: *ret_status and
 * the body, appended to ret_body. Errors: FL_ERR_IO, nobody answered in time; FL_ERR_PEER, what
 * answered does not speak HTTP, or runs as a stranger. */
int fl_admin_client_get(const struct fl_admin_client *target, const char *path, unsigned timeout_ms,
			unsigned *ret_status, struct fl_text *ret_body,
			struct fl_err *err) FL_MUST_USE;

/* The same with POST, for what changes something. */
int fl_admin_client_post(const struct fl_admin_client *control, const char *path,
			 unsigned timeout_ms, unsigned *ret_status, struct fl_text *ret_body,
			 struct fl_err *err) FL_MUST_USE;

/* POST with a body. */
int fl_admin_client_post_body(const struct fl_admin_client *control, const char *path,
			      struct fl_span body, unsigned timeout_ms, unsigned *ret_status,
			      struct fl_text *ret_body, struct fl_err *err) FL_MUST_USE;

#endif
