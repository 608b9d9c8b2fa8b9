/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_CONN_NAMING_H
#define FL_CONN_NAMING_H
/* naming - where an outbound connection goes when that depends on DNS names.
 *
 * A captured destination whose very address is known belongs to the upstream that has it. Where it is not, and its port is
 * one of a name's, it may be an address of that name that DNS has not given us yet, and any other upstream might let it go
 * where `peer` is not checked. So the names of that port are asked first, by answers that are fresh
 * (fl_upstream_map_fresh_ms()); a name that is not answered, or has no address, lets nothing unknown pass on its ports. A
 * connection to a fixed upstream waits where that has no address.
 *
 * An address that only a plaintext upstream's name has may be a mesh service's by now, too, which would get in the clear what
 * is meant for it. So those names are asked again likewise, but while DNS does not answer, its last answer stands.
 * Loop-bound. */
#include <stdbool.h>
#include <stddef.h>

struct fl_conn;
struct fl_loop;

/* Embed this in the waiting object. */
struct fl_naming_waiter {
	struct fl_naming_waiter *prev, *next; /* prev NULL: it does not wait */
};

enum fl_naming {
	FL_NAMING_KNOWN,  /* upstream, and targets, are what it goes by */
	FL_NAMING_WAIT,   /* for an answer that has been asked for */
	FL_NAMING_LINGER, /* as KNOWN, but whether that is still so has been asked: worth a moment */
	FL_NAMING_NOBODY,  /* DNS has answered, and there is no address */
	FL_NAMING_NO_SUCH, /* a reload has taken its upstream away */
};
/* Decides by the worker's current share, which becomes the connection's. For WAIT and NOBODY, detail says why in a sentence. */
enum fl_naming fl_naming_decide(struct fl_conn *conn, char *detail, size_t size);

void fl_naming_wait(struct fl_loop *loop, struct fl_naming_waiter *waiter);
/* One that does not wait: nothing happens. */
void fl_naming_leave(struct fl_loop *loop, struct fl_naming_waiter *waiter);

#endif
