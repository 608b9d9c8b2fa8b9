/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_CONN_CROWD_H
#define FL_CONN_CROWD_H
/* crowd - connections that have proven nothing yet, in a waiting room of bounded size; and which one has to go when it is full.
 *
 * Each is a member of the network that it comes from. A member takes one part of the room, and more if we keep bytes of it.
 * When the room is full, the network that takes most of it loses its oldest member that is not whole, or else its oldest. So a
 * network that fills the room pushes out its own members only, and others find room at any rate. Pure; loop-bound. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/inet.h"

struct fl_crowd_net;

/* Embed this in the waiting object. */
struct fl_crowd_member {
	struct fl_crowd_member *prev, *next;
	struct fl_crowd_net *net; /* NULL: in no crowd */
	uint32_t parts;
	bool whole; /* it has sent all that it sends before an answer */
};

#define FL_CROWD_BUCKETS 256u
struct fl_crowd {
	unsigned room, taken; /* parts; room is the owner's to set, any time */
	struct fl_crowd_net *nets;
	struct fl_crowd_net *buckets[FL_CROWD_BUCKETS];
	uint32_t seed; /* so that nobody can choose networks that meet in a bucket */
};

void fl_crowd_init(struct fl_crowd *crowd, uint32_t seed);
void fl_crowd_done(struct fl_crowd *crowd); /* it has to be empty */

/* Adds it, whether there is room or not. network: fl_inet_network() of its source. False: no memory, and it is not added. */
bool fl_crowd_join(struct fl_crowd *crowd, struct fl_crowd_member *member,
		   const struct fl_inet *network) FL_MUST_USE;
/* It takes so many parts from now on, and is whole or not. */
void fl_crowd_change(struct fl_crowd *crowd, struct fl_crowd_member *member, uint32_t parts,
		     bool whole);
void fl_crowd_leave(struct fl_crowd *crowd,
		    struct fl_crowd_member *member); /* nothing happens if it is in no crowd */

/* Returns the member that has to go; it is still in the crowd. NULL: there is room. Visits every network once, in floods
 * only. */
struct fl_crowd_member *fl_crowd_surplus(const struct fl_crowd *crowd);

#endif
