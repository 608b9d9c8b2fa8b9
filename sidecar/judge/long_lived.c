/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "judge/long_lived.h"

#include "worker/worker.h"

/* A look at all of them is cheaper than a timer for each, and late by as much at most. */
#define LOOK_MS 30000u

bool fl_long_lived_is_due(uint64_t age_s, uint32_t told_s)
{
	return age_s / FL_TELL_EVERY_S > told_s / FL_TELL_EVERY_S;
}

static void on_look(uv_timer_t *timer)
{
	struct fl_worker *worker = timer->data;

	if (worker->streams != NULL && worker->access == FL_ACCESS_ALL) {
		fl_walk_start(worker, FL_WALK_TELL);
	}
}

void fl_long_lived_init(struct fl_worker *worker, uv_timer_t *timer)
{
	FL_REQUIRE(uv_timer_init(&worker->loop, timer) == 0);
	timer->data = worker;
	FL_REQUIRE(uv_timer_start(timer, on_look, LOOK_MS, LOOK_MS) == 0);
}

void fl_long_lived_close(uv_timer_t *timer)
{
	uv_close((uv_handle_t *)timer, NULL);
}
