/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_PROXY_LEFT_OUT_H
#define FL_PROXY_LEFT_OUT_H
/* left_out - the access log is not for strangers to fill.
 *
 * Lines about connections of which no identity was verified and that were not let in are rationed by network and reason
 * (base/ration.h), and so are those about peers who have their share of connections. A line says how many were left
 * out. Counters count them all. Loop-bound. */
#include "proxy/reason.h"
#include "proxy/route.h"

void fl_left_out_init(struct fl_worker *worker);
/* Says what is left to be said; the loop has to run once more. */
void fl_left_out_close(struct fl_worker *worker);

/* May there be a line about the end of that connection? */
bool fl_left_out_has_line(struct fl_worker *worker, const struct fl_route *route,
			  enum fl_reason reason);

#endif
