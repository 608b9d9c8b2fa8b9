/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_NET_NET_INTERNAL_H
#define FL_NET_NET_INTERNAL_H
/* net_internal - event delivery for the descriptors of a net. Private to net/. All calls on the
 * loop's thread. */
#include <sys/epoll.h>

#include "net/net.h"

/* Embedded in each socket and listener that a net watches. */
struct fl_watched {
	const struct fl_watched_type *type;
	struct fl_watched *next; /* in a list of the poller */
	bool is_watched : 1;     /* by epoll */
	bool waits : 1;          /* for the next turn */
	bool is_buried : 1;      /* closed; freed when the turn is over */
};
struct fl_watched_type {
	void (*on_events)(struct fl_watched *watched, uint32_t events);
	void (*free)(struct fl_watched *watched); /* once buried */
};

/* Something of this net was opened, or closed. Errors: a negative errno. */
int fl_net_opened(struct fl_net *net) FL_MUST_USE;
void fl_net_closed(struct fl_net *net);

/* Reports readability, the end of the stream and the additional `events` through on_events(), each
 * change once. A later call names other ones. Closing the descriptor ends it. Errors: a negative
 * errno. */
int fl_net_watch(struct fl_net *net, struct fl_watched *watched, int fd,
		 uint32_t events) FL_MUST_USE;
/* Reports in every turn that fd has a connection to accept. listener is borrowed until the end of
 * the turn in which it is paused. Pause it before closing the descriptor; otherwise events continue
 * while a duplicate is open. Errors: a negative errno. */
int fl_net_listen(struct fl_net *net, struct fl_watched *listener, int fd) FL_MUST_USE;
void fl_net_pause(struct fl_net *net, int fd);
/* The number of events that this turn reports. */
unsigned fl_net_turn_events(const struct fl_net *net);
/* Calls on_events() with no event in the next turn. */
void fl_net_come_back(struct fl_net *net, struct fl_watched *watched);
/* Frees it when this turn, or the turn that it waits for, is over; its descriptor is already
 * closed. Nothing is reported for it from now on, except events of the current turn. */
void fl_net_bury(struct fl_net *net, struct fl_watched *watched);

#endif
