/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Two lists: what is refused now, and what was at the last look. Whoever answers for a name decides how much there is, so
 * both are bounded; beyond that, what is refused is not told again and again, but not told. */
#include "proxy/refusals.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define KEPT_MAX 1024u
#define LINES_MAX 20u /* in a minute */
#define MINUTE_MS 60000u

struct kept {
	char upstream[64];
	struct fl_cidr address;
	bool is_claimed;
};

struct list {
	struct kept *items; /* KEPT_MAX; NULL: there never was one */
	size_t count;
};

struct fl_refusals {
	struct fl_log *log;
	struct list now, before;
	struct fl_refused_address *added; /* that are new */
	size_t added_count;
	struct fl_refusal_counts counts;
	uint64_t minute_ms; /* when the current one began */
	unsigned lines;     /* in it */
};

static bool has(const struct list *list, const struct kept *one)
{
	for (size_t i = 0; i < list->count; i++) {
		const struct kept *kept = &list->items[i];

		if (kept->is_claimed == one->is_claimed &&
		    fl_cidr_equal(&kept->address, &one->address) &&
		    strcmp(kept->upstream, one->upstream) == 0) {
			return true;
		}
	}
	return false;
}

void fl_refusals_begin(struct fl_refusals *refusals)
{
	struct list before = refusals->before;

	refusals->before = refusals->now;
	refusals->now = before;
	refusals->now.count = 0;
	refusals->added_count = 0;
}

void fl_refusals_add(struct fl_refusals *refusals, const struct fl_refused_address *refused)
{
	struct kept one = {.address = refused->address, .is_claimed = refused->claimer != NULL};
	struct list *now = &refusals->now;

	(void)snprintf(one.upstream, sizeof(one.upstream), "%s", refused->upstream);
	if (now->count == KEPT_MAX || has(now, &one)) {
		return;
	}
	if (now->items == NULL) {
		now->items = fl_new(KEPT_MAX * sizeof(*now->items));
	}
	now->items[now->count++] = one;
	if (!has(&refusals->before, &one)) {
		refusals->added = fl_grow(refusals->added, refusals->added_count + 1,
					  sizeof(*refusals->added));
		refusals->added[refusals->added_count++] = *refused;
	}
}

static void log_one(struct fl_refusals *refusals, const struct fl_refused_address *refused)
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

void fl_refusals_end(struct fl_refusals *refusals, uint64_t now_ms)
{
	if (now_ms - refusals->minute_ms >= MINUTE_MS) {
		refusals->minute_ms = now_ms;
		refusals->lines = 0;
	}
	for (size_t i = 0; i < refusals->added_count; i++) {
		bool is_claimed = refusals->added[i].claimer != NULL;

		refusals->counts.claimed += is_claimed;
		refusals->counts.outside += !is_claimed;
		if (refusals->lines < LINES_MAX) {
			log_one(refusals, &refusals->added[i]);
		} else if (refusals->lines == LINES_MAX) {
			fl_log_msg(
				refusals->log, FL_LOG_WARN,
				"more addresses of plaintext upstreams are refused, and not named "
				"for a minute: fairlead_dns_addresses_refused_total counts them");
		}
		refusals->lines++;
	}
	refusals->added_count = 0;
}

struct fl_refusal_counts fl_refusals_counts(const struct fl_refusals *refusals)
{
	return refusals->counts;
}

struct fl_refusals *fl_refusals_new(struct fl_log *log)
{
	struct fl_refusals *refusals = fl_new(sizeof(*refusals));

	refusals->log = log;
	return refusals;
}

void fl_refusals_free(struct fl_refusals *refusals)
{
	free(refusals->now.items);
	free(refusals->before.items);
	free(refusals->added);
	free(refusals);
}
