/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_CONN_REMEDY_H
#define FL_CONN_REMEDY_H
/* remedy - what a person can do so that a refused connection is admitted: mostly lines to paste into the INI, which
 * policy/propose.h names and writes. Loop-bound. */
#include "base/text.h"
#include "conn/conn.h"
#include "policy/propose.h"

/* Each appends a sentence, or nothing if there is no remedy. layout: of a section that it proposes. ret: soft; it has failed
 * afterwards if memory is out. */

/* Policy has refused it. id: of the verified peer, NULL in plaintext. If it was the default, proposes the rule that admits
 * this connection and nothing else, or to enforce the rule in audit mode that would have admitted it; otherwise names the
 * rule that refuses it. */
void fl_remedy_for_policy(const struct fl_conn *conn, const struct fl_verdict *verdict,
			  const char *id, enum fl_proposal_layout layout, struct fl_text *ret);
/* Outbound: the server does not ask for our certificate. */
void fl_remedy_for_not_mutual(const struct fl_conn *conn, enum fl_proposal_layout layout,
			      struct fl_text *ret);
/* Outbound: the server speaks none of the protocols (ALPN) that it was offered. */
void fl_remedy_for_protocols(const struct fl_conn *conn, enum fl_proposal_layout layout,
			     struct fl_text *ret);

#endif
