/* SPDX-License-Identifier: GPL-3.0-or-later */
/* http - http-parser does the parsing; this file bounds the input and keeps method, path and Accept.
 *
 * The parser is stopped at the end of the head. Bytes that are not HTTP are refused with 400, and a
 * head that is too long with 431; both are normal answers, not internal errors. */
#include "admin/http.h"

#include <string.h>

static int on_url(http_parser *parser, const char *at, size_t len)
{
	struct fl_http_request *request = parser->data;

	if (len > FL_HTTP_PATH_MAX - request->url_len) {
		len = FL_HTTP_PATH_MAX - request->url_len;
	}
	memcpy(request->url + request->url_len, at, len);
	request->url_len += len;
	return 0;
}

static const char accept_name[] = "accept";

static int on_header_field(http_parser *parser, const char *at, size_t len)
{
	struct fl_http_request *request = parser->data;

	if (request->in_value) {
		request->in_value = false;
		request->name_matches = 0;
	}
	for (size_t i = 0; i < len && request->name_matches != SIZE_MAX; i++) {
		/* 0x20: upper and lower case are the same */
		request->name_matches = (at[i] | 0x20) == accept_name[request->name_matches]
						? request->name_matches + 1
						: SIZE_MAX;
	}
	return 0;
}

static void keep_accept(struct fl_http_request *request, const char *at, size_t len)
{
	if (request->accept_len + len >= FL_HTTP_ACCEPT_MAX) {
		request->accept_len = FL_HTTP_ACCEPT_MAX;
		request->accept[0] = '\0';
		return;
	}
	memcpy(request->accept + request->accept_len, at, len);
	request->accept_len += len;
}

static int on_header_value(http_parser *parser, const char *at, size_t len)
{
	struct fl_http_request *request = parser->data;

	if (request->name_matches == sizeof(accept_name) - 1) {
		if (!request->in_value && request->accept_len > 0) {
			keep_accept(request, ",", 1);
		}
		keep_accept(request, at, len);
	}
	request->in_value = true;
	return 0;
}

static int on_headers_complete(http_parser *parser)
{
	struct fl_http_request *request = parser->data;

	request->complete = true;
	request->body_len = parser->content_length != UINT64_MAX ? parser->content_length : 0;
	http_parser_pause(parser, 1);
	return 0;
}

void fl_http_init(struct fl_http_request *request)
{
	memset(request, 0, sizeof(*request));
	http_parser_init(&request->parser, HTTP_REQUEST);
	request->parser.data = request;
}

static bool refuse(struct fl_http_request *request, unsigned status, const char *reason)
{
	request->method = FL_HTTP_OTHER;
	request->refused = status;
	request->reason = reason;
	return true;
}

static void keep_part(const struct fl_http_request *request, const struct http_parser_url *url,
		      enum http_parser_url_fields field, char ret[FL_HTTP_PATH_MAX])
{
	size_t at = url->field_data[field].off;
	size_t len = url->field_data[field].len;

	if ((url->field_set & 1u << field) != 0 && at + len <= request->url_len &&
	    len < FL_HTTP_PATH_MAX) {
		memcpy(ret, request->url + at, len);
	}
}

/* "/readyz?verbose" and "http://pod:15020/readyz" are both /readyz. */
static void keep_path(struct fl_http_request *request)
{
	struct http_parser_url url;

	http_parser_url_init(&url);
	if (request->url_len == FL_HTTP_PATH_MAX ||
	    http_parser_parse_url(request->url, request->url_len, 0, &url) != 0) {
		return;
	}
	keep_part(request, &url, UF_PATH, request->path);
	keep_part(request, &url, UF_QUERY, request->query);
}

static bool finish(struct fl_http_request *request)
{
	unsigned method = request->parser.method;

	request->method = method == HTTP_GET    ? FL_HTTP_GET
			  : method == HTTP_HEAD ? FL_HTTP_HEAD
			  : method == HTTP_POST ? FL_HTTP_POST
						: FL_HTTP_OTHER;
	keep_path(request);
	return true;
}

bool fl_http_feed(struct fl_http_request *request, const uint8_t *data, size_t len)
{
	static const http_parser_settings settings = {
		.on_url = on_url,
		.on_header_field = on_header_field,
		.on_header_value = on_header_value,
		.on_headers_complete = on_headers_complete,
	};
	size_t room = FL_HTTP_HEAD_MAX - request->fed;
	size_t take = len < room ? len : room;

	request->head_end =
		http_parser_execute(&request->parser, &settings, (const char *)data, take);
	request->fed += take;
	if (request->complete) {
		request->head_end++; /* the parser stops before the last newline */
		return finish(request);
	}
	if (HTTP_PARSER_ERRNO(&request->parser) != HPE_OK) {
		return refuse(request, 400, "this is not a request of HTTP/1.1");
	}
	if (request->fed == FL_HTTP_HEAD_MAX) {
		return refuse(request, 431, "request line and headers are larger than 8 KiB");
	}
	return false;
}
