/* SPDX-License-Identifier: GPL-3.0-or-later */
/* sock_unread - what the kernel has for the other end of a Unix socket. */
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "net/sock_internal.h"

bool fl_sock_has_unread(const struct fl_sock *sock)
{
	int bytes = 0;

	return ioctl(sock->fd, SIOCOUTQ, &bytes) == 0 && bytes > 0;
}

void fl_sock_part(struct fl_sock *sock)
{
	sock->events = NULL;
	fl_sock_read_stop(sock);
	fl_pending_clear(&sock->pending);
	(void)shutdown(sock->fd, SHUT_RDWR);
}
