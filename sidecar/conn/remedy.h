/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_CONN_REMEDY_H
#define FL_CONN_REMEDY_H
/* remedy - what somebody can do who wants a refused connection to be carried: mostly lines to paste into the INI, named and
 * written by policy/propose.h. Loop-bound. */
#include "base/text.h"
#include "conn/conn.h"

/* Each appends a sentence, or nothing where there is none. ret: soft, and failed afterwards where memory is out. */

/* Policy's default has refused it. id: of the verified peer, NULL in plaintext. The rule that would admit it, and nothing
 * else. */
void fl_remedy_for_policy(const struct fl_conn *conn, const char *id, struct fl_text *ret);
/* Outbound: the server does not ask for our certificate. */
void fl_remedy_for_not_mutual(const struct fl_conn *conn, struct fl_text *ret);
/* Outbound: the server speaks none of the protocols (ALPN) that it was offered. */
void fl_remedy_for_protocols(const struct fl_conn *conn, struct fl_text *ret);

#endif
