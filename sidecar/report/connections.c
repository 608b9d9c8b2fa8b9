/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "report/connections.h"

#include <inttypes.h>
#include <stdio.h>

#define NS_PER_S 1000000000u

static void put_address(struct fl_json *json, const char *key, const struct fl_inet *inet)
{
	char text[FL_ADDR_TEXT];

	fl_json_str(json, key, inet->family != 0 ? fl_inet_format(inet, text) : NULL);
}

void fl_listed_put(struct fl_json *json, const struct fl_listed *item, uint64_t now_ns)
{
	fl_json_str(json, "direction", fl_direction_word(item->direction));
	fl_json_str(json, "name", item->name);
	fl_json_str(json, "state", item->state);
	put_address(json, "source", &item->source);
	if (item->far != NULL) {
		fl_json_str(json, "destination", item->far);
	} else {
		put_address(json, "destination", &item->destination);
	}
	fl_json_u64(json, "port", item->port);
	fl_json_str(json, "security", item->security);
	fl_json_str(json, "peer", item->peer);
	fl_json_str(json, "own", item->own);
	fl_json_u64(json, "generation", item->generation);
	if (item->use != 0) {
		char session[17];

		(void)snprintf(session, sizeof(session), "%016" PRIx64, item->session);
		fl_json_str(json, "session", session);
		fl_json_u64(json, "use", item->use);
	}
	fl_json_str(json, "rule", item->rule);
	fl_json_u64(json, "age_seconds",
		    now_ns > item->started_ns ? (now_ns - item->started_ns) / NS_PER_S : 0);
	fl_json_u64(json, "bytes_to_app", item->to_app);
	fl_json_u64(json, "bytes_to_mesh", item->to_mesh);
}

static void put_idle_sessions(struct fl_json *json, const struct fl_listing *listings, size_t count)
{
	fl_json_object(json, "idle_sessions");
	for (unsigned d = 0; d < FL_DIRECTIONS; d++) {
		uint64_t idle = 0;

		for (size_t i = 0; i < count; i++) {
			idle += listings[i].idle_sessions[d];
		}
		fl_json_u64(json, fl_direction_word(d), idle);
	}
	fl_json_end(json);
}

void fl_report_connections(const struct fl_listing *listings, size_t count, uint64_t now_ns,
			   struct fl_text *ret)
{
	uint64_t open = 0, listed = 0;
	struct fl_json json;

	for (size_t i = 0; i < count; i++) {
		open += listings[i].open;
		listed += listings[i].count;
	}
	fl_json_init(&json, ret);
	fl_json_object(&json, NULL);
	fl_json_u64(&json, "open", open);
	fl_json_u64(&json, "left_out", open > listed ? open - listed : 0);
	put_idle_sessions(&json, listings, count);
	fl_json_array(&json, "connections");
	for (size_t i = 0; i < count; i++) {
		for (size_t k = 0; k < listings[i].count; k++) {
			fl_json_object(&json, NULL);
			fl_listed_put(&json, &listings[i].items[k], now_ns);
			fl_json_end(&json);
		}
	}
	fl_json_end(&json);
	fl_json_end(&json);
}
