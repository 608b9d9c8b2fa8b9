/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One epoll descriptor serves all sockets of a loop. libuv watches it; or, when fl_net_run() runs
 * the loop, it watches libuv. The latter saves one system call for each turn, and timers and mail
 * from other threads are checked only when they are due.
 *
 * libuv's streams are not used because they make short connections expensive: here a socket is
 * registered once, edge-triggered, while a stream re-registers for one direction or the other again
 * and again. And we learn of the peer's FIN together with its last bytes (EPOLLRDHUP), so that both
 * can be forwarded in one packet.
 *
 * Work that no event announces (more to read than fits in a turn, a connection that was refused
 * immediately) waits in a list, and the loop does not sleep meanwhile. The memory of closed sockets
 * is freed when the turn is over, because callers up the stack and events of the same turn still
 * use it. */
#include "net/net_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/alive.h"

#define EVENTS_MAX 256
#define FAREWELLS_MAX 1024u

struct fl_poller {
	uv_poll_t poll; /* libuv's handle for epoll; unused if `leads` */
	uv_idle_t
		idle; /* runs while a socket waits or is closed but not freed; unused if `leads` */
	struct fl_net *net;
	struct fl_watched *waiting; /* for the next turn */
	struct fl_watched *dead;
	int epoll;        /* owned */
	unsigned handles; /* not closed yet */
	unsigned events;  /* of this turn */
	bool leads;       /* fl_net_run() runs the loop */
	bool busy;        /* inside a turn, which frees closed sockets itself */
};

static void end_turn(struct fl_poller *poller)
{
	struct fl_watched *dead = poller->dead;
	struct fl_net *net = poller->net;

	poller->busy = false;
	poller->dead = NULL;
	while (dead != NULL) {
		struct fl_watched *next = dead->next;

		dead->type->free(dead);
		fl_net_closed(net); /* the last one frees the poller */
		dead = next;
	}
}

static void report(const struct epoll_event *event)
{
	struct fl_watched *watched = event->data.ptr;

	watched->type->on_events(watched, event->events);
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
	struct fl_poller *poller = poll->data;
	struct epoll_event got[EVENTS_MAX];
	int count = epoll_wait(poller->epoll, got, EVENTS_MAX, 0);

	(void)status;
	(void)events;
	poller->busy = true;
	poller->events = count > 0 ? (unsigned)count : 0;
	for (int i = 0; i < count; i++) {
		report(&got[i]);
	}
	end_turn(poller);
}

static void call_back(struct fl_poller *poller)
{
	struct fl_watched *watched = poller->waiting;

	poller->waiting = NULL;
	poller->busy = true;
	while (watched != NULL) {
		struct fl_watched *next = watched->next;

		watched->waits = false;
		if (watched->is_buried) {
			fl_net_bury(poller->net, watched);
		} else {
			watched->type->on_events(watched, 0);
		}
		watched = next;
	}
	end_turn(poller);
}

static void on_idle(uv_idle_t *idle)
{
	(void)uv_idle_stop(idle);
	call_back(idle->data);
}

/* Keeps the loop from sleeping. */
static void stay_awake(struct fl_poller *poller)
{
	if (!poller->leads) {
		(void)uv_idle_start(&poller->idle, on_idle);
	}
}

void fl_net_come_back(struct fl_net *net, struct fl_watched *watched)
{
	struct fl_poller *poller = net->poller;

	if (!watched->waits) {
		watched->waits = true;
		watched->next = poller->waiting;
		poller->waiting = watched;
		stay_awake(poller);
	}
}

void fl_net_bury(struct fl_net *net, struct fl_watched *watched)
{
	struct fl_poller *poller = net->poller;

	watched->is_buried = true;
	if (watched->waits) {
		return; /* it stays in that list until the next turn */
	}
	watched->next = poller->dead;
	poller->dead = watched;
	if (!poller->busy) {
		stay_awake(poller);
	}
}

int fl_net_watch(struct fl_net *net, struct fl_watched *watched, int fd, uint32_t events)
{
	struct epoll_event event = {.events = events | EPOLLIN | EPOLLPRI | EPOLLRDHUP | EPOLLET,
				    .data.ptr = watched};
	int op = watched->is_watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

	if (epoll_ctl(net->poller->epoll, op, fd, &event) != 0) {
		return -errno;
	}
	watched->is_watched = true;
	return 0;
}

int fl_net_listen(struct fl_net *net, struct fl_watched *listener, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = listener};

	return epoll_ctl(net->poller->epoll, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : -errno;
}

/* Removes fd from epoll completely, because EPOLLHUP would be reported for any event mask. */
void fl_net_pause(struct fl_net *net, int fd)
{
	(void)epoll_ctl(net->poller->epoll, EPOLL_CTL_DEL, fd, NULL);
}

unsigned fl_net_turn_events(const struct fl_net *net)
{
	return net->poller->events;
}

/* --- birth and end ------------------------------------------------------------------------------ */

static int follow(struct fl_poller *poller, uv_loop_t *loop)
{
	int rc = uv_poll_init(loop, &poller->poll, poller->epoll);

	if (rc == 0) {
		FL_REQUIRE(uv_idle_init(loop, &poller->idle) == 0);
		FL_REQUIRE(uv_poll_start(&poller->poll, UV_READABLE, on_ready) == 0);
		poller->poll.data = poller->idle.data = poller;
		poller->handles = 2;
	}
	return rc;
}

/* An event without a socket belongs to libuv. */
static int lead(struct fl_poller *poller, uv_loop_t *loop)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};

	poller->leads = true;
	return epoll_ctl(poller->epoll, EPOLL_CTL_ADD, uv_backend_fd(loop), &event) == 0 ? 0
											 : -errno;
}

static int poller_new(struct fl_net *net, int (*begin)(struct fl_poller *poller, uv_loop_t *loop))
{
	struct fl_poller *poller = fl_new(sizeof(*poller));
	int rc;

	poller->epoll = epoll_create1(EPOLL_CLOEXEC);
	rc = poller->epoll >= 0 ? begin(poller, net->loop) : -errno;
	if (rc != 0) {
		if (poller->epoll >= 0) {
			close(poller->epoll);
		}
		free(poller);
		return rc;
	}
	poller->net = net;
	net->poller = poller;
	return 0;
}

static void poller_free(struct fl_poller *poller)
{
	close(poller->epoll);
	free(poller);
}

static void on_handle_closed(uv_handle_t *handle)
{
	struct fl_poller *poller = handle->data;

	if (--poller->handles == 0) {
		poller_free(poller);
	}
}

int fl_net_opened(struct fl_net *net)
{
	int rc = net->poller == NULL ? poller_new(net, follow) : 0;

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
}

/* --- a loop of its own --------------------------------------------------------------------------- */

/* ms until libuv's next timer; -1: none. */
static int time_left(const uv_loop_t *loop)
{
	return uv_loop_alive(loop) ? uv_backend_timeout(loop) : -1;
}

static bool has_uv(const struct epoll_event *got, int count)
{
	for (int i = 0; i < count; i++) {
		if (got[i].data.ptr == NULL) {
			return true;
		}
	}
	return false;
}

/* libuv runs first: a connection that begins after a letter was posted finds it handled. */
static void take_turn(struct fl_poller *poller, uv_loop_t *loop)
{
	bool stays = poller->waiting != NULL || poller->dead != NULL;
	struct epoll_event got[EVENTS_MAX];
	int count = epoll_wait(poller->epoll, got, EVENTS_MAX, stays ? 0 : time_left(loop));

	uv_update_time(loop);
	poller->busy = true;
	poller->events = count > 0 ? (unsigned)count : 0;
	if (has_uv(got, count) || time_left(loop) == 0) {
		(void)uv_run(loop, UV_RUN_NOWAIT); /* mail from other threads, and timers */
	}
	for (int i = 0; i < count; i++) {
		if (got[i].data.ptr != NULL) {
			report(&got[i]);
		}
	}
	if (stays) {
		call_back(poller);
	}
	end_turn(poller);
}

int fl_net_lead(struct fl_net *net)
{
	int rc;

	FL_REQUIRE(net->poller == NULL);
	rc = poller_new(net, lead);
	if (rc == 0) {
		net->open++; /* our own hold, so that the poller outlives the last socket */
	}
	return rc;
}

int fl_net_run(struct fl_net *net, void (*turn_over)(void *user), void *user)
{
	int rc = net->poller == NULL ? fl_net_lead(net) : 0;

	if (rc != 0) {
		return rc;
	}
	FL_REQUIRE(net->poller->leads);
	/* so that libuv registers its descriptors with its epoll */
	(void)uv_run(net->loop, UV_RUN_NOWAIT);
	while (uv_loop_alive(net->loop) || net->open > 1) {
		turn_over(user);
		take_turn(net->poller, net->loop);
	}
	turn_over(user);
	FL_REQUIRE(net->open == 1 && net->poller != NULL); /* our own hold kept the poller */
	net->open--;
	poller_free(net->poller);
	net->poller = NULL;
	return 0;
}

uint8_t *fl_net_new_buffer(size_t cap)
{
	uint8_t *all = fl_new_sparse(FL_NET_HEADROOM + cap + FL_NET_TAILROOM);

	return all + FL_NET_HEADROOM;
}

void fl_net_free_buffer(uint8_t *buffer)
{
	if (buffer != NULL) {
		fl_free_sparse(buffer - FL_NET_HEADROOM);
	}
}

void fl_net_init(struct fl_net *net, uv_loop_t *loop, size_t read_cap)
{
	*net = (struct fl_net){.loop = loop,
			       .read_cap = read_cap,
			       .read_buf = fl_net_new_buffer(read_cap),
			       .farewells_max = FAREWELLS_MAX,
			       .keep_s = FL_KEEP_S};
}

void fl_net_done(struct fl_net *net)
{
	FL_REQUIRE(net->open == 0);
	fl_net_free_buffer(net->read_buf);
	net->read_buf = NULL;
}
