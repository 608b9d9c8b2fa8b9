/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_PROXY_DETECT_H
#define FL_PROXY_DETECT_H
/* detect - whom does a permissive port have before it: a peer of ours, the app's own TLS, plaintext, or somebody who
 * waits for the app to speak first?
 *
 * A connection is looked at until its first bytes tell (wire/hello.h) or the port's detect_timeout is over without
 * one. Meanwhile it counts as a handshake. What was read goes to whoever gets the connection: nothing is read twice, and
 * a client that is silent costs no buffer. One that starts a ClientHello and does not finish it has
 * handshake_timeout, which goes on for the handshake. Loop-bound. */
#include "base/mem.h"
#include "proxy/session.h"

/* Takes sock over, which has no user yet; cb then gets it, unless it ends before: that is logged inside. */
typedef void (*fl_detect_cb)(struct fl_route *route, struct fl_sock *sock,
			     const struct fl_session_begun *begun);
/* route->detected says what it is before cb is called. begun: for the call only. The socket is not being read. */
void fl_detect_start(struct fl_route *route, struct fl_sock *sock, fl_detect_cb cb);

/* "fairlead", "tls", "plaintext", "silence"; NULL when nobody has looked. */
const char *fl_detected_word(enum fl_detected detected);

/* Ends every detection of the worker, with a reset (shutdown). */
void fl_detect_end_all(struct fl_worker *worker);

/* Adds those that are under way. */
void fl_detect_list(struct fl_worker *worker, struct fl_listing *ret);

#endif
