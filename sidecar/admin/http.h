/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_ADMIN_HTTP_H
#define FL_ADMIN_HTTP_H
/* http - the head of one HTTP/1 request, collected from pieces of any size. Pure; no I/O. */
#include <http_parser.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FL_HTTP_HEAD_MAX 8192u   /* bytes of request line and headers */
#define FL_HTTP_PATH_MAX 256u    /* a longer path matches no resource */
#define FL_HTTP_ACCEPT_MAX 1024u /* a longer Accept is ignored */

enum fl_http_method { FL_HTTP_GET, FL_HTTP_HEAD, FL_HTTP_POST, FL_HTTP_OTHER };

struct fl_http_request {
	http_parser parser;
	size_t fed; /* bytes */
	char url[FL_HTTP_PATH_MAX];
	size_t url_len; /* FL_HTTP_PATH_MAX: too long */
	bool complete;
	size_t head_end;     /* how many of the last fed bytes belong to the head */
	size_t name_matches; /* so many bytes of this header's name; SIZE_MAX: it is not Accept */
	bool in_value;       /* of this header */
	size_t accept_len;
	uint64_t body_len; /* bytes after the head, by Content-Length; 0 if there is none */
	/* valid once fl_http_feed() has returned true: */
	enum fl_http_method method;
	unsigned refused;                /* 0, or the HTTP status of the refusal */
	const char *reason;              /* one sentence with `refused`; static */
	char path[FL_HTTP_PATH_MAX];     /* without query; empty: it matches no resource */
	char query[FL_HTTP_PATH_MAX];    /* behind the `?`; empty: none */
	char accept[FL_HTTP_ACCEPT_MAX]; /* the Accept headers, joined by commas */
};

void fl_http_init(struct fl_http_request *request);

/* Returns true when the head is complete or refused. Must not be called again after that. */
bool fl_http_feed(struct fl_http_request *request, const uint8_t *data, size_t len);

#endif
