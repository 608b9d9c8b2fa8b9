/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Sockets on a real loop, between two ends of this process: the events that a caller gets, and their order. */
#include "net/sock_internal.h"
#include "sock_bench.h"

static bool was_last;
static const struct fl_sock *watched;

static void on_maybe_last(void *user, uint8_t *data, size_t len)
{
	was_last = fl_sock_read_is_last(watched);
	on_data(user, data, len);
}

static const struct fl_sock_events events_and_last = {
	.on_data = on_maybe_last, .on_eof = on_eof, .on_drain = on_drain, .on_error = on_error};

/* A reader that starts after the end, perhaps a new one, also gets the end. */
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

/* Writes until the kernel accepts no more; returns how much was written. */
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
/* The socket is not read: the other side of a relay is full, or this one has finished. */
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

/* A peer without buffer space owes us no acknowledgement, only space. */
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

static void on_hard_work(void *user, uint8_t *data, size_t len)
{
	uint64_t began_ns = uv_hrtime();

	while (uv_hrtime() - began_ns < 1000000) {
	}
	on_data(user, data, len);
}

static const struct fl_sock_events hard_work = {
	.on_data = on_hard_work, .on_eof = on_eof, .on_drain = on_drain, .on_error = on_error};

/* Others have their turn, however much has come. */
Test(sock, bytes_that_take_long_are_read_in_many_turns)
{
	enum { READ = 1024, READS = 16 };
	static const uint8_t much[READ * READS];
	struct bench bench;
	unsigned turns = 0;
	int fd;

	bench_init(&bench);
	bench.net.read_cap = READ;
	fd = connect_plain(&bench);
	turn_until(&bench, &bench.offered, 1);
	fl_sock_set_user(bench.end.sock, &hard_work, &bench.end);
	cr_assert_eq(send(fd, much, sizeof(much), 0), (ssize_t)sizeof(much));
	fl_sock_read_start(bench.end.sock);
	while (bench.end.bytes < sizeof(much)) {
		turns += uv_run(&bench.loop, UV_RUN_ONCE) != 0 && bench.end.bytes > 0;
	}
	cr_expect_geq(turns, READS / 4, "%u", turns);
	fl_sock_close(bench.end.sock, 0);
	close(fd);
	bench_done(&bench);
}
