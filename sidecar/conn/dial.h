/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_CONN_DIAL_H
#define FL_CONN_DIAL_H
/* dial - connects an outbound connection to the first of its addresses that answers.
 *
 * Addresses are tried in their order. They share connect_timeout, which is divided among the addresses that are left, so
 * that an address that drops packets does not use up the time of the ones after it. Embedded in a mesh side; loop-bound. */
#include "conn/conn.h"
#include "net/sock.h"

struct fl_dialer;

/* sock: connected, not read yet, and without probes (fl_sock_begin_keep()); the callee owns it. NULL: no address has answered; reason: that of the last one. */
typedef void (*fl_dialer_cb)(struct fl_dialer *dialer, struct fl_sock *sock, enum fl_reason reason);

struct fl_dialer {
	struct fl_conn *conn; /* borrowed */
	struct fl_sock *sock; /* being dialled, or dialled last; NULL: none */
	const struct fl_sock_events *events;
	void *user; /* of events */
	fl_dialer_cb cb;
	struct fl_deadline check;  /* whether the address's time is over */
	uint64_t address_until_ms; /* the part of connect_timeout for this address */
	uint32_t next_target;      /* which of the targets, or the destination, is next */
	bool is_for_tls;           /* a handshake follows */
};

/* Sets the events that the socket gets once it is connected. */
void fl_dialer_init(struct fl_dialer *dialer, struct fl_conn *conn, bool is_for_tls,
		    const struct fl_sock_events *events, void *user, fl_dialer_cb cb);
/* FL_REASON_DONE: cb runs once, later. Otherwise the reason why no address could be tried. */
enum fl_reason fl_dialer_start(struct fl_dialer *dialer) FL_MUST_USE;
/* Dials the last address again, and starts connect_timeout again. Returns as fl_dialer_start(). */
enum fl_reason fl_dialer_start_again(struct fl_dialer *dialer) FL_MUST_USE;
/* Ends it in any state; cb does not run any more. */
void fl_dialer_stop(struct fl_dialer *dialer);

#endif
