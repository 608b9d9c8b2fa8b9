/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_CONN_NAMING_H
#define FL_CONN_NAMING_H
/* naming - where an outbound connection goes when that depends on DNS names.
 *
 * A captured destination whose exact address is known belongs to the upstream that has that address. An unknown address on
 * a port of a DNS name may be an address of that name that DNS has not returned yet, and another upstream might send the
 * connection on without checking `peer`. So the names with that port must first have fresh answers
 * (fl_upstream_map_fresh_ms()). While a name has no answer or no address, connections to unknown addresses on its ports are
 * refused. A connection to a fixed upstream without an address waits.
 *
 * An address that only a plaintext upstream's name has may meanwhile also belong to a mesh service, which would then get
 * its traffic in plaintext. So those names are queried again in the same way, but while DNS does not answer, its last
 * answer stays in use. Loop-bound. */
#include <stdbool.h>
#include <stddef.h>

struct fl_conn;
struct fl_loop;

/* Embed this in the waiting object. */
struct fl_naming_waiter {
	struct fl_naming_waiter *prev, *next; /* prev NULL: it does not wait */
};

enum fl_naming {
	FL_NAMING_KNOWN,   /* upstream and targets are certain */
	FL_NAMING_WAIT,    /* a query has been sent; wait for its answer */
	FL_NAMING_LINGER,  /* as KNOWN, but a query checks it again: wait for a moment */
	FL_NAMING_NOBODY,  /* DNS has answered, and there is no address */
	FL_NAMING_NO_SUCH, /* a reload has removed its upstream */
};
/* Decides by the worker's current share, which becomes the connection's. For WAIT and NOBODY, detail says why in a sentence.
 * Nothing may be dialled for it now. Call it again if it was decided under an earlier share and has waited since. */
enum fl_naming fl_naming_decide(struct fl_conn *conn, char *detail, size_t size);

void fl_naming_wait(struct fl_loop *loop, struct fl_naming_waiter *waiter);
/* Does nothing if it does not wait. */
void fl_naming_leave(struct fl_loop *loop, struct fl_naming_waiter *waiter);

#endif
