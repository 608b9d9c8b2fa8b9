/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agent/run/refusal_log.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"

static void log_left_out(void *user, const struct fl_ration_source *source, uint64_t left_out)
{
	struct fl_refusal_log *refusals = user;
	struct fl_line line;
	uid_t uid;

	fl_line_begin(&line, refusals->log, FL_LOG_WARN, "lines left out");
	if (source != NULL) {
		memcpy(&uid, source->key, sizeof(uid));
		fl_line_u64(&line, "uid", uid);
	}
	fl_line_str(&line, "reason", "caller refused");
	fl_line_u64(&line, "left_out", left_out);
	fl_line_end(&line);
}

static void on_window_over(uv_timer_t *timer)
{
	fl_refusal_log_end(FL_CONTAINER_OF(timer, struct fl_refusal_log, window));
}

void fl_refusal_log_init(struct fl_refusal_log *refusals, uv_loop_t *loop, struct fl_log *log)
{
	refusals->log = log;
	FL_REQUIRE(uv_timer_init(loop, &refusals->window) == 0);
}

bool fl_refusal_log_admits(struct fl_refusal_log *refusals, uid_t uid)
{
	uint8_t key[FL_RATION_KEY] = {0};

	memcpy(key, &uid, sizeof(uid));
	if (!fl_ration_is_open(&refusals->ration)) {
		FL_REQUIRE(uv_timer_start(&refusals->window, on_window_over, FL_RATION_WINDOW_MS,
					  0) == 0);
	}
	return fl_ration_take(&refusals->ration, key, 0);
}

void fl_refusal_log_end(struct fl_refusal_log *refusals)
{
	(void)uv_timer_stop(&refusals->window);
	fl_ration_end(&refusals->ration, log_left_out, refusals);
}
