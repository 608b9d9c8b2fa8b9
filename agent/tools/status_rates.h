/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_TOOLS_STATUS_RATES_H
#define FL_AGENT_TOOLS_STATUS_RATES_H
/* status_rates - what changes between two documents of /status: connections and bytes per second, and connections that end
 * badly. Main thread. */
#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"

/* The counters of the last document. Begins with zeros. */
struct fl_rates {
	bool known;
	int64_t at_ms;
	struct {
		uint64_t opened, to_app, to_mesh, bad;
	} ways[2];
};

/* Appends the lines about status, which was read at now_ms (of a clock that never goes back), and remembers its counters. */
void fl_rates_put(struct fl_rates *rates, const cJSON *status, int64_t now_ms, struct fl_text *out);

#endif
