/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_CONN_STRANGER_H
#define FL_CONN_STRANGER_H
/* stranger - an inbound connection of which nothing is known yet but where it comes from.
 *
 *   accepted --> READING --> [WAITING for a slot] --> cb: a session, or plaintext
 *
 * It is looked at until its first bytes tell what it is: at a strict port until a whole ClientHello is there, or what can
 * be none (wire/first.h); at a permissive one until they tell a peer of ours, the app's own TLS and plaintext apart
 * (wire/hello.h), or until the port's detect_timeout is over without one. What was read goes to whoever gets the connection:
 * nothing is read twice, and who is silent costs no buffer. Only then a peer of ours takes a slot among `[limits]
 * handshakes`, and there is an engine.
 *
 * So a stranger costs a descriptor and some hundred bytes, for five seconds at most, and no slot. All of a worker's
 * are in one crowd (crowd.h): when that is full, the network with most of them loses its oldest, who is asked a last time
 * whether it has said something. Loop-bound. */
#include "base/mem.h"
#include "conn/session.h"
#include "conn/state.h"

struct fl_stranger;

enum fl_stranger_state {
	FL_STRANGER_READING,
	FL_STRANGER_WAITING, /* for a slot, with a whole ClientHello */
	FL_STRANGER_GONE,    /* handed over, or ended */
};
extern const struct fl_states fl_stranger_states;

/* Takes sock over, which has no user yet; cb then gets it, unless it ends before: that is logged inside. */
typedef void (*fl_stranger_cb)(struct fl_conn *conn, struct fl_sock *sock,
			       const struct fl_session_begun *begun);
/* conn->detected says what a permissive port has found before cb is called. begun: for the call only. The socket is not being
 * read. */
void fl_stranger_start(struct fl_conn *conn, struct fl_sock *sock, fl_stranger_cb cb);

/* Ends every one, with a reset (shutdown). */
void fl_strangers_end_all(struct fl_loop *loop);

/* Adds those that are there. */
void fl_strangers_list(struct fl_loop *loop, struct fl_listing *ret);

#endif
