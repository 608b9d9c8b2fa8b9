/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_RUN_REFUSAL_LOG_H
#define FL_AGENT_RUN_REFUSAL_LOG_H
/* refusal_log - lines about processes that may not connect to the agent's socket: rationed for each uid (base/ration.h), so
 * that none of them fills the log; one line counts those that were left out. Loop-bound. */
#include <sys/types.h>
#include <uv.h>

#include "base/log.h"
#include "base/ration.h"

struct fl_refusal_log {
	uv_timer_t window; /* runs while lines may be left out; its `data` is the owner's */
	struct fl_ration ration;
	struct fl_log *log;
};

void fl_refusal_log_init(struct fl_refusal_log *refusals, uv_loop_t *loop, struct fl_log *log);
/* May a line be logged about this one? uid: of the process, (uid_t)-1 if it is not known. */
bool fl_refusal_log_admits(struct fl_refusal_log *refusals, uid_t uid);
/* Logs what was left out so far. The owner closes the timer. */
void fl_refusal_log_end(struct fl_refusal_log *refusals);

#endif
