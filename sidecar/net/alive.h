/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_NET_ALIVE_H
#define FL_NET_ALIVE_H
/* alive - how often a silent connection is heard of, and how we learn that its other end has gone.
 *
 * Two things depend on the probes of an idle connection (SO_KEEPALIVE). Conntrack translates what is captured, and forgets a
 * connection of which it hears nothing: a half-closed one after 60 s (nf_conntrack_tcp_timeout_close_wait), on the
 * way through a node as well as in the pod. And a machine that has died says nothing, whether it is asked or not.
 *
 * So a probe goes out at a third of the shortest time-out of conntrack's: one may get lost. Of the node's time-outs we know
 * nothing; with its defaults the third is 20 s, which is also the most that we wait. Retransmissions and probes of a
 * full window take no longer breaks than that either, where the kernel lets us say so (TCP_RTO_MAX_MS, Linux 6.15).
 *
 * TCP_USER_TIMEOUT does half of the rest and is not used: it also ends connections whose peer answers, but has had no room
 * for so long (RFC 9293 section 3.8.6.1 says that they stay open). fl_sock_debt() tells the one from the other. */
#include <stdbool.h>
#include <stdint.h>

#define FL_KEEP_S 20u /* at most between two signs of life */
#define FL_CONNTRACK_FILES 3

/* How a socket is kept. */
struct fl_alive {
	uint16_t keep_s; /* from 1 on; 0: it is not */
	uint32_t
		give_up_ms; /* an idle other end that has not answered for so long is an error, ETIMEDOUT; 0: it has time */
};

/* On a TCP socket, or on a listener for all that it accepts from now on. */
void fl_alive_set(int fd, const struct fl_alive *alive);

/* What the kernel has sent, or would send, and the other end has not acknowledged. */
struct fl_debt {
	bool is_open;  /* there is something */
	bool is_asked; /* and it was sent again, or room was asked for, and nothing came since */
	uint32_t silent_ms; /* since the last acknowledgement of anything */
};
/* Of a TCP socket; of another kind: nothing. One system call. */
struct fl_debt fl_alive_debt(int fd);

/* Conntrack's time-outs in this network namespace. The files stay open: a sandbox that comes later does not matter. */
struct fl_conntrack {
	int fds[FL_CONNTRACK_FILES]; /* owned; -1: not there */
};
void fl_conntrack_open(struct fl_conntrack *conntrack);
void fl_conntrack_close(struct fl_conntrack *conntrack);
/* What keep_s has to be just now, 1 to FL_KEEP_S. A few system calls; any thread. */
uint16_t fl_conntrack_keep_s(const struct fl_conntrack *conntrack);
/* The same from the time-outs in seconds; 0: not known. Pure. */
uint16_t fl_keep_s_of(const unsigned *timeouts, unsigned count);

#endif
