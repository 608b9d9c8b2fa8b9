/* SPDX-License-Identifier: GPL-3.0-or-later */
/* respond - a new path is a handler and a row in the table below.
 *
 * Every request gets an answer: 404 lists the paths, 405 lists the methods, 400 and 431 say what
 * was wrong. */
#include "admin/respond.h"

#include <string.h>

#include "admin/accept.h"
#include "base/mem.h"

#define TEXT_TYPE "text/plain; charset=utf-8"
#define PAGE_TYPE "text/html; charset=utf-8"

#define NOT_YET 0u
#define PREVIEW_PATH "/preview"

struct resource {
	const char *path;
	const char *type;
	unsigned document; /* its number, from 1 on; 0: it costs nothing to make */
	bool details;      /* reveals peers, rules and addresses: restricted */
	bool is_page;      /* it has a Content-Security-Policy */
	/* Of two resources at one path, the first is for callers whose Accept wants it. NULL: for all. */
	bool (*is_wanted)(const char *accept);
	/* Fills body and returns the status, or NOT_YET. One of the two callbacks is set. */
	unsigned (*read)(const struct fl_admin_source *source, struct fl_text *body);
	unsigned (*change)(const struct fl_admin_caller *caller, const char *query,
			   struct fl_text *body);
};

static unsigned healthz(const struct fl_admin_source *source, struct fl_text *body)
{
	(void)source;
	fl_text_print(body, "ok\n");
	return 200;
}

static unsigned readyz(const struct fl_admin_source *source, struct fl_text *body)
{
	char reason[FL_ERR_TEXTS] = "";

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

static unsigned openmetrics(const struct fl_admin_source *source, struct fl_text *body)
{
	source->openmetrics(source->user, body);
	return 200;
}

static unsigned status(const struct fl_admin_source *source, struct fl_text *body)
{
	source->status(source->user, body);
	return 200;
}

static unsigned connections(const struct fl_admin_source *source, struct fl_text *body)
{
	return source->connections(source->user, body) ? 200 : NOT_YET;
}

static unsigned callers(const struct fl_admin_source *source, struct fl_text *body)
{
	return source->callers(source->user, body) ? 200 : NOT_YET;
}

static unsigned page(const struct fl_admin_source *source, struct fl_text *body)
{
	return source->page(source->user, body) ? 200 : NOT_YET;
}

static unsigned drain(const struct fl_admin_caller *caller, const char *query, struct fl_text *body)
{
	(void)query;
	return caller->control->drain(caller->control->user, caller->uid, body);
}

static unsigned log_level(const struct fl_admin_caller *caller, const char *query,
			  struct fl_text *body)
{
	static const char name[] = "level=";

	if (strncmp(query, name, sizeof(name) - 1) != 0) {
		fl_text_print(body, "the level is missing: POST /log-level?level=debug\n");
		return 400;
	}
	return caller->control->log_level(caller->control->user, caller->uid,
					  query + sizeof(name) - 1, body);
}

static unsigned preview(const struct fl_admin_caller *caller, const char *query,
			struct fl_text *body)
{
	unsigned status;

	(void)query;
	return caller->control->preview(caller->control->user, caller->body, caller->asker, &status,
					body)
		       ? status
		       : NOT_YET;
}

static const struct resource resources[] = {
	{.path = "/healthz", .type = TEXT_TYPE, .read = healthz},
	{.path = "/readyz", .type = TEXT_TYPE, .read = readyz},
	{.path = "/metrics",
	 .document = 6,
	 .type = "application/openmetrics-text; version=1.0.0; charset=utf-8",
	 .is_wanted = fl_accept_openmetrics,
	 .read = openmetrics},
	{.path = "/metrics",
	 .document = 1,
	 .type = "text/plain; version=0.0.4; charset=utf-8",
	 .read = metrics},
	{.path = "/status",
	 .document = 2,
	 .type = "application/json",
	 .details = true,
	 .read = status},
	{.path = "/connections",
	 .document = 3,
	 .type = "application/json",
	 .details = true,
	 .read = connections},
	{.path = "/seen",
	 .document = 4,
	 .type = "application/json",
	 .details = true,
	 .read = callers},
	{.path = "/",
	 .document = 5,
	 .type = PAGE_TYPE,
	 .is_page = true,
	 .details = true,
	 .read = page},
	{.path = "/drain", .type = TEXT_TYPE, .change = drain},
	{.path = "/log-level", .type = TEXT_TYPE, .change = log_level},
	{.path = PREVIEW_PATH, .type = "application/json", .change = preview},
};

static bool is_there(const struct resource *resource, const struct fl_admin_caller *caller)
{
	return resource->read != NULL || caller->control != NULL;
}

bool fl_admin_wants_body(const struct fl_http_request *request)
{
	return request->refused == 0 && request->method == FL_HTTP_POST &&
	       strcmp(request->path, PREVIEW_PATH) == 0;
}

static const struct resource *find_resource(const struct fl_admin_caller *caller,
					    const struct fl_http_request *request)
{
	for (size_t i = 0; i < FL_COUNT_OF(resources); i++) {
		const struct resource *resource = &resources[i];

		if (strcmp(resource->path, request->path) == 0 && is_there(resource, caller) &&
		    (resource->is_wanted == NULL || resource->is_wanted(request->accept))) {
			return resource;
		}
	}
	return NULL;
}

int fl_admin_document(const struct fl_http_request *request, const struct fl_admin_caller *caller)
{
	bool reads = request->method == FL_HTTP_GET || request->method == FL_HTTP_HEAD;
	const struct resource *resource =
		request->refused == 0 && reads ? find_resource(caller, request) : NULL;

	return resource != NULL && (!resource->details || caller->may_see_details)
		       ? (int)resource->document - 1
		       : -1;
}

static unsigned not_found(const struct fl_admin_caller *caller, struct fl_text *body)
{
	fl_text_print(body, "there is no such page; there are:\n");
	for (size_t i = 0; i < FL_COUNT_OF(resources); i++) {
		if (is_there(&resources[i], caller) && resources[i].is_wanted == NULL &&
		    (!resources[i].details || caller->may_see_details)) {
			fl_text_print(body, "%s%s\n", resources[i].read == NULL ? "POST " : "",
				      resources[i].path);
		}
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
	case 403:
		return "Forbidden";
	case 404:
		return "Not Found";
	case 405:
		return "Method Not Allowed";
	case 413:
		return "Content Too Large";
	case 431:
		return "Request Header Fields Too Large";
	case 503:
		return "Service Unavailable";
	default:
		return "Internal Server Error";
	}
}

/* One more header line, for 405 and for the page; NULL: none. */
struct answer {
	const char *type, *name, *value;
};

static unsigned wrong_method(const struct resource *resource, const struct fl_admin_caller *caller,
			     struct answer *answer, struct fl_text *body)
{
	answer->name = "Allow";
	if (resource->read == NULL) {
		answer->value = "POST";
		fl_text_print(body, "use POST\n");
	} else {
		answer->value = "GET, HEAD";
		fl_text_print(body, "%s is only for reading: GET or HEAD\n",
			      caller->control != NULL ? "this page" : "this endpoint");
	}
	return 405;
}

static unsigned fill(const struct fl_http_request *request, const struct fl_admin_caller *caller,
		     struct answer *answer, struct fl_text *body)
{
	bool reads = request->method == FL_HTTP_GET || request->method == FL_HTTP_HEAD;
	const struct resource *resource;
	unsigned status;

	if (request->refused != 0) {
		fl_text_print(body, "%s\n", request->reason);
		return request->refused;
	}
	resource = find_resource(caller, request);
	if (resource == NULL) {
		return not_found(caller, body);
	}
	if (resource->details && !caller->may_see_details) {
		fl_text_print(
			body,
			"this is served only over loopback (in Kubernetes: kubectl port-forward) "
			"and over the control socket; `[sidecar] admin_details = everywhere` "
			"serves it to everybody\n");
		return 403;
	}
	if (resource->read != NULL ? !reads : request->method != FL_HTTP_POST) {
		return wrong_method(resource, caller, answer, body);
	}
	status = resource->read != NULL ? resource->read(caller->source, body)
					: resource->change(caller, request->query, body);
	if (status == 200) {
		answer->type = resource->type;
	}
	if (status == 200 && resource->is_page) {
		answer->name = "Content-Security-Policy";
		answer->value = caller->source->page_policy;
	}
	return status;
}

bool fl_admin_respond(const struct fl_http_request *request, const struct fl_admin_caller *caller,
		      struct fl_text *ret, size_t *ret_head)
{
	struct fl_text body = {.is_soft = ret->is_soft};
	struct answer answer = {.type = TEXT_TYPE};
	unsigned status = fill(request, caller, &answer, &body);

	if (status == NOT_YET) {
		fl_text_done(&body);
		return false;
	}
	fl_text_print(
		ret,
		"HTTP/1.1 %u %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
		"Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n%s%s%s%s\r\n",
		status, status_text(status), answer.type, body.len,
		answer.name != NULL ? answer.name : "", answer.name != NULL ? ": " : "",
		answer.name != NULL ? answer.value : "", answer.name != NULL ? "\r\n" : "");
	*ret_head = ret->len;
	fl_text_put(ret, body.data, body.len);
	ret->has_failed = ret->has_failed || body.has_failed;
	fl_text_done(&body);
	return true;
}
