/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Binds and reserves addresses: each function returns a descriptor, or none and an error
 * sentence. */
#include "net/bind.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/capture.h"
#include "net/options.h"
#include "net/rights.h"

#define NO_INTERFACE 0x7fffffff /* an index that the kernel never assigns */

/* A Unix path outlives the process that bound it, so remove it if no process listens there. If we
 * cannot find out, the path may be in use and stays. */
static int remove_stale_path(const struct fl_addr *addr, struct fl_err *err)
{
	const char *path = addr->sa.un.sun_path;
	struct stat st;
	int fd, sys;

	if (lstat(path, &st) != 0) {
		return 0;
	}
	if (!S_ISSOCK(st.st_mode)) {
		return fl_err_set(
			err, FL_ERR_INVALID,
			"%s exists and is not a socket: remove it, or choose another path", path);
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0) {
		return fl_err_sys(err, errno, "cannot make a socket");
	}
	(void)fl_rights_refuse(fd);
	sys = connect(fd, &addr->sa.any, addr->sa_len) == 0 ? 0 : errno;
	fl_rights_close(fd);
	switch (sys) {
	case 0:
	case EAGAIN: /* its queue is full */
		return fl_err_set(err, FL_ERR_IO, "%s is in use: another process listens there",
				  path);
	case ECONNREFUSED:
		(void)unlink(path);
		return 0;
	case ENOENT: /* removed in the meantime */
		return 0;
	default:
		return fl_err_sys(err, sys,
				  "%s may be in use: when it is not, remove it; otherwise choose "
				  "another path",
				  path);
	}
}

static int set_ip_options(int fd, const struct fl_addr *addr, bool share, struct fl_err *err)
{
	const int on = 1, v6only = addr->kind != FL_ADDR_ANY;

	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
	    (share && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) != 0) ||
	    (addr->sa.any.sa_family == AF_INET6 &&
	     setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof(v6only)) != 0)) {
		return fl_err_sys(err, errno, "cannot prepare a listening socket");
	}
	fl_options_set_relayed(fd); /* inherited, so no system call for each connection */
	return 0;
}

/* A machine without IPv6 has no [::]; `*` then means 0.0.0.0. */
static int open_socket(const struct fl_addr *addr, struct fl_addr *ret_actual)
{
	int fd = socket(addr->sa.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	*ret_actual = *addr;
	if (fd < 0 && errno == EAFNOSUPPORT && addr->kind == FL_ADDR_ANY) {
		memset(&ret_actual->sa, 0, sizeof(ret_actual->sa));
		ret_actual->sa.in.sin_family = AF_INET;
		ret_actual->sa.in.sin_port = htons(addr->port);
		ret_actual->sa_len = sizeof(ret_actual->sa.in);
		fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	}
	return fd;
}

static int bind_unix(int fd, const struct fl_addr *addr, mode_t mode, struct fl_err *err)
{
	const char *path = addr->sa.un.sun_path;
	mode_t before = umask(0777 & ~mode);
	int rc = bind(fd, &addr->sa.any, addr->sa_len);
	int sys = errno;

	(void)umask(before);
	if (rc != 0 && sys == ENOENT) {
		return fl_err_set(
			err, FL_ERR_IO,
			"cannot listen on unix:%s: its directory does not exist; create it first",
			path);
	}
	if (rc != 0 && sys == EACCES) {
		return fl_err_set(
			err, FL_ERR_IO,
			"cannot listen on unix:%s: uid %u may not write to its directory, "
			"and no capability is kept that would let root do so; give it a "
			"directory that belongs to this uid",
			path, (unsigned)geteuid());
	}
	if (rc != 0) {
		return fl_err_sys(err, sys, "cannot listen on unix:%s", path);
	}
	return 0;
}

static int cannot_listen(const struct fl_addr *addr, int sys, struct fl_err *err)
{
	char text[FL_ADDR_TEXT];

	switch (sys) {
	case EADDRINUSE:
		return fl_err_set(err, FL_ERR_IO,
				  "cannot listen on %s: another process uses this port: stop that "
				  "one, or choose another port",
				  fl_addr_format(addr, text));
	case EACCES:
		return fl_err_set(
			err, FL_ERR_IO,
			"cannot listen on %s: ports below 1024 need a privilege; choose a higher port",
			fl_addr_format(addr, text));
	default:
		return fl_err_sys(err, sys, "cannot listen on %s", fl_addr_format(addr, text));
	}
}

int fl_net_bind(const struct fl_addr *addr, bool share, mode_t mode, int *ret_fd,
		struct fl_err *err)
{
	struct fl_addr actual;
	bool is_unix = addr->kind == FL_ADDR_UNIX;
	int fd, rc;

	if (is_unix) {
		rc = remove_stale_path(addr, err);
		if (rc != 0) {
			return rc;
		}
	}
	fd = open_socket(addr, &actual);
	if (fd < 0) {
		return fl_err_sys(err, errno, "cannot make a socket");
	}
	rc = is_unix ? bind_unix(fd, &actual, mode, err) : set_ip_options(fd, &actual, share, err);
	if (rc == 0 && !is_unix) {
		rc = bind(fd, &actual.sa.any, actual.sa_len) == 0
			     ? 0
			     : cannot_listen(&actual, errno, err);
	}
	if (rc != 0) {
		close(fd);
		return rc;
	}
	*ret_fd = fd;
	return 0;
}

/* A listening socket keeps other processes from binding, by the kernel's own rules for overlapping
 * addresses. This one listens on an interface that does not exist, so that clients are refused
 * until a worker listens. */
static int keep_others_out(int fd, const struct fl_addr *addr, struct fl_err *err)
{
	const int on = 1, interface = NO_INTERFACE;

	/* Before Linux 5.7 that requires a capability; without it we only notice sockets that listen already. */
	if (setsockopt(fd, SOL_SOCKET, SO_BINDTOIFINDEX, &interface, sizeof(interface)) == 0 &&
	    listen(fd, 1) != 0) {
		return cannot_listen(addr, errno, err);
	}
	/* Allows our own workers' sockets to bind. */
	return setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) == 0
		       ? 0
		       : fl_err_sys(err, errno, "cannot prepare a listening socket");
}

int fl_net_reserve(const struct fl_addr *addr, int *ret_fd, struct fl_err *err)
{
	int rc = fl_net_bind(addr, false, 0, ret_fd, err);

	if (rc == 0) {
		rc = keep_others_out(*ret_fd, addr, err);
		if (rc != 0) {
			close(*ret_fd);
		}
	}
	return rc;
}

int fl_net_set_transparent(int fd, struct fl_err *err)
{
	const uint32_t mark = FL_CAPTURE_OWN_MARK;
	union fl_sockaddr sa = {0};
	socklen_t len = sizeof(sa);
	int rc = getsockname(fd, &sa.any, &len) == 0 ? 0 : -errno;

	if (rc == 0) {
		rc = fl_options_set_transparent(fd, sa.any.sa_family == AF_INET6);
	}
	/* A connection that is not accepted yet already sends packets, so its listener needs the
	 * mark. */
	if (rc == 0 && setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) != 0) {
		rc = -errno;
	}
	if (rc == 0) {
		return 0;
	}
	return rc == -EPERM
		       ? fl_err_set(err, FL_ERR_IO,
				    "[redirect] mode = tproxy needs the capability NET_ADMIN: give "
				    "it to the sidecar, or use mode = redirect")
		       : fl_err_sys(err, -rc, "cannot listen for [redirect] mode = tproxy");
}

/* bind() consults the kernel's table of local addresses and leaves nothing behind. */
bool fl_net_is_local(const struct fl_inet *inet)
{
	struct fl_inet any_port = *inet;
	union fl_sockaddr sa;
	int fd = socket(inet->family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool is_local;

	any_port.port = 0;
	sa = fl_inet_sockaddr(&any_port);
	is_local = fd < 0 || bind(fd, &sa.any,
				  inet->family == AF_INET6 ? sizeof(sa.in6) : sizeof(sa.in)) == 0;
	if (fd >= 0) {
		close(fd);
	}
	return is_local;
}
