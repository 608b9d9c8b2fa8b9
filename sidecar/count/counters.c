/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "count/counters.h"

#include "base/mem.h"

const char *fl_direction_word(enum fl_direction direction)
{
	return direction == FL_INBOUND ? "inbound" : "outbound";
}

const char *fl_security_word(enum fl_security security)
{
	static const char *const words[] = {[FL_SECURITY_NONE] = "none",
					    [FL_SECURITY_MTLS] = "mtls",
					    [FL_SECURITY_PLAINTEXT] = "plaintext"};

	return words[security];
}

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

void fl_counters_ended(struct fl_counters *counters, enum fl_direction direction,
		       enum fl_security security, enum fl_reason reason)
{
	if (security == FL_SECURITY_NONE) {
		fl_count(&counters->classified[direction][security], 1);
	}
	fl_count(&counters->ended[direction][security][reason], 1);
}

uint64_t fl_counters_ended_sum(const struct fl_counters *counters, enum fl_direction direction,
			       enum fl_reason reason)
{
	uint64_t sum = 0;

	for (unsigned s = 0; s < FL_SECURITIES; s++) {
		sum += counters->ended[direction][s][reason];
	}
	return sum;
}

void fl_counters_add(struct fl_counters *sum, const struct fl_counters *counters)
{
	/* The struct has only uint64_t members, so that it can be walked as an array. */
	_Static_assert(sizeof(*sum) % sizeof(uint64_t) == 0, "fl_counters holds uint64_t only");
	uint64_t *to = (uint64_t *)(void *)sum;
	const uint64_t *from = (const uint64_t *)(const void *)counters;

	for (size_t i = 0; i < sizeof(*sum) / sizeof(uint64_t); i++) {
		to[i] += __atomic_load_n(&from[i], __ATOMIC_RELAXED);
	}
}

/* Returns the slot of that port; assigns a new one if needed. */
static uint64_t *count_of(struct fl_port_counts *counts, uint64_t port)
{
	for (size_t i = 0; i < FL_COUNTED_PORTS; i++) {
		struct fl_port_count *at = &counts->ports[i];

		if (at->port == 0) {
			fl_count(&at->port, port);
		}
		if (at->port == port) {
			return &at->count;
		}
	}
	return &counts->others;
}

void fl_port_count(struct fl_port_counts *counts, uint16_t port)
{
	fl_count(count_of(counts, port), 1);
}

void fl_port_counts_add(struct fl_port_counts *sum, const struct fl_port_counts *counts)
{
	for (size_t i = 0; i < FL_COUNTED_PORTS; i++) {
		uint64_t port = __atomic_load_n(&counts->ports[i].port, __ATOMIC_RELAXED);

		if (port == 0) {
			break;
		}
		*count_of(sum, port) += __atomic_load_n(&counts->ports[i].count, __ATOMIC_RELAXED);
	}
	sum->others += __atomic_load_n(&counts->others, __ATOMIC_RELAXED);
}

const char *fl_session_end_word(enum fl_session_end end)
{
	static const char *const words[] = {
#define WORD(id, word) [FL_SESSION_END_##id] = (word),
		FL_SESSION_ENDS_ALL(WORD)
#undef WORD
	};

	return words[end];
}
