/* SPDX-License-Identifier: GPL-3.0-or-later */
/* server_history - notes the totals of all workers at the end of each step of the history, and when the page is made. The
 * timer is the only cost while nobody looks: a sum of some hundred numbers, four times a minute. */
#include "server/server_internal.h"

#define STEP_MS (FL_HISTORY_STEP_S * 1000u)

void fl_server_history_note(struct fl_server *server)
{
	struct fl_counters sum = {.judged = 0};
	struct fl_history_totals totals;

	for (unsigned i = 0; i < server->worker_count; i++) {
		fl_counters_add(&sum, &server->workers[i]->loop.counters);
	}
	totals = fl_history_totals(&sum);
	fl_history_note(&server->history, uv_hrtime(), &totals);
}

static void on_step(uv_timer_t *timer)
{
	fl_server_history_note(FL_CONTAINER_OF(timer, struct fl_server, history_timer));
}

void fl_server_history_start(struct fl_server *server)
{
	FL_REQUIRE(uv_timer_init(&server->loop, &server->history_timer) == 0);
	FL_REQUIRE(uv_timer_start(&server->history_timer, on_step, STEP_MS, STEP_MS) == 0);
	fl_server_history_note(server); /* begins it */
}
