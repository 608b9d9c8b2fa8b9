/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_NET_NET_H
#define FL_NET_NET_H
/* net - what the sockets of one libuv loop share, and the loop itself.
 *
 * Loop-bound: every call on the loop's thread. One epoll descriptor serves all sockets and listeners of a net; it is there as
 * long as something is open. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/err.h"
#include "net/ports.h"

struct fl_net {
	uv_loop_t *loop;
	uint8_t *read_buf;        /* owned */
	size_t read_cap;          /* bytes: `[limits] buffer` */
	struct fl_poller *poller; /* owned; NULL while nothing is open */
	size_t open;              /* sockets and listeners not yet freed */
	size_t farewells;         /* of those, closed and lingering */
	size_t farewells_max;     /* 1024 to begin with; the owner's to set */
	bool wipes; /* what sockets opened from now on send holds keys: copies are wiped */
	struct fl_ports ports; /* for dials that ask for them; none until fl_ports_load() */
	uint16_t keep_s;       /* of what is opened from now on (alive.h) */
};

void fl_net_init(struct fl_net *net, uv_loop_t *loop, size_t read_cap);
void fl_net_done(struct fl_net *net); /* open must be 0 */
/* Runs the loop until it has no active handle and the net has nothing open; quicker than uv_run(), which serves as well.
 * turn_over is called whenever all that had happened is dealt with. Nothing of the net may be open when it begins, and
 * uv_stop() does not end it. Errors: a negative errno, before anything ran. */
int fl_net_run(struct fl_net *net, void (*turn_over)(void *user), void *user) FL_MUST_USE;

#endif
