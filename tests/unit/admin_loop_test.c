/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The admin endpoint and the control socket on a loop, with real callers on Unix sockets. */
#include "admin_source.h"

/* --- on a loop -------------------------------------------------------------------------------- */

struct fixture {
	char dir[32];
	struct fl_addr addr;
	uv_loop_t loop;
	struct fl_net net;
	struct fl_admin *admin;
};

static void fixture_open(struct fixture *f)
{
	char text[64];

	(void)signal(SIGPIPE, SIG_IGN);
	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/fl-admin-XXXXXX");
	cr_assert_not_null(mkdtemp(f->dir));
	(void)snprintf(text, sizeof(text), "unix:%s/s", f->dir);
	cr_assert_eq(fl_addr_parse(text, FL_ADDR_ALLOW_UNIX, &f->addr, NULL), 0);
	cr_assert_eq(uv_loop_init(&f->loop), 0);
	fl_net_init(&f->net, &f->loop, 65536);
	cr_assert_eq(fl_admin_open(&f->net, &f->addr, &source_of_all, &f->admin, NULL), 0);
}

static void fixture_close(struct fixture *f)
{
	fl_admin_close(f->admin);
	while (uv_run(&f->loop, UV_RUN_ONCE) != 0) {
	}
	cr_assert_eq(uv_loop_close(&f->loop), 0);
	fl_net_done(&f->net);
	(void)unlink(f->addr.sa.un.sun_path);
	(void)rmdir(f->dir);
}

static int dial(struct fixture *f)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	cr_assert_geq(fd, 0);
	cr_assert_eq(connect(fd, &f->addr.sa.any, f->addr.sa_len), 0);
	return fd;
}

static void send_text(int fd, const char *text)
{
	cr_assert_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* Runs the loop until fd reaches its end, and returns the bytes read; false: it never did. */
static bool read_all(struct fixture *f, int fd, char *buf, size_t size)
{
	size_t len = 0;

	for (unsigned turns = 0; turns < 10000; turns++) {
		ssize_t n;

		(void)uv_run(&f->loop, UV_RUN_NOWAIT);
		n = recv(fd, buf + len, size - 1 - len, 0);
		if (n > 0) {
			len += (size_t)n;
		} else if (n == 0 || errno != EAGAIN) {
			buf[len] = '\0';
			return n == 0;
		}
	}
	buf[len] = '\0';
	return false;
}

Test(admin, a_request_over_a_socket)
{
	struct fixture f;
	char buf[1024];
	int fd;

	fixture_open(&f);
	fd = dial(&f);
	send_text(fd, "GET /heal");
	for (unsigned i = 0; i < 10; i++) {
		(void)uv_run(&f.loop, UV_RUN_NOWAIT);
	}
	send_text(fd, "thz HTTP/1.1\r\n\r\nand more that nobody asked for");
	cr_assert(read_all(&f, fd, buf, sizeof(buf)));
	cr_assert(strncmp(buf, OK, strlen(OK)) == 0);
	close(fd);
	fixture_close(&f);
}

/* The 1025th caller is served immediately, and the oldest is closed for it. */
Test(admin, connections_are_bounded)
{
	struct fixture f;
	char buf[1024];
	struct rlimit limit = {4096, 4096};
	static int silent[1024];
	int late;

	(void)setrlimit(RLIMIT_NOFILE, &limit);
	fixture_open(&f);
	for (size_t i = 0; i < FL_COUNT_OF(silent); i++) {
		silent[i] = dial(&f);
		(void)uv_run(&f.loop, UV_RUN_NOWAIT);
	}
	cr_assert_not(read_all(&f, silent[0], buf, sizeof(buf)));
	late = dial(&f);
	send_text(late, "GET /readyz HTTP/1.1\r\n\r\n");
	cr_assert(read_all(&f, late, buf, sizeof(buf)));
	cr_assert_not_null(strstr(buf, "ready\n"));
	cr_assert(read_all(&f, silent[0], buf, sizeof(buf)), "it has been ended");
	cr_assert_not(read_all(&f, silent[1], buf, sizeof(buf)));
	close(late);
	for (size_t i = 0; i < FL_COUNT_OF(silent); i++) {
		close(silent[i]);
	}
	fixture_close(&f);
}

Test(admin, closing_with_open_connections)
{
	struct fixture f;
	int fd;

	fixture_open(&f);
	fd = dial(&f);
	send_text(fd, "GET");
	for (unsigned i = 0; i < 10; i++) {
		(void)uv_run(&f.loop, UV_RUN_NOWAIT);
	}
	fixture_close(&f);
	close(fd);
}

/* Ten thousand callers that misbehave leave nothing behind. */
Test(admin, many_bad_callers)
{
	static const char *const rubbish[] = {"\x16\x03\x01", "GET / HT", "",
					      "POST /readyz HTTP/1.1\r\n\r\n"};
	struct fixture f;

	fixture_open(&f);
	for (unsigned i = 0; i < 10000; i++) {
		int fd = dial(&f);

		send_text(fd, rubbish[i % FL_COUNT_OF(rubbish)]);
		if (i % 2 == 0) {
			(void)uv_run(&f.loop, UV_RUN_NOWAIT);
		}
		close(fd);
		(void)uv_run(&f.loop, UV_RUN_NOWAIT);
	}
	for (unsigned turns = 0; f.net.open > 1 && turns < 1000; turns++) {
		(void)uv_run(&f.loop, UV_RUN_NOWAIT);
	}
	cr_assert_eq(f.net.open, 1, "only the listener is left");
	fixture_close(&f);
}

/* --- answers that take their time --------------------------------------------------------------- */

static bool when_it_is_there(void *user, struct fl_text *ret)
{
	const bool *there = user;

	if (*there) {
		fl_text_print(ret, "a document at last\n");
	}
	return *there;
}

Test(admin, callers_wait_for_what_is_being_made)
{
	struct fl_admin_source source = source_of_all;
	struct fixture f;
	char buf[1024];
	bool there = false;
	int fds[3];

	fixture_open(&f);
	fl_admin_close(f.admin);
	cr_assert_eq(unlink(f.addr.sa.un.sun_path), 0);
	source.connections = when_it_is_there;
	source.user = &there;
	cr_assert_eq(fl_admin_open(&f.net, &f.addr, &source, &f.admin, NULL), 0);
	for (size_t i = 0; i < FL_COUNT_OF(fds); i++) {
		fds[i] = dial(&f);
		send_text(fds[i], "GET /connections HTTP/1.1\r\n\r\n");
		cr_assert_not(read_all(&f, fds[i], buf, sizeof(buf)));
		send_text(fds[i], "GET /healthz HTTP/1.1\r\n\r\n"); /* no second request */
		cr_assert_not(read_all(&f, fds[i], buf, sizeof(buf)));
	}
	fl_admin_go_on(f.admin);
	cr_assert_not(read_all(&f, fds[0], buf, sizeof(buf)), "it is not there yet");
	close(fds[1]);
	for (unsigned i = 0; i < 10; i++) {
		(void)uv_run(&f.loop, UV_RUN_NOWAIT);
	}
	there = true;
	fl_admin_go_on(f.admin);
	fl_admin_go_on(NULL);
	for (size_t i = 0; i < FL_COUNT_OF(fds); i += 2) {
		cr_assert(read_all(&f, fds[i], buf, sizeof(buf)));
		cr_expect(strncmp(buf, OK, strlen(OK)) == 0 &&
				  strstr(buf, "\r\n\r\na document at last\n") != NULL,
			  "%s", buf);
		close(fds[i]);
	}
	fixture_close(&f);
}

/* --- the control socket ------------------------------------------------------------------------- */

static void control_open(struct fixture *f, bool (*may_ask)(void *user, uid_t uid), unsigned *count)
{
	struct fl_admin_control control = {may_ask, drained, levelled, previewed, count};

	fixture_open(f);
	fl_admin_close(f->admin);
	f->admin = NULL;
	cr_assert_eq(unlink(f->addr.sa.un.sun_path), 0);
	cr_assert_eq(fl_admin_open_control(&f->net, f->addr.sa.un.sun_path, &source_of_all,
					   &control, &f->admin, NULL),
		     0);
}

Test(admin, control_goes_by_the_callers_uid)
{
	struct fixture f;
	char buf[1024];
	unsigned count = 0;
	int fd;

	control_open(&f, the_same, &count);
	fd = dial(&f);
	send_text(fd, "POST /drain HTTP/1.1\r\n\r\n");
	cr_assert(read_all(&f, fd, buf, sizeof(buf)));
	cr_expect_not_null(strstr(buf, "drained for "));
	cr_expect_eq(count, 1);
	close(fd);
	fixture_close(&f);

	control_open(&f, nobody, &count);
	fd = dial(&f);
	send_text(fd, "POST /drain HTTP/1.1\r\n\r\n");
	cr_assert(read_all(&f, fd, buf, sizeof(buf)));
	cr_expect(strncmp(buf, "HTTP/1.1 403 Forbidden\r\n", 24) == 0, "%s", buf);
	cr_expect_not_null(strstr(buf, "only root, "));
	close(fd);
	fd = dial(&f);
	send_text(fd, "GET /status HTTP/1.1\r\n\r\n");
	cr_assert(read_all(&f, fd, buf, sizeof(buf)));
	cr_expect(strncmp(buf, "HTTP/1.1 403 ", 13) == 0, "%s", buf);
	cr_expect_null(strstr(buf, "document"));
	cr_expect_eq(count, 1);
	close(fd);
	fixture_close(&f);
}

/* Byte by byte, and whole; its first byte may look like the end of a head. */
Test(admin, control_collects_a_body_where_one_is_asked_for)
{
	static const char request[] = "POST /preview HTTP/1.1\r\nContent-Length: 5\r\n\r\n\nabc\n";
	struct fixture f;
	char buf[1024];
	unsigned count = 0;

	control_open(&f, the_same, &count);
	for (size_t step = 1; step <= sizeof(request); step += sizeof(request) - 1) {
		int fd = dial(&f);

		for (size_t at = 0; at < sizeof(request) - 1; at += step) {
			size_t len =
				sizeof(request) - 1 - at < step ? sizeof(request) - 1 - at : step;

			cr_assert_eq(send(fd, request + at, len, 0), (ssize_t)len);
			(void)uv_run(&f.loop, UV_RUN_NOWAIT);
		}
		cr_assert(read_all(&f, fd, buf, sizeof(buf)));
		cr_expect_not_null(strstr(buf, "\r\n\r\nbody \nabc\n"), "%s", buf);
		close(fd);
	}
	fixture_close(&f);
}

Test(admin, control_bounds_a_body)
{
	static const struct {
		const char *request, *status;
		bool (*may_ask)(void *user, uid_t uid);
	} rows[] = {
		{"POST /preview HTTP/1.1\r\nContent-Length: 9437185\r\n\r\n", "413", the_same},
		{"POST /preview HTTP/1.1\r\nContent-Length: 18446744073709551614\r\n\r\n", "400",
		 the_same},
		{"POST /preview HTTP/1.1\r\nContent-Length: -1\r\n\r\n", "400", the_same},
		{"POST /preview HTTP/1.1\r\n\r\n", "400", the_same},
		{"POST /preview HTTP/1.1\r\nContent-Length: 5\r\n\r\n", "403", nobody},
		{"POST /drain HTTP/1.1\r\nContent-Length: 5\r\n\r\n", "200", the_same},
	};

	for (size_t i = 0; i < FL_COUNT_OF(rows); i++) {
		struct fixture f;
		char buf[1024];
		unsigned count = 0;
		int fd;

		control_open(&f, rows[i].may_ask, &count);
		fd = dial(&f);
		send_text(fd, rows[i].request);
		cr_assert(read_all(&f, fd, buf, sizeof(buf)), "%zu", i);
		cr_expect(strncmp(buf + strlen("HTTP/1.1 "), rows[i].status, 3) == 0, "%zu: %s", i,
			  buf);
		close(fd);
		fixture_close(&f);
	}
}

Test(admin, control_path_is_removed_when_it_is_ours)
{
	struct fl_admin_control control = {the_same, drained, levelled, previewed, NULL};
	struct fl_admin *second = NULL;
	struct fl_err err = {0};
	struct fixture f;
	const char *path = f.addr.sa.un.sun_path;
	int fd;

	control_open(&f, the_same, NULL);
	cr_expect_eq(fl_admin_open_control(&f.net, path, &source_of_all, &control, &second, &err),
		     FL_ERR_IO);
	cr_expect_not_null(strstr(err.text, "in use"), "%s", err.text);
	fl_admin_close(f.admin);
	cr_expect_neq(access(path, F_OK), 0, "ours has gone");
	/* A socket on which no process listens any more is taken over. */
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_eq(bind(fd, &f.addr.sa.any, f.addr.sa_len), 0);
	close(fd);
	cr_assert_eq(fl_admin_open_control(&f.net, path, &source_of_all, &control, &f.admin, NULL),
		     0);
	/* A socket that another process has put there meanwhile is not removed. */
	cr_assert_eq(unlink(path), 0);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_eq(bind(fd, &f.addr.sa.any, f.addr.sa_len), 0);
	fl_admin_close(f.admin);
	cr_expect_eq(access(path, F_OK), 0, "theirs is still there");
	close(fd);
	f.admin = NULL;
	fixture_close(&f);
}
