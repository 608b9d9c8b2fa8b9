/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The addresses and users at the ends of a socket. */
#include "net/sock_internal.h"

#include <errno.h>
#include <string.h>

/* Must come after netinet/in.h, so that these headers do not redefine its types. */
#include <linux/netfilter_ipv4.h>
#include <linux/netfilter_ipv6/ip6_tables.h>

const char *fl_sock_peer(const struct fl_sock *sock, char *buf)
{
	if (sock->peer.sin6_family == 0) {
		/* A connection that was reset before we accepted it no longer has an address. */
		return sock->is_unix ? memcpy(buf, "unix", sizeof("unix"))
				     : memcpy(buf, "unknown", sizeof("unknown"));
	}
	return fl_sockaddr_format((const struct sockaddr *)&sock->peer, buf);
}

struct fl_inet fl_sock_peer_inet(const struct fl_sock *sock)
{
	return fl_inet_of((const struct sockaddr *)&sock->peer);
}

struct fl_inet fl_sock_local_inet(const struct fl_sock *sock)
{
	union fl_sockaddr sa = {0};
	socklen_t len = sizeof(sa);

	(void)getsockname(sock->fd, &sa.any, &len);
	return fl_inet_of(&sa.any);
}

/* An IPv4 client of a dual-stack listener has an IPv6 socket, but IPv4 NAT rules: the family of its
 * address decides. The kernel returns ENOENT at the wrong level. */
_Static_assert(IP6T_SO_ORIGINAL_DST == SO_ORIGINAL_DST, "one number for both families");

int fl_sock_original_dst(const struct fl_sock *sock, struct fl_inet *ret)
{
	bool v6 = fl_sock_peer_inet(sock).family == AF_INET6;
	union fl_sockaddr sa = {0};
	socklen_t len = v6 ? sizeof(sa.in6) : sizeof(sa.in);

	if (getsockopt(sock->fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, SO_ORIGINAL_DST, &sa, &len) != 0) {
		return -errno;
	}
	*ret = fl_inet_of(&sa.any);
	return 0;
}

int fl_sock_peer_uid(const struct fl_sock *sock, uid_t *ret, struct fl_err *err)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(sock->fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) != 0) {
		return fl_err_sys(err, errno, "cannot learn who is at the other end of the socket");
	}
	*ret = cred.uid;
	return 0;
}
