/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_NET_POLLER_H
#define FL_NET_POLLER_H
/* poller - which sockets of a loop have something to do. For the files of net/, and for nobody else. It is there as long
 * as its net has something open. On the loop's thread, all of it. */
#include <sys/epoll.h>

#include "net/net_internal.h"

/* Something of this net is open, or is not any more. Errors: a negative errno. */
int fl_net_opened(struct fl_net *net) FL_MUST_USE;
void fl_net_closed(struct fl_net *net);

/* Reports what can be read, the end, and what is in `events` besides, by on_events(): each change once. A later call
 * adds to it. Closing the descriptor ends it. Errors: a negative errno. */
int fl_poller_watch(struct fl_sock *sock, uint32_t events) FL_MUST_USE;
/* Reports, in each turn anew, that fd has a connection to be accepted. listener is borrowed until the end of the turn in which
 * it is paused, which has to come before its descriptor is closed: that of a duplicate would go on. Errors: a negative errno. */
int fl_poller_listen(struct fl_net *net, int fd, struct fl_watched *listener) FL_MUST_USE;
void fl_poller_pause(struct fl_net *net, int fd);
/* on_events() with no event in the next turn. */
void fl_poller_come_back(struct fl_sock *sock);
/* Frees it when this turn is over; its descriptor is closed already. */
void fl_poller_bury(struct fl_net *net, struct fl_watched *watched);

#endif
