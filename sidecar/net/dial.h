/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_NET_DIAL_H
#define FL_NET_DIAL_H
/* dial - the destination of a connection, and how to open it. */
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/err.h"
#include "net/alive.h"
#include "net/ports.h"

/* Where to connect to, and how. */
struct fl_dial {
	const struct sockaddr *to; /* borrowed for the call */
	struct fl_alive alive;
	/* For protocols in which we send first and every message is answered immediately, such as a
	 * TLS handshake: ACKs travel with data, the first one with our first bytes. With a server
	 * that speaks first, this would delay the connection by up to 200 ms. */
	bool joins_acks;
	uint8_t tos; /* IP_TOS or IPV6_TCLASS, from the first packet on; 0: the system's default */
	uint32_t mark; /* SO_MARK, from the first packet on; 0: none */
	/* A foreign source address (IP_TRANSPARENT), with any port. NULL: our own address. This and
	 * mark require the capability NET_ADMIN. Borrowed. */
	const struct sockaddr *from;
	/* TCP: an ICMP error ends the dial immediately. The kernel treats such an error as final,
	 * except if it arrives before connect() has returned, as it may from the node of the pod:
	 * then the kernel sends the SYN again a second later. */
	bool heeds_icmp;
	/* TCP: the allowed source ports. Ports that are taken are skipped; if none is left, the
	 * kernel chooses. */
	enum fl_port_choice port;
	/* Unix: while the listener's queue is full, the dial waits for room, as a TCP dial does: for
	 * as long as its user does not close the socket. Without it: the error EAGAIN. */
	bool is_patient;
};

/* For sock.c. Returns 0 and a descriptor that connects as dial says, from one of the requested
 * ports: it is under way, or *ret_sys is the error that is already known, a negative errno.
 * Otherwise returns a negative errno, and there is no descriptor. Any thread that owns ports. */
int fl_dial_start(struct fl_ports *ports, const struct fl_dial *dial, int *ret_fd,
		  int *ret_sys) FL_MUST_USE;
/* The parts of it, for a Unix socket that is dialled again (sock_dial.c). Return a descriptor, and 0;
 * or a negative errno. */
int fl_dial_socket(const struct sockaddr *to) FL_MUST_USE;
int fl_dial_connect(int fd, const struct sockaddr *to) FL_MUST_USE;
/* For a socket dialled with heeds_icmp, once it is connected: returns ICMP errors to the kernel's
 * default handling. Otherwise a single one would end the connection. */
void fl_dial_forget_icmp(int fd, sa_family_t family);
/* Returns the ICMP error that arrived before that, a negative errno; 0: none. */
int fl_dial_icmp_error(int fd);
socklen_t fl_dial_sockaddr_len(const struct sockaddr *to);

#endif
