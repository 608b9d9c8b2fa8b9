/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_WORKER_LISTENERS_H
#define FL_WORKER_LISTENERS_H
/* listeners - the sockets on which the connections of one worker arrive: bound by bind.h, opened under the first
 * generation, closed when the worker drains. On the worker's loop, except where another thread is named. */
#include <stddef.h>
#include <stdint.h>

#include "conn/endpoint.h"
#include "conn/loop.h"

enum fl_endpoint_state {
	FL_ENDPOINT_CLOSED, /* there is no generation yet, or no more connections are taken */
	FL_ENDPOINT_OPEN,
	FL_ENDPOINT_FAILED, /* it could not be opened; the log says why */
	FL_ENDPOINT_ABSENT, /* of a family that this machine has not got */
};

/* An endpoint and its socket. */
struct fl_bound {
	struct fl_endpoint endpoint;
	const struct fl_addr
		*address; /* of the INI that was bound, borrowed: for the main thread */
	int fd;           /* bound; -1 once the listener has taken it, or without IPv6 */
	int reserved_fd;  /* of the first worker: keeps others out until we listen; -1: none */
	struct fl_listener *listener; /* NULL: it does not listen */
	uint8_t state;                /* enum fl_endpoint_state; atomic: read by the main thread */
};

struct fl_listeners {
	struct fl_bound *items; /* owned */
	size_t count;
};

/* The endpoints become those of that loop. Main thread, before the loop runs. */
void fl_listeners_attach(struct fl_listeners *listeners, struct fl_loop *loop);
/* Opens them. One that cannot be opened is logged. */
void fl_listeners_open(struct fl_listeners *listeners);
/* As the modes of the loop's current share ask for: where nothing comes but TLS, a handshake takes a packet less. */
void fl_listeners_tune(struct fl_listeners *listeners, const struct fl_loop *loop);
/* Also what is bound and was never opened; again: nothing happens. */
void fl_listeners_close(struct fl_listeners *listeners);
/* Frees what is left. Closed before. */
void fl_listeners_done(struct fl_listeners *listeners);

/* Any thread. */
enum fl_endpoint_state fl_listeners_state(const struct fl_listeners *listeners, size_t number);

#endif
