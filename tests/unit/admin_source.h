/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_TESTS_UNIT_ADMIN_SOURCE_H
#define FL_TESTS_UNIT_ADMIN_SOURCE_H
/* admin_source - made-up answers of the sidecar to the admin endpoint. Header only: each test is a program of its own. */
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

#define OK "HTTP/1.1 200 OK\r\n"

static inline bool is_ready(void *user, char *reason, size_t size)
{
	const char *why_not = user;

	if (why_not == NULL) {
		return true;
	}
	(void)snprintf(reason, size, "%s", why_not);
	return false;
}

static inline void document(void *user, struct fl_text *ret)
{
	(void)user;
	fl_text_print(ret, "a whole document\n");
}

static inline void open_document(void *user, struct fl_text *ret)
{
	(void)user;
	fl_text_print(ret, "an open document\n");
}

static inline bool page(void *user, struct fl_text *ret)
{
	document(user, ret);
	return true;
}

static inline bool everyone(void *user)
{
	(void)user;
	return true;
}

static const struct fl_admin_source source_of_all = {.ready = is_ready,
						     .metrics = document,
						     .openmetrics = open_document,
						     .status = document,
						     .page = page,
						     .page_policy = "default-src 'none'",
						     .everywhere = everyone};

static inline bool root_only(void *user, uid_t uid)
{
	(void)user;
	return uid == 0;
}

static inline bool nobody(void *user, uid_t uid)
{
	(void)user;
	(void)uid;
	return false;
}

static inline bool the_same(void *user, uid_t uid)
{
	(void)user;
	return uid == geteuid();
}

static inline unsigned drained(void *user, uid_t uid, struct fl_text *ret)
{
	unsigned *count = user;

	(*count)++;
	fl_text_print(ret, "drained for %u\n", (unsigned)uid);
	return 200;
}

static inline unsigned levelled(void *user, uid_t uid, const char *level, struct fl_text *ret)
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

/* Returns the request as the answer. */
static inline bool previewed(void *user, struct fl_span body, const void *asker,
			     unsigned *ret_status, struct fl_text *ret)
{
	(void)user;
	cr_assert_not_null(asker);
	fl_text_print(ret, "body ");
	fl_text_put(ret, (const char *)body.data, body.len);
	*ret_status = body.len > 0 ? 200 : 400;
	return true;
}

#endif
