/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_CONN_TROUBLE_H
#define FL_CONN_TROUBLE_H
/* trouble - notes whether connections of an [upstream] or a [service] succeed, and logs when they fail and when they succeed
 * again.
 *
 * A failure is a connection that could not be made although nobody refused it on our side: the upstream's address does not
 * answer, its name does not resolve, TLS fails, or the server ends it before it has sent anything; the app of a service does
 * not accept. The log has one line about a section at once, then at most one every FL_SECTION_QUIET_MS, with the number of
 * failures since the last one, whatever `[log] access` says. Loop-bound. */
#include <stdbool.h>
#include <stdint.h>

#include "count/reason.h"

struct fl_conn;

/* What a dial failed with, if the connection ends for that reason because of it. Returns a sentence; NULL: there is nothing to
 * add to the reason. buf: of FL_TROUBLE_TEXT bytes, for it. */
#define FL_TROUBLE_TEXT 128u
const char *fl_trouble_detail(const struct fl_conn *conn, enum fl_reason reason, char *buf);
/* The remedy, if what is missing is on this machine; NULL: it is not. */
const char *fl_trouble_remedy(const struct fl_conn *conn, enum fl_reason reason);

/* Is it a failure of its section if this connection ends for that reason? to_app: bytes that have passed. */
bool fl_trouble_is(const struct fl_conn *conn, enum fl_reason reason, uint64_t to_app);

struct fl_trouble {
	const struct fl_conn *conn;
	enum fl_reason reason; /* fl_trouble_is() */
	enum fl_rule rule;     /* that the server's certificate breaks; FL_RULE_NONE: none */
	const char *address;   /* that was dialled; NULL: none */
	const char *detail;    /* a sentence; NULL: none */
};
void fl_trouble_note(const struct fl_trouble *trouble);

/* The server of that connection has sent something, or its app has accepted it. Once for each connection. */
void fl_trouble_none(const struct fl_conn *conn);

#endif
