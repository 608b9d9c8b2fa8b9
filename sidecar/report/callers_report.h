/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_REPORT_CALLERS_REPORT_H
#define FL_REPORT_CALLERS_REPORT_H
/* callers_report - whom policy refused, and who came in plaintext, as /seen says it. Pure; thread: any.
 *
 * Keys of the JSON: left_out (how many went, or found no room), seen: [{peer (null: plaintext), source (of the last
 * time; null: unknown), port, service (null: none is about it), allow, deny, would_deny, would_allow: how often}]. */
#include "base/text.h"
#include "count/callers.h"

/* Appends a whole document, the last seen one first; sorts callers so. */
void fl_report_callers(struct fl_callers *callers, struct fl_text *ret);

#endif
