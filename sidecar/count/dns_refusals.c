/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The refusals that were logged, and when each was last seen. A DNS server can cause any number of
 * them, so the list is bounded, and a new entry evicts the oldest. */
#include "count/dns_refusals.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define KEPT_MAX 1024u
#define LINES_MAX 20u /* in a minute */
#define MINUTE_MS 60000u
#define FORGOTTEN_MS (60 * MINUTE_MS) /* an address that returns later counts as new */

struct kept {
	char upstream[64];
	struct fl_cidr address;
	bool is_claimed;
	uint64_t seen_ms;
};

struct fl_dns_refusals {
	struct fl_log *log;
	struct kept *kept; /* KEPT_MAX entries; NULL: no refusal so far */
	size_t count;
	struct fl_dns_refusal_counts counts;
	uint64_t minute_ms; /* when the current minute began */
	unsigned lines;     /* log lines in that minute */
};

static struct kept *find(const struct fl_dns_refusals *refusals, const struct kept *one)
{
	for (size_t i = 0; i < refusals->count; i++) {
		struct kept *kept = &refusals->kept[i];

		if (kept->is_claimed == one->is_claimed &&
		    fl_cidr_equal(&kept->address, &one->address) &&
		    strcmp(kept->upstream, one->upstream) == 0) {
			return kept;
		}
	}
	return NULL;
}

static void keep(struct fl_dns_refusals *refusals, const struct kept *one)
{
	struct kept *oldest;

	if (refusals->kept == NULL) {
		refusals->kept = fl_new(KEPT_MAX * sizeof(*refusals->kept));
	}
	if (refusals->count < KEPT_MAX) {
		refusals->kept[refusals->count++] = *one;
		return;
	}
	oldest = &refusals->kept[0];
	for (size_t i = 1; i < KEPT_MAX; i++) {
		if (refusals->kept[i].seen_ms < oldest->seen_ms) {
			oldest = &refusals->kept[i];
		}
	}
	*oldest = *one;
}

static void log_one(struct fl_dns_refusals *refusals, const struct fl_dns_refused_address *refused)
{
	const struct fl_conf_upstream *claimer = refused->claimer;
	char address[FL_CIDR_TEXT];

	(void)fl_cidr_format(&refused->address, address);
	if (claimer == NULL) {
		fl_log_msg(refusals->log, FL_LOG_WARN,
			   "[upstream %s]: DNS says that %s has the address %s, which is not in "
			   "`within`: it is not used",
			   refused->upstream, refused->host, address);
	} else {
		fl_log_msg(
			refusals->log, FL_LOG_WARN,
			"[upstream %s]: DNS says that %s has the address %s, which [upstream %s] "
			"(line %u) covers with mode = %s: plaintext does not go there; if it is "
			"meant to, write the address itself in `to` of [upstream %s]",
			refused->upstream, refused->host, address, claimer->name, claimer->line,
			claimer->mode == FL_OUTBOUND_REFUSE ? "refuse" : "mtls", refused->upstream);
	}
}

static void log_at_a_bounded_rate(struct fl_dns_refusals *refusals,
				  const struct fl_dns_refused_address *refused, uint64_t now_ms)
{
	if (now_ms - refusals->minute_ms >= MINUTE_MS) {
		refusals->minute_ms = now_ms;
		refusals->lines = 0;
	}
	refusals->lines++;
	if (refusals->lines <= LINES_MAX) {
		log_one(refusals, refused);
	} else if (refusals->lines == LINES_MAX + 1) {
		fl_log_msg(refusals->log, FL_LOG_WARN,
			   "more addresses of plaintext upstreams are refused, and are not logged "
			   "for a minute: fairlead_dns_addresses_refused_total counts them");
	}
}

void fl_dns_refusals_note(struct fl_dns_refusals *refusals,
			  const struct fl_dns_refused_address *refused, uint64_t now_ms)
{
	struct kept one = {.address = refused->address,
			   .is_claimed = refused->claimer != NULL,
			   .seen_ms = now_ms};
	struct kept *known;
	bool is_new;

	(void)snprintf(one.upstream, sizeof(one.upstream), "%s", refused->upstream);
	known = find(refusals, &one);
	is_new = known == NULL || now_ms - known->seen_ms >= FORGOTTEN_MS;
	if (known != NULL) {
		known->seen_ms = now_ms;
	} else {
		keep(refusals, &one);
	}
	if (is_new) {
		refusals->counts.claimed += one.is_claimed;
		refusals->counts.outside += !one.is_claimed;
		log_at_a_bounded_rate(refusals, refused, now_ms);
	}
}

struct fl_dns_refusal_counts fl_dns_refusals_counts(const struct fl_dns_refusals *refusals)
{
	return refusals->counts;
}

struct fl_dns_refusals *fl_dns_refusals_new(struct fl_log *log)
{
	struct fl_dns_refusals *refusals = fl_new(sizeof(*refusals));

	refusals->log = log;
	return refusals;
}

void fl_dns_refusals_free(struct fl_dns_refusals *refusals)
{
	free(refusals->kept);
	free(refusals);
}
