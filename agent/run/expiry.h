/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_RUN_EXPIRY_H
#define FL_AGENT_RUN_EXPIRY_H
/* expiry - CRLs and roots that expire while they are in force: nothing changes then, so nothing else would say it. */
#include "pki/credentials.h"

/* How many of those in force have expired, as far as it was logged. Begins as {0}. */
struct fl_expiry {
	size_t crls, roots;
};

/* Counts anew; without a word, for a set that was just logged. */
void fl_expiry_note(struct fl_expiry *expiry, const struct fl_credentials *credentials,
		    int64_t now);

/* Are there more expired CRLs (roots) than when this was asked last? Counts anew. */
bool fl_expiry_has_new_crls(struct fl_expiry *expiry, const struct fl_credentials *credentials,
			    int64_t now);
bool fl_expiry_has_new_roots(struct fl_expiry *expiry, const struct fl_credentials *credentials,
			     int64_t now);

/* In how many milliseconds to look again: when the next one expires, but in an hour at most, because the clock may be set.
 * 0: nothing can expire. credentials may be NULL. */
uint64_t fl_expiry_next_ms(const struct fl_credentials *credentials, int64_t now);

#endif
