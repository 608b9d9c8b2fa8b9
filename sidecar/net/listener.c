/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Listening sockets, and how they are bound.
 *
 * A connection is accepted, then reported. One that fl_listener_accept() does not take is kept, and the others stay in
 * the kernel's queue until it is taken.
 *
 * Failure: out of descriptors, connections stay in the kernel's queue, and RETRY_MS later we try again. (libuv's own
 * listener sheds them by means of a spare descriptor; when another thread is faster at taking that, it spins for good.) */
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/capture.h"
#include "base/mem.h"
#include "net/poller.h"

#define BACKLOG 4096 /* the kernel caps it at net.core.somaxconn */
#define RETRY_MS 50u
#define NO_INTERFACE 0x7fffffff /* an index that the kernel gives to none */
#define ACCEPTS_MAX 64u         /* in one turn of the loop: others want theirs */

struct fl_listener {
	struct fl_watched in_poller;
	uv_timer_t retry; /* runs while there are no descriptors */
	struct fl_net *net;
	fl_listener_cb cb;
	void *user;
	int fd;                   /* owned */
	int waiting;              /* accepted and not taken yet; -1: none */
	struct sockaddr_in6 peer; /* its address, or a sockaddr_in */
	bool is_unix;
	bool is_listening; /* in the poller */
	bool is_closing;
	struct fl_alive alive; /* of what it accepts */
};

static void on_closed(uv_handle_t *handle)
{
	struct fl_listener *listener = handle->data;

	fl_poller_bury(listener->net, &listener->in_poller);
}

void fl_listener_join_acks(struct fl_listener *listener, bool on)
{
	if (!listener->is_unix) {
		fl_sock_set_quickack(listener->fd, !on);
	}
}

void fl_listener_keep(struct fl_listener *listener, uint32_t give_up_ms)
{
	if (!listener->is_unix) {
		listener->alive = (struct fl_alive){.keep_s = listener->net->keep_s,
						    .give_up_ms = give_up_ms};
		fl_alive_set(listener->fd, &listener->alive);
	}
}

static void pause_listener(struct fl_listener *listener)
{
	fl_poller_pause(listener->net, listener->fd);
	listener->is_listening = false;
}

/* Other workers may have duplicates of the socket: as long as one is open, closing ours does not end its events. */
void fl_listener_close(struct fl_listener *listener)
{
	if (listener->is_listening) {
		pause_listener(listener);
	}
	listener->is_closing = true;
	uv_close((uv_handle_t *)&listener->retry, on_closed);
	close(listener->fd);
	if (listener->waiting >= 0) {
		close(listener->waiting);
	}
}

static void on_retry(uv_timer_t *timer);

static void try_later(struct fl_listener *listener)
{
	FL_REQUIRE(uv_timer_start(&listener->retry, on_retry, RETRY_MS, 0) == 0);
}

static void resume(struct fl_listener *listener)
{
	if (!listener->is_listening) {
		listener->is_listening =
			fl_poller_listen(listener->net, listener->fd, &listener->in_poller) == 0;
	}
	if (!listener->is_listening) {
		try_later(listener); /* the kernel has no memory for it just now */
	}
}

static void on_retry(uv_timer_t *timer)
{
	resume(timer->data);
}

static bool is_out_of_resources(int sys)
{
	return sys == EMFILE || sys == ENFILE || sys == ENOBUFS || sys == ENOMEM;
}

/* Reports the next connection. False: enough for this turn. */
static bool accept_next(struct fl_listener *listener)
{
	socklen_t len = sizeof(listener->peer);

	memset(&listener->peer, 0, sizeof(listener->peer));
	listener->waiting = accept4(listener->fd, (struct sockaddr *)&listener->peer, &len,
				    SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (listener->waiting < 0) {
		if (is_out_of_resources(errno)) {
			pause_listener(listener);
			try_later(listener);
			return false;
		}
		/* Otherwise it is that connection's own end, which comes with its turn. */
		return errno != EAGAIN && errno != EWOULDBLOCK;
	}
	listener->cb(listener->user, listener);
	if (listener->is_closing) {
		return false;
	}
	if (listener->waiting >= 0) {
		pause_listener(listener);
		return false;
	}
	return true;
}

static void on_events(struct fl_watched *watched, uint32_t events)
{
	struct fl_listener *listener = FL_CONTAINER_OF(watched, struct fl_listener, in_poller);

	(void)events;
	if (listener->is_closing || !listener->is_listening) {
		return; /* in this very turn */
	}
	for (unsigned i = 0; i < ACCEPTS_MAX && accept_next(listener); i++) {
	}
}

static void free_listener(struct fl_watched *watched)
{
	free(FL_CONTAINER_OF(watched, struct fl_listener, in_poller));
}

static const struct fl_watched_type watched_type = {.on_events = on_events, .free = free_listener};

int fl_listener_open(struct fl_net *net, int fd, bool unix_socket, fl_listener_cb cb, void *user,
		     struct fl_listener **ret, struct fl_err *err)
{
	struct fl_listener *listener;
	int rc = listen(fd, BACKLOG) == 0 ? 0 : -errno;

	if (rc == 0) {
		rc = fl_net_opened(net);
	}
	if (rc != 0) {
		close(fd);
		return fl_err_sys(err, -rc, "cannot listen");
	}
	listener = fl_new(sizeof(*listener));
	FL_REQUIRE(uv_timer_init(net->loop, &listener->retry) == 0);
	listener->retry.data = listener;
	listener->in_poller.type = &watched_type;
	listener->net = net;
	listener->cb = cb;
	listener->user = user;
	listener->fd = fd;
	listener->waiting = -1;
	listener->is_unix = unix_socket;
	fl_listener_keep(listener, 0);
	resume(listener);
	*ret = listener;
	return 0;
}

struct fl_sock *fl_listener_accept(struct fl_listener *listener,
				   const struct fl_sock_events *events, void *user)
{
	struct fl_sock *sock;

	if (listener->waiting < 0) {
		return NULL;
	}
	sock = fl_sock_adopt(listener->net, listener->waiting, listener->is_unix);
	listener->waiting = -1;
	resume(listener);
	if (sock == NULL) {
		return NULL;
	}
	if (!listener->is_unix) {
		sock->peer = listener->peer;
		/* What it had inherited when it came into the queue: perhaps longer ago than the last change. */
		sock->alive = listener->alive;
		sock->alive.keep_s = FL_KEEP_S;
	}
	fl_sock_set_user(sock, events, user);
	return sock;
}

/* --- binding ---------------------------------------------------------------------------------- */

/* A Unix path outlives the process that bound it: remove it when nobody answers there. One that we cannot ask may be
 * in use. */
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
	sys = connect(fd, &addr->sa.any, addr->sa_len) == 0 ? 0 : errno;
	close(fd);
	switch (sys) {
	case 0:
	case EAGAIN: /* its queue is full */
		return fl_err_set(err, FL_ERR_IO, "%s is in use: another process listens there",
				  path);
	case ECONNREFUSED:
		(void)unlink(path);
		return 0;
	case ENOENT: /* gone since */
		return 0;
	default:
		return fl_err_sys(err, sys,
				  "%s may be in use: when it is not, remove it; otherwise choose "
				  "another path",
				  path);
	}
}

/* What accepted connections inherit, so that it costs nothing for each of them. */
static void set_inherited_options(int fd)
{
	const int on = 1;

	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	(void)setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on));
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

/* What listens keeps everybody else out, by the kernel's own rules for addresses that overlap. This one listens where
 * nothing can come from, so that clients are refused as long as nobody serves them. */
static int keep_others_out(int fd, const struct fl_addr *addr, struct fl_err *err)
{
	const int on = 1, interface = NO_INTERFACE;

	/* Before Linux 5.7 that takes a capability; then only those who listen already are seen. */
	if (setsockopt(fd, SOL_SOCKET, SO_BINDTOIFINDEX, &interface, sizeof(interface)) == 0 &&
	    listen(fd, 1) != 0) {
		return cannot_listen(addr, errno, err);
	}
	/* Our own workers' sockets are let in. */
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
	const int on = 1;
	const uint32_t mark = FL_CAPTURE_OWN_MARK;
	union fl_sockaddr sa = {0};
	socklen_t len = sizeof(sa);
	int rc = getsockname(fd, &sa.any, &len);

	if (rc == 0) {
		rc = sa.any.sa_family == AF_INET6
			     ? setsockopt(fd, IPPROTO_IPV6, IPV6_TRANSPARENT, &on, sizeof(on))
			     : setsockopt(fd, IPPROTO_IP, IP_TRANSPARENT, &on, sizeof(on));
	}
	if (rc == 0) {
		/* What it will accept is nobody's as yet, but answers already. */
		rc = setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark));
	}
	if (rc == 0) {
		return 0;
	}
	return errno == EPERM
		       ? fl_err_set(err, FL_ERR_IO,
				    "[redirect] mode = tproxy needs the capability NET_ADMIN: give "
				    "it to the sidecar, or use mode = redirect")
		       : fl_err_sys(err, errno, "cannot listen for [redirect] mode = tproxy");
}

/* Binding asks the kernel's table of local addresses, and nothing is left of it. */
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
