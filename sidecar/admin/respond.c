/* SPDX-License-Identifier: GPL-3.0-or-later */
/* respond - a new path is a handler and a row in the table below.
 *
 * Every request gets an answer: 404 names the paths there are, 405 the methods, 400 and 431 what
 * was wrong. */
#include "admin/respond.h"

#include <string.h>

#include "base/mem.h"

#define TEXT_TYPE "text/plain; charset=utf-8"
/* The page needs its own style and nothing else: should anything ever slip through its escaping, a
 * browser does not run it. */
#define PAGE_TYPE                                                                                  \
	"text/html; charset=utf-8\r\nContent-Security-Policy: default-src 'none'; "                \
	"style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

struct route {
	const char *path;
	const char *type; /* and further header lines */
	/* Fills body and returns the status. */
	unsigned (*handler)(const struct fl_admin_source *source, struct fl_text *body);
};

static unsigned healthz(const struct fl_admin_source *source, struct fl_text *body)
{
	(void)source;
	fl_text_print(body, "ok\n");
	return 200;
}

static unsigned readyz(const struct fl_admin_source *source, struct fl_text *body)
{
	char reason[1280] = "";

	if (source->ready(source->user, reason, sizeof(reason))) {
		fl_text_print(body, "ready\n");
		return 200;
	}
	fl_text_print(body, "%s\n", reason);
	return 503;
}

static unsigned metrics(const struct fl_admin_source *source, struct fl_text *body)
{
	source->metrics(source->user, body);
	return 200;
}

static unsigned status(const struct fl_admin_source *source, struct fl_text *body)
{
	source->status(source->user, body);
	return 200;
}

static unsigned page(const struct fl_admin_source *source, struct fl_text *body)
{
	source->page(source->user, body);
	return 200;
}

static const struct route routes[] = {
	{"/healthz", TEXT_TYPE, healthz},
	{"/readyz", TEXT_TYPE, readyz},
	{"/metrics", "text/plain; version=0.0.4; charset=utf-8", metrics},
	{"/status", "application/json", status},
	{"/", PAGE_TYPE, page},
};

static const struct route *find_route(const char *path)
{
	for (size_t i = 0; i < FL_COUNT_OF(routes); i++) {
		if (strcmp(routes[i].path, path) == 0) {
			return &routes[i];
		}
	}
	return NULL;
}

static unsigned not_found(struct fl_text *body)
{
	fl_text_print(body, "there is no such page; there are:\n");
	for (size_t i = 0; i < FL_COUNT_OF(routes); i++) {
		fl_text_print(body, "%s\n", routes[i].path);
	}
	return 404;
}

static const char *status_text(unsigned status)
{
	switch (status) {
	case 200:
		return "OK";
	case 400:
		return "Bad Request";
	case 404:
		return "Not Found";
	case 405:
		return "Method Not Allowed";
	case 431:
		return "Request Header Fields Too Large";
	case 503:
		return "Service Unavailable";
	default:
		return "Internal Server Error";
	}
}

static unsigned answer(const struct fl_http_request *request, const struct fl_admin_source *source,
		       const char **ret_type, struct fl_text *body)
{
	const struct route *route;

	if (request->refused != 0) {
		fl_text_print(body, "%s\n", request->reason);
		return request->refused;
	}
	route = find_route(request->path);
	if (route == NULL) {
		return not_found(body);
	}
	if (request->method == FL_HTTP_OTHER) {
		fl_text_print(body, "this endpoint is only for reading: GET or HEAD\n");
		return 405;
	}
	*ret_type = route->type;
	return route->handler(source, body);
}

void fl_admin_respond(const struct fl_http_request *request, const struct fl_admin_source *source,
		      struct fl_text *ret)
{
	struct fl_text body = {0};
	const char *type = TEXT_TYPE;
	unsigned status = answer(request, source, &type, &body);

	fl_text_print(
		ret,
		"HTTP/1.1 %u %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
		"Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n%s\r\n",
		status, status_text(status), type, body.len,
		status == 405 ? "Allow: GET, HEAD\r\n" : "");
	if (request->method != FL_HTTP_HEAD) {
		fl_text_put(ret, body.data, body.len);
	}
	fl_text_done(&body);
}
