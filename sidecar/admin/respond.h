/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_ADMIN_RESPOND_H
#define FL_ADMIN_RESPOND_H
/* respond - from a request to the bytes of its answer, by a table of resources. No I/O. */
#include "admin/http.h"
#include "admin/source.h"
#include "base/text.h"

struct fl_admin_caller {
	const struct fl_admin_source *source;
	const struct fl_admin_control *control; /* NULL: the endpoint only reads */
	bool may_see_details;                   /* more than health and metrics */
	uid_t uid;                              /* with control */
	/* with control: the body of the request, if it has one */
	struct fl_span body;
	const void *asker; /* identifies the connection */
};

/* Does the request have a body to wait for? */
bool fl_admin_wants_body(const struct fl_http_request *request);

/* Answers that are expensive to build and the same for all callers that may see them. */
#define FL_ADMIN_DOCUMENTS 6u
/* Returns which of them the request asks for, counted from 0; -1: none. */
int fl_admin_document(const struct fl_http_request *request, const struct fl_admin_caller *caller);

/* Appends the whole answer. *ret_head: the length of its head, the part that HEAD gets. False: the
 * answer is not ready yet. A soft ret may have failed for lack of memory. */
bool fl_admin_respond(const struct fl_http_request *request, const struct fl_admin_caller *caller,
		      struct fl_text *ret, size_t *ret_head);

#endif
