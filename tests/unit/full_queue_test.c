/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Dials of a Unix socket whose listener's queue is full. */
#include "sock_bench.h"

#define DIALS 4

static struct bench bench;
static struct end clients[DIALS];
static char folder[] = "/tmp/fl-full-XXXXXX";
static struct sockaddr_un path = {.sun_family = AF_UNIX};
static int listener;

static void on_dialed(void *user, int sys)
{
	struct end *end = user;

	end->dialed++;
	end->errors = sys;
}

static int open_socket(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	cr_assert_geq(fd, 0);
	return fd;
}

/* The queue holds one connection. */
static void open_bench(void)
{
	bench_init(&bench);
	cr_assert_not_null(mkdtemp(folder));
	(void)snprintf(path.sun_path, sizeof(path.sun_path), "%s/s", folder);
	listener = open_socket();
	cr_assert_eq(bind(listener, (struct sockaddr *)&path, sizeof(path)), 0);
	cr_assert_eq(listen(listener, 0), 0);
}

/* Nothing is left, or uv_loop_close() fails. */
static void close_bench(void)
{
	bench_done(&bench);
	close(listener);
	(void)unlink(path.sun_path);
	(void)rmdir(folder);
}

TestSuite(full_queue, .init = open_bench, .fini = close_bench, .timeout = 60);

static void dial(struct end *client, bool is_patient)
{
	struct fl_dial dial = {.to = (struct sockaddr *)&path, .is_patient = is_patient};
	struct fl_err err;

	cr_assert_eq(
		fl_sock_dial(&bench.net, &dial, &events, client, on_dialed, &client->sock, &err), 0,
		"%s", err.text);
}

static int fill(void)
{
	int fd = open_socket();

	cr_assert_eq(connect(fd, (struct sockaddr *)&path, sizeof(path)), 0);
	return fd;
}

/* Takes one connection out of the queue. */
static void make_room(void)
{
	int fd = accept(listener, NULL, NULL);

	cr_assert_geq(fd, 0);
	close(fd);
}

static void on_alarm(uv_timer_t *timer)
{
	++*(int *)timer->data;
}

static void turn_for_ms(uint64_t ms)
{
	uv_timer_t alarm;
	int rung = 0;

	cr_assert_eq(uv_timer_init(&bench.loop, &alarm), 0);
	alarm.data = &rung;
	cr_assert_eq(uv_timer_start(&alarm, on_alarm, ms, 0), 0);
	turn_until(&bench, &rung, 1);
	uv_close((uv_handle_t *)&alarm, NULL);
	(void)uv_run(&bench.loop, UV_RUN_NOWAIT);
}

static int count_dialed(void)
{
	int count = 0;

	for (unsigned i = 0; i < DIALS; i++) {
		count += clients[i].dialed;
	}
	return count;
}

static void dial_all(void)
{
	for (unsigned i = 0; i < DIALS; i++) {
		dial(&clients[i], true);
	}
}

Test(full_queue, dial_waits_for_room)
{
	int theirs = fill();

	dial(&clients[0], true);
	turn_for_ms(50);
	cr_assert_eq(clients[0].dialed, 0);
	make_room();
	turn_until(&bench, &clients[0].dialed, 1);
	cr_assert_eq(clients[0].errors, 0);
	fl_sock_close(clients[0].sock, 0);
	close(theirs);
}

/* Room for one at a time. The last one dials at a moment when there is room, and those before it do not know yet. */
Test(full_queue, those_that_wait_are_served_in_their_order)
{
	int theirs = fill();

	for (unsigned i = 0; i < DIALS - 1; i++) {
		dial(&clients[i], true);
	}
	make_room();
	dial(&clients[DIALS - 1], true);
	for (unsigned i = 0; i < DIALS; i++) {
		turn_until(&bench, &clients[i].dialed, 1);
		cr_assert_eq(clients[i].errors, 0);
		turn_for_ms(5);
		cr_assert_eq(count_dialed(), (int)i + 1);
		make_room();
		fl_sock_close(clients[i].sock, 0);
	}
	close(theirs);
}

Test(full_queue, closed_dials_leave_the_line)
{
	for (unsigned stays = 0; stays < DIALS; stays++) {
		int theirs = fill();

		memset(clients, 0, sizeof(clients));
		for (unsigned i = 0; i < DIALS; i++) {
			dial(&clients[i], true);
		}
		for (unsigned i = 0; i < DIALS; i++) {
			if (i != stays) {
				fl_sock_reset(clients[i].sock);
			}
		}
		make_room();
		turn_until(&bench, &clients[stays].dialed, 1);
		cr_assert_eq(count_dialed(), 1);
		fl_sock_close(clients[stays].sock, 0);
		make_room();
		close(theirs);
	}
}

Test(full_queue, all_are_closed_while_they_wait)
{
	int theirs = fill();

	dial_all();
	fl_sock_close(clients[0].sock, 60000);
	fl_sock_hang_up(clients[1].sock, 60000);
	fl_sock_reset(clients[3].sock);
	fl_sock_reset(clients[2].sock);
	close(theirs);
}

Test(full_queue, listener_that_goes_refuses_those_that_wait)
{
	int theirs = fill();

	dial_all();
	cr_assert_eq(shutdown(listener, SHUT_RDWR), 0);
	for (unsigned i = 0; i < DIALS; i++) {
		turn_until(&bench, &clients[i].dialed, 1);
		cr_assert_eq(clients[i].errors, -ECONNREFUSED);
		fl_sock_reset(clients[i].sock);
	}
	close(theirs);
}

Test(full_queue, impatient_dial_is_told)
{
	int theirs = fill();

	dial(&clients[0], true);
	dial(&clients[1], false);
	turn_until(&bench, &clients[1].dialed, 1);
	cr_assert_eq(clients[1].errors, -EAGAIN);
	cr_assert_eq(clients[0].dialed, 0);
	fl_sock_reset(clients[0].sock);
	fl_sock_reset(clients[1].sock);
	close(theirs);
}

/* The processor's time, or the kernel's, would grow with a loop that tries all the time. */
Test(full_queue, waiting_costs_little)
{
	int theirs = fill();
	struct rusage before, after;
	int64_t switches;

	dial_all();
	cr_assert_eq(getrusage(RUSAGE_THREAD, &before), 0);
	turn_for_ms(500);
	cr_assert_eq(getrusage(RUSAGE_THREAD, &after), 0);
	switches = after.ru_nvcsw - before.ru_nvcsw; /* the loop sleeps between two tries */
	cr_assert_lt(switches, 100, "it has tried %lld times", (long long)switches);
	cr_assert_gt(switches, 0);
	for (unsigned i = 0; i < DIALS; i++) {
		fl_sock_reset(clients[i].sock);
	}
	close(theirs);
}
