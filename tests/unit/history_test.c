/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The ring of the last hour. */
#include <criterion/criterion.h>

#include "base/mem.h"
#include "count/history.h"

#define S 1000000000ULL
#define START (1000 * S)

static void note(struct fl_history *history, uint64_t seconds, uint64_t bytes, uint64_t opened)
{
	struct fl_history_totals totals = {.bytes_to_app = bytes,
					   .opened = {[FL_INBOUND] = opened}};

	fl_history_note(history, START + seconds * S, &totals);
}

static uint64_t bytes_at(const struct fl_history *history, size_t back)
{
	const struct fl_history_step *step = fl_history_step(history, back);

	cr_assert_not_null(step, "no step %zu back", back);
	return step->bytes_to_app;
}

Test(history, nothing_before_the_start)
{
	struct fl_history history = {0};

	cr_expect_null(fl_history_step(&history, 0));
	note(&history, 0, 500, 5); /* what was before the first note is not counted */
	cr_expect_eq(bytes_at(&history, 0), 0);
	cr_expect_null(fl_history_step(&history, 1));
}

Test(history, growth_belongs_to_the_step_under_way)
{
	struct fl_history history = {0};

	note(&history, 0, 0, 0);
	note(&history, 5, 10, 1);
	note(&history, 14, 30, 3);
	cr_expect_eq(bytes_at(&history, 0), 30);
	note(&history, 15, 31, 3); /* the timer is due at the end of the step */
	cr_expect_eq(bytes_at(&history, 0), 0);
	cr_expect_eq(bytes_at(&history, 1), 31);
	cr_expect_eq(fl_history_step(&history, 1)->opened[FL_INBOUND], 3);
	cr_expect_eq(fl_history_step(&history, 1)->opened[FL_OUTBOUND], 0);
	note(&history, 17, 41, 3);
	cr_expect_eq(bytes_at(&history, 0), 10);
	cr_expect_float_eq(fl_history_under_way_s(&history, START + 17 * S), 2, 1e-9);
	cr_expect_float_eq(fl_history_under_way_s(&history, START + 15 * S), 1, 1e-9);
}

Test(history, an_hour_and_no_more)
{
	struct fl_history history = {0};
	uint64_t bytes = 0;

	note(&history, 0, 0, 0);
	for (uint64_t step = 1; step <= 1000; step++) {
		bytes += step;
		note(&history, step * FL_HISTORY_STEP_S, bytes, 0);
	}
	for (size_t back = 1; back < FL_HISTORY_STEPS; back++) {
		cr_assert_eq(bytes_at(&history, back), 1001 - back);
	}
	cr_expect_null(fl_history_step(&history, FL_HISTORY_STEPS));
}

Test(history, missed_steps_are_empty)
{
	struct fl_history history = {0};

	note(&history, 0, 0, 0);
	note(&history, 10, 7, 0);
	note(&history, 10 + 3 * FL_HISTORY_STEP_S, 9, 0);
	cr_expect_eq(bytes_at(&history, 3), 9);
	for (size_t back = 0; back < 3; back++) {
		cr_expect_eq(bytes_at(&history, back), 0);
	}
	note(&history, 100 * FL_HISTORY_STEPS * FL_HISTORY_STEP_S, 12, 0); /* it slept */
	for (size_t back = 0; back < FL_HISTORY_STEPS; back++) {
		cr_expect_eq(bytes_at(&history, back), 0);
	}
	note(&history, 100 * FL_HISTORY_STEPS * FL_HISTORY_STEP_S + 1, 13, 0);
	cr_expect_eq(bytes_at(&history, 0), 1);
}

Test(history, counts_do_not_wrap)
{
	struct fl_history history = {0};

	note(&history, 0, 0, 0);
	note(&history, 1, UINT64_C(1) << 60, UINT64_C(1) << 40);
	note(&history, 2, UINT64_C(1) << 61, UINT64_C(1) << 41);
	cr_expect_eq(bytes_at(&history, 0), UINT64_C(1) << 61);
	cr_expect_eq(fl_history_step(&history, 0)->opened[FL_INBOUND], UINT32_MAX);
}

/* Each reason is refused, failed, or neither: as it is planned, or as somebody asked for it. */
Test(history, refused_and_failed)
{
	static const struct {
		enum fl_reason reason;
		uint64_t refused, failed;
	} cases[] = {{FL_REASON_DONE, 0, 0},
		     {FL_REASON_POLICY, 1, 0},
		     {FL_REASON_TRUST_LOST, 1, 0},
		     {FL_REASON_PEER_REFUSED, 0, 1},
		     {FL_REASON_PEER_RESET, 0, 1},
		     {FL_REASON_RECYCLED, 0, 0},
		     {FL_REASON_IDLE_TIMEOUT, 0, 0},
		     {FL_REASON_CERTIFICATE, 1, 0},
		     {FL_REASON_HANDSHAKE_TIMEOUT, 0, 1},
		     {FL_REASON_INTERNAL, 0, 1}};

	for (size_t i = 0; i < FL_COUNT_OF(cases); i++) {
		struct fl_counters counters = {.opened = {3, 4}, .bytes_to_mesh = {10, 20}};
		struct fl_history_totals totals;

		fl_counters_ended(&counters, FL_OUTBOUND, FL_SECURITY_MTLS, cases[i].reason);
		totals = fl_history_totals(&counters);
		cr_expect_eq(totals.refused, cases[i].refused, "%s",
			     fl_reason_word(cases[i].reason));
		cr_expect_eq(totals.failed, cases[i].failed, "%s", fl_reason_word(cases[i].reason));
		cr_expect_eq(totals.opened[FL_OUTBOUND], 4);
		cr_expect_eq(totals.bytes_to_mesh, 30);
	}
}
