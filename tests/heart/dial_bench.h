/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_TEST_DIAL_BENCH_H
#define FL_TEST_DIAL_BENCH_H
/* dial_bench - what tests of outbound connections share. Header only: each test is a program of its own. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "call.h"

static struct heart heart;

static inline void open_heart(void)
{
	heart_open(&heart, NULL);
}

static inline void close_heart(void)
{
	heart_close(&heart);
}

static inline void let_go(struct side *side)
{
	heart_forget(&heart, side);
	side_close(side);
}

static inline void start_again(const struct heart_options *options)
{
	close_heart();
	heart_open(&heart, options);
}

static inline void expect_reset(struct side *app, enum fl_reason reason)
{
	HEART_UNTIL(&heart, side_was_reset(app));
	cr_expect_eq(heart_ended(&heart, FL_OUTBOUND, reason), 1, "%s", heart_log(&heart));
	let_go(app);
	HEART_UNTIL(&heart, heart_open_connections(&heart) == 0);
}

/* A server accepts, speaks TLS if the door requires it, and gets the app's bytes. */
static inline void expect_through(struct side *app, enum heart_door door, enum heart_place place)
{
	struct side peer;

	heart_accept(&heart, &peer, place);
	if (door == DOOR_MTLS_OUT) {
		heart_speak_tls(&heart, &peer, FL_TLS_SERVER, "p256");
	}
	side_say(app, "hello");
	HEART_UNTIL(&heart, side_has(&peer, "hello"));
	let_go(app);
	let_go(&peer);
	heart_settle(&heart);
}

static inline uint64_t now_ms(void)
{
	return uv_hrtime() / 1000000;
}

/* One name; port 0: of a fixed upstream. */
static inline struct fl_upstream_map *map_with(uint32_t upstream, uint16_t port,
					       enum fl_name_state state, uint64_t asked_ms,
					       const char *trouble)
{
	struct fl_upstream_map *map = fl_upstream_map_new();

	fl_upstream_map_add_name(map,
				 &(struct fl_upstream_name){.host = "far.example",
							    .trouble = trouble,
							    .ports = {port != 0 ? port : 1, port},
							    .upstream = upstream,
							    .state = state,
							    .asked_ms_v4 = asked_ms,
							    .asked_ms_v6 = asked_ms});
	return map;
}

static inline void add_address(struct fl_upstream_map *map, uint32_t upstream, uint16_t port,
			       unsigned kind)
{
	struct sockaddr_in sa = heart_loopback(port);
	struct fl_cidr one;

	cr_assert(fl_cidr_of((struct sockaddr *)&sa, &one));
	fl_upstream_map_add(map, &one, (struct fl_port_range){port, port}, upstream, kind);
}

#endif
