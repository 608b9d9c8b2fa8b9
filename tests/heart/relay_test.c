/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Bytes between an app and a peer: all of them arrive in order, in pieces of any size, even if one side is slow. */
#include "call.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define EACH_KIND for (enum call_kind kind = 0; kind < CALL_KINDS; kind++)

static const char question[] = "How many roads must a man walk down?";
static const char answer[] = "42";

static struct heart heart;

static void open_heart(void)
{
	heart_open(&heart, NULL);
}

static void close_heart(void)
{
	heart_close(&heart);
}

TestSuite(relay, .init = open_heart, .fini = close_heart);

Test(relay, carries_a_question_and_its_answer)
{
	EACH_KIND
	{
		struct call call;

		call_open(&heart, &call, kind);
		side_say(call_caller(&call), question);
		HEART_UNTIL(&heart, side_has(call_callee(&call), question));
		side_say(call_callee(&call), answer);
		HEART_UNTIL(&heart, side_has(call_caller(&call), answer));
		cr_expect_str_eq(heart_state(&heart), "open");
		call_close(&call);
		HEART_UNTIL(&heart, heart_open_connections(&heart) == 0);
	}
}

static void say_in_single_bytes(struct side *from, struct side *to)
{
	from->pace = 1;
	side_say(from, question);
	HEART_UNTIL(&heart, side_has(to, question));
	from->pace = 0;
	to->got_len = 0;
}

Test(relay, bytes_may_come_one_by_one)
{
	EACH_KIND
	{
		struct call call;

		call_open(&heart, &call, kind);
		say_in_single_bytes(&call.app, &call.mesh);
		say_in_single_bytes(&call.mesh, &call.app);
		call_close(&call);
	}
}

/* In two pieces, cut after each byte in turn; with TLS, after each byte of each record. */
static void say_in_two_pieces(struct side *from, struct side *to)
{
	for (size_t cut = 1, len = 2; cut < len; cut++) {
		from->sent = 0;
		from->cut = cut;
		side_say(from, question);
		len = from->out_len;
		heart_turn(&heart);
		heart_turn(&heart);
		HEART_UNTIL(&heart, side_has(to, question));
		to->got_len = 0;
	}
	from->cut = 0;
}

Test(relay, records_may_be_cut_anywhere)
{
	EACH_KIND
	{
		struct call call;

		call_open(&heart, &call, kind);
		say_in_two_pieces(&call.app, &call.mesh);
		say_in_two_pieces(&call.mesh, &call.app);
		call_close(&call);
	}
}

/* --- much -------------------------------------------------------------------------------------- */

#define MUCH (8u << 20)
#define MOST_OUT_LEN (1u << 20) /* bytes that a side has waiting for the kernel */

/* Byte number i of what is sent; both directions differ. */
static uint8_t byte_at(size_t i, uint8_t seed)
{
	return (uint8_t)(i * 31 + (i >> 8) * 7 + (i >> 16) + seed);
}

struct flow {
	struct side *from, *to;
	uint8_t seed;
	size_t sent, checked;
};

static void send_more(struct flow *flow)
{
	uint8_t piece[60000];

	while (flow->sent < MUCH && flow->from->out_len < MOST_OUT_LEN) {
		size_t len = MUCH - flow->sent < sizeof(piece) ? MUCH - flow->sent : sizeof(piece);

		for (size_t i = 0; i < len; i++) {
			piece[i] = byte_at(flow->sent + i, flow->seed);
		}
		side_send(flow->from, piece, len);
		flow->sent += len;
		if (flow->sent == MUCH) {
			side_finish(flow->from);
		}
	}
}

static void check(struct flow *flow)
{
	struct side *to = flow->to;

	for (size_t i = 0; i < to->got_len; i++) {
		cr_assert_eq(to->got[i], byte_at(flow->checked + i, flow->seed), "byte %zu",
			     flow->checked + i);
	}
	flow->checked += to->got_len;
	to->got_len = 0;
}

static bool is_through(struct flow *flow)
{
	send_more(flow);
	check(flow);
	return flow->checked == MUCH && flow->to->has_finished;
}

static struct flow flow_to_mesh(struct call *call)
{
	return (struct flow){.from = &call->app, .to = &call->mesh, .seed = 1};
}

static struct flow flow_to_app(struct call *call)
{
	return (struct flow){.from = &call->mesh, .to = &call->app, .seed = 2};
}

Test(relay, much_goes_both_ways_at_once)
{
	EACH_KIND
	{
		struct call call;

		call_open(&heart, &call, kind);
		struct flow a = flow_to_mesh(&call), b = flow_to_app(&call);
		HEART_UNTIL(&heart, is_through(&a) & is_through(&b));
		HEART_UNTIL(&heart, heart_open_connections(&heart) == 0);
		cr_expect_eq(heart_ended(&heart, call_direction(kind), FL_REASON_DONE), 1);
		cr_expect_eq(heart.loop->counters.bytes_to_mesh[call_direction(kind)], MUCH + 1);
		cr_expect_eq(heart.loop->counters.bytes_to_app[call_direction(kind)], MUCH + 1);
		call_close(&call);
		close_heart();
		open_heart();
	}
}

/* How much a sender can send while the other side reads nothing: the kernel's buffers and one read bound it. */
static size_t send_into_the_void(struct flow *flow)
{
	size_t before;
	unsigned same = 0;

	flow->to->is_deaf = true;
	do {
		before = flow->from->sent;
		send_more(flow);
		heart_turn(&heart);
		same = flow->from->sent == before ? same + 1 : 0;
	} while (same < 20 && flow->from->sent < MUCH);
	return flow->from->sent;
}

static void hold_back_and_go_on(enum call_kind kind, bool to_app)
{
	struct call call;

	call_open(&heart, &call, kind);
	struct flow flow = to_app ? flow_to_app(&call) : flow_to_mesh(&call);
	struct flow back = to_app ? flow_to_mesh(&call) : flow_to_app(&call);
	cr_expect_lt(send_into_the_void(&flow), MUCH, "the sender is never stopped");
	cr_expect_str_eq(heart_state(&heart), "open");
	/* That does not delay the other direction. */
	side_say(back.from, answer);
	flow.from->is_deaf = false;
	HEART_UNTIL(&heart, side_has(back.to, answer));
	back.to->got_len = 0;
	flow.to->is_deaf = false;
	HEART_UNTIL(&heart, is_through(&flow));
	call_close(&call);
}

Test(relay, peer_that_does_not_read_stops_the_app_and_nothing_is_lost)
{
	EACH_KIND
	{
		hold_back_and_go_on(kind, false);
	}
}

Test(relay, app_that_does_not_read_stops_the_peer_and_nothing_is_lost)
{
	EACH_KIND
	{
		hold_back_and_go_on(kind, true);
	}
}

/* A reset is noticed even if that side is not being read. */
static void reset_while_held_back(enum call_kind kind, bool to_app)
{
	struct call call;

	call_open(&heart, &call, kind);
	struct flow flow = to_app ? flow_to_app(&call) : flow_to_mesh(&call);
	(void)send_into_the_void(&flow);
	heart_forget(&heart, flow.from);
	side_reset(flow.from);
	flow.to->is_deaf = false;
	HEART_UNTIL(&heart, side_was_reset(flow.to));
	HEART_UNTIL(&heart, heart_open_connections(&heart) == 0);
	cr_expect_eq(heart_ended(&heart, call_direction(kind),
				 to_app ? FL_REASON_PEER_RESET : FL_REASON_APP_RESET),
		     1);
	call_close(&call);
	close_heart();
	open_heart();
}

Test(relay, reset_of_one_that_is_held_back_is_heard)
{
	EACH_KIND
	{
		reset_while_held_back(kind, false);
		reset_while_held_back(kind, true);
	}
}

/* The kernel repeatedly accepts no bytes. */
Test(relay, what_waits_for_the_kernel_goes_out_in_order)
{
	EACH_KIND
	{
		struct faults faults = {.kinds = FAULTS_AGAIN};
		struct call call;

		call_open(&heart, &call, kind);
		while (faults_next(&faults)) {
			side_say(&call.app, "one");
			side_say(&call.mesh, "two");
			heart_turn(&heart);
			side_say(&call.app, "three");
			side_say(&call.mesh, "four");
			HEART_UNTIL(&heart, side_has(&call.mesh, "onethree") &&
						    side_has(&call.app, "twofour"));
			call.app.got_len = call.mesh.got_len = 0;
		}
		call_close(&call);
	}
}

/* --- before the app answers ----------------------------------------------------------------------- */

#define EARLY 60000u /* more than is read ahead */

/* The app is slow: SYNs get no answer. The peer's bytes are kept meanwhile, up to a bound, and so is its end. */
static void say_much_to_an_app_that_is_late(enum call_kind kind, bool finishes)
{
	struct sockaddr_in to = heart_loopback(heart.place_ports[PLACE_APP]);
	static uint8_t data[EARLY];
	struct side fill[8];
	struct call call;

	cr_assert_eq(listen(heart.places[PLACE_APP], 0), 0);
	for (unsigned i = 0; i < FL_COUNT_OF(fill); i++) {
		side_init(&fill[i]);
		side_connect(&fill[i], (struct sockaddr *)&to, sizeof(to));
	}
	call_begin(&heart, &call, kind);
	HEART_UNTIL(&heart, !call_is_tls(kind) || call.mesh.is_up);
	memset(data, 'e', sizeof(data));
	side_send(&call.mesh, data, sizeof(data));
	if (finishes) {
		side_finish(&call.mesh);
	}
	HEART_UNTIL(&heart, heart_open_connections(&heart) == 1);
	HEART_UNTIL(&heart, strcmp(heart_state(&heart), "connecting") == 0);
	heart_settle(&heart);
	for (unsigned i = 0; i < FL_COUNT_OF(fill); i++) {
		side_close(&fill[i]);
	}
	heart_empty_queues(&heart);
	/* The kernel sends its second SYN after a second. */
	heart_accept(&heart, &call.app, PLACE_APP);
	HEART_UNTIL(&heart, call.app.got_len == EARLY);
	HEART_UNTIL(&heart, call.app.has_finished == finishes);
	side_say(&call.app, answer);
	HEART_UNTIL(&heart, side_has(&call.mesh, answer));
	call_close(&call);
	close_heart();
	open_heart();
}

Test(relay, early_bytes_wait_for_the_app)
{
	say_much_to_an_app_that_is_late(CALL_IN_TLS, true);
	say_much_to_an_app_that_is_late(CALL_IN_PLAIN, false);
}

/* --- keys ------------------------------------------------------------------------------------------ */

Test(relay, peer_may_change_its_keys)
{
	static const enum call_kind kinds[] = {CALL_IN_TLS, CALL_OUT_TLS};

	for (unsigned i = 0; i < FL_COUNT_OF(kinds); i++) {
		struct call call;

		call_open(&heart, &call, kinds[i]);
		for (unsigned n = 0; n < 20; n++) {
			side_update_keys(&call.mesh);
			side_say(&call.mesh, question);
			HEART_UNTIL(&heart, side_has(&call.app, question));
			side_say(&call.app, answer);
			HEART_UNTIL(&heart, side_has(&call.mesh, answer));
			call.app.got_len = call.mesh.got_len = 0;
		}
		call_close(&call);
	}
}

/* Bytes that the server delays until it sends go out before its answer. */
Test(relay, peer_may_change_its_keys_before_the_first_word)
{
	struct call call;

	call_begin(&heart, &call, CALL_IN_TLS);
	HEART_UNTIL(&heart, call.mesh.is_up);
	heart_accept(&heart, &call.app, PLACE_APP);
	side_update_keys(&call.mesh);
	side_say(&call.mesh, question);
	HEART_UNTIL(&heart, side_has(&call.app, question));
	side_say(&call.app, answer);
	HEART_UNTIL(&heart, side_has(&call.mesh, answer));
	call_close(&call);
}

/* A peer that requests key updates and does not read the answers is not read until it does. */
Test(relay, peer_that_changes_its_keys_again_and_again_is_bounded)
{
	struct faults faults = {.kinds = FAULTS_AGAIN};
	struct call call;

	call_open(&heart, &call, CALL_IN_TLS);
	while (faults_next(&faults)) {
		side_update_keys(&call.mesh);
		side_say(&call.mesh, question);
		HEART_UNTIL(&heart, side_has(&call.app, question));
		side_say(&call.app, answer);
		HEART_UNTIL(&heart, side_has(&call.mesh, answer));
		call.app.got_len = call.mesh.got_len = 0;
	}
	call_close(&call);
}
