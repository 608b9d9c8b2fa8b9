/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_CONN_CROWD_H
#define FL_CONN_CROWD_H
/* crowd - those who have proven nothing yet, in a waiting room of bounded size; and who has to go when it is full.
 *
 * Each is a member of the network that it comes from. What they take is counted in parts of the room, one for whoever just
 * stands there, more for whoever has bytes that we keep. When it is full, the network that takes most gives somebody up: its
 * oldest member that is not whole, or else its oldest. So who fills the room pushes itself out, and whoever else comes finds
 * one, whatever the rate. Pure; loop-bound. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/inet.h"

struct fl_crowd_net;

/* In what waits. */
struct fl_crowd_member {
	struct fl_crowd_member *prev, *next;
	struct fl_crowd_net *net; /* NULL: in no crowd */
	uint32_t parts;
	bool whole; /* has said all that it has to say by itself */
};

#define FL_CROWD_BUCKETS 256u
struct fl_crowd {
	unsigned room, taken; /* parts; room is the owner's to set, any time */
	struct fl_crowd_net *nets;
	struct fl_crowd_net *buckets[FL_CROWD_BUCKETS];
	uint32_t seed; /* nobody shall choose networks that meet in a bucket */
};

void fl_crowd_init(struct fl_crowd *crowd, uint32_t seed);
void fl_crowd_done(struct fl_crowd *crowd); /* nobody is in it any more */

/* Whether there is room or not. network: fl_inet_network() of its source. False: no memory, it is not in. */
bool fl_crowd_join(struct fl_crowd *crowd, struct fl_crowd_member *member,
		   const struct fl_inet *network) FL_MUST_USE;
/* It takes so many parts from now on, and is whole or not. */
void fl_crowd_change(struct fl_crowd *crowd, struct fl_crowd_member *member, uint32_t parts,
		     bool whole);
void fl_crowd_leave(struct fl_crowd *crowd, struct fl_crowd_member *member); /* not in: nothing */

/* Who has to go, and is in it still; NULL: there is room. Looks at every network once: that is for floods. */
struct fl_crowd_member *fl_crowd_surplus(const struct fl_crowd *crowd);

#endif
