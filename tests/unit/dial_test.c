/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Dials that complete later, and bound addresses. */
#include "sock_bench.h"

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
	close(fd); /* the path stays, no process listens */
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
