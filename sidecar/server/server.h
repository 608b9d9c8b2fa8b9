/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_SERVER_SERVER_H
#define FL_SERVER_SERVER_H
/* server - the whole sidecar: binds the listeners of the INI, starts the workers, receives
 * generations from the agent, reports whether it is ready, and ends on SIGTERM. The first SIGTERM
 * drains, the second ends immediately.
 *
 * Thread: main, for every function here. */
#include <stdbool.h>

#include "base/log.h"
#include "base/sandbox.h"
#include "conf/conf.h"
#include "net/inherited.h"
#include "net/sock.h"
#include "report/report.h"

struct fl_server;

/* Binds every listener and prepares the workers; nothing runs yet. conf and log are borrowed until
 * fl_server_free(). Errors: FL_ERR_IO with the section and address that cannot be bound; nothing
 * needs to be freed after an error. inherited: sockets of a sidecar that this one replaces, taken where they fit; NULL: none. */
int fl_server_new(const struct fl_conf *conf, struct fl_log *log, struct fl_inherited *inherited,
		  struct fl_server **ret, struct fl_err *err) FL_MUST_USE;

/* cb is called once, when the sidecar can carry traffic for the first time. Before fl_server_run(). */
void fl_server_on_ready(struct fl_server *server, void (*cb)(void *user), void *user);

/* The descriptors of all sockets that workers listen on, at most max of them, to be given to another sidecar; returns how many.
 * 0: they do not listen (yet, or any more). */
size_t fl_server_listening(const struct fl_server *server, int *fds, size_t max);

/* The paths of Unix listeners stay when the server stops, because another sidecar has the sockets. */
void fl_server_leave_paths(struct fl_server *server);

/* Drains, if it does not do so yet: another sidecar has our sockets and serves. The service manager is told nothing. */
void fl_server_replaced(struct fl_server *server);

/* Starts the workers' threads. Nothing that comes from the network is read before fl_server_run(). Errors: FL_ERR_IO if a
 * thread cannot be started. */
int fl_server_start(struct fl_server *server, struct fl_err *err) FL_MUST_USE;

/* Runs until a signal, or fl_server_drain(), has ended it. sandbox: what is in force, for reports; borrowed meanwhile. */
void fl_server_run(struct fl_server *server, const struct fl_sandbox *sandbox);

/* Stops everything that runs, and frees it. Call it after fl_server_run(), or instead of it. NULL
 * is fine. */
void fl_server_free(struct fl_server *server);

/* cb is called once, when the server has stopped and its loop should end, before its paths are removed. Close
 * all other handles on the loop in it. */
void fl_server_on_stop(struct fl_server *server, void (*cb)(void *user), void *user);

/* Returns the net of the main loop, for the admin endpoint; borrowed. */
struct fl_net *fl_server_net(struct fl_server *server);

/* Returns how many callers the admin endpoint may have at a time, derived from the descriptor
 * limit. */
unsigned fl_server_admin_callers_max(const struct fl_server *server);

/* Returns the INI of the generation in use; before the first generation, the INI at startup. Valid
 * until the loop turns. */
const struct fl_conf *fl_server_conf(const struct fl_server *server);

/* Can it carry traffic? If not, reason (of size bytes) says why in one sentence. */
bool fl_server_ready(struct fl_server *server, char *reason, size_t size);

/* Returns how many connections are open, in both directions. */
unsigned fl_server_open_connections(const struct fl_server *server);

/* Fills ret with the data for metrics, status and page. Release it with fl_snapshot_done() before
 * the loop turns. False: out of memory, and nothing needs to be released. */
bool fl_server_snapshot(struct fl_server *server, struct fl_snapshot *ret) FL_MUST_USE;

/* Does what SIGTERM does. False: the server is already stopping. */
bool fl_server_drain(struct fl_server *server);

/* Sets the log level of all threads and overrides the INI from now on; NULL: returns to the INI's
 * level. False: there was not enough memory to tell all threads. */
bool fl_server_set_log_level(struct fl_server *server, const enum fl_log_level *level);

/* --- documents that require answers from the workers ---------------------------------------------
 *
 * Each function appends a document to ret and returns true. False: the document is not ready. The
 * workers are asked, and in a later turn of the loop the callback of fl_server_on_listed() is called;
 * the document is available during that call only. If memory runs out, ret is made to fail
 * (base/text.h). */

/* The open connections (report/connections.h). */
bool fl_server_connections(struct fl_server *server, struct fl_text *ret);
/* The HTML page (report/report.h). */
bool fl_server_page(struct fl_server *server, struct fl_text *ret);
/* The callers that policy refused (report/callers_report.h). */
bool fl_server_callers(struct fl_server *server, struct fl_text *ret);

/* What a candidate would do to the connections that are open (report/preview_report.h). frame: a
 * GENERATION of ctl/message.h, including the key; read during the call only. asker: identifies the
 * caller, so that the answer goes to the right one; it is only compared. Ask again with the same
 * value. *ret_status: 200; 400: the candidate would be refused, and the document is one sentence
 * that says why; 503: not possible now. */
bool fl_server_preview(struct fl_server *server, struct fl_span frame, const void *asker,
		       unsigned *ret_status, struct fl_text *ret);

void fl_server_on_listed(struct fl_server *server, void (*cb)(void *user), void *user);

#endif
