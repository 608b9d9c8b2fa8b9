/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "count/history.h"

#include <stdbool.h>
#include <string.h>

#define STEP_NS (FL_HISTORY_STEP_S * 1000000000ULL)

/* Ends that somebody asked for, or that the INI plans. */
static const bool is_planned[FL_REASON_COUNT] = {
	[FL_REASON_DONE] = true,    [FL_REASON_IDLE_TIMEOUT] = true,   [FL_REASON_RECYCLED] = true,
	[FL_REASON_MAX_AGE] = true, [FL_REASON_RESTART_NEEDED] = true, [FL_REASON_DRAIN] = true,
	[FL_REASON_ABORTED] = true};

struct fl_history_totals fl_history_totals(const struct fl_counters *sum)
{
	struct fl_history_totals totals = {0};

	for (unsigned d = 0; d < FL_DIRECTIONS; d++) {
		totals.bytes_to_app += sum->bytes_to_app[d];
		totals.bytes_to_mesh += sum->bytes_to_mesh[d];
		totals.opened[d] = sum->opened[d];
		for (unsigned r = 0; r < FL_REASON_COUNT; r++) {
			uint64_t ended = fl_counters_ended_sum(sum, d, r);

			if (fl_reason_is_denial(r)) {
				totals.refused += ended;
			} else if (!is_planned[r]) {
				totals.failed += ended;
			}
		}
	}
	return totals;
}

static struct fl_history_step *at(struct fl_history *history, uint64_t number)
{
	return &history->steps[number % FL_HISTORY_STEPS];
}

static void add(uint32_t *count, uint64_t now, uint64_t before)
{
	uint64_t grown = now > before ? now - before : 0;

	*count = grown < UINT32_MAX - *count ? *count + (uint32_t)grown : UINT32_MAX;
}

static void add_growth(struct fl_history_step *step, const struct fl_history_totals *now,
		       const struct fl_history_totals *before)
{
	step->bytes_to_app += now->bytes_to_app - before->bytes_to_app;
	step->bytes_to_mesh += now->bytes_to_mesh - before->bytes_to_mesh;
	for (unsigned d = 0; d < FL_DIRECTIONS; d++) {
		add(&step->opened[d], now->opened[d], before->opened[d]);
	}
	add(&step->refused, now->refused, before->refused);
	add(&step->failed, now->failed, before->failed);
}

void fl_history_note(struct fl_history *history, uint64_t now_ns,
		     const struct fl_history_totals *totals)
{
	uint64_t over;

	if (history->begun_ns == 0) {
		history->begun_ns = now_ns > 0 ? now_ns : 1;
		history->last = *totals;
		return;
	}
	add_growth(at(history, history->steps_over), totals, &history->last);
	history->last = *totals;
	over = (now_ns - history->begun_ns) / STEP_NS;
	/* After a long pause of the machine, the whole ring begins anew. */
	if (over > history->steps_over + FL_HISTORY_STEPS) {
		memset(history->steps, 0, sizeof(history->steps));
		history->steps_over = over;
	}
	while (history->steps_over < over) {
		history->steps_over++;
		*at(history, history->steps_over) = (struct fl_history_step){0};
	}
}

const struct fl_history_step *fl_history_step(const struct fl_history *history, size_t back)
{
	if (history->begun_ns == 0 || back >= FL_HISTORY_STEPS || back > history->steps_over) {
		return NULL;
	}
	return &history->steps[(history->steps_over - back) % FL_HISTORY_STEPS];
}

double fl_history_under_way_s(const struct fl_history *history, uint64_t now_ns)
{
	uint64_t begun = history->begun_ns + history->steps_over * STEP_NS;
	double lasted = now_ns > begun ? (double)(now_ns - begun) / 1e9 : 0;

	return lasted > 1 ? lasted : 1;
}
