/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_NET_SOCK_INTERNAL_H
#define FL_NET_SOCK_INTERNAL_H
/* sock_internal - the members of a socket, for the files of net/ that create or query one. */
#include <netinet/in.h>

#include "net/net_internal.h"
#include "net/pending.h"
#include "net/sock.h"

struct fl_sock {
	struct fl_watched watched;
	struct fl_net *net;
	const struct fl_sock_events *events; /* NULL once the user has closed it */
	void *user;
	fl_sock_dial_cb dialed; /* NULL: connected */
	union {
		struct fl_waiting *waiting;   /* if waits_for_room (sock_dial.c) */
		struct fl_farewell *farewell; /* while closing with bytes still to send */
	};
	struct fl_pending pending; /* what the kernel has not accepted yet */
	/* or a sockaddr_in; sin6_family 0: a Unix socket. Stored, because the kernel forgets it
	 * once both sides have finished */
	struct sockaddr_in6 peer;
	int fd; /* -1 when closed */
	/* negative; from one of our calls, reported in the next turn; 0: none */
	int error;
	struct fl_alive alive; /* as it is set, or oftener */
	bool is_unix : 1;
	bool fin_wanted : 1;     /* FIN follows the last pending write */
	bool heeds_icmp : 1;     /* while it is dialled */
	bool waits_for_room : 1; /* it is dialled, and its listener's queue is full */
	bool reading : 1;        /* the user wants to read */
	bool readable : 1;       /* there may be something to read */
	bool ended : 1;          /* the peer has sent FIN or RST; unread data comes first */
	bool broken : 1;         /* an error waits for the next read or write */
	bool urgent : 1;         /* a read can be short with more behind it (tcp(7)) */
	bool is_last : 1;        /* on_data is running with the last bytes */
	bool at_end : 1;         /* all before FIN has been read */
};

/* A socket of a connected or connecting descriptor, which it owns; NULL: no memory, and the descriptor is closed. */
struct fl_sock *fl_sock_adopt(struct fl_net *net, int fd, bool is_unix);
/* For a socket that waits for room: it does not any more. */
void fl_sock_stop_waiting(struct fl_sock *sock);

#endif
