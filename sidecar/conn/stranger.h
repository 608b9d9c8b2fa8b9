/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_CONN_STRANGER_H
#define FL_CONN_STRANGER_H
/* stranger - an inbound connection of which only the source is known yet.
 *
 *   accepted --> READING --> [WAITING for a slot] --> cb: a session, or plaintext
 *
 * It is read until its first bytes show what it is. At a strict port, that is when a whole ClientHello is there, or bytes
 * that cannot become one (wire/first.h). At a permissive port, it is when the bytes distinguish a peer of ours, the app's
 * own TLS and plaintext (wire/hello.h), or when detect_timeout ends without any bytes. The bytes are handed over with the
 * connection: nothing is read twice, and a silent client costs no buffer. Only then does a peer of ours get a slot among
 * `[limits] handshakes`, and an engine.
 *
 * So a stranger costs a descriptor and some hundred bytes, for five seconds at most, and no slot. All of a worker's are in
 * one crowd (crowd.h): when that is full, the network with most strangers loses its oldest one, which is read a last time
 * before it is evicted. Loop-bound. */
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

/* Takes over sock, which has no user yet; cb then gets it, unless the stranger ends before: that is logged inside. */
typedef void (*fl_stranger_cb)(struct fl_conn *conn, struct fl_sock *sock,
			       const struct fl_session_begun *begun);
/* At a permissive port, conn->detected is set before cb is called. begun: for the call only. The socket is not being
 * read. */
void fl_stranger_start(struct fl_conn *conn, struct fl_sock *sock, fl_stranger_cb cb);

/* Ends every stranger with a reset (shutdown). */
void fl_strangers_end_all(struct fl_loop *loop);

/* Adds all strangers to the listing. */
void fl_strangers_list(struct fl_loop *loop, struct fl_listing *ret);

#endif
