/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_SERVER_SERVER_H
#define FL_SERVER_SERVER_H
/* server - the whole sidecar: binds the listeners of the INI, starts the workers, takes generations from the agent, answers
 * whether it is ready, and ends on SIGTERM. The first SIGTERM drains, the second ends at once.
 *
 * Thread: main, for every function here. */
#include <stdbool.h>

#include "base/log.h"
#include "conf/conf.h"
#include "net/sock.h"
#include "report/report.h"

struct fl_server;

/* Binds every listener and prepares the workers; nothing runs yet. conf and log are borrowed until fl_server_free(). Errors:
 * FL_ERR_IO with the section and address that cannot be bound; then there is nothing to free. */
int fl_server_new(const struct fl_conf *conf, struct fl_log *log, struct fl_server **ret,
		  struct fl_err *err) FL_MUST_USE;

/* Runs until a signal, or fl_server_drain(), has ended it. Errors: FL_ERR_IO, no thread can be started. */
int fl_server_run(struct fl_server *server, struct fl_err *err) FL_MUST_USE;

/* Stops what runs, and frees. After fl_server_run(), or instead of it. NULL is fine. */
void fl_server_free(struct fl_server *server);

/* cb is called once, when the server has stopped and its loop should end: whoever else has handles on the loop closes them. */
void fl_server_on_stop(struct fl_server *server, void (*cb)(void *user), void *user);

/* Returns the sockets of the main loop, for the admin endpoint; borrowed. */
struct fl_net *fl_server_net(struct fl_server *server);

/* Returns how many callers the admin endpoint may have at a time, by the descriptors that the system allows. */
unsigned fl_server_admin_callers_max(const struct fl_server *server);

/* Returns the INI of the generation in use; before the first, that of the start. Valid until the loop turns. */
const struct fl_conf *fl_server_conf(const struct fl_server *server);

/* Can it carry traffic? If not, reason (of size bytes) says why in one sentence. */
bool fl_server_ready(struct fl_server *server, char *reason, size_t size);

/* Returns how many connections are open, in both directions. */
unsigned fl_server_open_connections(const struct fl_server *server);

/* Fills ret with all that metrics, status and page say, to be given back with fl_snapshot_done() before the loop turns. False: there
 * is no memory, and nothing to give back. */
bool fl_server_snapshot(struct fl_server *server, struct fl_snapshot *ret) FL_MUST_USE;

/* Does what SIGTERM does. False: it is stopping already. */
bool fl_server_drain(struct fl_server *server);

/* Sets the log level of all threads, whatever the INI says, now and later; NULL: as the INI says again. False: there was no memory to
 * tell all of them. */
bool fl_server_set_log_level(struct fl_server *server, const enum fl_log_level *level);

/* Finds the user whom the agent runs as. False: no agent was reached yet. */
bool fl_server_agent_uid(const struct fl_server *server, uid_t *ret);

/* --- what the workers have to be asked for ----------------------------------------------------------
 *
 * Each of these appends a document to ret and returns true. False: not yet; the workers are asked, and the callback of
 * fl_server_on_listed() is called when the document can be had, in a later turn of the loop and for the time of that call. Without
 * memory ret is made to fail (base/text.h). */

/* What is open (report/connections.h). */
bool fl_server_connections(struct fl_server *server, struct fl_text *ret);
/* The page of all there is (report/report.h). */
bool fl_server_page(struct fl_server *server, struct fl_text *ret);
/* Whom policy refused (report/callers_report.h). */
bool fl_server_callers(struct fl_server *server, struct fl_text *ret);

/* What a candidate would do to the connections that are open (report/preview_report.h). frame: a GENERATION of ctl/message.h, key and
 * all; read during the call only. asker: only compared, so that the answer goes to whoever asked; ask again with the same one.
 * *ret_status: 200; 400: the candidate would be refused, and the document is one sentence that says why; 503: not now. */
bool fl_server_preview(struct fl_server *server, struct fl_span frame, const void *asker,
		       unsigned *ret_status, struct fl_text *ret);

void fl_server_on_listed(struct fl_server *server, void (*cb)(void *user), void *user);

#endif
