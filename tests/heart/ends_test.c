/* SPDX-License-Identifier: GPL-3.0-or-later */
/* How connections end: half-closes in every order, resets and truncations of either side, deadlines. */
#include "heart.h"

static struct heart heart;

static void open_heart(void)
{
	heart_open(&heart, NULL);
}

static void close_heart(void)
{
	heart_close(&heart);
}

TestSuite(ends, .init = open_heart, .fini = close_heart);

static void finish_in_order(enum call_kind kind, bool app_first)
{
	struct call call;

	call_open(&heart, &call, kind);
	struct side *first = app_first ? &call.app : &call.mesh;
	struct side *second = app_first ? &call.mesh : &call.app;

	side_say(first, "last words");
	side_finish(first);
	HEART_UNTIL(&heart, second->has_finished);
	cr_expect(side_has(second, "last words"));
	cr_expect_str_eq(heart_state(&heart), app_first ? "app_done" : "peer_done");
	side_say(second, "an answer");
	side_finish(second);
	HEART_UNTIL(&heart, first->has_finished && heart_open_connections(&heart) == 0);
	cr_expect(side_has(first, "an answer"));
	cr_expect_eq(heart_ended(&heart, call_direction(kind), FL_REASON_DONE), 1);
	call_close(&call);
}

Test(ends, app_finishes_first_then_the_peer_in_every_kind_of_call)
{
	for (enum call_kind kind = 0; kind < CALL_KINDS; kind++) {
		close_heart();
		open_heart();
		finish_in_order(kind, true);
	}
}

Test(ends, peer_finishes_first_then_the_app_in_every_kind_of_call)
{
	for (enum call_kind kind = 0; kind < CALL_KINDS; kind++) {
		close_heart();
		open_heart();
		finish_in_order(kind, false);
	}
}

Test(ends, reset_by_the_app_reaches_the_peer_as_a_reset)
{
	struct call call;

	call_open(&heart, &call, CALL_OUT_TLS);
	heart_forget(&heart, &call.app);
	side_reset(&call.app);
	HEART_UNTIL(&heart, side_was_reset(&call.mesh));
	cr_expect_eq(heart_ended(&heart, FL_OUTBOUND, FL_REASON_APP_RESET), 1);
	call_close(&call);
}

Test(ends, idle_connection_is_reset_after_idle_timeout)
{
	struct call call;

	heart_take(&heart, &(struct heart_options){.extra = "[limits]\nidle_timeout = 10s\n"});
	call_open(&heart, &call, CALL_IN_TLS);
	heart_skip_ms(&heart, 8000);
	cr_expect_eq(heart_open_connections(&heart), 1);
	heart_skip_ms(&heart, 4000);
	HEART_UNTIL(&heart, side_was_reset(&call.app) && side_was_reset(&call.mesh));
	cr_expect_eq(heart_ended(&heart, FL_INBOUND, FL_REASON_IDLE_TIMEOUT), 1);
	call_close(&call);
}
