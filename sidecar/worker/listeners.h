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
	FL_ENDPOINT_CLOSED, /* there is no generation yet, or no more connections are accepted */
	FL_ENDPOINT_OPEN,
	FL_ENDPOINT_FAILED, /* it could not be opened; the log says why */
	FL_ENDPOINT_ABSENT, /* this machine does not support its address family */
};

/* An endpoint and its socket. */
struct fl_bound {
	struct fl_endpoint endpoint;
	const struct fl_addr *address; /* from the bound INI, borrowed; for the main thread */
	int fd; /* bound; -1 once the listener has taken it, or without IPv6 */
	/* The socket's descriptor, to be given to a sidecar that replaces this one; for the main thread, valid while it listens. */
	int shared_fd;
	bool is_inherited; /* likewise: it is of the sidecar that this one replaces */
	int reserved_fd;   /* first worker: reserves the port until we listen; -1: none */
	struct fl_listener *listener; /* NULL: it does not listen */
	uint8_t state;                /* enum fl_endpoint_state; atomic: read by the main thread */
};

struct fl_listeners {
	struct fl_bound *items; /* owned */
	size_t count;
};

/* Attaches the endpoints to that loop. Main thread, before the loop runs. */
void fl_listeners_attach(struct fl_listeners *listeners, struct fl_loop *loop);
/* Opens all listeners. Logs each one that cannot be opened. */
void fl_listeners_open(struct fl_listeners *listeners);
/* Adapts the listeners to the modes of the loop's current share: where only TLS is expected, this
 * saves one packet for each handshake. */
void fl_listeners_tune(struct fl_listeners *listeners, const struct fl_loop *loop);
/* Closes all listeners, including those that are bound but were never opened. A second call does
 * nothing. */
void fl_listeners_close(struct fl_listeners *listeners);
/* Frees the rest. Call fl_listeners_close() first. */
void fl_listeners_done(struct fl_listeners *listeners);

/* Any thread. */
enum fl_endpoint_state fl_listeners_state(const struct fl_listeners *listeners, size_t number);

#endif
