/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_ADMIN_RESPOND_H
#define FL_ADMIN_RESPOND_H
/* respond - from a request to the bytes of its answer, by a table of routes. No I/O. */
#include "admin/admin.h"
#include "admin/http.h"
#include "base/text.h"

struct fl_admin_caller {
	const struct fl_admin_source *source;
	const struct fl_admin_control *control; /* NULL: the endpoint only reads */
	bool may_see_details;                   /* more than health and metrics */
	uid_t uid;                              /* with control */
	struct fl_span body;                    /* likewise; of a request that has one */
	const void *asker;                      /* the connection, to tell it from others */
};

/* Is there more to wait for than the head? */
bool fl_admin_wants_body(const struct fl_http_request *request);

/* Appends the whole answer, head and (but for HEAD) body. False: it cannot be given yet. */
bool fl_admin_respond(const struct fl_http_request *request, const struct fl_admin_caller *caller,
		      struct fl_text *ret);

#endif
