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
	struct fl_span body;                    /* with control: of a request that has one */
	const void *asker;                      /* the connection, to tell it from others */
};

/* Is there more to wait for than the head? */
bool fl_admin_wants_body(const struct fl_http_request *request);

/* Answers that cost something to make, and that are the same for all who may see them. */
#define FL_ADMIN_DOCUMENTS 5u
/* Which of them the request is for, from 0 on; -1: none of them. */
int fl_admin_document(const struct fl_http_request *request, const struct fl_admin_caller *caller);

/* Appends the whole answer. *ret_head: how much of it is head, all that HEAD gets. False: it cannot be given yet. ret may have
 * failed for want of memory, if it is soft. */
bool fl_admin_respond(const struct fl_http_request *request, const struct fl_admin_caller *caller,
		      struct fl_text *ret, size_t *ret_head);

#endif
