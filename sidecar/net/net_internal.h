/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_NET_NET_INTERNAL_H
#define FL_NET_NET_INTERNAL_H
/* Shared by the files of net/, and by nobody else. */
#include "net/sock.h"

/* What a poller looks after. */
struct fl_watched {
	const struct fl_watched_type *type;
	struct fl_watched *next; /* in a list of the poller */
};
struct fl_watched_type {
	void (*on_events)(struct fl_watched *watched, uint32_t events);
	void (*free)(struct fl_watched *watched); /* once buried */
};

struct fl_sock {
	struct fl_watched in_poller;
	struct fl_net *net;
	const struct fl_sock_events *events; /* NULL once the user has closed it */
	void *user;
	fl_sock_dial_cb dialed;           /* NULL: connected */
	struct fl_farewell *farewell;     /* while closing with bytes still to send */
	struct fl_pending *first, **last; /* what the kernel has not taken yet */
	struct sockaddr_in6 peer; /* or a sockaddr_in; sin6_family 0: a Unix socket. Kept, because a
				     socket that both sides have finished no longer knows */
	int fd;                   /* -1 when closed */
	int dial_error;           /* known before anybody could be told */
	struct fl_alive alive;    /* as it is set, or oftener */
	bool is_unix : 1;
	bool fin_wanted : 1; /* FIN follows the last pending write */
	bool heeds_icmp : 1; /* while it is dialled */
	bool reading : 1;    /* the user wants what comes */
	bool readable : 1;   /* there may be something */
	bool ended : 1; /* the peer has finished, or has reset; what is left to read comes before that */
	bool broken : 1;  /* an error waits for who reads or writes next */
	bool urgent : 1;  /* a read can be short with more behind it (tcp(7)) */
	bool is_last : 1; /* what on_data has just now */
	bool watched : 1;
	bool waits : 1;  /* for its next turn */
	bool closed : 1; /* about to be freed */
};

/* A socket of a connected or connecting descriptor, which it owns; NULL: no memory, and the descriptor is closed. */
struct fl_sock *fl_sock_adopt(struct fl_net *net, int fd, bool is_unix);
/* A descriptor that connects as dial says, from one of the ports that it asks for. 0: it is under way, or ret_sys is what
 * has become of it already, a negative errno. Else that, and no descriptor. */
int fl_dial_start(struct fl_net *net, const struct fl_dial *dial, int *ret_fd,
		  int *ret_sys) FL_MUST_USE;
/* Dialled with heeds_icmp, and connected: such errors are the kernel's business again, which would else end it for one. */
void fl_dial_forget_icmp(int fd, sa_family_t family);
/* The error that has come for it before that, a negative errno; 0: none. */
int fl_dial_icmp_error(int fd);
socklen_t fl_sockaddr_len(const struct sockaddr *to);
/* tcp(7), TCP_QUICKACK. Accepted sockets inherit it. */
void fl_sock_set_quickack(int fd, bool on);

#endif
