/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Listening sockets.
 *
 * A connection is accepted, then reported. If fl_listener_accept() is not called for it, it is
 * kept, and further connections stay in the kernel's queue until it is taken.
 *
 * Failure: when descriptors are exhausted, connections stay in the kernel's queue, and we try again
 * after RETRY_MS. (libuv's own listener drops them by means of a spare descriptor; if another
 * thread takes that one first, it spins forever.) */
#include "net/listener.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/options.h"
#include "net/rights.h"
#include "net/sock_internal.h"

#define BACKLOG 4096 /* the kernel caps it at net.core.somaxconn */
#define RETRY_MS 50u
#define EVENTS_PER_ACCEPT 4u

struct fl_listener {
	struct fl_watched watched;
	uv_timer_t retry; /* runs while there are no descriptors */
	struct fl_net *net;
	fl_listener_cb cb;
	void *user;
	int fd;                   /* owned */
	int waiting;              /* accepted but not taken yet; -1: none */
	struct sockaddr_in6 peer; /* its address, or a sockaddr_in */
	bool is_unix;
	bool refuses_rights; /* Unix: and so does what it accepts */
	bool is_listening;   /* registered in the poller */
	bool is_closing;
	struct fl_alive alive; /* settings for accepted sockets */
};

static void on_closed(uv_handle_t *handle)
{
	struct fl_listener *listener = handle->data;

	fl_net_bury(listener->net, &listener->watched);
}

void fl_listener_join_acks(struct fl_listener *listener, bool on)
{
	if (!listener->is_unix) {
		fl_options_set_quickack(listener->fd, !on);
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

/* Of its own, or accepted. */
static void close_fd(const struct fl_listener *listener, int fd)
{
	if (listener->is_unix) {
		fl_rights_close(fd);
	} else {
		close(fd);
	}
}

static void pause_listener(struct fl_listener *listener)
{
	fl_net_pause(listener->net, listener->fd);
	listener->is_listening = false;
}

static void stop(struct fl_listener *listener)
{
	if (listener->is_listening) {
		pause_listener(listener);
	}
	listener->is_closing = true;
	uv_close((uv_handle_t *)&listener->retry, on_closed);
	if (listener->waiting >= 0) {
		close_fd(listener, listener->waiting);
	}
}

/* While another descriptor of the socket is open, closing ours does not stop its events. */
void fl_listener_close(struct fl_listener *listener)
{
	stop(listener);
	close(listener->fd);
}

void fl_listener_end(struct fl_listener *listener)
{
	stop(listener);
	close_fd(listener, listener->fd);
}

int fl_listener_fd(const struct fl_listener *listener)
{
	return listener->fd;
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
			fl_net_listen(listener->net, &listener->watched, listener->fd) == 0;
	}
	if (!listener->is_listening) {
		try_later(listener); /* the kernel is out of memory at the moment */
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
		/* Any other error belongs to that connection alone; go on with the next. */
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

/* How many connections this turn accepts. Seldom does a second one wait, and to ask in vain costs
 * the kernel as much as a socket, while the next turn reports the listener again. If there is much
 * other work in a turn, more are accepted, so that new connections get their part of the time. */
static unsigned accepts_of_turn(const struct fl_listener *listener)
{
	return 1 + fl_net_turn_events(listener->net) / EVENTS_PER_ACCEPT;
}

static void on_events(struct fl_watched *watched, uint32_t events)
{
	struct fl_listener *listener = FL_CONTAINER_OF(watched, struct fl_listener, watched);

	(void)events;
	if (listener->is_closing || !listener->is_listening) {
		return; /* in this very turn */
	}
	for (unsigned left = accepts_of_turn(listener); left > 0 && accept_next(listener); left--) {
	}
}

static void free_listener(struct fl_watched *watched)
{
	free(FL_CONTAINER_OF(watched, struct fl_listener, watched));
}

static const struct fl_watched_type watched_type = {.on_events = on_events, .free = free_listener};

int fl_listener_open(struct fl_net *net, int fd, bool unix_socket, fl_listener_cb cb, void *user,
		     struct fl_listener **ret, struct fl_err *err)
{
	struct fl_listener *listener;
	bool refuses_rights = unix_socket && fl_rights_refuse(fd);
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
	listener->watched.type = &watched_type;
	listener->net = net;
	listener->cb = cb;
	listener->user = user;
	listener->fd = fd;
	listener->waiting = -1;
	listener->is_unix = unix_socket;
	listener->refuses_rights = refuses_rights;
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
	if (listener->is_unix && !listener->refuses_rights) {
		(void)fl_rights_refuse(listener->waiting);
	}
	sock = fl_sock_adopt(listener->net, listener->waiting, listener->is_unix);
	listener->waiting = -1;
	resume(listener);
	if (sock == NULL) {
		return NULL;
	}
	if (!listener->is_unix) {
		sock->peer = listener->peer;
		/* The socket inherited its settings when it entered the queue, perhaps before the
		 * last change. */
		sock->alive = listener->alive;
		sock->alive.keep_s = FL_KEEP_S;
	}
	fl_sock_set_user(sock, events, user);
	return sock;
}
