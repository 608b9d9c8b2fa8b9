/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_ASK_H
#define FL_AGENT_ASK_H
/* ask - one request to the sidecar's admin endpoint or its control socket, for the tools. Blocks, for as long as it
 * is told. */
#include "base/addr.h"
#include "base/mem.h"
#include "base/text.h"

/* Where `[sidecar] admin` of the INI listens. 0, or having said why on stderr the exit code 2. */
int fl_ask_where(const char *conf_path, struct fl_addr *ret_admin);

/* Its `[sidecar] control`, likewise. */
int fl_ask_where_control(const char *conf_path, struct fl_addr *ret_control);

/* GETs path (a literal). An endpoint on all addresses is asked on loopback. After 0: *ret_status and
 * the body, appended to ret_body. Errors: FL_ERR_IO, nobody answered in time; FL_ERR_PEER, what
 * answered does not speak HTTP. */
int fl_ask(const struct fl_addr *admin, const char *path, unsigned timeout_ms, unsigned *ret_status,
	   struct fl_text *ret_body, struct fl_err *err) FL_MUST_USE;

/* The same with POST, for what changes something. */
int fl_ask_change(const struct fl_addr *control, const char *path, unsigned timeout_ms,
		  unsigned *ret_status, struct fl_text *ret_body, struct fl_err *err) FL_MUST_USE;

/* POST with a body. */
int fl_ask_with(const struct fl_addr *control, const char *path, struct fl_span body,
		unsigned timeout_ms, unsigned *ret_status, struct fl_text *ret_body,
		struct fl_err *err) FL_MUST_USE;

#endif
