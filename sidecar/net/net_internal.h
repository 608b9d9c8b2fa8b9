/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_NET_NET_INTERNAL_H
#define FL_NET_NET_INTERNAL_H
/* net_internal - which descriptors of a net have something to do; for the files of net/, and for nobody else. On the loop's
 * thread, all of it. */
#include <sys/epoll.h>

#include "net/net.h"

/* What a net looks after: a socket or a listener, which embeds this. */
struct fl_watched {
	const struct fl_watched_type *type;
	struct fl_watched *next; /* in a list of the poller */
	bool is_watched : 1;     /* by epoll */
	bool waits : 1;          /* for its next turn */
	bool is_buried : 1;      /* closed, and freed when the turn is over */
};
struct fl_watched_type {
	void (*on_events)(struct fl_watched *watched, uint32_t events);
	void (*free)(struct fl_watched *watched); /* once buried */
};

/* Something of this net is open, or is not any more. Errors: a negative errno. */
int fl_net_opened(struct fl_net *net) FL_MUST_USE;
void fl_net_closed(struct fl_net *net);

/* Reports what can be read, the end, and what is in `events` besides, by on_events(): each change once. A later call
 * adds to it. Closing the descriptor ends it. Errors: a negative errno. */
int fl_net_watch(struct fl_net *net, struct fl_watched *watched, int fd,
		 uint32_t events) FL_MUST_USE;
/* Reports, in each turn anew, that fd has a connection to be accepted. listener is borrowed until the end of the turn in which
 * it is paused, which has to come before its descriptor is closed: that of a duplicate would go on. Errors: a negative errno. */
int fl_net_listen(struct fl_net *net, struct fl_watched *listener, int fd) FL_MUST_USE;
void fl_net_pause(struct fl_net *net, int fd);
/* on_events() with no event in the next turn. */
void fl_net_come_back(struct fl_net *net, struct fl_watched *watched);
/* Frees it when this turn, or the one that it waits for, is over; its descriptor is closed already. Nothing is reported of it
 * from now on, except events of this very turn. */
void fl_net_bury(struct fl_net *net, struct fl_watched *watched);

#endif
