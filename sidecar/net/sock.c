/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One connected socket.
 *
 * Happy path: bytes arrive in the loop's one read buffer and are passed to on_data; fl_sock_write()
 * passes bytes to the kernel immediately. Only what the kernel does not accept is copied, into a
 * list of pending writes, which are sent when the kernel accepts more. on_drain follows when the
 * list is empty.
 *
 * Events are edges (net.c): `readable` stays set until a read has shown that nothing is left to
 * read.
 *
 * Failure: a read error, or an error of a pending write, is reported by on_error once; an error of
 * a direct write is its return value. Closing detaches the user first, so nothing is reported after
 * it. The memory is freed when the turn is over, so a sock is a separate allocation.
 *
 * Ownership: the caller owns a sock until it calls fl_sock_close() or fl_sock_reset(). */
#include "net/sock_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/options.h"
#include "net/rights.h"

/* In one turn, for fairness. What a read costs depends on what the peer has sent: in records or frames of one byte, many times as
 * much as in large ones. */
#define READS_MAX 32u
#define READS_NS 500000u /* after the first one */

/* Keeps a closing socket until its last bytes are sent, for a bounded time. */
struct fl_farewell {
	uv_timer_t timer;
	struct fl_sock *sock; /* NULL once the socket is closed for good */
};

static void on_events(struct fl_watched *watched, uint32_t events);

static void free_sock(struct fl_watched *watched)
{
	free(FL_CONTAINER_OF(watched, struct fl_sock, watched));
}

static const struct fl_watched_type watched_type = {.on_events = on_events, .free = free_sock};

static void set_reset_on_close(int fd)
{
	struct linger hard = {.l_onoff = 1, .l_linger = 0};

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
}

static void close_fd(int fd, bool may_hold_rights)
{
	if (may_hold_rights) {
		fl_rights_close(fd);
	} else {
		close(fd);
	}
}

struct fl_sock *fl_sock_adopt(struct fl_net *net, int fd, bool is_unix)
{
	struct fl_sock *sock = calloc(1, sizeof(*sock));

	if (sock == NULL || fl_net_opened(net) != 0) {
		free(sock);
		/* The other end may already be connected: a clean end would be wrong. */
		set_reset_on_close(fd);
		close_fd(fd, is_unix);
		return NULL;
	}
	sock->watched.type = &watched_type;
	sock->net = net;
	sock->fd = fd;
	sock->is_unix = is_unix;
	fl_pending_init(&sock->pending, net->wipes);
	return sock;
}

void fl_sock_set_user(struct fl_sock *sock, const struct fl_sock_events *events, void *user)
{
	sock->events = events;
	sock->user = user;
}

/* --- close ------------------------------------------------------------------------------------ */

static void on_farewell_closed(uv_handle_t *handle)
{
	free(FL_CONTAINER_OF(handle, struct fl_farewell, timer));
}

static void close_now(struct fl_sock *sock)
{
	if (sock->watched.is_buried) {
		return;
	}
	if (sock->waits_for_room) {
		fl_sock_stop_waiting(sock);
	} else if (sock->farewell != NULL) {
		sock->net->farewells--;
		sock->farewell->sock = NULL;
		uv_close((uv_handle_t *)&sock->farewell->timer, on_farewell_closed);
		sock->farewell = NULL;
	}
	fl_pending_clear(&sock->pending);
	sock->reading = false;
	close_fd(sock->fd, sock->is_unix && !sock->at_end);
	sock->fd = -1;
	fl_net_bury(sock->net, &sock->watched);
}

static void on_farewell_timeout(uv_timer_t *timer)
{
	struct fl_farewell *farewell = FL_CONTAINER_OF(timer, struct fl_farewell, timer);
	struct fl_sock *sock = farewell->sock;

	/* The peer never received the rest: a clean end would be wrong. */
	set_reset_on_close(sock->fd);
	close_now(sock);
}

/* If thousands are refused, the rest are closed without a farewell: descriptors are needed for
 * served connections. */
static bool start_farewell(struct fl_sock *sock, uint32_t linger_ms)
{
	struct fl_farewell *farewell =
		sock->net->farewells < sock->net->farewells_max && !sock->waits_for_room
			? calloc(1, sizeof(*farewell))
			: NULL;

	if (farewell == NULL) {
		return false;
	}
	farewell->sock = sock;
	FL_REQUIRE(uv_timer_init(sock->net->loop, &farewell->timer) == 0);
	FL_REQUIRE(uv_timer_start(&farewell->timer, on_farewell_timeout, linger_ms, 0) == 0);
	sock->farewell = farewell;
	sock->net->farewells++;
	return true;
}

/* Closes immediately. A clean end after partial data would be wrong. */
static void cut_off(struct fl_sock *sock)
{
	if (!fl_pending_is_empty(&sock->pending)) {
		set_reset_on_close(sock->fd);
	}
	close_now(sock);
}

void fl_sock_close(struct fl_sock *sock, uint32_t linger_ms)
{
	sock->events = NULL;
	fl_sock_read_stop(sock);
	if (fl_pending_is_empty(&sock->pending) || linger_ms == 0 ||
	    !start_farewell(sock, linger_ms)) {
		cut_off(sock);
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
	(void)user; /* the requested FIN is sent automatically */
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
		cut_off(sock);
	}
}

void fl_sock_reset(struct fl_sock *sock)
{
	sock->events = NULL;
	set_reset_on_close(sock->fd);
	close_now(sock);
}

/* Of a Unix socket: as the kernel would report after each read of the other end that it is writable, it is asked for that only while
 * something waits to be sent. Elsewhere it reports this only where there was no room before. If it refuses, it goes on reporting. */
static void expect_no_room(struct fl_sock *sock)
{
	if (sock->is_unix) {
		int rc = fl_net_watch(sock->net, &sock->watched, sock->fd, 0);

		(void)rc;
	}
}

/* --- dial ------------------------------------------------------------------------------------- */

static int error_of(const struct fl_sock *sock)
{
	int sys = 0;
	socklen_t len = sizeof(sys);

	return getsockopt(sock->fd, SOL_SOCKET, SO_ERROR, &sys, &len) == 0 ? -sys : -errno;
}

static void finish_dial(struct fl_sock *sock, uint32_t events)
{
	fl_sock_dial_cb dialed = sock->dialed;
	int sys = sock->error;

	if (sys == 0 && (events & (EPOLLERR | EPOLLHUP)) != 0) {
		sys = error_of(sock);
	}
	if (sock->heeds_icmp) {
		if (sys == 0 && (events & EPOLLOUT) == 0) {
			sys = fl_dial_icmp_error(sock->fd);
		}
		fl_dial_forget_icmp(sock->fd, sock->peer.sin6_family);
		sock->heeds_icmp = false;
	}
	sock->dialed = NULL;
	if (sys == 0) {
		expect_no_room(sock);
	}
	dialed(sock->user, sys);
}

/* --- read ------------------------------------------------------------------------------------- */

static void stop_for(struct fl_sock *sock, int sys)
{
	sock->reading = false;
	if (sys == 0) {
		/* Still readable: the next reader, perhaps another user, finds the same end. */
		sock->events->on_eof(sock->user);
	} else {
		sock->events->on_error(sock->user, -sys);
	}
}

static ssize_t receive(const struct fl_sock *sock, uint8_t *buf, size_t cap)
{
	return sock->is_unix ? fl_rights_recv(sock->fd, buf, cap)
			     : recv(sock->fd, buf, cap, MSG_DONTWAIT);
}

static void read_once(struct fl_sock *sock)
{
	struct fl_net *net = sock->net;
	ssize_t n;

	if (sock->error != 0) {
		stop_for(sock, -sock->error);
		return;
	}
	if (sock->at_end && !sock->broken) {
		stop_for(sock, 0); /* what recv() would say */
		return;
	}
	n = receive(sock, net->read_buf, net->read_cap);
	if (n > 0) {
		bool is_cut = (size_t)n == net->read_cap;

		/* A short read means that nothing is left, except perhaps the end. */
		sock->readable = is_cut || sock->ended || sock->urgent;
		/* Data before a reset is passed on immediately: if it were held back, the reset
		 * would discard it. */
		sock->is_last = sock->ended && !sock->broken && !sock->urgent && !is_cut;
		sock->at_end = sock->is_last;
		sock->events->on_data(sock->user, net->read_buf, (size_t)n);
		sock->is_last = false;
	} else if (n == 0) {
		sock->at_end = true;
		stop_for(sock, 0);
	} else if (errno == EAGAIN) {
		sock->readable = false;
	} else if (errno != EINTR) {
		stop_for(sock, errno);
	}
}

static bool may_read(const struct fl_sock *sock)
{
	return sock->reading && sock->readable;
}

/* Mostly one read takes all, and the time is not asked for. */
static void read_all(struct fl_sock *sock)
{
	uint64_t began_ns;

	if (may_read(sock)) {
		read_once(sock);
	}
	if (!may_read(sock)) {
		return;
	}
	began_ns = uv_hrtime();
	for (unsigned i = 1; i < READS_MAX && may_read(sock) && uv_hrtime() - began_ns < READS_NS;
	     i++) {
		read_once(sock);
	}
	if (may_read(sock)) {
		fl_net_come_back(sock->net, &sock->watched);
	}
}

void fl_sock_read_now(struct fl_sock *sock, uint8_t *buf, size_t cap)
{
	ssize_t n = receive(sock, buf, cap);

	if (n > 0) {
		sock->events->on_data(sock->user, buf, (size_t)n);
	} else if (n < 0 && errno != EAGAIN && errno != EINTR) {
		/* The kernel reports an error only once. */
		sock->events->on_error(sock->user, -errno);
	}
}

void fl_sock_read_start(struct fl_sock *sock)
{
	if (sock->reading) {
		return;
	}
	sock->reading = true;
	if (sock->readable) {
		fl_net_come_back(sock->net, &sock->watched);
		return;
	}
	if (!sock->watched.is_watched) {
		sock->error = fl_net_watch(sock->net, &sock->watched, sock->fd, 0);
	}
	if (sock->error != 0) {
		/* The kernel is out of memory. Try again later; the peer must not see this as an
		 * end. */
		sock->readable = true;
		fl_net_come_back(sock->net, &sock->watched);
	}
}

void fl_sock_read_stop(struct fl_sock *sock)
{
	sock->reading = false;
}

bool fl_sock_read_is_last(const struct fl_sock *sock)
{
	return sock->is_last;
}

/* --- write ------------------------------------------------------------------------------------ */

/* Bytes sent, 0 when the kernel takes none just now, or a negative errno. */
static ssize_t send_now(struct fl_sock *sock, const uint8_t *data, size_t len, int flags)
{
	ssize_t n;

	do {
		n = send(sock->fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT | flags);
	} while (n < 0 && errno == EINTR);
	if (n < 0) {
		return errno == EAGAIN ? 0 : -errno;
	}
	return n;
}

static void send_fin(struct fl_sock *sock)
{
	(void)shutdown(sock->fd, SHUT_WR);
}

static void on_all_written(struct fl_sock *sock)
{
	expect_no_room(sock);
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

static void fail_pending(struct fl_sock *sock, int sys)
{
	fl_pending_clear(&sock->pending);
	if (sock->events != NULL) {
		sock->reading = false;
		sock->events->on_error(sock->user, sys);
	} else {
		close_now(sock);
	}
}

static void send_pending(struct fl_sock *sock)
{
	while (!fl_pending_is_empty(&sock->pending)) {
		size_t len;
		const uint8_t *data = fl_pending_peek(&sock->pending, &len);
		ssize_t n = send_now(sock, data, len, 0);

		if (n < 0) {
			fail_pending(sock, (int)n);
			return;
		}
		fl_pending_advance(&sock->pending, (size_t)n);
		if ((size_t)n < len) {
			return;
		}
	}
	on_all_written(sock);
}

static int write_later(struct fl_sock *sock, const uint8_t *data, size_t len)
{
	bool is_first = fl_pending_is_empty(&sock->pending);

	if (fl_pending_push(&sock->pending, data, len) != 0 ||
	    (is_first && fl_net_watch(sock->net, &sock->watched, sock->fd, EPOLLOUT) != 0)) {
		return UV_ENOMEM;
	}
	return 1;
}

static int write_with(struct fl_sock *sock, const uint8_t *data, size_t len, int flags)
{
	ssize_t n = fl_pending_is_empty(&sock->pending) ? send_now(sock, data, len, flags) : 0;

	if (n < 0) {
		return (int)n;
	}
	return (size_t)n == len ? 0 : write_later(sock, data + n, len - (size_t)n);
}

int fl_sock_write(struct fl_sock *sock, const uint8_t *data, size_t len)
{
	return write_with(sock, data, len, 0);
}

int fl_sock_write_more(struct fl_sock *sock, const uint8_t *data, size_t len)
{
	return write_with(sock, data, len, MSG_MORE);
}

bool fl_sock_pending(const struct fl_sock *sock)
{
	return !fl_pending_is_empty(&sock->pending);
}

void fl_sock_limit_unread(struct fl_sock *sock, int bytes)
{
	fl_options_set_send_room(sock->fd, bytes / 2);
}

void fl_sock_ack_now(struct fl_sock *sock)
{
	fl_options_set_quickack(sock->fd, true);
}

struct fl_debt fl_sock_debt(const struct fl_sock *sock)
{
	return fl_alive_debt(sock->fd);
}

void fl_sock_keep(struct fl_sock *sock)
{
	if (sock->alive.keep_s != 0 && sock->alive.keep_s != sock->net->keep_s) {
		sock->alive.keep_s = sock->net->keep_s;
		fl_alive_set(sock->fd, &sock->alive);
	}
}

void fl_sock_begin_keep(struct fl_sock *sock)
{
	if (sock->alive.keep_s == 0 && !sock->is_unix) {
		sock->alive.keep_s = sock->net->keep_s;
		fl_alive_set(sock->fd, &sock->alive);
	}
}

void fl_sock_shutdown(struct fl_sock *sock)
{
	if (!fl_pending_is_empty(&sock->pending)) {
		sock->fin_wanted = true;
	} else {
		send_fin(sock);
	}
}

/* --- events ----------------------------------------------------------------------------------- */

/* No read is active, so no read will find the error: the user does not read because its other side
 * accepts nothing now, or because the stream has ended. Data that was received and not read is
 * lost. */
static void report_broken(struct fl_sock *sock)
{
	int sys = error_of(sock);

	sock->broken = false;
	if (sys != 0 && sock->events != NULL) {
		sock->events->on_error(sock->user, sys);
	}
}

static void on_events(struct fl_watched *watched, uint32_t events)
{
	struct fl_sock *sock = FL_CONTAINER_OF(watched, struct fl_sock, watched);
	const uint32_t broken = EPOLLHUP | EPOLLERR;

	if (sock->watched.is_buried) {
		return; /* earlier in this turn */
	}
	sock->ended |= (events & (EPOLLRDHUP | broken)) != 0;
	sock->broken |= (events & EPOLLERR) != 0;
	sock->urgent |= (events & EPOLLPRI) != 0;
	sock->readable |= (events & (EPOLLIN | EPOLLPRI | EPOLLRDHUP | broken)) != 0;
	if (sock->dialed != NULL && (sock->error != 0 || (events & (EPOLLOUT | broken)) != 0)) {
		finish_dial(sock, events);
	}
	if (sock->dialed == NULL) {
		read_all(sock);
		if (sock->broken && !sock->reading && !sock->watched.is_buried) {
			report_broken(sock);
		}
		if (!fl_pending_is_empty(&sock->pending) && (events & (EPOLLOUT | broken)) != 0) {
			send_pending(sock);
		}
	}
}
