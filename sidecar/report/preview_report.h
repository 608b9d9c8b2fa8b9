/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_REPORT_PREVIEW_REPORT_H
#define FL_REPORT_PREVIEW_REPORT_H
/* preview_report - the parts of all workers as one document: what a candidate would do to the connections that are open. The main
 * thread, because it judges chains.
 *
 * Keys of the JSON:
 *   generation           in use, that it was compared with
 *   open, judged         connections; the others' peers are not verified yet
 *   closes               {reason: count}: what would be closed, by the reasons of reason.h
 *   keeps                {reason: count}: what would have lost, but the candidate's [rotation] keeps it
 *   connections          those that would be closed, as in /connections, with `reason` and `detail`
 *   left_out             how many there are beyond those
 *   newly_let_in         of those that were refused lately or came in plaintext (callers.h), whom the candidate's policy
 *   newly_refused        would treat otherwise: [{peer (null: plaintext), source, port, service, rule (null: the
 *                        default)}]
 *   roots                [{trust_domain, index (place in its file, from 1 on), key_id, peers, connections (that chain to
 *                        it), only_peers, only_connections (and to no other of that domain), own (our own chain
 *                        does), safe_to_remove: yes | no | unknown, because}]
 *   peers_left_out       peers beyond those that were looked at for roots */
#include "base/text.h"
#include "judge/preview.h"

/* Appends a whole document. current: in use. parts: of all workers. Errors: FL_ERR_NOMEM. */
int fl_report_preview(const struct fl_generation *current, const struct fl_generation *candidate,
		      const struct fl_preview *parts, size_t count, struct fl_text *ret,
		      struct fl_err *err) FL_MUST_USE;

#endif
