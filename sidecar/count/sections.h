/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_COUNT_SECTIONS_H
#define FL_COUNT_SECTIONS_H
/* sections - the state of each [service] and [upstream]: its connections, when one last succeeded, when one last failed and
 * why. Captured traffic that no section names belongs to [inbound] and [outbound].
 *
 * A section lives as long as an INI in use has it, and keeps its state while its name stays: memory is bounded by the INIs
 * in use. An upstream *succeeds* when its server sends something, a service when its app accepts; conn/trouble.h says what a
 * failure is.
 *
 * Threads: each worker counts in a cell of its own, with fl_count(), and any thread may read it. What is known about failures
 * has a lock, which is taken for each failure, and for a success only after a failure. Nothing here fails. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "conf/conf.h"
#include "count/counters.h"

#define FL_SECTION_DETAIL 600u

struct fl_section; /* reference-counted across threads */

/* The counts of one worker: a cache line. */
struct fl_section_cell {
	struct fl_section *section;
	uint64_t opened, left; /* connections */
	uint64_t bytes_to_app, bytes_to_mesh;
	uint64_t succeeded;
	uint64_t last_success_ms;    /* since the epoch; 0: never */
	uint64_t last_success_at_ms; /* the same by uv_now(), at least 1 */
};

struct fl_section_failure {
	int64_t time_ms; /* since the epoch; 0: there was none */
	enum fl_reason reason;
	int dial_error;                 /* a negative uv error, if that is why; 0: it is not */
	char address[FL_ADDR_TEXT];     /* that was dialled; "": none */
	char detail[FL_SECTION_DETAIL]; /* a sentence; "": none */
};

/* The sections of one INI, in its order: the services, [inbound], the upstreams, [outbound]. Reference-counted across
 * threads. */
struct fl_section_set {
	unsigned refs; /* atomic */
	size_t service_count, upstream_count;
	struct fl_section *items[]; /* service_count + 1 + upstream_count + 1 */
};
struct fl_section_set *fl_section_set_ref(struct fl_section_set *set); /* any thread */
void fl_section_set_unref(struct fl_section_set *set); /* any thread; NULL is fine */

/* The number of items. */
static inline size_t fl_section_count(const struct fl_section_set *set)
{
	return set->service_count + 1 + set->upstream_count + 1;
}

/* --- main thread ------------------------------------------------------------------------------- */

/* Makes the set of that INI. Sections that before (NULL: none) has under the same name are the same ones. One reference. */
struct fl_section_set *fl_section_set_new(const struct fl_conf *conf,
					  const struct fl_section_set *before, unsigned workers);

struct fl_section_sum {
	const char *name; /* borrowed from the set; NULL: [inbound] or [outbound] */
	enum fl_direction direction;
	bool failing; /* it has not succeeded since the last failure, whatever the clock says */
	uint64_t opened, open, succeeded;
	uint64_t bytes_to_app, bytes_to_mesh;
	int64_t last_success_ms; /* since the epoch; 0: never */
	struct fl_section_failure last_failure;
	uint64_t failed[FL_REASON_COUNT];
};
/* Adds up what all workers have counted for one section. */
void fl_section_sum(struct fl_section *section, struct fl_section_sum *ret);

/* --- workers ------------------------------------------------------------------------------------ */

struct fl_section_cell *fl_section_cell(struct fl_section *section, unsigned worker);
const char *fl_section_name(const struct fl_section *section); /* as in fl_section_sum */

/* time_ms: since the epoch. now_ms: uv_now(). True: it has failed before, and has not for FL_SECTION_QUIET_MS: the log should
 * say so. */
bool fl_section_succeeded(struct fl_section_cell *cell, int64_t time_ms, uint64_t now_ms);

/* Lines about one section are at least this far apart. */
#define FL_SECTION_QUIET_MS 10000u

/* Counts a failure. Returns how many have to be logged by this line, this one included; 0: none now, because the last line is
 * too recent: fl_section_left_out() returns them later. */
uint64_t fl_section_failed(struct fl_section *section, const struct fl_section_failure *failure,
			   uint64_t now_ms);

/* Returns how many failures have to be logged now that were left out; 0: none. *ret_last: the last failure. *ret_later: some
 * have to be logged, but not yet. */
uint64_t fl_section_left_out(struct fl_section *section, uint64_t now_ms,
			     struct fl_section_failure *ret_last, bool *ret_later);

#endif
