/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_NET_NET_H
#define FL_NET_NET_H
/* net - what the sockets of one libuv loop share, and the loop itself.
 *
 * Loop-bound: every call on the loop's thread. One epoll descriptor serves all sockets and
 * listeners of a net; it exists while something is open. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/err.h"
#include "net/ports.h"

/* Bytes before and after what on_data gets that its user may write to, for a header and an end of its own: so bytes are
 * framed where they are. */
#define FL_NET_HEADROOM 96u
#define FL_NET_TAILROOM 32u

/* Returns zeroed room for cap bytes and what is around them; fl_net_free_buffer() frees it. NULL is fine there. */
uint8_t *fl_net_new_buffer(size_t cap);
void fl_net_free_buffer(uint8_t *buffer);

struct fl_net {
	uv_loop_t *loop;
	uint8_t *read_buf;        /* owned; fl_net_new_buffer() */
	size_t read_cap;          /* bytes: `[limits] buffer` */
	struct fl_poller *poller; /* owned; NULL while nothing is open */
	struct fl_full *full; /* Unix listeners that have no room (sock_dial.c); a list, owned */
	size_t open;          /* sockets and listeners not yet freed */
	size_t farewells;     /* of those, closed and lingering */
	size_t farewells_max; /* 1024 by default; the owner may change it */
	bool wipes; /* data sent by sockets opened from now on may hold keys: wipe copies */
	struct fl_ports ports; /* for dials that request them; empty until fl_ports_load() */
	uint16_t keep_s;       /* for sockets opened from now on (alive.h) */
};

void fl_net_init(struct fl_net *net, uv_loop_t *loop, size_t read_cap);
void fl_net_done(struct fl_net *net); /* open must be 0 */
/* Lets something be opened before fl_net_run(), which has to follow then: without it, uv_run() has to. Nothing is open yet.
 * Errors: a negative errno. */
int fl_net_lead(struct fl_net *net) FL_MUST_USE;
/* Runs the loop until it has no active handle and the net has nothing open. uv_run() works as well,
 * but is slower. turn_over is called whenever all pending events have been handled. Nothing of the
 * net may be open at the start, unless fl_net_lead() came first, and uv_stop() does not end the run.
 * Errors: a negative errno, before anything ran. */
int fl_net_run(struct fl_net *net, void (*turn_over)(void *user), void *user) FL_MUST_USE;

#endif
