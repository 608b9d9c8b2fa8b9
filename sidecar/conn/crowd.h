/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_CONN_CROWD_H
#define FL_CONN_CROWD_H
/* crowd - connections that have not proven anything yet, in a waiting room of bounded size. Selects the one to evict when
 * the room is full.
 *
 * Each is a member of the network that it comes from. A member occupies one part of the room, and more if we keep bytes of
 * it. When the room is full, the network that occupies most of it loses its oldest member that is not whole; if all are
 * whole, its oldest. So a network that fills the room evicts only its own members, and other networks always find room.
 * Pure; loop-bound. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/inet.h"

struct fl_crowd_net;

/* Embed this in the waiting object. */
struct fl_crowd_member {
	struct fl_crowd_member *prev, *next;
	struct fl_crowd_net *net; /* NULL: not in a crowd */
	uint32_t parts;
	bool whole; /* it has sent everything that a client sends before an answer */
};

#define FL_CROWD_BUCKETS 256u
struct fl_crowd {
	unsigned room, taken; /* in parts; the owner may set room at any time */
	struct fl_crowd_net *nets;
	struct fl_crowd_net *buckets[FL_CROWD_BUCKETS];
	uint32_t seed; /* so that nobody can choose networks that share a bucket */
};

void fl_crowd_init(struct fl_crowd *crowd, uint32_t seed);
void fl_crowd_done(struct fl_crowd *crowd); /* the crowd must be empty */

/* Adds the member, even if there is no room. network: fl_inet_network() of its source. False: no memory; the member is not
 * added. */
bool fl_crowd_join(struct fl_crowd *crowd, struct fl_crowd_member *member,
		   const struct fl_inet *network) FL_MUST_USE;
/* From now on the member occupies this many parts, and is whole or not. */
void fl_crowd_change(struct fl_crowd *crowd, struct fl_crowd_member *member, uint32_t parts,
		     bool whole);
void fl_crowd_leave(struct fl_crowd *crowd,
		    struct fl_crowd_member *member); /* does nothing if the member is in no crowd */

/* Returns the member to evict, which is still in the crowd. NULL: there is room. Visits every network once, but only in
 * floods. */
struct fl_crowd_member *fl_crowd_surplus(const struct fl_crowd *crowd);

#endif
