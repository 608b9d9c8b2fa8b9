/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_RUN_SERVE_H
#define FL_AGENT_RUN_SERVE_H
/* serve - which generation each sidecar gets, and the signatures that its workers ask for, over the connections to the agent's
 * socket.
 *
 * Knows frames and numbers, but neither files nor certificates. Several sidecars may be connected at once: while a sidecar
 * is replaced, the old one still runs. Each gets the generation when it has said HELLO. At most FL_SERVE_SIDECARS of them stay
 * connected: one more closes the oldest. One that has refused the generation is offered it again every FL_SERVE_AGAIN_MS,
 * because the reason may pass: its clock may be wrong. The log says so only when it accepts it after all. Their workers' connections ask for signatures, from their first message on. When
 * there are FL_SERVE_MAX connections and one more comes, the oldest that has said nothing is closed; if all have, the oldest.
 *
 * What a sidecar does not read is bounded: the kernel keeps about FL_SERVE_UNREAD_MAX bytes of it, and here the rest of one message
 * waits. A connection that is closed before it is read keeps a place until it is, or is closed at the other end, too; if there are too many,
 * a new one is refused. One that answers a generation before it can have read it is disconnected.
 *
 * Numbers: content that a sidecar has already (the same digest) keeps the number that it has there; other content gets the
 * first number that no sidecar has seen. So a restarted agent continues where its predecessor ended, and sends no new
 * generation when nothing has changed. Numbers above 2^63-1 do not count, and after that one they begin again.
 *
 * Loop:   the one of net; all calls there. It keeps the loop alive until it is closed.
 * Owns:   the socket, its connections, the frame of the generation (wiped when it is replaced), the keys (run/keyring.h).
 * Errors: only fl_serve_open() returns one. A sidecar that breaks the protocol loses its connection, with one line in the
 *         log. */
#include <sys/types.h>

#include "base/log.h"
#include "conf/conf.h"
#include "net/sock.h"
#include "pki/credentials.h"
#include "pki/signer.h"

#define FL_SERVE_SIDECARS 8
#define FL_SERVE_MAX 520 /* with the workers of two sidecars, 256 each at most */
#define FL_SERVE_PLACES (FL_SERVE_MAX + 256) /* with those that are closed and not read */
#define FL_SERVE_HELLO_MS 10000              /* within this time a connection says what it is */
#define FL_SERVE_WHOLE_MS 10000  /* within this time a message that has begun is whole */
#define FL_SERVE_RESULT_MS 30000 /* within this time it has judged a generation */
#define FL_SERVE_AGAIN_MS 10000  /* after this time a refused generation is offered again */
#define FL_SERVE_UNREAD_MAX (16 * 1024)

struct fl_serve;

/* Listens (run/agent_socket.h, whose errors it returns) and admits processes of our own uid and of `sidecar_uid`. conf is
 * for the call, log is borrowed. */
int fl_serve_open(struct fl_net *net, const struct fl_conf *conf, struct fl_log *log,
		  struct fl_serve **ret, struct fl_err *err) FL_MUST_USE;

struct fl_serve_generation {
	uint8_t *frame; /* an encoded GENERATION, taken over */
	size_t len;
	const uint8_t *digest;      /* FL_DIGEST_LEN bytes of its content; copied */
	struct fl_signer *signer;   /* its key, taken over; NULL: the frame has it */
	const struct fl_conf *conf; /* its INI; for the call */
};
/* Makes this the generation: it is sent to every sidecar that is connected, or connects later. One without the key is not
 * sent to a sidecar of an older release, which could do nothing with it: that is disconnected, with a line in the log. */
void fl_serve_generation(struct fl_serve *serve, const struct fl_serve_generation *generation);

/* There is no generation, but this key, for sidecars that use it already (run/spare_key.h); taken over. NULL is fine. */
void fl_serve_spare_key(struct fl_serve *serve, struct fl_signer *signer);

/* Tells every sidecar that is connected, or connects later, that the mounted candidate was refused at this time (seconds
 * since the epoch), and why. text NULL: it is not refused any more. text is copied. */
void fl_serve_note(struct fl_serve *serve, int64_t time, const char *text);

/* Closes the socket and all connections. The memory is freed in the loop's next iterations. */
void fl_serve_close(struct fl_serve *serve);

#endif
