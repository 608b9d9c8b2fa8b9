/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "proxy/counters.h"

#include "base/mem.h"

void fl_counters_handshake(struct fl_counters *counters, enum fl_direction direction, uint64_t ns)
{
	static const uint32_t bounds_us[] = FL_HANDSHAKE_BOUNDS_US;
	uint64_t us = ns / 1000;
	size_t bucket = 0;

	while (bucket < FL_COUNT_OF(bounds_us) && us > bounds_us[bucket]) {
		bucket++;
	}
	fl_count(&counters->handshakes_done[direction], 1);
	fl_count(&counters->handshake_buckets[direction][bucket], 1);
	fl_count(&counters->handshake_us[direction], us);
}

void fl_counters_add(struct fl_counters *sum, const struct fl_counters *counters)
{
	/* Nothing but uint64_t, so that it can be walked as an array. */
	_Static_assert(sizeof(*sum) % sizeof(uint64_t) == 0, "fl_counters holds uint64_t only");
	uint64_t *to = (uint64_t *)(void *)sum;
	const uint64_t *from = (const uint64_t *)(const void *)counters;

	for (size_t i = 0; i < sizeof(*sum) / sizeof(uint64_t); i++) {
		to[i] += __atomic_load_n(&from[i], __ATOMIC_RELAXED);
	}
}
