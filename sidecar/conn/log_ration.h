/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_CONN_LOG_RATION_H
#define FL_CONN_LOG_RATION_H
/* log_ration - keeps strangers from filling the access log.
 *
 * Lines are rationed by network and reason (base/ration.h). When a window is over, a line says how many were left out. The
 * caller decides which connections are rationed. Loop-bound. */
#include <stdbool.h>
#include <uv.h>

#include "base/inet.h"
#include "base/log.h"
#include "base/ration.h"
#include "count/reason.h"

struct fl_log_ration {
	struct fl_ration ration;
	struct fl_log *log; /* borrowed */
	uv_timer_t timer;   /* runs while a window is open */
};

void fl_log_ration_init(struct fl_log_ration *ration, uv_loop_t *uv, struct fl_log *log);
/* Logs what was left out, and closes the timer (the loop has to run once more). Lines after that are still rationed. */
void fl_log_ration_close(struct fl_log_ration *ration);

/* May a line about a client in that network be written? network: fl_inet_network() of the source. */
bool fl_log_ration_take(struct fl_log_ration *ration, const struct fl_inet *network,
			enum fl_reason reason);

#endif
