/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_PKI_ROLLOVER_H
#define FL_PKI_ROLLOVER_H
/* rollover - changing a trust domain's root is safe in one order: the new root into every bundle,
 * then certificates from it, then the old root out of every bundle. Each of our own changes shows
 * whether it follows that order. We cannot see other workloads' changes, so a violation is only a
 * warning. Pure; thread: any. */
#include <stdbool.h>

#include "pki/credentials.h"

/* Of the root that issued our own certificate. */
struct fl_rollover {
	bool removed; /* the previous root is gone from our bundle */
	bool unknown; /* the current root was not in our bundle before */
};

/* Compares a good set with the next; the keys of both may already be wiped. */
struct fl_rollover fl_rollover_judge(const struct fl_credentials *before,
				     const struct fl_credentials *after);

/* One sentence for each, with the remedy. */
extern const char fl_rollover_removed_text[];
extern const char fl_rollover_unknown_text[];

#endif
