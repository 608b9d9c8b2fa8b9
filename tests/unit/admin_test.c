/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The admin endpoint: requests and answers as bytes, then a real one on a Unix socket. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "admin/admin.h"
#include "admin/respond.h"
#include "base/mem.h"

static bool is_ready(void *user, char *reason, size_t size)
{
	const char *why_not = user;

	if (why_not == NULL) {
		return true;
	}
	(void)snprintf(reason, size, "%s", why_not);
	return false;
}

static void document(void *user, struct fl_text *ret)
{
	(void)user;
	fl_text_print(ret, "a whole document\n");
}

static bool page(void *user, struct fl_text *ret)
{
	document(user, ret);
	return true;
}

static bool everyone(void *user)
{
	(void)user;
	return true;
}

static const struct fl_admin_source source_of_all = {.ready = is_ready,
						     .metrics = document,
						     .status = document,
						     .page = page,
						     .everywhere = everyone};

/* The answer to a request that comes in pieces of `piece` bytes. To be freed. */
static char *ask(const char *text, size_t len, size_t piece, char *why_not)
{
	struct fl_admin_source source = source_of_all;
	struct fl_http_request request;
	struct fl_text answer = {0};
	size_t head_len = 0;
	bool done = false;

	source.user = why_not;
	fl_http_init(&request);
	for (size_t at = 0; at < len && !done; at += piece) {
		size_t n = len - at < piece ? len - at : piece;
		uint8_t *exact = fl_new(n); /* so that reading past the end is seen */

		memcpy(exact, text + at, n);
		done = fl_http_feed(&request, exact, n);
		free(exact);
	}
	if (!done) {
		return NULL;
	}
	cr_assert(fl_admin_respond(
		&request, &(struct fl_admin_caller){.source = &source, .may_see_details = true},
		&answer, &head_len));
	answer.data[request.method == FL_HTTP_HEAD ? head_len : answer.len] = '\0';
	return answer.data;
}

static void check(const char *text, char *why_not, const char *status, const char *end)
{
	for (size_t piece = 1; piece <= strlen(text); piece++) {
		char *answer = ask(text, strlen(text), piece, why_not);

		cr_assert_not_null(answer);
		cr_assert(strncmp(answer, status, strlen(status)) == 0, "%s", answer);
		cr_assert(strlen(answer) >= strlen(end) &&
				  strcmp(answer + strlen(answer) - strlen(end), end) == 0,
			  "%s", answer);
		cr_assert_not_null(strstr(answer, "\r\nConnection: close\r\n"));
		free(answer);
	}
}

#define OK "HTTP/1.1 200 OK\r\n"

Test(admin, healthy)
{
	check("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", "not ready", OK, "\r\n\r\nok\n");
	check("GET /healthz HTTP/1.0\r\n\r\n", NULL, OK, "\r\n\r\nok\n");
	check("GET /healthz?verbose=1 HTTP/1.1\r\n\r\n", NULL, OK, "ok\n");
	check("GET http://pod:15020/healthz HTTP/1.1\r\n\r\n", NULL, OK, "ok\n");
	check("HEAD /healthz HTTP/1.1\r\n\r\n", NULL, OK, "\r\nConnection: close\r\n\r\n");
}

Test(admin, ready_or_the_reason)
{
	check("GET /readyz HTTP/1.1\r\n\r\n", NULL, OK, "\r\n\r\nready\n");
	check("GET /readyz HTTP/1.1\r\n\r\n", "no generation yet",
	      "HTTP/1.1 503 Service Unavailable\r\n", "\r\n\r\nno generation yet\n");
	check("HEAD /readyz HTTP/1.1\r\n\r\n", "no generation yet", "HTTP/1.1 503 ", "\r\n\r\n");
}

Test(admin, documents_and_their_types)
{
	static const struct {
		const char *path, *type;
	} pages[] = {{"/metrics", "text/plain; version=0.0.4; charset=utf-8\r\n"},
		     {"/status", "application/json\r\n"},
		     {"/", "text/html; charset=utf-8\r\nContent-Security-Policy: default-src "},
		     {"/?", "text/html; charset=utf-8\r\n"}};

	for (size_t i = 0; i < FL_COUNT_OF(pages); i++) {
		for (unsigned head = 0; head < 2; head++) {
			char text[64], expected[128];
			char *answer;

			(void)snprintf(text, sizeof(text), "%s %s HTTP/1.1\r\n\r\n",
				       head ? "HEAD" : "GET", pages[i].path);
			check(text, NULL, OK, head ? "\r\n\r\n" : "\r\n\r\na whole document\n");
			answer = ask(text, strlen(text), 9, NULL);
			(void)snprintf(expected, sizeof(expected), "\r\nContent-Type: %s",
				       pages[i].type);
			cr_assert_not_null(strstr(answer, expected), "%s", answer);
			cr_assert_not_null(strstr(answer, "\r\nContent-Length: 17\r\n"), "%s",
					   answer);
			cr_assert_not_null(
				strstr(answer, "\r\nX-Content-Type-Options: nosniff\r\n"));
			free(answer);
		}
	}
}

Test(admin, unknown_paths_get_the_list)
{
	const char *list = "/healthz\n/readyz\n/metrics\n/status\n/connections\n/seen\n/\n";
	char text[1024];

	check("GET /index.html HTTP/1.1\r\n\r\n", NULL, "HTTP/1.1 404 ", list);
	check("GET /healthz/ HTTP/1.1\r\n\r\n", NULL, "HTTP/1.1 404 ", list);
	check("GET //healthz HTTP/1.1\r\n\r\n", NULL, "HTTP/1.1 404 ", list);
	check("POST /nowhere HTTP/1.1\r\n\r\n", NULL, "HTTP/1.1 404 ", list);
	(void)snprintf(text, sizeof(text), "GET /healthz%0500d HTTP/1.1\r\n\r\n", 0);
	check(text, NULL, "HTTP/1.1 404 ", list);
}

Test(admin, other_methods)
{
	static const char *const methods[] = {"POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"};
	char text[128];

	for (size_t i = 0; i < FL_COUNT_OF(methods); i++) {
		char *answer;

		(void)snprintf(text, sizeof(text),
			       "%s /readyz HTTP/1.1\r\nContent-Length: 3\r\n\r\n", methods[i]);
		check(text, NULL, "HTTP/1.1 405 ", "GET or HEAD\n");
		answer = ask(text, strlen(text), 7, NULL);
		cr_assert_not_null(strstr(answer, "\r\nAllow: GET, HEAD\r\n"));
		free(answer);
	}
}

Test(admin, no_http)
{
	static const uint8_t client_hello[] = {0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, 0, 0, 0};
	char *answer = ask((const char *)client_hello, sizeof(client_hello), 3, NULL);

	cr_assert(strncmp(answer, "HTTP/1.1 400 Bad Request\r\n", 26) == 0, "%s", answer);
	free(answer);
	check("\x01 GET / HTTP/1.1\r\n\r\n", NULL, "HTTP/1.1 400 ", "HTTP/1.1\n");
	cr_assert_null(ask("GET /readyz HTTP/1.1\r\n", 22, 5, NULL), "half a head has no answer");
}

/* The bound is the same wherever the cuts are; what fits is served. */
Test(admin, long_heads)
{
	static const size_t pieces[] = {1, 100, FL_HTTP_HEAD_MAX, 4 * FL_HTTP_HEAD_MAX};
	char *text = fl_new(2 * FL_HTTP_HEAD_MAX + 64);

	for (size_t i = 0; i < FL_COUNT_OF(pieces); i++) {
		const char *line = "GET /healthz HTTP/1.1\r\nX: ";
		size_t len = strlen(line);
		char *answer;

		memcpy(text, line, len);
		memset(text + len, 'x', FL_HTTP_HEAD_MAX - len);
		memcpy(text + FL_HTTP_HEAD_MAX - 4, "\r\n\r\n", 4);
		answer = ask(text, FL_HTTP_HEAD_MAX, pieces[i], NULL);
		cr_assert(strncmp(answer, OK, strlen(OK)) == 0, "%s", answer);
		free(answer);

		memset(text + len, 'x', 2 * FL_HTTP_HEAD_MAX - len);
		answer = ask(text, 2 * FL_HTTP_HEAD_MAX, pieces[i], NULL);
		cr_assert(strncmp(answer, "HTTP/1.1 431 ", 13) == 0, "%s", answer);
		free(answer);
	}
	free(text);
}

/* --- what changes something --------------------------------------------------------------------- */

static bool root_only(void *user, uid_t uid)
{
	(void)user;
	return uid == 0;
}

static bool nobody(void *user, uid_t uid)
{
	(void)user;
	(void)uid;
	return false;
}

static bool the_same(void *user, uid_t uid)
{
	(void)user;
	return uid == geteuid();
}

static unsigned drained(void *user, uid_t uid, struct fl_text *ret)
{
	unsigned *count = user;

	(*count)++;
	fl_text_print(ret, "drained for %u\n", (unsigned)uid);
	return 200;
}

static unsigned levelled(void *user, uid_t uid, const char *level, struct fl_text *ret)
{
	unsigned *count = user;

	(void)uid;
	if (strcmp(level, "debug") != 0) {
		fl_text_print(ret, "no such level\n");
		return 400;
	}
	(*count)++;
	fl_text_print(ret, "now debug\n");
	return 200;
}

/* Says it back. */
static bool previewed(void *user, struct fl_span body, const void *asker, unsigned *ret_status,
		      struct fl_text *ret)
{
	(void)user;
	cr_assert_not_null(asker);
	fl_text_print(ret, "body ");
	fl_text_put(ret, (const char *)body.data, body.len);
	*ret_status = body.len > 0 ? 200 : 400;
	return true;
}

static char *order(const char *text, bool has_control, unsigned *count)
{
	struct fl_admin_control control = {root_only, drained, levelled, previewed, count};
	struct fl_admin_caller caller = {.source = &source_of_all,
					 .control = has_control ? &control : NULL,
					 .may_see_details = true,
					 .uid = 7,
					 .asker = text};
	struct fl_http_request request;
	struct fl_text answer = {0};
	size_t head_len = 0;

	fl_http_init(&request);
	cr_assert(fl_http_feed(&request, (const uint8_t *)text, strlen(text)));
	cr_assert(fl_admin_respond(&request, &caller, &answer, &head_len));
	answer.data[request.method == FL_HTTP_HEAD ? head_len : answer.len] = '\0';
	return answer.data;
}

Test(admin, control_changes_by_post_alone)
{
	static const struct {
		const char *request, *status, *end;
		unsigned done;
	} rows[] = {
		{"POST /drain HTTP/1.1\r\n\r\n", "200", "\r\n\r\ndrained for 7\n", 1},
		{"POST /drain?now HTTP/1.1\r\nContent-Length: 1\r\n\r\nx", "200", "drained for 7\n",
		 1},
		{"POST /log-level?level=debug HTTP/1.1\r\n\r\n", "200", "now debug\n", 1},
		{"POST /log-level?level=x HTTP/1.1\r\n\r\n", "400", "no such level\n", 0},
		{"POST /log-level?level= HTTP/1.1\r\n\r\n", "400", "no such level\n", 0},
		{"POST /log-level?lvl=debug HTTP/1.1\r\n\r\n", "400", "level=debug\n", 0},
		{"POST /log-level HTTP/1.1\r\n\r\n", "400", "level=debug\n", 0},
		{"GET /drain HTTP/1.1\r\n\r\n", "405", "POST\n", 0},
		{"PUT /drain HTTP/1.1\r\n\r\n", "405", "POST\n", 0},
		{"HEAD /drain HTTP/1.1\r\n\r\n", "405", "Allow: POST\r\n\r\n", 0},
		{"POST /readyz HTTP/1.1\r\n\r\n", "405",
		 "this page is only for reading: GET or HEAD\n", 0},
		{"GET /readyz HTTP/1.1\r\n\r\n", "200", "ready\n", 0},
		{"GET /x HTTP/1.1\r\n\r\n", "404",
		 "/\nPOST /drain\nPOST /log-level\nPOST /preview\n", 0},
	};

	for (size_t i = 0; i < FL_COUNT_OF(rows); i++) {
		unsigned count = 0;
		char *answer = order(rows[i].request, true, &count);

		cr_expect(strncmp(answer + strlen("HTTP/1.1 "), rows[i].status, 3) == 0, "%zu: %s",
			  i, answer);
		cr_expect_str_eq(answer + strlen(answer) - strlen(rows[i].end), rows[i].end,
				 "%zu: %s", i, answer);
		cr_expect_eq(count, rows[i].done, "%zu", i);
		free(answer);
	}
}

Test(admin, the_reading_endpoint_has_none_of_it)
{
	unsigned count = 0;
	char *answer = order("POST /drain HTTP/1.1\r\n\r\n", false, &count);

	cr_expect(strncmp(answer, "HTTP/1.1 404 ", 13) == 0, "%s", answer);
	cr_expect_null(strstr(answer, "drain"));
	cr_expect_eq(count, 0);
	free(answer);
}

/* What tells of peers, rules and addresses is for those who may see it. */
Test(admin, details_are_not_for_everybody)
{
	static const struct {
		const char *path, *status;
	} rows[] = {{"/healthz", "200"},      {"/readyz", "200"}, {"/metrics", "200"},
		    {"/status", "403"},       {"/", "403"},       {"/connections", "403"},
		    {"/seen?verbose", "403"}, {"/nowhere", "404"}};

	for (size_t i = 0; i < FL_COUNT_OF(rows); i++) {
		struct fl_admin_caller caller = {.source = &source_of_all};
		char *text = fl_format("GET %s HTTP/1.1\r\n\r\n", rows[i].path);
		struct fl_http_request request;
		struct fl_text answer = {0};
		size_t head_len = 0;

		fl_http_init(&request);
		cr_assert(fl_http_feed(&request, (const uint8_t *)text, strlen(text)));
		cr_assert(fl_admin_respond(&request, &caller, &answer, &head_len));
		cr_expect(strncmp(answer.data + strlen("HTTP/1.1 "), rows[i].status, 3) == 0,
			  "%s: %s", rows[i].path, answer.data);
		cr_expect_null(strstr(answer.data, "/status\n"), "%s", answer.data);
		cr_expect(strcmp(rows[i].status, "403") != 0 ||
				  strstr(answer.data, "kubectl port-forward") != NULL,
			  "%s", answer.data);
		fl_text_done(&answer);
		free(text);
	}
}

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

/* Turns the loop until fd has come to its end, and returns what was read; false: it never did. */
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

/* The 1025th is served at once, and the oldest has to go for it. */
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
	/* One that nobody listens on any more is taken over. */
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_eq(bind(fd, &f.addr.sa.any, f.addr.sa_len), 0);
	close(fd);
	cr_assert_eq(fl_admin_open_control(&f.net, path, &source_of_all, &control, &f.admin, NULL),
		     0);
	/* One that somebody else has put there since is left alone. */
	cr_assert_eq(unlink(path), 0);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_eq(bind(fd, &f.addr.sa.any, f.addr.sa_len), 0);
	fl_admin_close(f.admin);
	cr_expect_eq(access(path, F_OK), 0, "theirs is still there");
	close(fd);
	f.admin = NULL;
	fixture_close(&f);
}
