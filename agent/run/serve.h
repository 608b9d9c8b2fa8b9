/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_RUN_SERVE_H
#define FL_AGENT_RUN_SERVE_H
/* serve - which generation each sidecar gets, over the connections to the agent's socket.
 *
 * Knows frames and numbers, but neither files nor certificates. Several sidecars may be connected at once: while a sidecar
 * is replaced, the old one still runs. Each gets the generation when it has said HELLO. At most FL_SERVE_MAX connections
 * stay open: when there is one more, the oldest without a HELLO is closed; if all have sent one, the oldest.
 *
 * Numbers: content that a sidecar has already (the same digest) keeps the number that it has there; other content gets the
 * first number that no sidecar has seen. So a restarted agent continues where its predecessor ended, and sends no new
 * generation when nothing has changed.
 *
 * Loop:   the one of net; all calls there. It keeps the loop alive until it is closed.
 * Owns:   the socket, its connections, the frame of the generation (wiped when it is replaced).
 * Errors: only fl_serve_open() returns one. A sidecar that breaks the protocol loses its connection, with one line in the
 *         log. */
#include <sys/types.h>

#include "base/log.h"
#include "conf/conf.h"
#include "net/sock.h"
#include "pki/credentials.h"

#define FL_SERVE_MAX 8
#define FL_SERVE_HELLO_MS 10000  /* within this time a sidecar says HELLO */
#define FL_SERVE_RESULT_MS 30000 /* within this time it has judged a generation */

struct fl_serve;

/* Listens (run/agent_socket.h, whose errors it returns) and admits processes of our own uid and of `sidecar_uid`. conf is
 * for the call, log is borrowed. */
int fl_serve_open(struct fl_net *net, const struct fl_conf *conf, struct fl_log *log,
		  struct fl_serve **ret, struct fl_err *err) FL_MUST_USE;

/* Makes this the generation: it is sent to every sidecar that is connected, or connects later. Takes over frame (an
 * encoded GENERATION). */
void fl_serve_generation(struct fl_serve *serve, uint8_t *frame, size_t len,
			 const uint8_t digest[FL_DIGEST_LEN]);

/* Tells every sidecar that is connected, or connects later, that the mounted candidate was refused at this time (seconds
 * since the epoch), and why. text NULL: it is not refused any more. text is copied. */
void fl_serve_note(struct fl_serve *serve, int64_t time, const char *text);

/* Closes the socket and all connections. The memory is freed in the loop's next iterations. */
void fl_serve_close(struct fl_serve *serve);

#endif
