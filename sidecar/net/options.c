/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "net/options.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

void fl_options_set_relayed(int fd)
{
	const int on = 1;

	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	(void)setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on));
}

void fl_options_set_quickack(int fd, bool on)
{
	const int value = on;

	(void)setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &value, sizeof(value));
}

void fl_options_set_send_room(int fd, int bytes)
{
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
}

int fl_options_set_transparent(int fd, bool is_v6)
{
	const int on = 1;
	int rc = is_v6 ? setsockopt(fd, IPPROTO_IPV6, IPV6_TRANSPARENT, &on, sizeof(on))
		       : setsockopt(fd, IPPROTO_IP, IP_TRANSPARENT, &on, sizeof(on));

	return rc == 0 ? 0 : -errno;
}
