/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_CONN_LOG_RATION_H
#define FL_CONN_LOG_RATION_H
/* log_ration - the access log is not for strangers to fill.
 *
 * Lines about connections of which no identity was verified and that were not let in are rationed by network and reason
 * (base/ration.h), and so are those about peers who have their share of connections. A line says how many were left
 * out. Counters count them all. Loop-bound. */
#include "conn/conn.h"
#include "count/reason.h"

void fl_log_ration_init(struct fl_worker *worker);
/* Says what is left to be said; the loop has to run once more. */
void fl_log_ration_close(struct fl_worker *worker);

/* May there be a line about the end of that connection? */
bool fl_log_ration_has_line(struct fl_worker *worker, const struct fl_conn *conn,
			    enum fl_reason reason);

#endif
