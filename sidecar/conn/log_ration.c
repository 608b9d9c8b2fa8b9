/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "conn/log_ration.h"

#include <string.h>

#include "base/cidr.h"
#include "base/err.h"
#include "base/mem.h"

static const char *network_text(const struct fl_inet *network, char buf[FL_CIDR_TEXT])
{
	struct fl_cidr cidr = {.family = network->family,
			       .bits = network->family == AF_INET ? 24 : 64};

	if (network->family == 0) {
		return "unknown";
	}
	memcpy(cidr.addr, network->ip, sizeof(cidr.addr));
	return fl_cidr_format(&cidr, buf);
}

static void log_left_out(void *user, const struct fl_ration_source *source, uint64_t left_out)
{
	struct fl_log_ration *ration = user;
	char buf[FL_CIDR_TEXT];
	struct fl_inet network;
	struct fl_line line;

	fl_line_begin(&line, ration->log, FL_LOG_WARN, "lines left out");
	fl_line_str(&line, "direction", "inbound");
	if (source != NULL) {
		memcpy(&network, source->key, sizeof(network));
		fl_line_str(&line, "source", network_text(&network, buf));
		fl_line_str(&line, "reason", fl_reason_word((enum fl_reason)source->kind));
	} else {
		fl_line_str(&line, "source", "others");
	}
	fl_line_u64(&line, "left_out", left_out);
	fl_line_end(&line);
}

static void on_window_over(uv_timer_t *timer)
{
	struct fl_log_ration *ration = FL_CONTAINER_OF(timer, struct fl_log_ration, timer);

	fl_ration_end(&ration->ration, log_left_out, ration);
}

void fl_log_ration_init(struct fl_log_ration *ration, uv_loop_t *uv, struct fl_log *log)
{
	*ration = (struct fl_log_ration){.log = log};
	FL_REQUIRE(uv_timer_init(uv, &ration->timer) == 0);
}

void fl_log_ration_close(struct fl_log_ration *ration)
{
	fl_ration_end(&ration->ration, log_left_out, ration);
	uv_close((uv_handle_t *)&ration->timer, NULL);
}

bool fl_log_ration_take(struct fl_log_ration *ration, const struct fl_inet *network,
			enum fl_reason reason)
{
	_Static_assert(sizeof(*network) == FL_RATION_KEY, "a network is a key");
	if (!fl_ration_is_open(&ration->ration) && !uv_is_closing((uv_handle_t *)&ration->timer)) {
		FL_REQUIRE(uv_timer_start(&ration->timer, on_window_over, FL_RATION_WINDOW_MS, 0) ==
			   0);
	}
	return fl_ration_take(&ration->ration, network, (uint32_t)reason);
}
