/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_CONN_DIAL_H
#define FL_CONN_DIAL_H
/* dial - an outbound connection's way to the first of its addresses that answers.
 *
 * Addresses are tried in their order. All of them share connect_timeout, which is divided among those that are left, so
 * that an address that swallows packets does not use up the time of those behind it. Embedded in a mesh side; loop-bound. */
#include "conn/conn.h"
#include "net/sock.h"

struct fl_dialer;

/* sock: connected and not read yet; it is the callee's. NULL: no address has answered; reason: of the last one. */
typedef void (*fl_dialer_cb)(struct fl_dialer *dialer, struct fl_sock *sock, enum fl_reason reason);

struct fl_dialer {
	struct fl_conn *conn; /* borrowed */
	struct fl_sock *sock; /* that is dialled, or was last; NULL: none */
	const struct fl_sock_events *events;
	void *user; /* of events */
	fl_dialer_cb cb;
	struct fl_deadline check;  /* whether the address has had its time */
	uint64_t address_until_ms; /* the part of connect_timeout that the address may have */
	uint32_t next_target;      /* which of the targets, or the destination, comes next */
	bool is_for_tls;           /* a handshake follows */
};

/* Sets what is dialled for: those events, once connected. */
void fl_dialer_init(struct fl_dialer *dialer, struct fl_conn *conn, bool is_for_tls,
		    const struct fl_sock_events *events, void *user, fl_dialer_cb cb);
/* FL_REASON_DONE: cb runs once, later. Else why nothing could even be tried. */
enum fl_reason fl_dialer_start(struct fl_dialer *dialer) FL_MUST_USE;
/* The same once more: what was dialled last is dialled again, and connect_timeout begins anew. */
enum fl_reason fl_dialer_start_again(struct fl_dialer *dialer) FL_MUST_USE;
/* Ends it, whatever state it is in; cb does not run any more. */
void fl_dialer_stop(struct fl_dialer *dialer);

#endif
