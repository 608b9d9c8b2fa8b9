/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_NET_NET_INTERNAL_H
#define FL_NET_NET_INTERNAL_H
/* Shared by the files of net/, and by nobody else. */
#include "net/sock.h"

struct fl_sock {
	union {
		uv_handle_t handle;
		uv_stream_t stream;
		uv_tcp_t tcp;
		uv_pipe_t pipe;
	} h;
	struct fl_net *net;
	const struct fl_sock_events *events; /* NULL once the user has closed it */
	void *user;
	struct fl_farewell *farewell; /* while closing with bytes still to send */
	struct sockaddr_in6 peer; /* or a sockaddr_in; sin6_family 0: a Unix socket. Kept, because a
					 socket that both sides have finished no longer knows */
	uint32_t pending;         /* writes that the kernel has not taken yet */
	bool fin_wanted;          /* FIN follows the last pending write */
};

/* A socket without a connection yet. NULL: no memory. */
struct fl_sock *fl_sock_alloc(struct fl_net *net, bool unix_socket);
/* Its descriptor; -1 when it has none. */
int fl_sock_fd(const struct fl_sock *sock);

#endif
