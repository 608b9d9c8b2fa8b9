/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_COUNT_PLAINTEXT_COUNTS_H
#define FL_COUNT_PLAINTEXT_COUNTS_H
/* plaintext_counts - traffic that the INI sends in plaintext, counted by upstream over all
 * generations.
 *
 * The main thread creates the counters when a generation arrives. Each worker has its own, which
 * only it writes (fl_count()) and any thread may read. Their number is bounded: names after the
 * first FL_PLAINTEXT_MAX share one counter. */
#include <stddef.h>
#include <stdint.h>

#include "conf/conf.h"

#define FL_PLAINTEXT_MAX 256u

struct fl_plaintext_counter { /* of one upstream on one worker */
	uint64_t connections;
	uint64_t bytes_to_app, bytes_to_mesh;
	uint64_t unused[5]; /* workers do not write into one cache line */
};

struct fl_plaintext_counts;

struct fl_plaintext_counts *fl_plaintext_counts_new(unsigned worker_count);
void fl_plaintext_counts_free(struct fl_plaintext_counts *counts); /* after the last worker */

/* Returns the counters of that worker under this INI, in the order of its upstreams, [outbound]
 * last; NULL for one that is not plaintext. An array to free(); the counters stay. Main thread. */
struct fl_plaintext_counter **fl_plaintext_counters(struct fl_plaintext_counts *counts,
						    const struct fl_conf *conf, unsigned worker);

/* Adds up all workers' counters of the upstream with that index, in the order in which upstreams
 * first appeared. *ret_name: its name, borrowed; `[outbound]` if no section covers it. counts: NULL
 * is an empty set. False: there are no more. Main thread. */
bool fl_plaintext_counts_sum(const struct fl_plaintext_counts *counts, size_t index,
			     const char **ret_name, struct fl_plaintext_counter *ret);

#endif
