/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One epoll descriptor for all sockets of a loop, which libuv watches.
 *
 * Not libuv's streams, because of what a short connection costs: here a socket is registered once and edge-triggered, where a
 * stream asks again and again for one direction or the other; and we are told that the peer has finished together with its last
 * bytes (EPOLLRDHUP), so that both can go on in one packet.
 *
 * What no event will tell of (more to read than fits in a turn, a connection that was refused at once) waits in a list, and the
 * loop does not sleep meanwhile. The memory of closed sockets goes when their turn is over: frames up the stack, and
 * events of the same turn, still look at it. */
#include "net/poller.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"

#define EVENTS_MAX 256

struct fl_poller {
	uv_poll_t poll; /* of epoll, in the loop */
	uv_idle_t idle; /* runs while somebody waits, or is dead and not freed */
	struct fl_net *net;
	struct fl_sock *waiting, *dead;
	int epoll;        /* owned */
	unsigned handles; /* not closed yet */
	bool busy;        /* in a turn, which frees the dead itself */
};

static void free_sock(struct fl_sock *sock)
{
	struct fl_net *net = sock->net;

	free(sock);
	fl_net_closed(net);
}

static void end_turn(struct fl_poller *poller)
{
	poller->busy = false;
	while (poller->dead != NULL) {
		struct fl_sock *sock = poller->dead;

		poller->dead = sock->next;
		free_sock(sock);
	}
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
	struct fl_poller *poller = poll->data;
	struct epoll_event got[EVENTS_MAX];
	int count = epoll_wait(poller->epoll, got, EVENTS_MAX, 0);

	(void)status;
	(void)events;
	poller->busy = true;
	for (int i = 0; i < count; i++) {
		fl_sock_on_events(got[i].data.ptr, got[i].events);
	}
	end_turn(poller);
}

static void on_idle(uv_idle_t *idle)
{
	struct fl_poller *poller = idle->data;
	struct fl_sock *sock = poller->waiting;

	poller->waiting = NULL;
	(void)uv_idle_stop(idle);
	poller->busy = true;
	while (sock != NULL) {
		struct fl_sock *next = sock->next;

		sock->waits = false;
		if (sock->closed) {
			fl_poller_bury(sock);
		} else {
			fl_sock_on_events(sock, 0);
		}
		sock = next;
	}
	end_turn(poller);
}

void fl_poller_come_back(struct fl_sock *sock)
{
	struct fl_poller *poller = sock->net->poller;

	if (!sock->waits) {
		sock->waits = true;
		sock->next = poller->waiting;
		poller->waiting = sock;
		(void)uv_idle_start(&poller->idle, on_idle);
	}
}

void fl_poller_bury(struct fl_sock *sock)
{
	struct fl_poller *poller = sock->net->poller;

	if (sock->waits) {
		return; /* its list has it until the next turn */
	}
	sock->next = poller->dead;
	poller->dead = sock;
	if (!poller->busy) {
		(void)uv_idle_start(&poller->idle, on_idle);
	}
}

int fl_poller_watch(struct fl_sock *sock, uint32_t events)
{
	struct epoll_event event = {.events = events | EPOLLIN | EPOLLPRI | EPOLLRDHUP | EPOLLET,
				    .data.ptr = sock};
	int op = sock->watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

	if (epoll_ctl(sock->net->poller->epoll, op, sock->fd, &event) != 0) {
		return -errno;
	}
	sock->watched = true;
	return 0;
}

/* --- birth and end ------------------------------------------------------------------------------ */

static int poller_new(struct fl_net *net)
{
	struct fl_poller *poller = fl_new(sizeof(*poller));
	int rc;

	poller->epoll = epoll_create1(EPOLL_CLOEXEC);
	rc = poller->epoll >= 0 ? uv_poll_init(net->loop, &poller->poll, poller->epoll) : -errno;
	if (rc != 0) {
		if (poller->epoll >= 0) {
			close(poller->epoll);
		}
		free(poller);
		return rc;
	}
	FL_REQUIRE(uv_idle_init(net->loop, &poller->idle) == 0);
	FL_REQUIRE(uv_poll_start(&poller->poll, UV_READABLE, on_ready) == 0);
	poller->poll.data = poller->idle.data = poller;
	poller->handles = 2;
	poller->net = net;
	net->poller = poller;
	return 0;
}

static void on_handle_closed(uv_handle_t *handle)
{
	struct fl_poller *poller = handle->data;

	if (--poller->handles == 0) {
		free(poller);
	}
}

int fl_net_opened(struct fl_net *net)
{
	int rc = net->poller == NULL ? poller_new(net) : 0;

	if (rc == 0) {
		net->open++;
	}
	return rc;
}

void fl_net_closed(struct fl_net *net)
{
	struct fl_poller *poller = net->poller;

	if (--net->open > 0) {
		return;
	}
	net->poller = NULL;
	uv_close((uv_handle_t *)&poller->poll, on_handle_closed);
	uv_close((uv_handle_t *)&poller->idle, on_handle_closed);
	close(poller->epoll);
}

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
