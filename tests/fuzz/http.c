/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Requests to the admin endpoint and to the control socket, in pieces: each gets exactly one well-formed answer, and what
 * changes something is reached over the control socket alone. */
#include <stdio.h>

#include "admin/respond.h"
#include "fuzz.h"

static unsigned changed; /* by the request under way */

static bool ready(void *user, char *reason, size_t size)
{
	(void)user;
	(void)snprintf(reason, size, "no generation");
	return false;
}

static void document(void *user, struct fl_text *ret)
{
	(void)user;
	fl_text_print(ret, "document\n");
}

static bool document_now(void *user, struct fl_text *ret)
{
	document(user, ret);
	return true;
}

static bool nobody(void *user)
{
	(void)user;
	return false;
}

static unsigned drain(void *user, uid_t uid, struct fl_text *ret)
{
	(void)uid;
	changed++;
	document(user, ret);
	return 200;
}

static unsigned log_level(void *user, uid_t uid, const char *level, struct fl_text *ret)
{
	(void)user;
	(void)uid;
	changed++;
	fl_text_print(ret, "%s\n", level);
	return 400;
}

static bool preview(void *user, struct fl_span body, const void *asker, unsigned *ret_status,
		    struct fl_text *ret)
{
	(void)asker;
	changed++;
	(void)fuzz_touch(body);
	document(user, ret);
	*ret_status = 200;
	return true;
}

static const struct fl_admin_source source = {.ready = ready,
					      .metrics = document,
					      .openmetrics = document,
					      .status = document,
					      .page = document_now,
					      .page_policy = "default-src 'none'",
					      .connections = document_now,
					      .callers = document_now,
					      .everywhere = nobody};
static const struct fl_admin_control control = {
	.drain = drain, .log_level = log_level, .preview = preview};

static void respond(const struct fl_http_request *request, uint8_t flags, struct fl_span rest)
{
	struct fl_admin_caller caller = {.source = &source,
					 .control = (flags & 1) != 0 ? &control : NULL,
					 .may_see_details = (flags & 2) != 0,
					 .uid = 1};
	struct fl_text text = {0};
	size_t head = 0;

	if (fl_admin_wants_body(request) && caller.control != NULL) {
		caller.body = rest; /* admin.c bounds it */
	}
	FL_REQUIRE(fl_admin_document(request, &caller) < (int)FL_ADMIN_DOCUMENTS);
	changed = 0;
	FL_REQUIRE(fl_admin_respond(request, &caller, &text, &head));
	FL_REQUIRE(text.len >= head && head > 4);
	FL_REQUIRE(memcmp(text.data, "HTTP/1.1 ", 9) == 0);
	FL_REQUIRE(memcmp(text.data + head - 4, "\r\n\r\n", 4) == 0);
	FL_REQUIRE(changed == 0 || (caller.control != NULL && changed == 1 &&
				    request->method == FL_HTTP_POST && request->refused == 0));
	fl_text_done(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct fl_span in = {data, len};
	uint8_t flags = fuzz_u8(&in);
	struct fl_http_request request;
	uint32_t state = flags;
	bool done = false;

	fl_http_init(&request);
	while (in.len > 0 && !done) {
		struct fl_span piece = fuzz_piece(&in, &state, 1 + flags);
		uint8_t *copy = fuzz_copy(piece);

		done = fl_http_feed(&request, copy, piece.len);
		FL_REQUIRE(request.head_end <= piece.len);
		FL_REQUIRE(request.fed <= FL_HTTP_HEAD_MAX);
		free(copy);
	}
	if (done) {
		FL_REQUIRE((request.refused != 0) == (request.reason != NULL));
		FL_REQUIRE(memchr(request.path, 0, sizeof(request.path)) != NULL);
		FL_REQUIRE(memchr(request.query, 0, sizeof(request.query)) != NULL);
		respond(&request, flags, in);
	}
	return 0;
}
