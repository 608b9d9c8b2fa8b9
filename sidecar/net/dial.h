/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_NET_DIAL_H
#define FL_NET_DIAL_H
/* dial - where a connection goes to, and how it is begun. */
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
	/* A dialogue that we begin and in which every word is answered at once, as a TLS handshake: ACKs go with what is sent
	 * anyway, the first with our first bytes. A server that speaks first would hear of the connection up to 200 ms late. */
	bool joins_acks;
	uint8_t tos; /* IP_TOS or IPV6_TCLASS, from the first packet on; 0: the system's default */
	uint32_t mark; /* SO_MARK, from the first packet on; 0: none */
	/* Whose address it comes from, whatever port: somebody else's (IP_TRANSPARENT). NULL: our own. It and mark require the
	 * capability NET_ADMIN. Borrowed. */
	const struct sockaddr *from;
	/* TCP: an ICMP error ends it at once. By itself the kernel considers one final unless it comes before connect() has
	 * returned, as from the node that the pod is on: then it sends the SYN once more, a second later. */
	bool heeds_icmp;
	/* TCP: which ports it may come from. Those that are taken are passed over; when none is left, the kernel chooses. */
	enum fl_port_choice port;
};

/* For sock.c. A descriptor that connects as dial says, from one of the ports that it asks for. 0: it is under way, or ret_sys
 * is what has become of it already, a negative errno. Otherwise a negative errno, and no descriptor. Any thread that owns
 * ports. */
int fl_dial_start(struct fl_ports *ports, const struct fl_dial *dial, int *ret_fd,
		  int *ret_sys) FL_MUST_USE;
/* Dialled with heeds_icmp, and connected: such errors are the kernel's business again, which would otherwise end it for one. */
void fl_dial_forget_icmp(int fd, sa_family_t family);
/* The error that has come for it before that, a negative errno; 0: none. */
int fl_dial_icmp_error(int fd);
socklen_t fl_dial_sockaddr_len(const struct sockaddr *to);

#endif
