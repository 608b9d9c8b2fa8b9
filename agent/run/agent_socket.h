/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_RUN_AGENT_SOCKET_H
#define FL_AGENT_RUN_AGENT_SOCKET_H
/* agent_socket - the listening Unix socket at the path `[agent] socket`: checks the owner of its directory, lets only one
 * agent have it, and creates it again when somebody removes it.
 *
 * Loop:   the one of net; all calls and callbacks there. It keeps the loop alive until it is closed.
 * Owns:   the listener, the path in the file system, a watch on it.
 * Errors: only fl_agent_socket_open() returns one. Later trouble with the path is logged, once for each reason, and tried
 *         again every second. */
#include "base/log.h"
#include "conf/conf.h"
#include "net/listener.h"

#define FL_AGENT_SOCKET_REOPEN_MS 1000 /* between attempts to make a removed path again */

struct fl_agent_socket;

/* Listens on the path; on_connection gets user, and accepts. Creates the socket's directory if only that one is missing.
 * conf is for the call, log is borrowed. Two agents that start at once see each other: the directory is locked meanwhile. If
 * somebody else keeps it locked, that is logged, and the agent goes on without the lock.
 * Errors: FL_ERR_INVALID, the path is not usable, or others may write to the directory; FL_ERR_IO, the directory does not
 * exist or cannot be opened, or another process listens at the path (the sentence names it). Each sentence names the
 * remedy. */
int fl_agent_socket_open(struct fl_net *net, const struct fl_conf *conf, struct fl_log *log,
			 fl_listener_cb on_connection, void *user, struct fl_agent_socket **ret,
			 struct fl_err *err) FL_MUST_USE;

/* Stops listening and removes the path, unless a successor has put its own there. The memory is freed in the loop's next
 * iterations. */
void fl_agent_socket_close(struct fl_agent_socket *agent_socket);

#endif
