/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_SERVER_SERVER_H
#define FL_SERVER_SERVER_H
/* server - the whole sidecar: binds what the INI says, starts the workers, takes generations from the agent, tells
 * whether it is ready, and ends on SIGTERM: draining first, at once on the second. */
#include <stdbool.h>

#include "base/log.h"
#include "conf/conf.h"
#include "net/sock.h"
#include "report/report.h"

struct fl_server;

/* Binds every listener and prepares the workers; nothing runs yet. conf and log are borrowed. Errors: FL_ERR_IO with
 * the section and address that cannot be bound. */
int fl_server_new(const struct fl_conf *conf, struct fl_log *log, struct fl_server **ret,
		  struct fl_err *err) FL_MUST_USE;

/* The INI of the generation in use; before the first, that of the start. Valid until the loop turns on. */
const struct fl_conf *fl_server_conf(const struct fl_server *server);

/* The main loop's sockets, for the admin endpoint. */
struct fl_net *fl_server_net(struct fl_server *server);
/* How many callers that may have, by the descriptors that there are. */
unsigned fl_server_admin_callers_max(const struct fl_server *server);

/* Can it carry traffic? When not, reason (of size bytes) says why in one sentence. Main loop. */
bool fl_server_ready(struct fl_server *server, char *reason, size_t size);

/* All that it has to tell; to be given back with fl_snapshot_done() before the main loop turns on. False: there is no memory
 * for it, and nothing to give back. */
bool fl_server_snapshot(struct fl_server *server, struct fl_snapshot *ret) FL_MUST_USE;

/* What SIGTERM does. False: it is stopping already. Main loop. */
bool fl_server_drain(struct fl_server *server);
/* Open connections of both directions, for a sentence. Main loop. */
unsigned fl_server_open_connections(const struct fl_server *server);
/* Of all threads, whatever the INI says, now and later; NULL: as the INI says again. False: for want of memory not of all.
 * Main loop. */
bool fl_server_set_log_level(struct fl_server *server, const enum fl_log_level *level);
/* Whom the agent runs as. False: there has been none yet. Main loop. */
bool fl_server_agent_uid(const struct fl_server *server, uid_t *ret);

/* For want of memory ret is made to fail, in each of these. */
/* Appends what is open, as a document (listing.h). False: not yet, the workers are asked, and on_listed is called when
 * it can be had, in a turn of the loop, for the time of that call. Main loop. */
bool fl_server_connections(struct fl_server *server, struct fl_text *ret);
/* The same for the page of all there is (report.h). */
bool fl_server_page(struct fl_server *server, struct fl_text *ret);
/* The same for whom policy refused (callers.h). */
bool fl_server_callers(struct fl_server *server, struct fl_text *ret);
void fl_server_on_listed(struct fl_server *server, void (*cb)(void *user), void *user);

/* What a candidate would do to the connections that are open: frame is a GENERATION of ctl/message.h, key and all. Appends
 * a document (preview.h) and returns true with *ret_status 200; or a sentence with 400 (it would be refused, and why) or
 * 503. False: not yet; on_listed is called when it can be asked again, with the same asker, which is only compared.
 * Main loop. */
bool fl_server_preview(struct fl_server *server, struct fl_span frame, const void *asker,
		       unsigned *ret_status, struct fl_text *ret);

/* Called once when the server has stopped and its main loop should end: whoever else has handles on it closes them. */
void fl_server_on_stop(struct fl_server *server, void (*cb)(void *user), void *user);

/* Runs until a signal has ended it. */
int fl_server_run(struct fl_server *server, struct fl_err *err) FL_MUST_USE;

void fl_server_free(struct fl_server *server); /* after run, or instead of it; NULL is fine */

#endif
