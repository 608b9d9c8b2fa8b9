/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_RUN_REFUSAL_LOG_H
#define FL_AGENT_RUN_REFUSAL_LOG_H
/* refused - callers of the agent's socket who may not be there do not fill the log: their lines are rationed by uid
 * (base/ration.h), and one says how many were left out. Loop-bound. */
#include <sys/types.h>
#include <uv.h>

#include "base/log.h"
#include "base/ration.h"

struct fl_refusal_log {
	uv_timer_t
		window; /* runs while there may be something left out; its `data` is the owner's */
	struct fl_ration ration;
	struct fl_log *log;
};

void fl_refusal_log_init(struct fl_refusal_log *refused, uv_loop_t *loop, struct fl_log *log);
/* May there be a line about one of that uid? (uid_t)-1: not known. */
bool fl_refusal_log_admits(struct fl_refusal_log *refused, uid_t uid);
/* Says what is left to be said. Its timer is the owner's to close. */
void fl_refusal_log_end(struct fl_refusal_log *refused);

#endif
