/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_NET_LISTENER_H
#define FL_NET_LISTENER_H
/* listener - a listening socket on a libuv loop, and what it accepts. Loop-bound: every call on the loop's thread. */
#include "net/sock.h"

struct fl_listener;
/* A connection is waiting. Call fl_listener_accept() for it now or later; until then nothing more
 * is reported (this is how to pause accepting). */
typedef void (*fl_listener_cb)(void *user, struct fl_listener *listener);

/* Takes ownership of fd (bound, listening or not). user is borrowed. */
int fl_listener_open(struct fl_net *net, int fd, bool unix_socket, fl_listener_cb cb, void *user,
		     struct fl_listener **ret, struct fl_err *err) FL_MUST_USE;
/* Returns NULL if no connection was waiting after all, or if memory runs out. */
struct fl_sock *fl_listener_accept(struct fl_listener *listener,
				   const struct fl_sock_events *events, void *user);
/* Another thread or process may have the socket too; what waits in its queue is left to them. */
void fl_listener_close(struct fl_listener *listener);
/* The same of a socket that nobody else has: who waits in its queue is closed without any risk (rights.h). */
void fl_listener_end(struct fl_listener *listener);
/* Its descriptor, borrowed: to be given to another process. */
int fl_listener_fd(const struct fl_listener *listener);
/* For connections from now on: like fl_dial.joins_acks, with a client that sends first. Do not use
 * it where the client may wait for an ACK between two small writes (Nagle's algorithm) before we
 * have sent anything. */
void fl_listener_join_acks(struct fl_listener *listener, bool on);

/* For connections from now on: probes at the current interval of the net (alive.h). Not for Unix
 * sockets. */
void fl_listener_keep(struct fl_listener *listener, uint32_t give_up_ms);

#endif
