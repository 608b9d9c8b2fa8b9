/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The pace at which connections of older generations, and those that reach max_age, end. */
#include "call.h"

#include <netinet/tcp.h>
#include <string.h>

#define CALLS 12
#define HALF (CALLS / 2)

static struct heart heart;
static struct call calls[CALLS];

static void close_heart(void)
{
	for (unsigned i = 0; i < CALLS; i++) {
		if (calls[i].heart != NULL) {
			call_close(&calls[i]);
		}
	}
	heart_close(&heart);
}

TestSuite(recycle, .fini = close_heart);

static void open_calls(const char *extra, unsigned count, enum call_kind kind)
{
	heart_open(&heart, &(struct heart_options){.extra = extra});
	for (unsigned i = 0; i < count; i++) {
		call_open(&heart, &calls[i], kind);
	}
}

static bool has_ended(const struct call *call)
{
	return call->app.has_finished || call->app.error != 0;
}

static unsigned count_ended(unsigned from, unsigned to)
{
	unsigned count = 0;

	for (unsigned i = from; i < to; i++) {
		count += has_ended(&calls[i]);
	}
	return count;
}

/* The side that was asked sends the last bytes. */
static void converse(struct call *call)
{
	struct side *caller = call_caller(call), *callee = call_callee(call);

	caller->got_len = callee->got_len = 0;
	side_say(caller, "question");
	HEART_UNTIL(&heart, side_has(callee, "question"));
	side_say(callee, "answer");
	HEART_UNTIL(&heart, side_has(caller, "answer"));
}

/* The first ones. */
static void expect_orderly(unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		cr_expect(calls[i].app.has_finished && calls[i].app.error == 0, "%u: the app", i);
		cr_expect(calls[i].mesh.has_finished && calls[i].mesh.error == 0, "%u: the peer",
			  i);
	}
}

/* The kernel's clock does not advance: packets that it delays would never arrive. */
static void send_at_once(struct side *side)
{
	const int on = 1;

	cr_assert_eq(setsockopt(side->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)), 0);
}

/* Half a second is no pause. */
static void talk_on(struct call *call, unsigned seconds)
{
	for (unsigned i = 0; i < 2 * seconds && !has_ended(call); i++) {
		heart_skip_ms(&heart, 500);
		side_say(call_callee(call), "!");
	}
	heart_settle(&heart);
}

#define PATIENT "[limits]\nidle_timeout = 0\n"

/* Half of them have been idle for minutes, the others have just sent bytes. recycle = 80 s: they go within 60 s. */
Test(recycle, longest_idle_go_first_and_evenly_over_three_quarters_of_the_time)
{
	unsigned most = 0, before = 0;

	open_calls(PATIENT, CALLS, CALL_IN_PLAIN);
	for (unsigned i = 0; i < CALLS; i++) {
		converse(&calls[i]);
	}
	heart_skip_ms(&heart, 300000);
	for (unsigned i = HALF; i < CALLS; i++) {
		converse(&calls[i]);
	}
	heart.worker->review.recycle.random = 42; /* the same every time */
	heart_take(&heart, &(struct heart_options){.extra = PATIENT "[rotation]\nrecycle = 80s\n"});
	for (unsigned second = 1; second <= 64; second++) {
		unsigned idle, busy;

		heart_skip_ms(&heart, 1000);
		idle = count_ended(0, HALF);
		busy = count_ended(HALF, CALLS);
		cr_expect(busy == 0 || idle == HALF, "after %u s: %u, %u", second, idle, busy);
		most = idle + busy - before > most ? idle + busy - before : most;
		before = idle + busy;
		if (second == 15) {
			cr_expect(idle + busy >= 1 && idle + busy <= HALF, "%u", idle + busy);
		} else if (second == 45) {
			cr_expect(idle + busy > HALF && idle + busy < CALLS, "%u", idle + busy);
		}
	}
	cr_expect_eq(before, CALLS);
	cr_expect_leq(most, HALF, "never many at once");
	expect_orderly(CALLS);
	cr_expect_eq(heart_ended(&heart, FL_INBOUND, FL_REASON_RECYCLED), CALLS);
}

/* `recycle` is set, or shortened, long after the change of generation that made them old: they have the whole time, or all
 * would be reset at once. */
Test(recycle, time_begins_when_an_INI_asks_for_it)
{
	static const char *const before[] = {PATIENT, PATIENT "[rotation]\nrecycle = 100h\n"};

	for (size_t i = 0; i < FL_COUNT_OF(before); i++) {
		struct heart_options options = {.extra = before[i]};

		open_calls(options.extra, CALLS, CALL_IN_PLAIN);
		heart_take(&heart, &options);
		heart_skip_ms(&heart, 600000);
		heart_take(&heart,
			   &(struct heart_options){.extra = PATIENT "[rotation]\nrecycle = 80s\n"});
		heart_skip_ms(&heart, 20000);
		cr_expect_leq(count_ended(0, CALLS), HALF + 2, "%zu: %u", i, count_ended(0, CALLS));
		heart_skip_ms(&heart, 60000);
		cr_expect_eq(count_ended(0, CALLS), CALLS);
		expect_orderly(CALLS);
		if (i + 1 < FL_COUNT_OF(before)) {
			close_heart();
		}
	}
}

Test(recycle, connections_of_the_current_generation_stay)
{
	static const struct heart_options options = {.extra =
							     PATIENT "[rotation]\nrecycle = 20s\n"};

	open_calls(options.extra, 1, CALL_IN_TLS);
	heart_take(&heart, &options);
	call_open(&heart, &calls[1], CALL_IN_TLS);
	heart_skip_ms(&heart, 25000);
	cr_expect(has_ended(&calls[0]));
	cr_expect_not(has_ended(&calls[1]));
	/* No further rounds take place. */
	cr_expect_not(uv_is_active((uv_handle_t *)&heart.worker->review.recycle.timer));
	converse(&calls[1]);
}

/* An answer may be due: the pause is a quarter of the time. */
Test(recycle, question_without_an_answer_is_waited_for_longer)
{
	open_calls(PATIENT, 2, CALL_IN_PLAIN);
	send_at_once(call_caller(&calls[0]));
	heart_skip_ms(&heart, 60000);
	heart_take(&heart, &(struct heart_options){.extra = PATIENT "[rotation]\nrecycle = 40s\n"});
	for (unsigned second = 0; second < 36; second++) {
		if (second % 4 == 0) { /* a pause of a second, never of a quarter of recycle */
			side_say(call_caller(&calls[0]), "?");
		}
		heart_skip_ms(&heart, 1000);
	}
	cr_expect_not(has_ended(&calls[0]), "it asks, and waits");
	cr_expect(has_ended(&calls[1]));
	side_say(call_callee(&calls[0]), "!");
	heart_skip_ms(&heart, 3000);
	cr_expect(calls[0].app.has_finished && calls[0].app.error == 0);
}

Test(recycle, bytes_that_are_under_way_are_no_pause)
{
	static uint8_t bulk[24 << 20];

	open_calls(PATIENT, 1, CALL_IN_PLAIN);
	calls[0].app.is_deaf = true;
	side_send(&calls[0].mesh, bulk, sizeof(bulk));
	heart_settle(&heart);
	heart_take(&heart, &(struct heart_options){.extra = PATIENT "[rotation]\nrecycle = 40s\n"});
	heart_skip_ms(&heart, 35000);
	cr_expect_eq(heart_open_connections(&heart), 1);
	heart_skip_ms(&heart, 10000);
	cr_expect_eq(heart_ended(&heart, FL_INBOUND, FL_REASON_RECYCLED), 1, "its time is over");
}

/* A newer generation removes `recycle`: the remaining connections stay. */
Test(recycle, is_off_when_a_generation_says_so)
{
	open_calls(PATIENT, 4, CALL_IN_PLAIN);
	heart_take(&heart, &(struct heart_options){.extra = PATIENT "[rotation]\nrecycle = 1h\n"});
	heart_skip_ms(&heart, 5000);
	heart_take(&heart, &(struct heart_options){.extra = PATIENT});
	heart_skip_ms(&heart, 60000);
	cr_expect_eq(count_ended(0, 4), 0);
}

/* Both are set: rounds are frequent enough for the shorter one, and max_age is the same for older generations. */
Test(recycle, max_age_is_for_all_generations)
{
	static const struct heart_options options = {
		.extra = "[limits]\nidle_timeout = 0\nmax_age = 60s\n[rotation]\nrecycle = 1h\n"};

	open_calls(options.extra, 1, CALL_OUT_PLAIN);
	heart_take(&heart, &options);
	call_open(&heart, &calls[1], CALL_OUT_PLAIN);
	heart_skip_ms(&heart, 64000);
	cr_expect_eq(heart_ended(&heart, FL_OUTBOUND, FL_REASON_MAX_AGE), 2);
	expect_orderly(2);
}

/* What `recycle` asks of those of an older generation is not put off by max_age. */
Test(recycle, that_is_shorter_than_max_age_comes_first)
{
	static const struct heart_options options = {
		.extra = "[limits]\nidle_timeout = 0\nmax_age = 1h\n[rotation]\nrecycle = 40s\n"};

	open_calls(options.extra, 1, CALL_OUT_PLAIN);
	heart_take(&heart, &options);
	heart_skip_ms(&heart, 40000);
	cr_expect_eq(heart_ended(&heart, FL_OUTBOUND, FL_REASON_RECYCLED), 1);
	expect_orderly(1);
}

/* max_age is set, or shortened, when all are older: they have a tenth of it, 8 s, or all would be reset at once. */
Test(recycle, older_connections_have_a_tenth_of_max_age_when_an_INI_asks_for_it)
{
	static const char *const before[] = {PATIENT, PATIENT "max_age = 100h\n"};

	for (size_t i = 0; i < FL_COUNT_OF(before); i++) {
		unsigned count = i == 0 ? CALLS : HALF;

		open_calls(before[i], count, CALL_IN_PLAIN);
		heart_skip_ms(&heart, 600000);
		heart_take(&heart, &(struct heart_options){.extra = PATIENT "max_age = 80s\n"});
		heart_skip_ms(&heart, 1000);
		cr_expect_lt(count_ended(0, count), count, "not all at once");
		heart_skip_ms(&heart, 8500);
		cr_expect_eq(count_ended(0, count), count);
		cr_expect_eq(heart_ended(&heart, FL_INBOUND, FL_REASON_MAX_AGE), count);
		expect_orderly(count);
		if (i + 1 < FL_COUNT_OF(before)) {
			close_heart();
		}
	}
}

/* The longest time for those without a pause: the tenth, and [sidecar] drain, 2 s. Another generation begins no new one. */
Test(recycle, older_connection_that_never_pauses_is_reset_after_its_tenth_of_max_age)
{
	static const struct heart_options options = {.extra = PATIENT "max_age = 80s\n"};

	open_calls(PATIENT, 1, CALL_IN_PLAIN);
	send_at_once(call_callee(&calls[0]));
	heart_skip_ms(&heart, 600000);
	heart_take(&heart, &options);
	talk_on(&calls[0], 5);
	heart_take(&heart, &options);
	talk_on(&calls[0], 4);
	cr_expect_not(has_ended(&calls[0]));
	talk_on(&calls[0], 4);
	cr_expect_eq(heart_ended(&heart, FL_INBOUND, FL_REASON_MAX_AGE), 1);
	cr_expect_neq(calls[0].app.error, 0);
}

/* One that is due later anyway is not hurried. */
Test(recycle, young_connections_have_the_whole_max_age)
{
	open_calls(PATIENT, HALF, CALL_IN_PLAIN);
	heart_skip_ms(&heart, 20000);
	heart_take(&heart, &(struct heart_options){.extra = PATIENT "max_age = 80s\n"});
	heart_skip_ms(&heart, 51000);
	cr_expect_eq(count_ended(0, HALF), 0);
	heart_skip_ms(&heart, 10500);
	cr_expect_eq(count_ended(0, HALF), HALF);
	expect_orderly(HALF);
}

/* The process has been stopped, or there is only one round between the end of the time and `drain`. */
Test(recycle, a_pause_ends_in_an_orderly_way_even_when_the_time_is_over)
{
	static const struct heart_options limits[] = {
		{.extra = PATIENT "max_age = 80s\n"},
		{.extra = PATIENT "[rotation]\nrecycle = 80s\n"},
	};

	for (size_t i = 0; i < FL_COUNT_OF(limits); i++) {
		open_calls(PATIENT, HALF, CALL_IN_PLAIN);
		heart_take(&heart, &limits[i]);
		clock_skip_ms(600000);
		HEART_UNTIL(&heart, count_ended(0, HALF) == HALF);
		expect_orderly(HALF);
		if (i + 1 < FL_COUNT_OF(limits)) {
			close_heart();
		}
	}
}

/* Its handshake began under the previous generation, so it must end too. */
Test(recycle, connection_that_becomes_ready_late_is_of_the_older_generation)
{
	struct heart_options options = {.extra = PATIENT "[rotation]\nrecycle = 20s\n"};
	struct call *call = &calls[0];

	open_calls(options.extra, 0, CALL_OUT_TLS);
	call_begin(&heart, call, CALL_OUT_TLS);
	heart_accept(&heart, &call->mesh, PLACE_MESH);
	HEART_UNTIL(&heart, strcmp(heart_state(&heart), "handshake") == 0);
	call->mesh.got_len = 0;
	heart_forget(&heart, &call->mesh);
	heart_take(&heart, &options);
	/* A round finds none, and no further rounds take place. */
	heart_skip_ms(&heart, 3000);
	cr_expect_not(uv_is_active((uv_handle_t *)&heart.worker->review.recycle.timer));
	heart_speak_tls(&heart, &call->mesh, FL_TLS_SERVER, "p256");
	heart_watch(&heart, &call->mesh);
	HEART_UNTIL(&heart, call->mesh.is_up);
	converse(call);
	heart_skip_ms(&heart, 20000);
	cr_expect_eq(heart_ended(&heart, FL_OUTBOUND, FL_REASON_RECYCLED), 1);
}

/* A judgement in the middle of a round: the round begins again, and counts no connection twice. */
Test(recycle, look_that_begins_again_counts_each_connection_once)
{
	open_calls(PATIENT, 4, CALL_IN_PLAIN);
	heart_take(&heart, &(struct heart_options){.extra = PATIENT "[rotation]\nrecycle = 1h\n"});
	fl_walk_start(&heart.worker->review.walk, FL_WALK_RECYCLE);
	fl_judge_start(&heart.worker->review.judge);
	heart_settle(&heart);
	cr_expect_eq(heart.worker->review.recycle.census.total, 4);
	cr_expect_eq(heart.worker->review.judge.last.judged, 4);
}

/* The main thread does not wait for connections that would end by themselves. */
Test(recycle, goes_on_while_the_worker_drains_and_ends_with_it)
{
	open_calls(PATIENT, 2, CALL_IN_TLS);
	heart_take(&heart, &(struct heart_options){.extra = PATIENT "[rotation]\nrecycle = 20s\n"});
	fl_worker_post_drain(heart.worker);
	heart_turn(&heart);
	cr_expect_eq(heart.idle, 0);
	heart_skip_ms(&heart, 21000);
	for (unsigned i = 0; i < 2; i++) {
		side_finish(&calls[i].app);
		side_finish(&calls[i].mesh);
	}
	HEART_UNTIL(&heart, heart.idle >= 1);
	cr_expect_eq(heart_ended(&heart, FL_INBOUND, FL_REASON_RECYCLED), 2);
}
