/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_TESTS_UNIT_SOCK_BENCH_H
#define FL_TESTS_UNIT_SOCK_BENCH_H
/* sock_bench - a listener on loopback, and both ends of its connections. Header only: each test is a program of its own. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/bind.h"
#include "net/listener.h"
#include "net/sock.h"

/* One end that we watch, on the loop; the other end is a plain descriptor of the test. */
struct end {
	struct fl_sock *sock;
	size_t bytes;
	int eofs, drains, errors, dialed;
};

struct bench {
	uv_loop_t loop;
	struct fl_net net;
	struct fl_listener *listener;
	uint16_t port;
	struct end end;
	bool leave_waiting;
	int offered;
};

static inline void on_data(void *user, uint8_t *data, size_t len)
{
	(void)data;
	((struct end *)user)->bytes += len;
}

static inline void on_eof(void *user)
{
	((struct end *)user)->eofs++;
}

static inline void on_drain(void *user)
{
	((struct end *)user)->drains++;
}

static inline void on_error(void *user, int sys)
{
	cr_assert_lt(sys, 0);
	((struct end *)user)->errors++;
}

static const struct fl_sock_events events = {
	.on_data = on_data, .on_eof = on_eof, .on_drain = on_drain, .on_error = on_error};

static inline void on_connection(void *user, struct fl_listener *listener)
{
	struct bench *bench = user;

	bench->offered++;
	if (!bench->leave_waiting) {
		bench->end.sock = fl_listener_accept(listener, &events, &bench->end);
	}
}

static inline void turn_until(struct bench *bench, const int *counter, int wanted)
{
	for (int turns = 0; *counter < wanted; turns++) {
		cr_assert_lt(turns, 10000, "waited in vain");
		(void)uv_run(&bench->loop, UV_RUN_ONCE);
	}
}

static inline void bench_init(struct bench *bench)
{
	struct fl_addr addr;
	struct fl_err err;
	struct sockaddr_in bound = {0};
	socklen_t len = sizeof(bound);
	int fd;

	*bench = (struct bench){.offered = 0};
	cr_assert_eq(uv_loop_init(&bench->loop), 0);
	fl_net_init(&bench->net, &bench->loop, 16384);
	cr_assert_eq(fl_addr_parse("127.0.0.1:0", FL_ADDR_ALLOW_ZERO, &addr, &err), 0);
	cr_assert_eq(fl_net_bind(&addr, true, 0, &fd, &err), 0, "%s", err.text);
	cr_assert_eq(getsockname(fd, (struct sockaddr *)&bound, &len), 0);
	bench->port = ntohs(bound.sin_port);
	cr_assert_eq(fl_listener_open(&bench->net, fd, false, on_connection, bench,
				      &bench->listener, &err),
		     0);
}

static inline void bench_done(struct bench *bench)
{
	fl_listener_close(bench->listener);
	(void)uv_run(&bench->loop, UV_RUN_DEFAULT);
	fl_net_done(&bench->net);
	cr_assert_eq(uv_loop_close(&bench->loop), 0);
}

static inline int connect_plain(const struct bench *bench)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_port = htons(bench->port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	cr_assert_eq(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

/* Reads all there is until the end; -1: it ended with a reset. */
static inline ssize_t read_to_end(struct bench *bench, int fd)
{
	char buf[65536];
	ssize_t total = 0;

	for (;;) {
		ssize_t n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);

		if (n == 0) {
			return total;
		}
		if (n < 0 && errno != EAGAIN) {
			return -1;
		}
		total += n > 0 ? n : 0;
		(void)uv_run(&bench->loop, UV_RUN_NOWAIT);
	}
}

#endif
