/* SPDX-License-Identifier: GPL-3.0-or-later */
/* fl_net_run(): sockets come first, and all libuv events are still handled. Everything is opened from inside, as a worker
 * does. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/listener.h"
#include "net/sock_internal.h"

struct end {
	struct bench *bench;
	struct fl_sock *sock;
};

struct bench {
	uv_loop_t loop;
	struct fl_net net;
	uv_timer_t start, stop;
	uv_async_t mail;
	void (*open)(struct bench *bench);
	struct end ends[2];
	struct fl_listener *listener;
	int far; /* the other end of ends[0], where the test has it */
	uv_thread_t player;
	bool posts; /* the player sends mail when it is done; otherwise it closes */
	int turns, bytes;
};

static void close_end(struct end *end)
{
	fl_sock_close(end->sock, 0);
	end->sock = NULL;
}

static void on_data(void *user, uint8_t *data, size_t len)
{
	struct end *end = user;

	end->bench->bytes += (int)len;
	cr_assert_eq(fl_sock_write(end->sock, data, len), 0);
}

static void on_eof(void *user)
{
	close_end(user);
}

static void on_drain(void *user)
{
	(void)user;
}

static void on_error(void *user, int sys)
{
	(void)sys;
	close_end(user);
}

static const struct fl_sock_events events = {
	.on_data = on_data, .on_eof = on_eof, .on_drain = on_drain, .on_error = on_error};

static void on_turn_over(void *user)
{
	((struct bench *)user)->turns++;
}

static void on_start(uv_timer_t *timer)
{
	struct bench *bench = timer->data;

	uv_close((uv_handle_t *)timer, NULL);
	bench->open(bench);
}

static void begin(struct bench *bench, void (*open)(struct bench *bench))
{
	*bench = (struct bench){.open = open, .far = -1};
	cr_assert_eq(uv_loop_init(&bench->loop), 0);
	fl_net_init(&bench->net, &bench->loop, 4096);
	cr_assert_eq(uv_timer_init(&bench->loop, &bench->start), 0);
	bench->start.data = bench->stop.data = bench->mail.data = bench;
	cr_assert_eq(uv_timer_start(&bench->start, on_start, 0, 0), 0);
}

static void run_to_the_end(struct bench *bench)
{
	cr_assert_eq(fl_net_run(&bench->net, on_turn_over, bench), 0);
	fl_net_done(&bench->net);
	cr_assert_eq(uv_loop_close(&bench->loop), 0);
}

/* Two connected descriptors that do not block. */
static void pair(int ret[2])
{
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ret), 0);
}

static void adopt(struct bench *bench, struct end *end, int fd)
{
	end->bench = bench;
	end->sock = fl_sock_adopt(&bench->net, fd, true);
	cr_assert_not_null(end->sock);
	fl_sock_set_user(end->sock, &events, end);
	fl_sock_read_start(end->sock);
}

static void open_nothing(struct bench *bench)
{
	(void)bench;
}

Test(net_run, ends_when_there_is_nothing_left, .timeout = 10)
{
	struct bench bench;

	begin(&bench, open_nothing);
	run_to_the_end(&bench);
	cr_assert_gt(bench.turns, 0);
}

/* Ends it once the ball has gone to and fro, too, however long the program was held up before. */
static void on_ring(uv_timer_t *timer)
{
	struct bench *bench = timer->data;

	if (bench->bytes > 8) {
		uv_close((uv_handle_t *)timer, NULL);
		close_end(&bench->ends[0]);
		close_end(&bench->ends[1]);
	}
}

static void open_echoes(struct bench *bench)
{
	int fds[2];

	pair(fds);
	adopt(bench, &bench->ends[0], fds[0]);
	adopt(bench, &bench->ends[1], fds[1]);
	cr_assert_eq(fl_sock_write(bench->ends[0].sock, (const uint8_t *)"ball", 4), 0);
	cr_assert_eq(uv_timer_init(&bench->loop, &bench->stop), 0);
	cr_assert_eq(uv_timer_start(&bench->stop, on_ring, 20, 1), 0);
}

/* Each turn has an event of a socket, so the loop never sleeps until the timer is due. */
Test(net_run, timers_come_while_sockets_are_never_silent, .timeout = 10)
{
	struct bench bench;

	begin(&bench, open_echoes);
	run_to_the_end(&bench);
	cr_assert_gt(bench.bytes, 8);
}

static void on_mail(uv_async_t *async)
{
	struct bench *bench = async->data;

	uv_close((uv_handle_t *)async, NULL);
	close_end(&bench->ends[0]);
}

/* The far end's thread writes a byte and reads it back, so the loop runs, and may sleep. */
static void play(void *user)
{
	struct bench *bench = user;
	char byte = 'x';

	cr_assert_eq(write(bench->far, &byte, 1), 1);
	cr_assert_eq(read(bench->far, &byte, 1), 1);
	if (bench->posts) {
		cr_assert_eq(uv_async_send(&bench->mail), 0);
	} else {
		close(bench->far);
	}
}

static void open_and_play(struct bench *bench)
{
	int fds[2];

	pair(fds);
	adopt(bench, &bench->ends[0], fds[0]);
	bench->far = fds[1];
	cr_assert_eq(fcntl(bench->far, F_SETFL, 0), 0);
	cr_assert_eq(uv_thread_create(&bench->player, play, bench), 0);
}

Test(net_run, mail_of_another_thread_wakes_it, .timeout = 10)
{
	struct bench bench;

	begin(&bench, open_and_play);
	bench.posts = true;
	cr_assert_eq(uv_async_init(&bench.loop, &bench.mail, on_mail), 0);
	run_to_the_end(&bench);
	cr_assert_eq(uv_thread_join(&bench.player), 0);
	close(bench.far);
}

Test(net_run, a_socket_alone_keeps_it_running_but_not_spinning, .timeout = 10)
{
	struct bench bench;

	begin(&bench, open_and_play);
	run_to_the_end(&bench);
	cr_assert_eq(uv_thread_join(&bench.player), 0);
	cr_assert_eq(bench.bytes, 1);
	cr_assert_lt(bench.turns, 20);
}

static void count_connection(void *user, struct fl_listener *listener)
{
	struct bench *bench = user;

	(void)listener;
	bench->bytes++;
}

/* Bound to a name that the kernel chooses. */
static int bind_anywhere(void)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	cr_assert_geq(fd, 0);
	cr_assert_eq(bind(fd, (struct sockaddr *)&name, sizeof(name.sun_family)), 0);
	return fd;
}

static void connect_to(int listening, int fd)
{
	struct sockaddr_un name;
	socklen_t len = sizeof(name);

	cr_assert_eq(getsockname(listening, (struct sockaddr *)&name, &len), 0);
	cr_assert_eq(connect(fd, (struct sockaddr *)&name, len), 0);
}

/* For a moment, while a connection waits in the queue. */
static void on_stop_of_shared(uv_timer_t *timer)
{
	uv_close((uv_handle_t *)timer, NULL);
}

static void open_shared_and_close(struct bench *bench)
{
	int shared = bind_anywhere();
	struct fl_err err;

	bench->far = dup(shared);
	cr_assert_geq(bench->far, 0);
	cr_assert_eq(fl_listener_open(&bench->net, shared, true, count_connection, bench,
				      &bench->listener, &err),
		     0);
	connect_to(bench->far, *(int *)bench->loop.data);
	fl_listener_close(bench->listener);
	cr_assert_eq(uv_timer_init(&bench->loop, &bench->stop), 0);
	cr_assert_eq(uv_timer_start(&bench->stop, on_stop_of_shared, 20, 0), 0);
}

/* Workers share a Unix socket by duplicates, and the kernel forgets none of them before the last one is closed. */
Test(net_run, a_closed_listener_hears_nothing_of_those_who_share_its_socket, .timeout = 10)
{
	struct bench bench;
	int client = socket(AF_UNIX, SOCK_STREAM, 0);

	begin(&bench, open_shared_and_close);
	bench.loop.data = &client;
	run_to_the_end(&bench);
	cr_assert_eq(bench.bytes, 0);
	cr_assert_lt(bench.turns, 20);
	close(client);
	close(bench.far);
}

static void open_nothing_more(struct bench *bench)
{
	cr_assert_eq(uv_timer_init(&bench->loop, &bench->stop), 0);
	cr_assert_eq(uv_timer_start(&bench->stop, on_ring, 20, 1), 0);
}

Test(net_run, sockets_that_were_opened_before, .timeout = 10)
{
	struct bench bench;
	int fds[2];

	begin(&bench, open_nothing_more);
	cr_assert_eq(fl_net_lead(&bench.net), 0);
	pair(fds);
	adopt(&bench, &bench.ends[0], fds[0]);
	adopt(&bench, &bench.ends[1], fds[1]);
	cr_assert_eq(fl_sock_write(bench.ends[0].sock, (const uint8_t *)"ball", 4), 0);
	run_to_the_end(&bench);
	cr_assert_gt(bench.bytes, 8);
}

#define RALLIES 200

/* The far end's thread returns each byte. */
static void rally(void *user)
{
	struct bench *bench = user;
	char byte;

	bench->far = accept(*(int *)bench->loop.data, NULL, NULL);
	cr_assert_geq(bench->far, 0);
	for (int i = 0; i < RALLIES; i++) {
		cr_assert_eq(read(bench->far, &byte, 1), 1);
		cr_assert_eq(write(bench->far, &byte, 1), 1);
	}
	cr_assert_eq(read(bench->far, &byte, 1), 1);
	close(bench->far);
}

static void on_dialed(void *user, int sys)
{
	struct end *end = user;

	cr_assert_eq(sys, 0);
	fl_sock_read_start(end->sock);
	cr_assert_eq(fl_sock_write(end->sock, (const uint8_t *)"x", 1), 0);
}

static void open_dialed(struct bench *bench)
{
	struct sockaddr_un name;
	socklen_t len = sizeof(name);
	struct fl_dial dial = {.to = (struct sockaddr *)&name};
	struct fl_err err;

	cr_assert_eq(getsockname(*(int *)bench->loop.data, (struct sockaddr *)&name, &len), 0);
	bench->ends[0].bench = bench;
	cr_assert_eq(fl_sock_dial(&bench->net, &dial, &events, &bench->ends[0], on_dialed,
				  &bench->ends[0].sock, &err),
		     0);
	cr_assert_eq(uv_thread_create(&bench->player, rally, bench), 0);
}

/* The kernel would wake it for each byte that the other end has taken, as well. */
Test(net_run, a_dialed_unix_socket_wakes_it_only_for_what_comes, .timeout = 10)
{
	static const char path[] = "net_run.sock";
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	int listening = socket(AF_UNIX, SOCK_STREAM, 0);
	struct bench bench;

	memcpy(name.sun_path, path, sizeof(path));
	(void)unlink(path);
	cr_assert_eq(bind(listening, (struct sockaddr *)&name, sizeof(name)), 0);
	cr_assert_eq(listen(listening, 1), 0);
	begin(&bench, open_dialed);
	bench.loop.data = &listening;
	run_to_the_end(&bench);
	cr_assert_eq(uv_thread_join(&bench.player), 0);
	close(listening);
	(void)unlink(path);
	cr_assert_eq(bench.bytes, RALLIES);
	cr_assert_lt(bench.turns, RALLIES + 20);
}
