/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The admin endpoint: requests and answers as bytes. */
#include "admin_source.h"

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
		     {"/", "text/html; charset=utf-8\r\n"},
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

Test(admin, metrics_in_the_format_that_is_asked_for)
{
	static const struct {
		const char *headers, *type, *body;
	} cases[] = {
		{"Accept: */*\r\n", "text/plain; version=0.0.4;", "\r\n\r\na whole document\n"},
		{"ACCEPT: application/openmetrics-text;version=1.0.0\r\n",
		 "application/openmetrics-text; version=1.0.0; charset=utf-8\r\n",
		 "\r\n\r\nan open document\n"},
		{"Accept: text/html\r\nX: y\r\naccept: application/openmetrics-text\r\n",
		 "application/openmetrics-text;", "\r\n\r\nan open document\n"},
		{"Accept-Charset: application/openmetrics-text\r\n", "text/plain;",
		 "\r\n\r\na whole document\n"},
		{"Acce: application/openmetrics-text\r\n", "text/plain;",
		 "\r\n\r\na whole document\n"}};

	for (size_t i = 0; i < FL_COUNT_OF(cases); i++) {
		char text[160], expected[128];
		char *answer;

		(void)snprintf(text, sizeof(text), "GET /metrics HTTP/1.1\r\n%s\r\n",
			       cases[i].headers);
		check(text, NULL, OK, cases[i].body);
		answer = ask(text, strlen(text), 5, NULL);
		(void)snprintf(expected, sizeof(expected), "\r\nContent-Type: %s", cases[i].type);
		cr_assert_not_null(strstr(answer, expected), "%s", answer);
		free(answer);
	}
}

Test(admin, a_long_accept_is_ignored)
{
	char text[4096];

	(void)snprintf(text, sizeof(text),
		       "GET /metrics HTTP/1.1\r\nAccept: application/openmetrics-text,%0*d\r\n\r\n",
		       FL_HTTP_ACCEPT_MAX, 0);
	check(text, NULL, OK, "\r\n\r\na whole document\n");
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

/* The bound does not depend on the cuts; a request that fits is served. */
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

/* Details about peers, rules and addresses are only for callers that may see them. */
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
