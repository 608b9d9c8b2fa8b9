/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_COUNT_JUDGED_H
#define FL_COUNT_JUDGED_H
/* judged - counts of the results when a worker last judged all of its open connections again
 * (judge/judge.h). */
#include <stdint.h>

#include "count/reason.h"

/* Why a connection would no longer be accepted, in order of precedence. */
enum fl_loss { FL_LOSS_TRUST, FL_LOSS_REVOKED, FL_LOSS_POLICY, FL_LOSS_EXPIRED, FL_LOSSES };
enum fl_reason fl_loss_reason(enum fl_loss loss);

/* The counts of the last judgement; written by the worker, read by any thread (counters.h). All
 * members are uint64_t. */
struct fl_judged {
	uint64_t generation; /* 0: none yet */
	uint64_t workers;    /* how many workers have this generation: 1, or a sum */
	uint64_t under_way;  /* how many of those workers have not finished yet */
	uint64_t judged;
	uint64_t closed[FL_LOSSES];
	uint64_t kept[FL_LOSSES]; /* connections that only [rotation] keeps open */
	uint64_t audited;
	uint64_t ns; /* CPU time */
};

/* Adds the counts of another worker. Where the generations differ, only the later one counts. */
void fl_judged_add(struct fl_judged *sum, const struct fl_judged *judged);

#endif
