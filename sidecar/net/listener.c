/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Listening sockets, and how they are bound.
 *
 * libuv accepts a connection before it tells us; not taking it with fl_listener_accept() stops the
 * listener by itself (one accepted connection waits, the others stay in the kernel's queue) and taking it starts it again.
 *
 * Failure: out of descriptors, libuv closes the waiting connection with a spare descriptor and the loop
 * does not spin; the callback is not run for it. */
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/net_internal.h"

#define BACKLOG 4096 /* the kernel caps it at net.core.somaxconn */

struct fl_listener {
	union {
		uv_handle_t handle;
		uv_stream_t stream;
		uv_tcp_t tcp;
		uv_pipe_t pipe;
	} h;
	struct fl_net *net;
	fl_listener_cb cb;
	void *user;
};

static void on_closed(uv_handle_t *handle)
{
	struct fl_listener *listener = handle->data;

	listener->net->open--;
	free(listener);
}

void fl_listener_close(struct fl_listener *listener)
{
	uv_close(&listener->h.handle, on_closed);
}

static void on_connection(uv_stream_t *stream, int status)
{
	struct fl_listener *listener = stream->data;

	if (status == 0) {
		listener->cb(listener->user, listener);
	}
}

int fl_listener_open(struct fl_net *net, int fd, bool unix_socket, fl_listener_cb cb, void *user,
		     struct fl_listener **ret, struct fl_err *err)
{
	struct fl_listener *listener = fl_new(sizeof(*listener));
	int rc;

	*listener = (struct fl_listener){.net = net, .cb = cb, .user = user};
	rc = unix_socket ? uv_pipe_init(net->loop, &listener->h.pipe, 0)
			 : uv_tcp_init(net->loop, &listener->h.tcp);
	FL_REQUIRE(rc == 0);
	listener->h.handle.data = listener;
	net->open++;
	rc = unix_socket ? uv_pipe_open(&listener->h.pipe, fd) : uv_tcp_open(&listener->h.tcp, fd);
	if (rc == 0) {
		rc = uv_listen(&listener->h.stream, BACKLOG, on_connection);
	} else {
		close(fd);
	}
	if (rc != 0) {
		fl_listener_close(listener);
		return fl_err_sys(err, -rc, "cannot listen");
	}
	*ret = listener;
	return 0;
}

struct fl_sock *fl_listener_accept(struct fl_listener *listener,
				   const struct fl_sock_events *events, void *user)
{
	struct fl_sock *sock =
		fl_sock_alloc(listener->net, listener->h.handle.type == UV_NAMED_PIPE);

	if (sock == NULL) {
		return NULL;
	}
	if (uv_accept(&listener->h.stream, &sock->h.stream) != 0) {
		fl_sock_close(sock, 0);
		return NULL;
	}
	if (sock->h.handle.type == UV_TCP) {
		socklen_t len = sizeof(sock->peer);

		(void)getpeername(fl_sock_fd(sock), (struct sockaddr *)&sock->peer, &len);
	}
	fl_sock_set_user(sock, events, user);
	return sock;
}

/* --- binding ---------------------------------------------------------------------------------- */

/* A Unix path outlives the process that bound it: remove it when nobody answers there. */
static int remove_stale_path(const struct fl_addr *addr, struct fl_err *err)
{
	const char *path = addr->sa.un.sun_path;
	struct stat st;
	int fd, rc;

	if (lstat(path, &st) != 0) {
		return 0;
	}
	if (!S_ISSOCK(st.st_mode)) {
		return fl_err_set(
			err, FL_ERR_INVALID,
			"%s exists and is not a socket: remove it, or choose another path", path);
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		return fl_err_sys(err, errno, "cannot make a socket");
	}
	rc = connect(fd, &addr->sa.any, addr->sa_len);
	close(fd);
	if (rc == 0) {
		return fl_err_set(err, FL_ERR_IO, "%s is in use: another process listens there",
				  path);
	}
	(void)unlink(path);
	return 0;
}

/* What accepted connections inherit, so that it costs nothing for each of them. */
static void set_inherited_options(int fd)
{
	const int on = 1, idle_s = 60;

	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
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
	set_inherited_options(fd);
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
	if (rc != 0) {
		return fl_err_sys(err, sys, "cannot listen on unix:%s", path);
	}
	return 0;
}

static int bind_ip(int fd, const struct fl_addr *addr, struct fl_err *err)
{
	char text[FL_ADDR_TEXT];

	if (bind(fd, &addr->sa.any, addr->sa_len) == 0) {
		return 0;
	}
	switch (errno) {
	case EADDRINUSE:
		return fl_err_set(err, FL_ERR_IO,
				  "cannot listen on %s: another process uses this port",
				  fl_addr_format(addr, text));
	case EACCES:
		return fl_err_set(
			err, FL_ERR_IO,
			"cannot listen on %s: ports below 1024 need a privilege; choose a higher port",
			fl_addr_format(addr, text));
	default:
		return fl_err_sys(err, errno, "cannot listen on %s", fl_addr_format(addr, text));
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
		rc = bind_ip(fd, &actual, err);
	}
	if (rc != 0) {
		close(fd);
		return rc;
	}
	*ret_fd = fd;
	return 0;
}
