/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_RUN_EXPIRY_H
#define FL_AGENT_RUN_EXPIRY_H
/* expiry - CRLs and roots that expire while they are in force: no file changes at that moment, so no other code would
 * report it. */
#include "pki/credentials.h"

/* How many of those in force have expired, as far as it was logged. Begins as {0}. */
struct fl_expiry {
	size_t crls, roots;
};

/* Counts again without reporting, for a set that was just logged. */
void fl_expiry_note(struct fl_expiry *expiry, const struct fl_credentials *credentials,
		    int64_t now);

/* Are there more expired CRLs (roots) than at the last call? Counts again. */
bool fl_expiry_has_new_crls(struct fl_expiry *expiry, const struct fl_credentials *credentials,
			    int64_t now);
bool fl_expiry_has_new_roots(struct fl_expiry *expiry, const struct fl_credentials *credentials,
			     int64_t now);

/* Milliseconds until the next check: when the next one expires, but at most an hour, because the clock may be set. 0:
 * nothing can expire. credentials may be NULL. */
uint64_t fl_expiry_next_ms(const struct fl_credentials *credentials, int64_t now);

#endif
