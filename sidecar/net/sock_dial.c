/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Starts to connect a socket; sock.c reports how that ended.
 *
 * Happy path: dial.c makes a connecting descriptor, and an event says that it is connected. An error
 * that is known immediately is reported in the next turn.
 *
 * A Unix socket never is under way: if the queue of its listener is full, the kernel refuses
 * (EAGAIN), and it tells nobody when there is room again. TCP sends the SYN again; here, too, the
 * dial is repeated. All that wait for one path stand in a line: only the first one tries, after a
 * pause that doubles while it tries in vain, and those behind follow at once when it gets in. So a
 * listener that does not accept costs one system call in PAUSE_MAX_MS, however many wait, and none
 * is overtaken by one that comes later. How long they wait is up to their users. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "net/sock_internal.h"

#define PAUSE_MIN_MS 1u
#define PAUSE_MAX_MS 16u
#define TRIES_MAX 64u /* in one turn, for fairness */

/* A place in the line. */
struct fl_waiting {
	struct fl_waiting *next, **link; /* link: what points here */
	struct fl_full *full;
	struct fl_sock *sock; /* which owns this */
};

/* A listener without room, and the line before it. */
struct fl_full {
	struct fl_full *next;
	struct fl_net *net;
	struct fl_waiting *first, **last; /* empty: it is being freed */
	uv_timer_t timer;
	uint64_t pause_ms;
	struct sockaddr_un at;
};

/* on_events() reports how the dial has ended. 0, or a negative errno. */
static int follow(struct fl_sock *sock, int sys)
{
	if (sys == 0) {
		return fl_net_watch(sock->net, &sock->watched, sock->fd, EPOLLOUT);
	}
	sock->error = sys;
	fl_net_come_back(sock->net, &sock->watched);
	return 0;
}

/* --- waiting for room ----------------------------------------------------------------------------- */

static void on_timer(uv_timer_t *timer);

static struct fl_full *find_full(const struct fl_net *net, const struct sockaddr *to)
{
	struct fl_full *full = net->full;

	while (full != NULL && memcmp(&full->at, to, fl_dial_sockaddr_len(to)) != 0) {
		full = full->next;
	}
	return full;
}

static void try_after_pause(struct fl_full *full)
{
	FL_REQUIRE(uv_timer_start(&full->timer, on_timer, full->pause_ms, 0) == 0);
}

/* NULL: no memory. */
static struct fl_full *new_full(struct fl_net *net, const struct sockaddr *to)
{
	struct fl_full *full = calloc(1, sizeof(*full));

	if (full == NULL) {
		return NULL;
	}
	full->net = net;
	full->last = &full->first;
	full->pause_ms = PAUSE_MIN_MS;
	memcpy(&full->at, to, fl_dial_sockaddr_len(to));
	FL_REQUIRE(uv_timer_init(net->loop, &full->timer) == 0);
	try_after_pause(full);
	full->next = net->full;
	net->full = full;
	return full;
}

static void on_closed(uv_handle_t *handle)
{
	free(FL_CONTAINER_OF(handle, struct fl_full, timer));
}

static void free_full(struct fl_full *full)
{
	struct fl_full **link = &full->net->full;

	while (*link != full) {
		link = &(*link)->next;
	}
	*link = full->next;
	uv_close((uv_handle_t *)&full->timer, on_closed);
}

/* 0 or a negative errno. */
static int wait_for_room(struct fl_sock *sock, const struct sockaddr *to)
{
	struct fl_waiting *waiting = malloc(sizeof(*waiting));
	struct fl_full *full;

	if (waiting == NULL) {
		return -ENOMEM;
	}
	full = find_full(sock->net, to);
	if (full == NULL && (full = new_full(sock->net, to)) == NULL) {
		free(waiting);
		return -ENOMEM;
	}
	*waiting = (struct fl_waiting){.link = full->last, .full = full, .sock = sock};
	*full->last = waiting;
	full->last = &waiting->next;
	sock->waiting = waiting;
	sock->waits_for_room = true;
	return 0;
}

static void leave_line(struct fl_sock *sock)
{
	struct fl_waiting *waiting = sock->waiting;

	*waiting->link = waiting->next;
	if (waiting->next != NULL) {
		waiting->next->link = waiting->link;
	} else {
		waiting->full->last = waiting->link;
	}
	free(waiting);
	sock->waiting = NULL;
	sock->waits_for_room = false;
}

void fl_sock_stop_waiting(struct fl_sock *sock)
{
	struct fl_full *full = sock->waiting->full;

	leave_line(sock);
	if (full->first == NULL) {
		free_full(full);
	}
}

/* False: there is still no room. */
static bool try_first(struct fl_full *full)
{
	struct fl_sock *sock = full->first->sock;
	int sys = fl_dial_connect(sock->fd, (const struct sockaddr *)&full->at), rc;

	if (sys == -EAGAIN) {
		return false;
	}
	leave_line(sock);
	rc = follow(sock, sys);
	if (rc != 0) {
		sock->error = rc;
		fl_net_come_back(sock->net, &sock->watched);
	}
	return true;
}

static void on_timer(uv_timer_t *timer)
{
	struct fl_full *full = FL_CONTAINER_OF(timer, struct fl_full, timer);
	unsigned done = 0;

	while (full->first != NULL && done < TRIES_MAX && try_first(full)) {
		done++;
	}
	if (full->first == NULL) {
		free_full(full);
		return;
	}
	full->pause_ms = done > 0                            ? PAUSE_MIN_MS
			 : full->pause_ms * 2 > PAUSE_MAX_MS ? PAUSE_MAX_MS
							     : full->pause_ms * 2;
	try_after_pause(full);
}

/* --- dial ----------------------------------------------------------------------------------------- */

static int cannot_connect(struct fl_err *err, int sys, const struct sockaddr *to)
{
	char text[FL_ADDR_TEXT];

	return fl_err_sys(err, sys, "cannot connect to %s", fl_sockaddr_format(to, text));
}

/* Like fl_dial_start(). Where others wait for room, it goes behind them. */
static int start(struct fl_net *net, const struct fl_dial *dial, int *ret_fd, int *ret_sys)
{
	if (!dial->is_patient || find_full(net, dial->to) == NULL) {
		return fl_dial_start(&net->ports, dial, ret_fd, ret_sys);
	}
	*ret_fd = fl_dial_socket(dial->to);
	*ret_sys = -EAGAIN;
	return *ret_fd >= 0 ? 0 : *ret_fd;
}

int fl_sock_dial(struct fl_net *net, const struct fl_dial *dial,
		 const struct fl_sock_events *events, void *user, fl_sock_dial_cb cb,
		 struct fl_sock **ret, struct fl_err *err)
{
	const struct sockaddr *to = dial->to;
	bool is_unix = to->sa_family == AF_UNIX;
	struct fl_sock *sock;
	int fd, sys, rc = start(net, dial, &fd, &sys);

	if (rc != 0) {
		return cannot_connect(err, -rc, to);
	}
	sock = fl_sock_adopt(net, fd, is_unix);
	if (sock == NULL) {
		return fl_err_set(err, FL_ERR_NOMEM, "no memory for a connection");
	}
	if (!is_unix) {
		memcpy(&sock->peer, to, fl_dial_sockaddr_len(to));
	}
	sock->alive = dial->alive;
	sock->dialed = cb;
	sock->heeds_icmp = dial->heeds_icmp;
	fl_sock_set_user(sock, events, user);
	rc = dial->is_patient && sys == -EAGAIN ? wait_for_room(sock, to) : follow(sock, sys);
	if (rc != 0) {
		fl_sock_reset(sock);
		return cannot_connect(err, -rc, to);
	}
	*ret = sock;
	return 0;
}
