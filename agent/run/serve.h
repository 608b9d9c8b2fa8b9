/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_RUN_SERVE_H
#define FL_AGENT_RUN_SERVE_H
/* serve - the agent's Unix socket: who is let in, and which generation each sidecar gets.
 *
 * Knows frames and numbers, and neither files nor certificates. Several sidecars may be
 * connected at once (an old one lingers while its successor is there already): each gets the
 * generation when it has said HELLO, and at most FL_SERVE_MAX of them stay: the newest ones, and
 * those that have said it before those that have not.
 *
 * Numbers: content that a sidecar has already (equal digest) keeps the number that it has there;
 * other content gets the first number that no sidecar has seen. So a restarted agent continues
 * where its predecessor ended, and disturbs nobody when nothing has changed.
 *
 * Loop-bound. Errors of callers cost them their connection and one line of log. */
#include <sys/types.h>

#include "base/log.h"
#include "conf/conf.h"
#include "net/sock.h"
#include "pki/credentials.h"

#define FL_SERVE_MAX 8
#define FL_SERVE_HELLO_MS 10000  /* a caller says HELLO within this time */
#define FL_SERVE_REOPEN_MS 1000  /* between attempts to make a removed socket again */
#define FL_SERVE_RESULT_MS 30000 /* a sidecar has judged a generation within this time */

struct fl_serve;

/* Listens on `[agent] socket`; lets in processes of our own uid and of `sidecar_uid`. Its directory is made where only that
 * one is missing. conf is for the call, log is borrowed. Errors name the remedy: no such directory, one that others may
 * write to, another agent has the socket (who), something else is in the way. */
int fl_serve_open(struct fl_net *net, const struct fl_conf *conf, struct fl_log *log,
		  struct fl_serve **ret, struct fl_err *err) FL_MUST_USE;

/* From now on this is the generation: sent to all who are connected and to all who come. Takes
 * over frame (an encoded GENERATION) and wipes it when it is replaced. */
void fl_serve_generation(struct fl_serve *serve, uint8_t *frame, size_t len,
			 const uint8_t digest[FL_DIGEST_LEN]);

/* Tells all who are connected, and all who come, that the candidate that is mounted now was refused at this
 * time (seconds since the epoch) and why; text NULL: none is, any more. */
void fl_serve_note(struct fl_serve *serve, int64_t time, const char *text);

/* Closes all, removes the socket's path; the memory goes with the loop's next turns. */
void fl_serve_close(struct fl_serve *serve);

#endif
