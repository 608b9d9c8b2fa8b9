/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One connected socket.
 *
 * Happy path: bytes arrive in the loop's one read buffer and are handed to on_data; fl_sock_write()
 * gives bytes to the kernel at once. Only what the kernel does not take is copied, into a pending write that
 * libuv finishes; on_drain follows when the last of them is gone.
 *
 * Failure: a read error, or an error of a pending write, is reported by on_error once; an error of
 * a direct write is its return value. Closing detaches the user first, so nothing is reported after it; the memory goes in
 * libuv's close callback, which is why a sock is an allocation of its own.
 *
 * Ownership: the caller owns a sock until it calls fl_sock_close() or fl_sock_reset(). */
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/net_internal.h"

/* After netinet/in.h, which they respect. */
#include <linux/netfilter_ipv4.h>
#include <linux/netfilter_ipv6/ip6_tables.h>

/* Bytes that the kernel did not take at once. */
struct pending_write {
	uv_write_t req;
	struct fl_sock *sock;
	size_t len;
	uint8_t data[];
};

struct connecting {
	uv_connect_t req;
	struct fl_sock *sock;
	fl_sock_dial_cb cb;
};

/* Keeps a closing socket until its last bytes are out, but not for ever. */
struct fl_farewell {
	uv_timer_t timer;
	struct fl_sock *sock; /* NULL once the socket is closed for good */
};

void fl_net_init(struct fl_net *net, uv_loop_t *loop, size_t read_cap)
{
	*net = (struct fl_net){.loop = loop, .read_cap = read_cap, .read_buf = fl_new(read_cap)};
}

void fl_net_done(struct fl_net *net)
{
	FL_REQUIRE(net->open == 0);
	free(net->read_buf);
	net->read_buf = NULL;
}

struct fl_sock *fl_sock_alloc(struct fl_net *net, bool unix_socket)
{
	struct fl_sock *sock = calloc(1, sizeof(*sock));
	int rc;

	if (sock == NULL) {
		return NULL;
	}
	sock->net = net;
	rc = unix_socket ? uv_pipe_init(net->loop, &sock->h.pipe, 0)
			 : uv_tcp_init(net->loop, &sock->h.tcp);
	FL_REQUIRE(rc == 0); /* neither opens a descriptor, so neither can fail */
	sock->h.handle.data = sock;
	net->open++;
	return sock;
}

void fl_sock_set_user(struct fl_sock *sock, const struct fl_sock_events *events, void *user)
{
	sock->events = events;
	sock->user = user;
}

int fl_sock_fd(const struct fl_sock *sock)
{
	uv_os_fd_t fd;

	return uv_fileno(&sock->h.handle, &fd) == 0 ? fd : -1;
}

/* --- close ------------------------------------------------------------------------------------ */

static void on_farewell_closed(uv_handle_t *handle)
{
	free(FL_CONTAINER_OF(handle, struct fl_farewell, timer));
}

static void on_closed(uv_handle_t *handle)
{
	struct fl_sock *sock = handle->data;

	sock->net->open--;
	free(sock);
}

static void close_now(struct fl_sock *sock)
{
	if (sock->farewell != NULL) {
		sock->farewell->sock = NULL;
		uv_close((uv_handle_t *)&sock->farewell->timer, on_farewell_closed);
		sock->farewell = NULL;
	}
	if (!uv_is_closing(&sock->h.handle)) {
		uv_close(&sock->h.handle, on_closed);
	}
}

static void set_reset_on_close(struct fl_sock *sock)
{
	struct linger hard = {.l_onoff = 1, .l_linger = 0};

	(void)setsockopt(fl_sock_fd(sock), SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
}

static void on_farewell_timeout(uv_timer_t *timer)
{
	struct fl_farewell *farewell = FL_CONTAINER_OF(timer, struct fl_farewell, timer);
	struct fl_sock *sock = farewell->sock;

	/* The peer never took the rest: a clean end would be a lie. */
	set_reset_on_close(sock);
	close_now(sock);
}

static bool start_farewell(struct fl_sock *sock, uint32_t linger_ms)
{
	struct fl_farewell *farewell = calloc(1, sizeof(*farewell));

	if (farewell == NULL) {
		return false;
	}
	farewell->sock = sock;
	FL_REQUIRE(uv_timer_init(sock->net->loop, &farewell->timer) == 0);
	FL_REQUIRE(uv_timer_start(&farewell->timer, on_farewell_timeout, linger_ms, 0) == 0);
	sock->farewell = farewell;
	return true;
}

void fl_sock_close(struct fl_sock *sock, uint32_t linger_ms)
{
	sock->events = NULL;
	fl_sock_read_stop(sock);
	if (sock->pending == 0 || linger_ms == 0 || !start_farewell(sock, linger_ms)) {
		close_now(sock);
	}
}

static void discard_data(void *user, uint8_t *data, size_t len)
{
	(void)user;
	(void)data;
	(void)len;
}

static void discard_end(void *user)
{
	close_now(user);
}

static void discard_drain(void *user)
{
	(void)user; /* the FIN that was asked for goes by itself */
}

static void discard_error(void *user, int sys)
{
	(void)sys;
	close_now(user);
}

static const struct fl_sock_events discard_events = {.on_data = discard_data,
						     .on_eof = discard_end,
						     .on_drain = discard_drain,
						     .on_error = discard_error};

void fl_sock_hang_up(struct fl_sock *sock, uint32_t linger_ms)
{
	fl_sock_set_user(sock, &discard_events, sock);
	fl_sock_shutdown(sock);
	fl_sock_read_start(sock);
	if (!start_farewell(sock, linger_ms)) {
		close_now(sock);
	}
}

void fl_sock_reset(struct fl_sock *sock)
{
	sock->events = NULL;
	set_reset_on_close(sock);
	close_now(sock);
}

/* --- dial ------------------------------------------------------------------------------------- */

static void on_connected(uv_connect_t *req, int status)
{
	struct connecting *connecting = FL_CONTAINER_OF(req, struct connecting, req);
	struct fl_sock *sock = connecting->sock;
	fl_sock_dial_cb cb = connecting->cb;

	free(connecting);
	if (sock->events != NULL) {
		cb(sock->user, status);
	}
}

static void set_keepalive(int fd)
{
	const int on = 1, idle_s = 60;

	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
}

static bool is_special(const struct fl_dial *dial)
{
	return dial->tos != 0 || dial->mark != 0 || dial->from != NULL;
}

/* The kernel chooses the port when it connects, when it knows which ones are free towards there. */
static int bind_transparent(int fd, const struct sockaddr *from)
{
	const int on = 1;
	bool v6 = from->sa_family == AF_INET6;
	union fl_sockaddr sa = {0};
	int rc = v6 ? setsockopt(fd, IPPROTO_IPV6, IPV6_TRANSPARENT, &on, sizeof(on))
		    : setsockopt(fd, IPPROTO_IP, IP_TRANSPARENT, &on, sizeof(on));

	if (rc == 0) {
		rc = setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	}
	memcpy(&sa, from, v6 ? sizeof(sa.in6) : sizeof(sa.in));
	if (v6) {
		sa.in6.sin6_port = 0;
	} else {
		sa.in.sin_port = 0;
	}
	return rc == 0 ? bind(fd, &sa.any, v6 ? sizeof(sa.in6) : sizeof(sa.in)) : rc;
}

static int set_special(int fd, const struct fl_dial *dial)
{
	const int tos = dial->tos;
	int rc = dial->to->sa_family == AF_INET6
			 ? setsockopt(fd, IPPROTO_IPV6, IPV6_TCLASS, &tos, sizeof(tos))
			 : setsockopt(fd, IPPROTO_IP, IP_TOS, &tos, sizeof(tos));

	if (rc == 0 && dial->mark != 0) {
		rc = setsockopt(fd, SOL_SOCKET, SO_MARK, &dial->mark, sizeof(dial->mark));
	}
	if (rc == 0 && dial->from != NULL) {
		rc = bind_transparent(fd, dial->from);
	}
	return rc == 0 ? 0 : -errno;
}

/* A socket that is what it has to be from its first packet on: libuv would make it with the connection. */
static int open_special(struct fl_sock *sock, const struct fl_dial *dial)
{
	int fd = socket(dial->to->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int rc;

	if (fd < 0) {
		return -errno;
	}
	rc = set_special(fd, dial);
	if (rc == 0) {
		rc = uv_tcp_open(&sock->h.tcp, fd);
	}
	if (rc != 0) {
		close(fd);
	}
	return rc;
}

static int start_connect(struct fl_sock *sock, struct connecting *connecting,
			 const struct fl_dial *dial)
{
	int rc = 0;

	if (dial->to->sa_family == AF_UNIX) {
		const struct sockaddr_un *un = (const void *)dial->to;

		/* Reports its errors through the callback. */
		uv_pipe_connect(&connecting->req, &sock->h.pipe, un->sun_path, on_connected);
		return 0;
	}
	if (is_special(dial)) {
		rc = open_special(sock, dial);
	}
	/* Relayed requests are small and answered at once: Nagle would only delay them. */
	if (rc == 0) {
		rc = uv_tcp_nodelay(&sock->h.tcp, 1);
	}
	if (rc == 0) {
		rc = uv_tcp_connect(&connecting->req, &sock->h.tcp, dial->to, on_connected);
	}
	if (rc == 0 && dial->keepalive) {
		set_keepalive(fl_sock_fd(sock));
	}
	return rc;
}

int fl_sock_dial(struct fl_net *net, const struct fl_dial *dial,
		 const struct fl_sock_events *events, void *user, fl_sock_dial_cb cb,
		 struct fl_sock **ret, struct fl_err *err)
{
	const struct sockaddr *to = dial->to;
	struct connecting *connecting = calloc(1, sizeof(*connecting));
	struct fl_sock *sock =
		connecting != NULL ? fl_sock_alloc(net, to->sa_family == AF_UNIX) : NULL;
	int rc;

	if (sock == NULL) {
		free(connecting);
		return fl_err_set(err, FL_ERR_NOMEM, "no memory for a connection");
	}
	connecting->sock = sock;
	connecting->cb = cb;
	if (to->sa_family != AF_UNIX) {
		memcpy(&sock->peer, to,
		       to->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6)
						 : sizeof(struct sockaddr_in));
	}
	fl_sock_set_user(sock, events, user);
	rc = start_connect(sock, connecting, dial);
	if (rc != 0) {
		char text[FL_ADDR_TEXT];

		free(connecting);
		fl_sock_close(sock, 0);
		return fl_err_sys(err, -rc, "cannot connect to %s", fl_sockaddr_format(to, text));
	}
	*ret = sock;
	return 0;
}

/* --- read ------------------------------------------------------------------------------------- */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	struct fl_net *net = ((struct fl_sock *)handle->data)->net;

	(void)suggested;
	buf->base = (char *)net->read_buf;
	buf->len = net->read_cap;
}

static void on_read(uv_stream_t *stream, ssize_t nread, const uv_buf_t *buf)
{
	struct fl_sock *sock = stream->data;

	if (nread > 0) {
		sock->events->on_data(sock->user, (uint8_t *)buf->base, (size_t)nread);
	} else if (nread == UV_EOF) {
		sock->events->on_eof(sock->user);
	} else if (nread < 0) {
		sock->events->on_error(sock->user, (int)nread);
	}
}

void fl_sock_read_now(struct fl_sock *sock, uint8_t *buf, size_t cap)
{
	ssize_t n = recv(fl_sock_fd(sock), buf, cap, MSG_DONTWAIT);

	if (n > 0) {
		sock->events->on_data(sock->user, buf, (size_t)n);
	} else if (n < 0 && errno != EAGAIN && errno != EINTR) {
		/* The kernel tells of an error once. */
		sock->events->on_error(sock->user, -errno);
	}
}

void fl_sock_read_start(struct fl_sock *sock)
{
	/* UV_EALREADY is success; the other errors are of sockets that are not connected. */
	(void)uv_read_start(&sock->h.stream, on_alloc, on_read);
}

void fl_sock_read_stop(struct fl_sock *sock)
{
	(void)uv_read_stop(&sock->h.stream);
}

/* --- write ------------------------------------------------------------------------------------ */

static void send_fin(struct fl_sock *sock)
{
	/* Not uv_shutdown(): that takes two more turns of the loop, and nothing is queued here. */
	(void)shutdown(fl_sock_fd(sock), SHUT_WR);
}

static void on_all_written(struct fl_sock *sock)
{
	if (sock->fin_wanted) {
		sock->fin_wanted = false;
		send_fin(sock);
	}
	if (sock->events != NULL) {
		sock->events->on_drain(sock->user);
	} else {
		close_now(sock);
	}
}

static void free_write(struct pending_write *write)
{
	if (write->sock->net->wipes) {
		fl_wipe(write->data, write->len);
	}
	free(write);
}

static void on_written(uv_write_t *req, int status)
{
	struct pending_write *write = FL_CONTAINER_OF(req, struct pending_write, req);
	struct fl_sock *sock = write->sock;

	free_write(write);
	sock->pending--;
	if (uv_is_closing(&sock->h.handle)) {
		return;
	}
	if (status == 0) {
		if (sock->pending == 0) {
			on_all_written(sock);
		}
	} else if (sock->events != NULL) {
		sock->events->on_error(sock->user, status);
	} else {
		close_now(sock);
	}
}

static int write_later(struct fl_sock *sock, const uint8_t *data, size_t len)
{
	struct pending_write *write = malloc(sizeof(*write) + len);
	uv_buf_t buf;
	int rc;

	if (write == NULL) {
		return UV_ENOMEM;
	}
	write->sock = sock;
	write->len = len;
	memcpy(write->data, data, len);
	buf = uv_buf_init((char *)write->data, (unsigned)len);
	rc = uv_write(&write->req, &sock->h.stream, &buf, 1, on_written);
	if (rc != 0) {
		free_write(write);
		return rc;
	}
	sock->pending++;
	return 1;
}

int fl_sock_write(struct fl_sock *sock, const uint8_t *data, size_t len)
{
	uv_buf_t buf = uv_buf_init((char *)data, (unsigned)len);
	int rc;

	rc = uv_try_write(&sock->h.stream, &buf, 1);
	if (rc >= 0 && (size_t)rc == len) {
		return 0;
	}
	if (rc < 0 && rc != UV_EAGAIN) {
		return rc;
	}
	if (rc > 0) {
		data += rc;
		len -= (size_t)rc;
	}
	return write_later(sock, data, len);
}

bool fl_sock_pending(const struct fl_sock *sock)
{
	return sock->pending > 0;
}

bool fl_sock_is_broken(const struct fl_sock *sock)
{
	struct pollfd state = {.fd = fl_sock_fd(sock)}; /* errors come unasked */

	return poll(&state, 1, 0) == 1 && (state.revents & POLLERR) != 0;
}

void fl_sock_shutdown(struct fl_sock *sock)
{
	if (sock->pending > 0) {
		sock->fin_wanted = true;
	} else {
		send_fin(sock);
	}
}

/* --- who is there ----------------------------------------------------------------------------- */

const char *fl_sock_peer(const struct fl_sock *sock, char *buf)
{
	if (sock->peer.sin6_family == 0) {
		/* A connection that was reset before we accepted it has no address any more. */
		return sock->h.handle.type == UV_NAMED_PIPE
			       ? memcpy(buf, "unix", sizeof("unix"))
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

	(void)getsockname(fl_sock_fd(sock), &sa.any, &len);
	return fl_inet_of(&sa.any);
}

/* An IPv4 client of a dual-stack listener has an IPv6 socket, and IPv4 rules: the family is that of its address. The
 * kernel says ENOENT at the wrong level. */
_Static_assert(IP6T_SO_ORIGINAL_DST == SO_ORIGINAL_DST, "one number for both families");

int fl_sock_original_dst(const struct fl_sock *sock, struct fl_inet *ret)
{
	bool v6 = fl_sock_peer_inet(sock).family == AF_INET6;
	union fl_sockaddr sa = {0};
	socklen_t len = v6 ? sizeof(sa.in6) : sizeof(sa.in);

	if (getsockopt(fl_sock_fd(sock), v6 ? IPPROTO_IPV6 : IPPROTO_IP, SO_ORIGINAL_DST, &sa,
		       &len) != 0) {
		return -errno;
	}
	*ret = fl_inet_of(&sa.any);
	return 0;
}

int fl_sock_peer_uid(const struct fl_sock *sock, uid_t *ret, struct fl_err *err)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(fl_sock_fd(sock), SOL_SOCKET, SO_PEERCRED, &cred, &len) != 0) {
		return fl_err_sys(err, errno, "cannot learn who is at the other end of the socket");
	}
	*ret = cred.uid;
	return 0;
}
