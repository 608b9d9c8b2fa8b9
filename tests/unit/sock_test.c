/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Sockets on a real loop, between two ends of this process: what a caller is told, and in which order. */
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

static void on_data(void *user, uint8_t *data, size_t len)
{
	(void)data;
	((struct end *)user)->bytes += len;
}

static void on_eof(void *user)
{
	((struct end *)user)->eofs++;
}

static void on_drain(void *user)
{
	((struct end *)user)->drains++;
}

static void on_error(void *user, int sys)
{
	cr_assert_lt(sys, 0);
	((struct end *)user)->errors++;
}

static const struct fl_sock_events events = {
	.on_data = on_data, .on_eof = on_eof, .on_drain = on_drain, .on_error = on_error};

static void on_connection(void *user, struct fl_listener *listener)
{
	struct bench *bench = user;

	bench->offered++;
	if (!bench->leave_waiting) {
		bench->end.sock = fl_listener_accept(listener, &events, &bench->end);
	}
}

static void turn_until(struct bench *bench, const int *counter, int wanted)
{
	for (int turns = 0; *counter < wanted; turns++) {
		cr_assert_lt(turns, 10000, "waited in vain");
		(void)uv_run(&bench->loop, UV_RUN_ONCE);
	}
}

static void bench_init(struct bench *bench)
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

static void bench_done(struct bench *bench)
{
	fl_listener_close(bench->listener);
	(void)uv_run(&bench->loop, UV_RUN_DEFAULT);
	fl_net_done(&bench->net);
	cr_assert_eq(uv_loop_close(&bench->loop), 0);
}

static int connect_plain(const struct bench *bench)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_port = htons(bench->port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	cr_assert_eq(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

/* Reads all there is until the end; -1: it ended with a reset. */
static ssize_t read_to_end(struct bench *bench, int fd)
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

static bool was_last;
static const struct fl_sock *watched;

static void on_maybe_last(void *user, uint8_t *data, size_t len)
{
	was_last = fl_sock_read_is_last(watched);
	on_data(user, data, len);
}

static const struct fl_sock_events events_and_last = {
	.on_data = on_maybe_last, .on_eof = on_eof, .on_drain = on_drain, .on_error = on_error};

/* Who reads after the end, perhaps somebody else than before, is told of it, too. */
Test(sock, last_bytes_are_known_to_be_the_last_and_the_end_stays)
{
	struct bench bench;
	int fd;

	bench_init(&bench);
	fd = connect_plain(&bench);
	turn_until(&bench, &bench.offered, 1);
	watched = bench.end.sock;
	fl_sock_set_user(bench.end.sock, &events_and_last, &bench.end);
	cr_assert_eq(send(fd, "bye", 3, 0), 3);
	cr_assert_eq(shutdown(fd, SHUT_WR), 0);
	fl_sock_read_start(bench.end.sock);
	turn_until(&bench, &bench.end.eofs, 1);
	cr_assert_eq(bench.end.bytes, 3);
	cr_assert(was_last);
	cr_assert_not(fl_sock_read_is_last(watched));
	for (int i = 2; i <= 3; i++) {
		fl_sock_read_start(bench.end.sock);
		turn_until(&bench, &bench.end.eofs, i);
	}
	fl_sock_close(bench.end.sock, 0);
	close(fd);
	bench_done(&bench);
}

Test(sock, data_and_eof_arrive_and_the_peer_is_known_after_the_end)
{
	struct bench bench;
	char text[FL_ADDR_TEXT];
	int fd;

	bench_init(&bench);
	fd = connect_plain(&bench);
	turn_until(&bench, &bench.offered, 1);
	cr_assert_eq(write(fd, "hello", 5), 5);
	cr_assert_eq(shutdown(fd, SHUT_WR), 0);
	fl_sock_read_start(bench.end.sock);
	turn_until(&bench, &bench.end.eofs, 1);
	cr_assert_eq(bench.end.bytes, 5);
	fl_sock_shutdown(bench.end.sock);
	cr_assert_eq(read_to_end(&bench, fd), 0);
	close(fd);
	cr_assert_eq(strncmp(fl_sock_peer(bench.end.sock, text), "127.0.0.1:", 10), 0, "%s", text);
	fl_sock_close(bench.end.sock, 0);
	bench_done(&bench);
}

/* Writes until the kernel takes no more; returns how much was written. */
static size_t fill(struct end *end)
{
	static uint8_t chunk[65536];
	size_t total = 0;
	int rc = 0;

	while (rc == 0) {
		rc = fl_sock_write(end->sock, chunk, sizeof(chunk));
		total += sizeof(chunk);
	}
	cr_assert_eq(rc, 1);
	cr_assert(fl_sock_pending(end->sock));
	return total;
}

Test(sock, pending_bytes_are_all_delivered_then_on_drain_then_fin)
{
	struct bench bench;
	size_t total;
	int fd;

	bench_init(&bench);
	fd = connect_plain(&bench);
	turn_until(&bench, &bench.offered, 1);
	total = fill(&bench.end);
	fl_sock_shutdown(bench.end.sock);
	cr_assert_eq(bench.end.drains, 0, "nothing runs inside the call");
	cr_assert_eq(read_to_end(&bench, fd), (ssize_t)total);
	cr_assert_eq(bench.end.drains, 1);
	close(fd);
	fl_sock_close(bench.end.sock, 0);
	bench_done(&bench);
}

Test(sock, close_with_pending_bytes_delivers_them_within_the_linger)
{
	struct bench bench;
	size_t total;
	int fd;

	bench_init(&bench);
	fd = connect_plain(&bench);
	turn_until(&bench, &bench.offered, 1);
	total = fill(&bench.end);
	fl_sock_close(bench.end.sock, 60000);
	cr_assert_eq(read_to_end(&bench, fd), (ssize_t)total);
	cr_assert_eq(bench.end.drains + bench.end.eofs + bench.end.errors, 0,
		     "a closed socket reports nothing");
	close(fd);
	bench_done(&bench);
}

Test(sock, a_peer_that_never_reads_costs_the_linger_and_gets_a_reset)
{
	struct bench bench;
	int fd;

	bench_init(&bench);
	fd = connect_plain(&bench);
	turn_until(&bench, &bench.offered, 1);
	(void)fill(&bench.end);
	fl_sock_close(bench.end.sock, 20);
	fl_listener_close(bench.listener);
	(void)uv_run(&bench.loop, UV_RUN_DEFAULT); /* ends when the linger has */
	cr_assert_eq(read_to_end(&bench, fd), -1);
	close(fd);
	fl_net_done(&bench.net);
	cr_assert_eq(uv_loop_close(&bench.loop), 0);
}

/* As many as there may be linger already. */
Test(sock, half_of_what_was_to_be_said_never_ends_cleanly)
{
	struct bench bench;
	int fd;

	bench_init(&bench);
	fd = connect_plain(&bench);
	turn_until(&bench, &bench.offered, 1);
	(void)fill(&bench.end);
	bench.net.farewells = 1024;
	fl_sock_close(bench.end.sock, 60000);
	bench.net.farewells = 0;
	cr_assert_eq(read_to_end(&bench, fd), -1);
	close(fd);
	bench_done(&bench);
}

Test(sock, reset_is_seen_as_a_reset)
{
	struct bench bench;
	int fd;

	bench_init(&bench);
	fd = connect_plain(&bench);
	turn_until(&bench, &bench.offered, 1);
	fl_sock_reset(bench.end.sock);
	cr_assert_eq(read_to_end(&bench, fd), -1);
	close(fd);
	bench_done(&bench);
}

/* With a plain close, bytes unread at our end become a reset that destroys the last word. */
/* Nobody reads: the other side of a relay is full, or this one has finished. */
Test(sock, reset_is_seen_while_nobody_reads)
{
	const struct linger hard = {.l_onoff = 1};

	for (int finished = 0; finished <= 1; finished++) {
		struct bench bench;
		int fd;

		bench_init(&bench);
		fd = connect_plain(&bench);
		turn_until(&bench, &bench.offered, 1);
		fl_sock_read_start(bench.end.sock);
		if (finished) {
			cr_assert_eq(shutdown(fd, SHUT_WR), 0);
			turn_until(&bench, &bench.end.eofs, 1);
		} else {
			fl_sock_read_stop(bench.end.sock);
			cr_assert_eq(send(fd, "unread", 6, 0), 6);
		}
		cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)), 0);
		close(fd);
		turn_until(&bench, &bench.end.errors, 1);
		cr_assert_eq(bench.end.bytes, 0);
		fl_sock_reset(bench.end.sock);
		bench_done(&bench);
		cr_assert_eq(bench.end.errors, 1);
	}
}

Test(sock, bytes_before_a_reset_are_not_the_last_before_an_end)
{
	const struct linger hard = {.l_onoff = 1};
	struct bench bench;
	int fd;

	bench_init(&bench);
	fd = connect_plain(&bench);
	turn_until(&bench, &bench.offered, 1);
	watched = bench.end.sock;
	was_last = true;
	fl_sock_set_user(bench.end.sock, &events_and_last, &bench.end);
	cr_assert_eq(send(fd, "words", 5, 0), 5);
	cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)), 0);
	close(fd);
	fl_sock_read_start(bench.end.sock);
	turn_until(&bench, &bench.end.errors, 1);
	cr_assert_eq(bench.end.bytes, 5);
	cr_assert_not(was_last);
	fl_sock_reset(bench.end.sock);
	bench_done(&bench);
}

Test(sock, urgent_bytes_stay_in_line)
{
	struct bench bench;
	int fd;

	bench_init(&bench);
	fd = connect_plain(&bench);
	turn_until(&bench, &bench.offered, 1);
	fl_sock_read_start(bench.end.sock);
	cr_assert_eq(send(fd, "a!", 2, MSG_OOB), 2);
	cr_assert_eq(send(fd, "b", 1, 0), 1);
	cr_assert_eq(shutdown(fd, SHUT_WR), 0);
	turn_until(&bench, &bench.end.eofs, 1);
	cr_assert_eq(bench.end.bytes, 3);
	fl_sock_close(bench.end.sock, 0);
	close(fd);
	bench_done(&bench);
}

/* A peer that has no room owes us nothing but room. */
Test(sock, debt_of_a_peer_that_does_not_read_is_not_asked_for_in_vain)
{
	struct bench bench;
	struct fl_debt debt;
	int fd;

	bench_init(&bench);
	fd = connect_plain(&bench);
	turn_until(&bench, &bench.offered, 1);
	cr_assert_not(fl_sock_debt(bench.end.sock).is_open);
	(void)fill(&bench.end);
	for (int open_looks = 0, i = 0; i < 60; i++) {
		(void)usleep(50000);
		debt = fl_sock_debt(bench.end.sock);
		cr_assert(debt.is_open);
		open_looks = debt.is_asked ? open_looks + 1 : 0;
		cr_assert_lt(open_looks, 20, "it is asked in vain for a second");
	}
	fl_sock_reset(bench.end.sock);
	close(fd);
	bench_done(&bench);
}

Test(alive, probes_come_three_times_as_often_as_conntrack_forgets)
{
	static const struct {
		unsigned timeouts[3];
		uint16_t keep_s;
	} rows[] = {
		{{0, 0, 0}, FL_KEEP_S},      {{60, 120, 432000}, 20}, {{60, 30, 432000}, 10},
		{{3600, 120, 0}, FL_KEEP_S}, {{4, 120, 432000}, 1},   {{60, 120, 1}, 1},
	};

	for (size_t i = 0; i < FL_COUNT_OF(rows); i++) {
		cr_expect_eq(fl_keep_s_of(rows[i].timeouts, 3), rows[i].keep_s, "row %zu", i);
	}
}

Test(sock, hang_up_delivers_the_last_word_although_the_peer_still_talks)
{
	struct bench bench;
	int fd;

	bench_init(&bench);
	fd = connect_plain(&bench);
	turn_until(&bench, &bench.offered, 1);
	cr_assert_eq(write(fd, "unread", 6), 6);
	cr_assert_eq(fl_sock_write(bench.end.sock, (const uint8_t *)"alert", 5), 0);
	fl_sock_hang_up(bench.end.sock, 60000);
	cr_assert_eq(read_to_end(&bench, fd), 5);
	cr_assert_eq(write(fd, "more", 4), 4);
	close(fd);
	bench_done(&bench);
}

Test(sock, a_connection_left_waiting_pauses_the_listener_until_it_is_taken)
{
	struct bench bench;
	int first, second;

	bench_init(&bench);
	bench.leave_waiting = true;
	first = connect_plain(&bench);
	second = connect_plain(&bench);
	turn_until(&bench, &bench.offered, 1);
	for (int i = 0; i < 10; i++) {
		(void)uv_run(&bench.loop, UV_RUN_NOWAIT);
	}
	cr_assert_eq(bench.offered, 1, "nothing more is offered");
	bench.leave_waiting = false;
	bench.end.sock = fl_listener_accept(bench.listener, &events, &bench.end);
	cr_assert_not_null(bench.end.sock);
	fl_sock_reset(bench.end.sock);
	turn_until(&bench, &bench.offered, 2);
	fl_sock_reset(bench.end.sock);
	close(first);
	close(second);
	bench_done(&bench);
}

static void set_descriptor_limit(rlim_t soft)
{
	struct rlimit limit;

	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = soft;
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

/* Neither shed, nor forgotten, nor a reason to spin. */
Test(sock, without_descriptors_connections_wait_until_there_are_some, .timeout = 20)
{
	struct bench bench;
	struct rlimit before;
	int first, next;

	bench_init(&bench);
	first = connect_plain(&bench);
	next = dup(first);
	close(next);
	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	set_descriptor_limit((rlim_t)next);
	for (int turns = 0; turns < 5; turns++) { /* each ends with a pause */
		(void)uv_run(&bench.loop, UV_RUN_ONCE);
	}
	cr_assert_eq(bench.offered, 0);
	cr_assert_eq(recv(first, &next, 1, MSG_DONTWAIT), -1, "it has not been ended");
	set_descriptor_limit(before.rlim_cur);
	turn_until(&bench, &bench.offered, 1);
	fl_sock_reset(bench.end.sock);
	close(first);
	bench_done(&bench);
}

Test(sock, read_now_takes_what_is_there_and_tells_of_a_reset_but_leaves_an_end)
{
	struct bench bench;
	uint8_t buf[16];
	int fd;

	bench_init(&bench);
	fd = connect_plain(&bench);
	turn_until(&bench, &bench.offered, 1);
	fl_sock_read_now(bench.end.sock, buf, sizeof(buf));
	cr_assert_eq(bench.end.bytes, 0);
	cr_assert_eq(write(fd, "hello", 5), 5);
	fl_sock_read_now(bench.end.sock, buf, sizeof(buf));
	cr_assert_eq(bench.end.bytes, 5);
	cr_assert_eq(shutdown(fd, SHUT_WR), 0);
	fl_sock_read_now(bench.end.sock, buf, sizeof(buf));
	cr_assert_eq(bench.end.eofs, 0);
	fl_sock_read_start(bench.end.sock);
	turn_until(&bench, &bench.end.eofs, 1);
	fl_sock_close(bench.end.sock, 0);
	close(fd);
	fd = connect_plain(&bench);
	turn_until(&bench, &bench.offered, 2);
	cr_assert_eq(fl_sock_write(bench.end.sock, (const uint8_t *)"unread", 6), 0);
	close(fd); /* with bytes unread: a reset */
	fl_sock_read_now(bench.end.sock, buf, sizeof(buf));
	cr_assert_eq(bench.end.errors, 1);
	fl_sock_close(bench.end.sock, 0);
	bench_done(&bench);
}

static void on_dialed(void *user, int sys)
{
	struct end *end = user;

	end->dialed++;
	end->errors = sys;
}

Test(sock, dial_reports_later_and_not_at_all_when_closed_before)
{
	struct bench bench;
	struct end client = {.bytes = 0};
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct fl_dial dial = {.to = (struct sockaddr *)&to, .alive = {.keep_s = FL_KEEP_S}};
	struct fl_err err;

	bench_init(&bench);
	to.sin_port = htons(bench.port);
	cr_assert_eq(
		fl_sock_dial(&bench.net, &dial, &events, &client, on_dialed, &client.sock, &err),
		0);
	cr_assert_eq(client.dialed, 0);
	turn_until(&bench, &client.dialed, 1);
	cr_assert_eq(client.errors, 0);
	fl_sock_close(client.sock, 0);
	turn_until(&bench, &bench.offered, 1);
	fl_sock_reset(bench.end.sock);
	cr_assert_eq(
		fl_sock_dial(&bench.net, &dial, &events, &client, on_dialed, &client.sock, &err),
		0);
	fl_sock_close(client.sock, 0);
	turn_until(&bench, &bench.offered, 2);
	cr_assert_eq(client.dialed, 1);
	fl_sock_reset(bench.end.sock);
	bench_done(&bench);
}

Test(sock, a_port_in_use_is_refused_with_its_address)
{
	struct bench bench;
	struct fl_addr addr;
	struct fl_err err;
	char text[64];
	int fd;

	bench_init(&bench);
	(void)snprintf(text, sizeof(text), "127.0.0.1:%u", bench.port);
	cr_assert_eq(fl_addr_parse(text, 0, &addr, &err), 0);
	cr_assert_eq(fl_net_bind(&addr, false, 0, &fd, &err), FL_ERR_IO);
	cr_assert_not_null(strstr(err.text, text), "%s", err.text);
	bench_done(&bench);
}

Test(sock, unix_paths_a_stale_one_is_taken_over_and_a_living_one_is_not)
{
	char dir[] = "/tmp/fl-sock-XXXXXX", text[64];
	struct bench bench;
	struct fl_addr addr;
	struct fl_err err;
	struct fl_listener *listener;
	int fd;

	bench_init(&bench);
	cr_assert_not_null(mkdtemp(dir));
	(void)snprintf(text, sizeof(text), "unix:%s/s", dir);
	cr_assert_eq(fl_addr_parse(text, FL_ADDR_ALLOW_UNIX, &addr, &err), 0);
	cr_assert_eq(fl_net_bind(&addr, true, 0600, &fd, &err), 0, "%s", err.text);
	close(fd); /* the path stays, nobody listens */
	cr_assert_eq(fl_net_bind(&addr, true, 0600, &fd, &err), 0, "%s", err.text);
	cr_assert_eq(fl_listener_open(&bench.net, fd, true, on_connection, &bench, &listener, &err),
		     0);
	cr_assert_eq(fl_net_bind(&addr, true, 0600, &fd, &err), FL_ERR_IO);
	cr_assert_not_null(strstr(err.text, "in use"), "%s", err.text);
	fl_listener_close(listener);
	bench_done(&bench);
	(void)unlink(addr.sa.un.sun_path);
	(void)rmdir(dir);
}

/* A socket bound there, whose queue holds one connection. */
static int bind_path(const struct fl_addr *addr, int type)
{
	int fd = socket(AF_UNIX, type, 0);

	cr_assert_eq(bind(fd, &addr->sa.any, addr->sa_len), 0);
	if (type == SOCK_STREAM) {
		cr_assert_eq(listen(fd, 0), 0);
	}
	return fd;
}

Test(sock, a_unix_path_that_gives_no_answer_is_left_alone, .timeout = 20)
{
	char dir[] = "/tmp/fl-sock-XXXXXX", text[64];
	struct fl_addr addr;
	struct fl_err err;
	int theirs, waiting, fd;

	cr_assert_not_null(mkdtemp(dir));
	(void)snprintf(text, sizeof(text), "unix:%s/s", dir);
	cr_assert_eq(fl_addr_parse(text, FL_ADDR_ALLOW_UNIX, &addr, &err), 0);
	theirs = bind_path(&addr, SOCK_STREAM);
	waiting = socket(AF_UNIX, SOCK_STREAM, 0);
	cr_assert_eq(connect(waiting, &addr.sa.any, addr.sa_len), 0);
	cr_assert_eq(fl_net_bind(&addr, true, 0600, &fd, &err), FL_ERR_IO, "its queue is full");
	cr_assert_not_null(strstr(err.text, "in use"), "%s", err.text);
	close(waiting);
	close(theirs);
	(void)unlink(addr.sa.un.sun_path);

	theirs = bind_path(&addr, SOCK_DGRAM);
	cr_assert_eq(fl_net_bind(&addr, true, 0600, &fd, &err), FL_ERR_IO, "of another type");
	cr_assert_not_null(strstr(err.text, "may be in use"), "%s", err.text);
	cr_assert_eq(access(addr.sa.un.sun_path, F_OK), 0);
	close(theirs);
	(void)unlink(addr.sa.un.sun_path);
	(void)rmdir(dir);
}
