/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "judge/long_lived.h"

#include "base/err.h"
#include "base/mem.h"
#include "conn/loop.h"
#include "conn/stream.h"
#include "judge/walk.h"

/* Checking all of them at intervals is cheaper than a timer for each, and late by at most this much. */
#define CHECK_MS 30000u

bool fl_long_lived_is_due(uint64_t age_s, uint64_t logged_s)
{
	return age_s / FL_LONG_LIVED_EVERY_S > logged_s / FL_LONG_LIVED_EVERY_S;
}

static bool visit(void *user, struct fl_stream *stream)
{
	(void)user;
	if (fl_stream_is_relayed(stream) &&
	    fl_long_lived_is_due(fl_stream_age_s(stream), fl_stream_logged_s(stream))) {
		fl_stream_log_open(stream);
	}
	return true;
}

static void on_check(uv_timer_t *timer)
{
	struct fl_long_lived *long_lived = FL_CONTAINER_OF(timer, struct fl_long_lived, timer);
	const struct fl_loop *loop = long_lived->loop;

	if (fl_stream_first(loop) != NULL && loop->logs_open) {
		fl_walk_start(long_lived->walk, FL_WALK_LOG);
	}
}

void fl_long_lived_init(struct fl_long_lived *long_lived, struct fl_loop *loop,
			struct fl_walk *walk)
{
	*long_lived = (struct fl_long_lived){.loop = loop, .walk = walk};
	fl_walk_register(walk, FL_WALK_LOG, &(struct fl_walk_visitor){.visit = visit});
	FL_REQUIRE(uv_timer_init(loop->uv, &long_lived->timer) == 0);
	FL_REQUIRE(uv_timer_start(&long_lived->timer, on_check, CHECK_MS, CHECK_MS) == 0);
}

void fl_long_lived_close(struct fl_long_lived *long_lived)
{
	uv_close((uv_handle_t *)&long_lived->timer, NULL);
}
