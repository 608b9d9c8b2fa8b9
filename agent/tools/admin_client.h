/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_TOOLS_ADMIN_CLIENT_H
#define FL_AGENT_TOOLS_ADMIN_CLIENT_H
/* admin_client - one HTTP request to the sidecar's admin endpoint or control socket, for the tools. Blocks, at most for the
 * given time. Thread: any. */
#include <stdbool.h>
#include <sys/types.h>

#include "agent/common/command.h"
#include "base/addr.h"
#include "base/mem.h"
#include "base/text.h"

/* Where to ask, and which user has to answer there. On a Unix socket only root, our own user and `[agent] sidecar_uid` are
 * accepted: if another process took the path, nothing is sent to it and its answer is not used. */
struct fl_admin_client {
	struct fl_addr addr;
	uid_t sidecar_uid;
};

/* Finds where to ask for information: --control or --admin; otherwise `[sidecar] admin`; or `[sidecar] control`, if there
 * is no admin endpoint or it does not tell us enough. An INI with errors is read leniently. details: the caller needs more
 * than whether the sidecar is ready. Returns 0, or after a sentence on stderr the exit code 2. */
int fl_admin_client_find(const struct fl_command_line *line, bool details,
			 struct fl_admin_client *ret);

/* Finds --control or `[sidecar] control`, for requests that change something. Returns as above. */
int fl_admin_client_find_control(const struct fl_command_line *line, struct fl_admin_client *ret);

/* Why the INI is refused, in one sentence, to free(); NULL: it is not, or it cannot be read. The sidecar then runs with an
 * earlier INI, whose addresses may differ. */
char *fl_admin_client_ini_refused(const char *conf_path);
/* Prints that reason on stderr. */
void fl_admin_client_warn(const char *conf_path);

/* GETs path (a literal). An endpoint on all addresses is asked on loopback. After 0: *ret_status is the HTTP status, and
 * the body was appended to ret_body. Errors: FL_ERR_IO, no answer in time; FL_ERR_PEER, what answered is not the admin
 * endpoint of a sidecar, or runs as another user. */
int fl_admin_client_get(const struct fl_admin_client *target, const char *path, unsigned timeout_ms,
			unsigned *ret_status, struct fl_text *ret_body,
			struct fl_err *err) FL_MUST_USE;

/* The first line of a body, without what could mislead a terminal, because any program may answer; to free(). */
char *fl_admin_client_line(const struct fl_text *body);

/* GETs a document of the sidecar, which has to be there. Errors: as above; FL_ERR_IO: the sidecar does not tell, with its reason;
 * FL_ERR_PEER: what answered has no such document. */
int fl_admin_client_document(const struct fl_admin_client *target, const char *path,
			     unsigned timeout_ms, struct fl_text *ret_body,
			     struct fl_err *err) FL_MUST_USE;

/* The same with POST, without a body. */
int fl_admin_client_post(const struct fl_admin_client *control, const char *path,
			 unsigned timeout_ms, unsigned *ret_status, struct fl_text *ret_body,
			 struct fl_err *err) FL_MUST_USE;

/* The same with POST and a body. */
int fl_admin_client_post_body(const struct fl_admin_client *control, const char *path,
			      struct fl_span body, unsigned timeout_ms, unsigned *ret_status,
			      struct fl_text *ret_body, struct fl_err *err) FL_MUST_USE;

#endif
