/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Somebody leaves us a TCP socket that lingers, and whose other end does not read: whoever drops the last reference to it sleeps
 * for an hour. A test that ends in time shows that we did not. What is dropped ends for its other end all the same.
 *
 * A kernel that refuses descriptors (Linux 6.16) plays an older one where a test lets a socket take them again. */
#include "net/rights.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "net/sock_internal.h"
#include "sock_bench.h"

#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83
#endif

#define IN_TIME .timeout = 120

static const int off = 0, on = 1;
static int error;

static void on_sys(void *user, int sys)
{
	error = sys;
	on_error(user, sys);
}

static const struct fl_sock_events watching = {
	.on_data = on_data, .on_eof = on_eof, .on_drain = on_drain, .on_error = on_sys};

/* --- the attacker -------------------------------------------------------------------------------- */

static void fill_up(int fd)
{
	static const char chunk[4096];

	while (send(fd, chunk, sizeof(chunk), MSG_DONTWAIT) > 0) {
	}
	cr_assert_eq(errno, EAGAIN);
}

/* *ret_other: does not read. */
static int make_lingering(int *ret_other)
{
	const struct linger hour = {.l_onoff = 1, .l_linger = 3600};
	struct sockaddr_in addr = {.sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(addr);
	int listener = socket(AF_INET, SOCK_STREAM, 0), fd = socket(AF_INET, SOCK_STREAM, 0);

	cr_assert_eq(bind(listener, (struct sockaddr *)&addr, sizeof(addr)), 0);
	cr_assert_eq(listen(listener, 1), 0);
	cr_assert_eq(getsockname(listener, (struct sockaddr *)&addr, &len), 0);
	cr_assert_eq(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	*ret_other = accept(listener, NULL, NULL);
	cr_assert_geq(*ret_other, 0);
	close(listener);
	fill_up(fd);
	cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_LINGER, &hour, sizeof(hour)), 0);
	return fd;
}

/* 0 or errno. */
static int give(int to, const int *fds, size_t count, size_t bytes, int flags)
{
	union {
		char room[CMSG_SPACE(sizeof(int) * 253)];
		struct cmsghdr head;
	} control = {.head = {.cmsg_len = CMSG_LEN(sizeof(int) * count),
			      .cmsg_level = SOL_SOCKET,
			      .cmsg_type = SCM_RIGHTS}};
	struct iovec text = {.iov_base = (char[]){"text"}, .iov_len = bytes};
	struct msghdr message = {.msg_iov = &text,
				 .msg_iovlen = 1,
				 .msg_control = control.room,
				 .msg_controllen = CMSG_SPACE(sizeof(int) * count)};

	memcpy(CMSG_DATA(&control.head), fds, sizeof(int) * count);
	return sendmsg(to, &message, flags | MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? errno : 0;
}

/* And keeps none. */
static void leave(int to, int fd, size_t bytes, int flags)
{
	int sys = give(to, &fd, 1, bytes, flags);

	cr_assert_eq(sys, 0, "%s", strerror(sys));
	close(fd);
}

/* Nobody has the lingering socket any more. */
static void expect_dropped(int other)
{
	char buf[65536];
	ssize_t n;

	do {
		n = recv(other, buf, sizeof(buf), 0);
	} while (n > 0);
	cr_expect_eq(n, 0);
	close(other);
}

static unsigned count_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned count = 0;

	cr_assert_not_null(dir);
	while (readdir(dir) != NULL) {
		count++;
	}
	closedir(dir);
	return count;
}

/* --- an older kernel ------------------------------------------------------------------------------ */

static bool kernel_refuses(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	bool can = setsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &off, sizeof(off)) == 0;

	close(fd);
	return can;
}

/* As fl_rights_refuse() would have left it. */
static void play_older(int fd)
{
	(void)setsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &on, sizeof(on));
	(void)setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on));
}

/* Ours is bench->end.sock. Returns the attacker's end. */
static int make_pair(struct bench *bench)
{
	int fds[2];

	bench_init(bench);
	error = 0;
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	play_older(fds[0]);
	bench->end.sock = fl_sock_adopt(&bench->net, fds[0], true);
	cr_assert_not_null(bench->end.sock);
	fl_sock_set_user(bench->end.sock, &watching, &bench->end);
	return fds[1];
}

/* --- reading ---------------------------------------------------------------------------------------- */

static void read_what_brings_one(int flags)
{
	struct bench bench;
	int attacker = make_pair(&bench), other;

	cr_assert_eq(send(attacker, "before", 6, 0), 6);
	leave(attacker, make_lingering(&other), flags == MSG_OOB ? 1 : 4, flags);
	fl_sock_read_start(bench.end.sock);
	turn_until(&bench, &bench.end.errors, 1);
	cr_expect_eq(error, -FL_RIGHTS_CAME);
	cr_expect_lt(bench.end.bytes, 6 + 4);
	expect_dropped(other);
	fl_sock_reset(bench.end.sock);
	close(attacker);
	bench_done(&bench);
}

Test(rights, a_read_that_brings_one_does_not_sleep, IN_TIME)
{
	read_what_brings_one(0);
}

Test(rights, nor_does_one_of_urgent_data, IN_TIME)
{
	read_what_brings_one(MSG_OOB);
}

Test(rights, nor_does_one_without_waiting_for_the_loop, IN_TIME)
{
	struct bench bench;
	uint8_t buf[16];
	int attacker = make_pair(&bench), other;

	leave(attacker, make_lingering(&other), 4, 0);
	fl_sock_read_now(bench.end.sock, buf, sizeof(buf));
	cr_expect_eq(bench.end.errors, 1);
	cr_expect_eq(error, -FL_RIGHTS_CAME);
	expect_dropped(other);
	fl_sock_reset(bench.end.sock);
	close(attacker);
	bench_done(&bench);
}

Test(rights, all_that_one_message_can_carry_are_closed, IN_TIME)
{
	struct bench bench;
	int attacker = make_pair(&bench), fds[253];
	unsigned before = count_descriptors();

	for (size_t i = 0; i < FL_COUNT_OF(fds); i++) {
		fds[i] = STDIN_FILENO;
	}
	cr_assert_eq(give(attacker, fds, FL_COUNT_OF(fds), 4, 0), 0);
	fl_sock_read_start(bench.end.sock);
	turn_until(&bench, &bench.end.errors, 1);
	cr_expect_eq(count_descriptors(), before);
	fl_sock_reset(bench.end.sock);
	close(attacker);
	bench_done(&bench);
}

Test(rights, bytes_alone_are_read_as_ever)
{
	struct bench bench;
	int attacker = make_pair(&bench);

	cr_assert_eq(send(attacker, "first ", 6, 0), 6);
	cr_assert_eq(send(attacker, "second", 6, 0), 6);
	cr_assert_eq(shutdown(attacker, SHUT_WR), 0);
	fl_sock_read_start(bench.end.sock);
	turn_until(&bench, &bench.end.eofs, 1);
	cr_expect_eq(bench.end.bytes, 12);
	cr_expect_eq(bench.end.errors, 0);
	fl_sock_close(bench.end.sock, 0);
	close(attacker);
	bench_done(&bench);
}

/* --- closing ---------------------------------------------------------------------------------------- */

Test(rights, a_refusal_of_what_brings_some_does_not_sleep, IN_TIME)
{
	struct bench bench;
	int attacker = make_pair(&bench), others[3];

	leave(attacker, make_lingering(&others[0]), 1, 0);
	cr_assert_eq(send(attacker, "between", 7, 0), 7);
	leave(attacker, make_lingering(&others[1]), 1, 0);
	leave(attacker, make_lingering(&others[2]), 1, MSG_OOB);
	fl_sock_reset(bench.end.sock);
	for (size_t i = 0; i < FL_COUNT_OF(others); i++) {
		expect_dropped(others[i]);
	}
	cr_expect_eq(send(attacker, "x", 1, MSG_NOSIGNAL), -1);
	close(attacker);
	bench_done(&bench);
}

Test(rights, nor_does_the_end_of_one_that_was_read_in_part, IN_TIME)
{
	struct bench bench;
	int attacker = make_pair(&bench), other;

	cr_assert_eq(send(attacker, "hello", 5, 0), 5);
	fl_sock_read_now(bench.end.sock, bench.net.read_buf, bench.net.read_cap);
	cr_expect_eq(bench.end.bytes, 5);
	leave(attacker, make_lingering(&other), 1, 0);
	cr_assert_eq(shutdown(attacker, SHUT_WR), 0);
	fl_sock_close(bench.end.sock, 60000);
	expect_dropped(other);
	close(attacker);
	bench_done(&bench);
}

/* --- sockets that hold sockets -------------------------------------------------------------------------- */

/* Returns the one that holds it. */
static int wrap(int type, int fd)
{
	int fds[2];

	cr_assert_eq(socketpair(AF_UNIX, type, 0, fds), 0);
	if (type != SOCK_STREAM) { /* a message of no bytes, before it */
		cr_assert_eq(send(fds[0], "", 0, 0), 0);
	}
	leave(fds[0], fd, 1, 0);
	close(fds[0]);
	return fds[1];
}

static int wrap_in_queue(int fd)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	socklen_t len = sizeof(addr);
	int listener = socket(AF_UNIX, SOCK_STREAM, 0), client = socket(AF_UNIX, SOCK_STREAM, 0);

	/* a name that the kernel chooses */
	cr_assert_eq(bind(listener, (struct sockaddr *)&addr, sizeof(addr.sun_family)), 0);
	cr_assert_eq(listen(listener, 5), 0);
	cr_assert_eq(getsockname(listener, (struct sockaddr *)&addr, &len), 0);
	cr_assert_eq(connect(client, (struct sockaddr *)&addr, len), 0);
	leave(client, fd, 1, 0);
	close(client);
	return listener;
}

/* As many as one message can carry, it last; and options that put more before them. */
static int wrap_with_others(int fd)
{
	static const int options[] = {SO_PASSCRED, SO_PASSSEC, SO_TIMESTAMPNS,
				      76 /* SO_PASSPIDFD */};
	int fds[253], ends[2];

	for (size_t i = 0; i < FL_COUNT_OF(fds); i++) {
		fds[i] = STDIN_FILENO;
	}
	fds[FL_COUNT_OF(fds) - 1] = fd;
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	for (size_t i = 0; i < FL_COUNT_OF(options); i++) {
		(void)setsockopt(ends[1], SOL_SOCKET, options[i], &on, sizeof(on));
	}
	cr_assert_eq(give(ends[0], fds, FL_COUNT_OF(fds), 1, 0), 0);
	close(ends[0]);
	close(fd);
	return ends[1];
}

/* A reader passes over it, unless it asks for it. */
static int wrap_as_urgent(int fd)
{
	int fds[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	leave(fds[0], fd, 1, MSG_OOB);
	close(fds[0]);
	return fds[1];
}

static int wrap_ten_times(int fd)
{
	for (int i = 0; i < 10; i++) {
		fd = wrap(SOCK_STREAM, fd);
	}
	return fd;
}

static int wrap_in_datagram(int fd)
{
	return wrap(SOCK_DGRAM, fd);
}

static int wrap_in_packet(int fd)
{
	return wrap(SOCK_SEQPACKET, fd);
}

static int wrap_in_stream(int fd)
{
	return wrap(SOCK_STREAM, fd);
}

/* Up to Linux 6.9 no more than five. */
static int wrap_four_times(int fd)
{
	for (int i = 0; i < 4; i++) {
		fd = wrap(SOCK_STREAM, fd);
	}
	return fd;
}

Test(rights, sockets_that_hold_sockets, IN_TIME)
{
	int (*const ways[])(int fd) = {
		wrap_in_stream,
		wrap_in_datagram,
		wrap_in_packet,
		wrap_in_queue,
		wrap_with_others,
		wrap_as_urgent,
		kernel_refuses() ? wrap_ten_times : wrap_four_times,
	};

	for (size_t i = 0; i < FL_COUNT_OF(ways); i++) {
		struct bench bench;
		int attacker = make_pair(&bench), other;
		unsigned before = count_descriptors();

		leave(attacker, ways[i](make_lingering(&other)), 4, 0);
		fl_sock_read_start(bench.end.sock);
		turn_until(&bench, &bench.end.errors, 1);
		expect_dropped(other);
		/* the loop's poller has begun */
		cr_expect_leq(count_descriptors(), before + 2, "way %zu", i);
		fl_sock_reset(bench.end.sock);
		close(attacker);
		bench_done(&bench);
	}
}

/* --- listeners ---------------------------------------------------------------------------------------- */

static int connect_to(const struct fl_listener *listener)
{
	struct sockaddr_un addr;
	socklen_t len = sizeof(addr);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	cr_assert_eq(getsockname(fl_listener_fd(listener), (struct sockaddr *)&addr, &len), 0);
	cr_assert_eq(connect(fd, (struct sockaddr *)&addr, len), 0);
	return fd;
}

static struct fl_listener *listen_unix(struct bench *bench)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	struct fl_listener *listener;
	struct fl_err err;

	cr_assert_eq(bind(fd, (struct sockaddr *)&addr, sizeof(addr.sun_family)), 0);
	cr_assert_eq(fl_listener_open(&bench->net, fd, true, on_connection, bench, &listener, &err),
		     0);
	return listener;
}

Test(rights, the_end_of_a_listener_does_not_sleep_for_who_waits, IN_TIME)
{
	struct bench bench;
	struct fl_listener *listener;
	int clients[2], others[2];

	bench_init(&bench);
	listener = listen_unix(&bench);
	play_older(fl_listener_fd(listener));
	bench.leave_waiting = true;
	for (size_t i = 0; i < FL_COUNT_OF(clients); i++) {
		clients[i] = connect_to(listener);
		leave(clients[i], make_lingering(&others[i]), 1, 0);
	}
	turn_until(&bench, &bench.offered, 1); /* the other is in the kernel's queue */
	fl_listener_end(listener);
	for (size_t i = 0; i < FL_COUNT_OF(clients); i++) {
		expect_dropped(others[i]);
		close(clients[i]);
	}
	bench_done(&bench);
}

Test(rights, a_listener_that_others_have_too_keeps_its_queue)
{
	struct bench bench;
	struct fl_listener *listener;
	int shared, client, accepted;

	bench_init(&bench);
	listener = listen_unix(&bench);
	play_older(fl_listener_fd(listener));
	shared = dup(fl_listener_fd(listener));
	client = connect_to(listener);
	fl_listener_close(listener);
	accepted = accept(shared, NULL, NULL);
	cr_expect_geq(accepted, 0);
	cr_expect_eq(send(client, "x", 1, MSG_NOSIGNAL), 1);
	close(accepted);
	close(client);
	close(shared);
	bench_done(&bench);
}

/* --- a kernel that refuses ---------------------------------------------------------------------------------- */

static void expect_refused(int to)
{
	cr_expect_eq(give(to, (int[]){STDIN_FILENO}, 1, 1, 0), EPERM);
	cr_expect_eq(give(to, (int[]){STDIN_FILENO}, 1, 1, MSG_OOB), EPERM);
	cr_expect_eq(send(to, "x", 1, 0), 1);
}

Test(rights, a_listener_takes_none_and_neither_does_what_it_accepts)
{
	struct bench bench;
	struct fl_listener *listener;
	int client;

	if (!kernel_refuses()) {
		cr_skip_test("this kernel cannot refuse descriptors");
	}
	bench_init(&bench);
	listener = listen_unix(&bench);
	client = connect_to(listener);
	expect_refused(client);
	turn_until(&bench, &bench.offered, 1);
	expect_refused(client);
	fl_sock_close(bench.end.sock, 0);
	fl_listener_close(listener);
	close(client);
	bench_done(&bench);
}

static void on_dialed(void *user, int sys)
{
	cr_assert_eq(sys, 0);
	((struct end *)user)->dialed++;
}

Test(rights, what_we_dial_cannot_send_any)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	struct fl_dial dial = {.to = (struct sockaddr *)&addr};
	int listener = socket(AF_UNIX, SOCK_STREAM, 0), server;
	struct bench bench;
	struct fl_err err;

	if (!kernel_refuses()) {
		cr_skip_test("this kernel cannot refuse descriptors");
	}
	bench_init(&bench);
	(void)snprintf(addr.sun_path, sizeof(addr.sun_path), "/tmp/fairlead-rights-%d.sock",
		       (int)getpid());
	cr_assert_eq(bind(listener, (struct sockaddr *)&addr, sizeof(addr)), 0);
	cr_assert_eq(listen(listener, 1), 0);
	cr_assert_eq(fl_sock_dial(&bench.net, &dial, &watching, &bench.end, on_dialed,
				  &bench.end.sock, &err),
		     0);
	server = accept(listener, NULL, NULL);
	expect_refused(server); /* before our next turn */
	turn_until(&bench, &bench.end.dialed, 1);
	expect_refused(server);
	fl_sock_close(bench.end.sock, 0);
	close(server);
	close(listener);
	(void)unlink(addr.sun_path);
	bench_done(&bench);
}
