/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_REPORT_CALLERS_REPORT_H
#define FL_REPORT_CALLERS_REPORT_H
/* callers_report - the JSON of /seen: callers that policy refused, callers that connected in
 * plaintext, and callers that were refused before policy was asked. Pure; thread: any.
 *
 * Keys of the JSON: left_out (how many were evicted, or not recorded), seen: [{peer (null:
 * plaintext), source (the most recent one; null: unknown), port, service (null: no [service] covers
 * it), allow, deny, would_deny, would_allow: how often, refused: how often for reason (null: policy
 * was asked; otherwise not_tls, handshake_timeout (silent), revoked, certificate_refused; peer is not
 * proven), last: when}]. */
#include "base/json.h"
#include "base/text.h"
#include "count/callers.h"

/* Appends a whole document, the most recently seen caller first; sorts callers in that order. */
void fl_report_callers(struct fl_callers *callers, struct fl_text *ret);
/* The member `source` of a caller: its address; it has no port. */
void fl_report_source(struct fl_json *json, const struct fl_inet *source);

#endif
