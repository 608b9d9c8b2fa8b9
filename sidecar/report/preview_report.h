/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_REPORT_PREVIEW_REPORT_H
#define FL_REPORT_PREVIEW_REPORT_H
/* preview_report - combines the parts of all workers into one document: what a candidate would do to
 * the open connections. Thread: main, because it judges chains.
 *
 * Keys of the JSON:
 *   generation     the generation in use, with which the candidate is compared
 *   open, judged   connections; the peers of open connections that were not judged are not verified yet
 *   closes         {reason: count}: connections that would be closed, by the reasons of reason.h
 *   keeps          {reason: count}: connections that only the candidate's [rotation] would keep open
 *   connections    those that would be closed, as in /connections, with `reason` and `detail`
 *   left_out       how many more would be closed
 *   newly_let_in   recently refused or plaintext callers (callers.h) that the candidate's policy would
 *   newly_refused  newly admit or newly refuse: [{peer (null: plaintext), source, port, service (as it
 *                  was named then), rule (null: the default, or nothing listens there), strict
 *                  (plaintext is refused because the candidate's port is strict), last}]
 *   roots          [{trust_domain, index (place in its file, from 1 on), key_id, peers, connections
 *                  (that chain to it), only_peers, only_connections (that chain to no other root of
 *                  that domain), own (our own chain does), safe_to_remove: yes | no | unknown,
 *                  because}]
 *   peers_left_out peers that were not examined for roots */
#include "base/text.h"
#include "judge/preview.h"

/* Appends a whole document. current: in use. parts: of all workers. Errors: FL_ERR_NOMEM. */
int fl_report_preview(const struct fl_generation *current, const struct fl_generation *candidate,
		      const struct fl_preview *parts, size_t count, struct fl_text *ret,
		      struct fl_err *err) FL_MUST_USE;

#endif
