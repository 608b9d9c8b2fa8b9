/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_CONN_ACCESS_H
#define FL_CONN_ACCESS_H
/* access - the one line that a connection leaves behind, at its end. Loop-bound. */
#include "conn/conn.h"
#include "conn/mesh.h"

struct fl_access {
	const struct fl_conn *conn;
	const struct fl_mesh *mesh;       /* NULL: there was none yet */
	const struct fl_sock *sock;       /* would have become the mesh side; NULL: see mesh */
	const struct fl_verdict *verdict; /* NULL: policy was not asked */
	enum fl_reason reason;
	enum fl_rule broken_rule; /* broken now by a good peer's chain; FL_RULE_NONE: none */
	const char *detail;       /* an additional sentence; NULL: none */
	uint64_t to_app, to_mesh; /* bytes */
};

/* Which connections of its service are logged; without one, or if it does not say, [log] access. */
enum fl_log_access fl_access_of(const struct fl_conn *conn);

/* Counts the end and writes the line if fl_access_of() wants it: at level info if the connection ended by itself, warn if we
 * refused it. */
void fl_access_ended(const struct fl_access *access);
/* Writes a line about a connection that is still open; reason is ignored. */
void fl_access_goes_on(const struct fl_access *access);

#endif
