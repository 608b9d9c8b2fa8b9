/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "count/judged.h"

#include <stddef.h>

#include "base/err.h"

enum fl_reason fl_loss_reason(enum fl_loss loss)
{
	static const enum fl_reason reasons[FL_LOSSES] = {
		[FL_LOSS_TRUST] = FL_REASON_TRUST_LOST,
		[FL_LOSS_REVOKED] = FL_REASON_REVOKED,
		[FL_LOSS_POLICY] = FL_REASON_POLICY_LOST,
		[FL_LOSS_EXPIRED] = FL_REASON_PEER_EXPIRED,
	};

	FL_REQUIRE(loss < FL_LOSSES);
	return reasons[loss];
}

void fl_judged_add(struct fl_judged *sum, const struct fl_judged *judged)
{
	uint64_t *to = (uint64_t *)(void *)sum;
	const uint64_t *from = (const uint64_t *)(const void *)judged;
	uint64_t generation = __atomic_load_n(&judged->generation, __ATOMIC_RELAXED);

	if (generation == 0 || generation < sum->generation) {
		return;
	}
	if (generation > sum->generation) {
		*sum = (struct fl_judged){0};
	}
	for (size_t i = 0; i < sizeof(*sum) / sizeof(uint64_t); i++) {
		to[i] += __atomic_load_n(&from[i], __ATOMIC_RELAXED);
	}
	sum->generation = generation;
}
