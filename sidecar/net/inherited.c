/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "net/inherited.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/rights.h"
#include "net/sock_internal.h"

union control {
	char bytes[CMSG_SPACE(sizeof(int) * FL_INHERITED_PER_BYTE)];
	struct cmsghdr header; /* aligns it */
};

/* --- giving ----------------------------------------------------------------------------------- */

static int send_byte(int fd, char byte, const int *fds, size_t count)
{
	union control control = {{0}};
	struct iovec iov = {&byte, 1};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	if (count > 0) {
		struct cmsghdr *cmsg;

		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * count);
		cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int) * count);
		memcpy(CMSG_DATA(cmsg), fds, sizeof(int) * count);
	}
	return sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) == 1 ? 0 : -errno;
}

int fl_inherited_give(const struct fl_sock *sock, const int *fds, size_t count)
{
	int rc = 0;

	for (size_t at = 0; rc == 0 && at < count; at += FL_INHERITED_PER_BYTE) {
		size_t left = count - at;

		rc = send_byte(sock->fd, 's', fds + at,
			       left < FL_INHERITED_PER_BYTE ? left : FL_INHERITED_PER_BYTE);
	}
	return rc == 0 ? send_byte(sock->fd, '.', NULL, 0) : rc;
}

/* --- receiving -------------------------------------------------------------------------------- */

/* Whoever listens at the path could give us sockets of its own. */
static int connect_to(const char *path, struct fl_inherited *ret, struct fl_err *err)
{
	struct timeval timeout = {.tv_sec = FL_INHERITED_TIMEOUT_MS / 1000};
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	struct ucred who = {0};
	socklen_t len = sizeof(who);

	if (strlen(path) >= sizeof(addr.sun_path)) {
		return fl_err_set(err, FL_ERR_INVALID, "the path %.200s is too long", path);
	}
	(void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	ret->link = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (ret->link < 0) {
		return fl_err_sys(err, errno, "cannot make a socket");
	}
	(void)setsockopt(ret->link, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	if (connect(ret->link, (struct sockaddr *)&addr, sizeof(addr)) != 0) {
		return fl_err_sys(err, errno, "no sidecar that could be replaced listens at %s",
				  path);
	}
	if (getsockopt(ret->link, SOL_SOCKET, SO_PEERCRED, &who, &len) != 0 ||
	    (who.uid != geteuid() && who.uid != 0)) {
		return fl_err_set(err, FL_ERR_INVALID,
				  "%s belongs to uid %lu: only a sidecar of our own uid can be "
				  "replaced",
				  path, (unsigned long)who.uid);
	}
	return FL_OK;
}

static void keep(struct fl_inherited *inherited, struct msghdr *msg)
{
	for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg); cmsg != NULL;
	     cmsg = CMSG_NXTHDR(msg, cmsg)) {
		size_t count = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS) {
			continue;
		}
		inherited->fds = fl_grow(inherited->fds, inherited->count + count, sizeof(int));
		memcpy(inherited->fds + inherited->count, CMSG_DATA(cmsg), count * sizeof(int));
		inherited->count += count;
	}
}

static int receive_all(struct fl_inherited *inherited, struct fl_err *err)
{
	for (;;) {
		union control control;
		char byte = 0;
		struct iovec iov = {&byte, 1};
		struct msghdr msg = {.msg_iov = &iov,
				     .msg_iovlen = 1,
				     .msg_control = control.bytes,
				     .msg_controllen = sizeof(control.bytes)};
		ssize_t len = recvmsg(inherited->link, &msg, MSG_CMSG_CLOEXEC);

		if (len < 0) {
			return fl_err_sys(err, errno,
					  "the running sidecar does not give its sockets");
		}
		if (len == 0 || (msg.msg_flags & MSG_CTRUNC) != 0 ||
		    inherited->count > FL_INHERITED_MAX) {
			return fl_err_set(
				err, FL_ERR_IO,
				"the running sidecar does not give its sockets: it is not "
				"ready, or ending, or is being replaced already");
		}
		keep(inherited, &msg);
		if (byte == '.') {
			return FL_OK;
		}
	}
}

int fl_inherited_receive(const char *path, struct fl_inherited *ret, struct fl_err *err)
{
	int rc;

	*ret = (struct fl_inherited){.link = -1};
	rc = connect_to(path, ret, err);
	if (rc == FL_OK) {
		rc = receive_all(ret, err);
	}
	if (rc != FL_OK) {
		fl_inherited_done(ret);
	}
	return rc;
}

/* --- using them -------------------------------------------------------------------------------- */

static bool is_any(const union fl_sockaddr *sa)
{
	return sa->any.sa_family == AF_INET ? sa->in.sin_addr.s_addr == htonl(INADDR_ANY)
					    : sa->any.sa_family == AF_INET6 &&
						      IN6_IS_ADDR_UNSPECIFIED(&sa->in6.sin6_addr);
}

/* `*` is a socket of both families (or of IPv4, where there is no other), `[::]` is one of IPv6 alone. */
static bool is_dual(int fd, const union fl_sockaddr *sa)
{
	int v6only = 1;
	socklen_t len = sizeof(v6only);

	return sa->any.sa_family == AF_INET ||
	       (getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, &len) == 0 && v6only == 0);
}

static bool listens_on(int fd, const struct fl_addr *addr)
{
	union fl_sockaddr sa = {0};
	socklen_t len = sizeof(sa);

	if (fd < 0 || getsockname(fd, &sa.any, &len) != 0) {
		return false;
	}
	switch (addr->kind) {
	case FL_ADDR_UNIX:
		return sa.any.sa_family == AF_UNIX &&
		       strncmp(sa.un.sun_path, addr->sa.un.sun_path, sizeof(sa.un.sun_path)) == 0;
	case FL_ADDR_ANY:
		/* The port is at the same place in both. */
		return is_any(&sa) && sa.in.sin_port == htons(addr->port) && is_dual(fd, &sa);
	case FL_ADDR_IP:
		if (sa.any.sa_family != addr->sa.any.sa_family ||
		    sa.in.sin_port != addr->sa.in.sin_port) {
			return false;
		}
		return sa.any.sa_family == AF_INET
			       ? sa.in.sin_addr.s_addr == addr->sa.in.sin_addr.s_addr
			       : memcmp(&sa.in6.sin6_addr, &addr->sa.in6.sin6_addr,
					sizeof(sa.in6.sin6_addr)) == 0 &&
					 !is_dual(fd, &sa);
	case FL_ADDR_NONE:
	case FL_ADDR_NAME:
		break;
	}
	return false;
}

static int *find(const struct fl_inherited *inherited, const struct fl_addr *addr)
{
	for (size_t i = 0; inherited != NULL && i < inherited->count; i++) {
		if (listens_on(inherited->fds[i], addr)) {
			return &inherited->fds[i];
		}
	}
	return NULL;
}

int fl_inherited_take(struct fl_inherited *inherited, const struct fl_addr *addr)
{
	int *found = find(inherited, addr);
	int fd = found != NULL ? *found : -1;

	if (found != NULL) {
		*found = -1;
	}
	return fd;
}

bool fl_inherited_has(const struct fl_inherited *inherited, const struct fl_addr *addr)
{
	return find(inherited, addr) != NULL;
}

int fl_inherited_confirm(const struct fl_inherited *inherited, struct fl_err *err)
{
	int rc = send_byte(inherited->link, FL_INHERITED_REPLACED, NULL, 0);

	if (rc == -EPIPE || rc == -ECONNRESET) {
		return FL_OK; /* it has ended already, and left the sockets' paths to us */
	}
	return rc == 0 ? FL_OK
		       : fl_err_sys(err, -rc, "cannot tell the sidecar that it is replaced");
}

void fl_inherited_done(struct fl_inherited *inherited)
{
	for (size_t i = 0; i < inherited->count; i++) {
		if (inherited->fds[i] >= 0) {
			(void)close(inherited->fds[i]);
		}
	}
	free(inherited->fds);
	if (inherited->link >= 0) {
		fl_rights_close(inherited->link);
	}
	*inherited = (struct fl_inherited){.link = -1};
}
