/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The timer runs as long as a window is open. */
#include "conn/log_ration.h"

#include <string.h>

#include "base/cidr.h"

static bool is_rationed(const struct fl_conn *conn, enum fl_reason reason)
{
	return conn->direction == FL_INBOUND && !conn->admitted &&
	       (conn->security != FL_SECURITY_MTLS || reason == FL_REASON_CONNECTION_LIMIT);
}

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

static void tell(void *user, const struct fl_ration_source *source, uint64_t left_out)
{
	struct fl_worker *worker = user;
	char buf[FL_CIDR_TEXT];
	struct fl_inet network;
	struct fl_line line;

	fl_line_begin(&line, &worker->log, FL_LOG_WARN, "lines left out");
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
	struct fl_worker *worker = timer->data;

	fl_ration_end(&worker->ration, tell, worker);
}

void fl_log_ration_init(struct fl_worker *worker)
{
	FL_REQUIRE(uv_timer_init(&worker->loop, &worker->ration_timer) == 0);
	worker->ration_timer.data = worker;
}

void fl_log_ration_close(struct fl_worker *worker)
{
	fl_ration_end(&worker->ration, tell, worker);
	uv_close((uv_handle_t *)&worker->ration_timer, NULL);
}

bool fl_log_ration_has_line(struct fl_worker *worker, const struct fl_conn *conn,
			    enum fl_reason reason)
{
	struct fl_inet network = fl_inet_network(&conn->source);
	bool has_line;

	_Static_assert(sizeof(network) == FL_RATION_KEY, "a network is a key");
	if (!is_rationed(conn, reason)) {
		return true;
	}
	if (!fl_ration_is_open(&worker->ration) && !worker->stopping) {
		FL_REQUIRE(uv_timer_start(&worker->ration_timer, on_window_over,
					  FL_RATION_WINDOW_MS, 0) == 0);
	}
	has_line = fl_ration_take(&worker->ration, &network, (uint32_t)reason);
	if (!has_line) {
		fl_count(&worker->counters.lines_left_out, 1);
	}
	return has_line;
}
