/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_NET_LISTENER_H
#define FL_NET_LISTENER_H
/* listener - a listening socket on a libuv loop, and what it accepts. Loop-bound: every call on the loop's thread. */
#include "net/sock.h"

struct fl_listener;
/* A connection is waiting: call fl_listener_accept() for it now, or leave it in the kernel's queue and call
 * later; until then nothing more is reported (that is how accepting is paused). */
typedef void (*fl_listener_cb)(void *user, struct fl_listener *listener);

/* Takes over fd (bound, listening or not). user is borrowed. */
int fl_listener_open(struct fl_net *net, int fd, bool unix_socket, fl_listener_cb cb, void *user,
		     struct fl_listener **ret, struct fl_err *err) FL_MUST_USE;
/* NULL: nobody was waiting after all, or no memory. */
struct fl_sock *fl_listener_accept(struct fl_listener *listener,
				   const struct fl_sock_events *events, void *user);
void fl_listener_close(struct fl_listener *listener);
/* Of connections from now on: the same dialogue, which the client begins. Not where it may wait for an ACK between two small
 * writes (Nagle's algorithm) before we have said anything. */
void fl_listener_join_acks(struct fl_listener *listener, bool on);

/* Of connections from now on: probes as often as its net says now (alive.h). Not for Unix sockets. */
void fl_listener_keep(struct fl_listener *listener, uint32_t give_up_ms);

#endif
