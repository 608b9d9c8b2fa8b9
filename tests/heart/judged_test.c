/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Judgement of open connections in detail: which of several losses counts, plaintext destinations that are claimed, and
 * what happens between two slices of a walk. judge_test.c tests the basic cases. */
#include "call.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define EACH_KIND for (enum call_kind kind = 0; kind < CALL_KINDS; kind++)
#define TEN_YEARS_MS (UINT64_C(3660) * 24 * 3600 * 1000)

static struct heart heart;

static void open_heart(void)
{
	heart_open(&heart, NULL);
}

static void close_heart(void)
{
	heart_close(&heart);
}

TestSuite(judged, .init = open_heart, .fini = close_heart);

static const char nobody[] = "[allow else]\nfrom = spiffe://prod.example/else\n";

static void expect_ended(struct call *call, enum fl_reason reason)
{
	HEART_UNTIL(&heart, side_was_reset(&call->app));
	cr_expect_eq(heart_ended(&heart, call_direction(call->kind), reason), 1, "%s",
		     heart_log(&heart));
	call_close(call);
	HEART_UNTIL(&heart, heart_open_connections(&heart) == 0);
}

static void expect_carries_on(struct call *call)
{
	call->mesh.got_len = 0;
	side_say(&call->app, "still here");
	HEART_UNTIL(&heart, side_has(&call->mesh, "still here"));
	call_close(call);
	HEART_UNTIL(&heart, heart_open_connections(&heart) == 0);
}

/* --- which loss counts ---------------------------------------------------------------------------- */

/* It loses both its root and its rule. */
static void lose_twice(struct call *call, const char *rotation)
{
	call_open(&heart, call, CALL_IN_TLS);
	heart_take(&heart, &(struct heart_options){.own = "under-p384-root",
						   .bundle = "p384-root",
						   .rules = nobody,
						   .extra = rotation});
	heart_settle(&heart);
}

Test(judged, trust_counts_before_policy)
{
	struct call call;

	lose_twice(&call, "[rotation]\non_trust_loss = close\non_policy_loss = close\n");
	expect_ended(&call, FL_REASON_TRUST_LOST);
}

Test(judged, loss_that_closes_counts_before_one_that_keeps)
{
	struct call call;

	lose_twice(&call, "[rotation]\non_trust_loss = keep\non_policy_loss = close\n");
	expect_ended(&call, FL_REASON_POLICY_LOST);
}

Test(judged, connection_that_is_kept_in_spite_of_two_losses_is_counted_once)
{
	struct call call;

	lose_twice(&call, "[rotation]\non_trust_loss = keep\non_policy_loss = keep\n");
	cr_expect_eq(heart.loop->counters.judged_kept[FL_LOSS_TRUST], 1);
	cr_expect_eq(heart.loop->counters.judged_kept[FL_LOSS_POLICY], 0);
	expect_carries_on(&call);
}

Test(judged, expired_peer_is_kept_and_counted_where_rotation_says_so)
{
	struct call call;

	heart_take(&heart,
		   &(struct heart_options){
			   .extra = "[rotation]\non_expiry = keep\n[limits]\nidle_timeout = 0\n"});
	call_open(&heart, &call, CALL_IN_TLS);
	clock_skip_ms(TEN_YEARS_MS);
	heart_settle(&heart);
	cr_expect_eq(heart.worker->review.judge.last.judged, 0, "nothing is looked for");
	fl_judge_start(&heart.worker->review.judge);
	heart_settle(&heart);
	cr_expect_eq(heart.worker->review.judge.last.kept[FL_LOSS_EXPIRED], 1);
	expect_carries_on(&call);
}

/* --- plaintext destinations ------------------------------------------------------------------------- */

#define CLOSES "[rotation]\non_policy_loss = close\n"

Test(judged, plaintext_to_an_upstream_that_is_mtls_now_is_closed)
{
	struct call call;

	call_open(&heart, &call, CALL_OUT_PLAIN);
	heart_take(&heart, &(struct heart_options){.db = "to = 127.0.0.1:1\n"
							 "peer = spiffe://prod.example/else\n",
						   .extra = CLOSES});
	HEART_UNTIL(
		&heart,
		heart_logged(&heart, "it is in plaintext, but its destination requires mtls now"));
	expect_ended(&call, FL_REASON_POLICY_LOST);
}

/* [upstream db] is configured by a name: the owner of its addresses is decided again. */
static char *db_by_name(const char *more)
{
	return fl_format("to = far.example:%u\nmode = plaintext\n%s", heart.place_ports[PLACE_MESH],
			 more);
}

static struct fl_upstream_map *map_that_claims(enum heart_place place)
{
	struct fl_upstream_map *map = fl_upstream_map_new();
	struct sockaddr_in sa = heart_loopback(heart.place_ports[place]);
	uint16_t port = heart.place_ports[place];
	struct fl_cidr address;

	cr_assert(fl_cidr_of((struct sockaddr *)&sa, &address));
	fl_upstream_map_add(map, &address, (struct fl_port_range){port, port}, 0,
			    FL_MAP_CLAIMS | FL_MAP_HIDDEN);
	return map;
}

Test(judged, plaintext_connection_whose_address_another_upstream_claims_is_closed)
{
	char *db = db_by_name("");
	struct fl_upstream_map *map;
	struct call plain, tls;

	heart_take(&heart, &(struct heart_options){.db = db, .extra = CLOSES});
	call_open(&heart, &plain, CALL_OUT_PLAIN);
	call_open(&heart, &tls, CALL_OUT_TLS);
	map = map_that_claims(PLACE_OTHER); /* not its address */
	fl_worker_post_upstream_map(heart.worker, map);
	fl_upstream_map_unref(map);
	heart_settle(&heart);
	cr_expect_eq(heart_open_connections(&heart), 2);
	map = map_that_claims(PLACE_MESH);
	fl_worker_post_upstream_map(heart.worker, map);
	fl_upstream_map_unref(map);
	HEART_UNTIL(&heart, side_was_reset(&plain.app));
	cr_expect(heart_logged(&heart, "its address now belongs to an upstream that is not"));
	cr_expect_eq(heart_ended(&heart, FL_OUTBOUND, FL_REASON_POLICY_LOST), 1);
	call_close(&plain);
	expect_carries_on(&tls);
	free(db);
}

Test(judged, plaintext_connection_to_an_address_that_is_not_within_any_more_is_closed)
{
	char *before = db_by_name("within = 127.0.0.0/8\n"),
	     *after = db_by_name("within = 10.0.0.0/8\n");
	struct call call;

	heart_take(&heart, &(struct heart_options){.db = before, .extra = CLOSES});
	call_open(&heart, &call, CALL_OUT_PLAIN);
	heart_take(&heart, &(struct heart_options){.db = after, .extra = CLOSES});
	expect_ended(&call, FL_REASON_POLICY_LOST);
	free(before);
	free(after);
}

/* The claim arrives while the address is dialled; either the dial or the map is ready first. */
Test(judged, address_that_is_claimed_during_the_dial_is_not_used)
{
	char *db = db_by_name("");

	for (unsigned turns = 0; turns < 4; turns++) {
		struct fl_upstream_map *map = map_that_claims(PLACE_MESH);
		struct call call;

		heart_take(&heart, &(struct heart_options){.db = db, .extra = CLOSES});
		call_begin(&heart, &call, CALL_OUT_PLAIN);
		side_say(&call.app, "secret");
		for (unsigned i = 0; i < turns; i++) {
			heart_turn(&heart);
		}
		fl_worker_post_upstream_map(heart.worker, map);
		fl_upstream_map_unref(map);
		HEART_UNTIL(&heart, side_was_reset(&call.app));
		call_close(&call);
		HEART_UNTIL(&heart, heart_open_connections(&heart) == 0);
	}
	heart_empty_queues(&heart);
	free(db);
}

/* --- between two slices ---------------------------------------------------------------------------- */

static unsigned shown;

/* Visiting a stream takes so long that a slice has only one. */
static bool take_long(void *user, struct fl_stream *stream)
{
	(void)user;
	(void)stream;
	clock_skip_ms(2);
	shown++;
	return true;
}

/* Before any other visitor gets a stream, or afterwards. */
static void slow_down(enum fl_walk_aim aim)
{
	shown = 0;
	fl_walk_register(&heart.worker->review.walk, aim,
			 &(struct fl_walk_visitor){.visit = take_long});
}

static void open_each(struct call calls[CALL_KINDS])
{
	EACH_KIND
	{
		call_open(&heart, &calls[kind], kind);
	}
}

static void close_each(struct call calls[CALL_KINDS])
{
	EACH_KIND
	{
		call_close(&calls[kind]);
	}
}

Test(judged, traffic_goes_on_between_slices)
{
	struct call calls[CALL_KINDS];

	open_each(calls);
	slow_down(FL_WALK_LOG);
	fl_walk_start(&heart.worker->review.walk, FL_WALK_LOG);
	heart_turn(&heart);
	cr_expect_eq(shown, 1);
	side_say(&calls[CALL_IN_PLAIN].app, "meanwhile");
	for (unsigned turns = 0; turns < 2; turns++) {
		heart_turn(&heart);
	}
	cr_expect_lt(shown, CALL_KINDS);
	HEART_UNTIL(&heart, side_has(&calls[CALL_IN_PLAIN].mesh, "meanwhile"));
	HEART_UNTIL(&heart, heart.worker->review.walk.aims == 0);
	cr_expect_eq(shown, CALL_KINDS);
	close_each(calls);
}

/* Streams that have ended or begun meanwhile are not visited; all others are visited once. */
Test(judged, walk_outlives_those_that_end_and_leaves_out_those_that_come)
{
	struct call calls[CALL_KINDS], late;

	open_each(calls);
	slow_down(FL_WALK_LOG);
	fl_walk_start(&heart.worker->review.walk, FL_WALK_LOG);
	heart_turn(&heart);
	cr_assert_eq(shown, 1);
	/* The first has been seen, the last has not. */
	heart_forget(&heart, &calls[0].app);
	side_reset(&calls[0].app);
	heart_forget(&heart, &calls[CALL_KINDS - 1].app);
	side_reset(&calls[CALL_KINDS - 1].app);
	call_begin(&heart, &late, CALL_IN_PLAIN);
	HEART_UNTIL(&heart, heart.worker->review.walk.aims == 0);
	cr_expect_leq(shown, CALL_KINDS, "%u", shown);
	cr_expect_geq(shown, CALL_KINDS - 1);
	HEART_UNTIL(&heart, heart_open_connections(&heart) == CALL_KINDS - 1);
	call_close(&late);
	heart_empty_queues(&heart);
	close_each(calls);
}

/* A generation arrives during a walk for another one: streams that are not judged yet are judged only by the newer one. */
Test(judged, newer_generation_begins_the_judgement_again)
{
	struct call calls[CALL_KINDS];
	const struct fl_judged *last = &heart.worker->review.judge.last;

	open_each(calls);
	slow_down(FL_WALK_RECYCLE); /* after the judge */
	heart_take(&heart, &(struct heart_options){.rules = nobody, .extra = CLOSES});
	fl_walk_start(&heart.worker->review.walk, FL_WALK_RECYCLE);
	HEART_UNTIL(&heart, last->judged > 0);
	heart_settle(&heart);
	/* The closed connections are gone; now all are admitted again. */
	cr_expect_eq(last->closed[FL_LOSS_POLICY], 2);
	heart_take(&heart, &(struct heart_options){.extra = CLOSES});
	heart_settle(&heart);
	cr_expect_eq(last->generation, 3);
	cr_expect_eq(last->judged, 2);
	cr_expect_eq(last->closed[FL_LOSS_POLICY], 0);
	cr_expect_eq(last->under_way, 0);
	close_each(calls);
}

Test(judged, generation_that_is_taken_back_in_time_costs_only_those_it_was_asked_of)
{
	struct call calls[4];
	const struct fl_judged *last = &heart.worker->review.judge.last;

	for (unsigned i = 0; i < 4; i++) {
		call_open(&heart, &calls[i], CALL_IN_TLS);
	}
	/* With the judge, one connection a turn. */
	slow_down(FL_WALK_LOG);
	fl_walk_start(&heart.worker->review.walk, FL_WALK_LOG);
	heart_take(&heart, &(struct heart_options){.rules = nobody, .extra = CLOSES});
	HEART_UNTIL(&heart, last->judged > 0);
	cr_assert_lt(last->judged, 4);
	cr_expect_eq(last->under_way, 1);
	uint64_t closed = last->judged;
	heart_take(&heart, &(struct heart_options){.extra = CLOSES});
	closed += last->generation == 2; /* the turn may have begun with a slice */
	HEART_UNTIL(&heart, last->generation == 3 && last->under_way == 0);
	cr_expect_geq(heart_open_connections(&heart), 4 - closed - 1);
	cr_expect_eq(last->judged, heart_open_connections(&heart), "each that is left, once");
	cr_expect_eq(last->closed[FL_LOSS_POLICY], 0);
	for (unsigned i = 0; i < 4; i++) {
		call_close(&calls[i]);
	}
}

Test(judged, worker_that_drains_still_judges_and_is_idle_when_the_loser_is_gone)
{
	struct call call;

	call_open(&heart, &call, CALL_IN_TLS);
	fl_worker_post_drain(heart.worker);
	heart_settle(&heart);
	cr_expect_eq(heart.idle, 0);
	heart_take(&heart, &(struct heart_options){.rules = nobody, .extra = CLOSES});
	HEART_UNTIL(&heart, heart.idle >= 1);
	cr_expect_eq(heart_ended(&heart, FL_INBOUND, FL_REASON_POLICY_LOST), 1);
	call_close(&call);
}

Test(judged, worker_that_stops_in_the_middle_of_a_judgement_stops)
{
	struct call calls[CALL_KINDS];

	open_each(calls);
	slow_down(FL_WALK_LOG);
	fl_walk_start(&heart.worker->review.walk, FL_WALK_LOG);
	heart_take(&heart, &(struct heart_options){.rules = nobody, .extra = CLOSES});
	heart_turn(&heart);
	fl_worker_post_stop(heart.worker);
	EACH_KIND
	{
		HEART_UNTIL(&heart, side_was_reset(&calls[kind].app));
	}
	close_each(calls);
}

/* --- previews --------------------------------------------------------------------------------------- */

static unsigned previewed;

static void on_previewed(void *user)
{
	(void)user;
	previewed++;
}

static void start_preview(struct fl_preview *preview, size_t max,
			  const struct heart_options *options)
{
	*preview = (struct fl_preview){
		.share = heart_candidate(&heart, options), .max = max, .done = on_previewed};
	previewed = 0;
	fl_previewer_start(&heart.worker->review.previewer, preview);
}

Test(judged, preview_counts_all_and_lists_as_many_as_were_asked_for)
{
	struct call calls[3], stranger;
	struct fl_preview preview;

	for (unsigned i = 0; i < 3; i++) {
		call_open(&heart, &calls[i], CALL_IN_TLS);
	}
	call_begin(&heart, &stranger, CALL_IN_PLAIN); /* and does not reach its app */
	HEART_UNTIL(&heart, heart_open_connections(&heart) == 4);
	start_preview(&preview, 2, &(struct heart_options){.rules = nobody, .extra = CLOSES});
	HEART_UNTIL(&heart, previewed == 1);
	cr_expect_eq(preview.open, 4);
	cr_expect_geq(preview.closes[FL_LOSS_POLICY], 3);
	cr_expect_eq(preview.doomed_count, 2);
	for (unsigned i = 0; i < preview.doomed_count; i++) {
		cr_expect_eq(preview.doomed[i].loss, FL_LOSS_POLICY);
		cr_expect_str_eq(preview.doomed[i].detail, "rule default");
	}
	fl_preview_done(&preview);
	for (unsigned i = 0; i < 3; i++) {
		call_close(&calls[i]);
	}
	call_close(&stranger);
	heart_empty_queues(&heart);
}

Test(judged, preview_names_the_rule_that_denies)
{
	struct fl_preview preview;
	struct call call;

	call_open(&heart, &call, CALL_IN_TLS);
	start_preview(
		&preview, 2,
		&(struct heart_options){.rules = "[deny twins]\nfrom = spiffe://prod.example/**\n",
					.extra = CLOSES});
	HEART_UNTIL(&heart, previewed == 1);
	cr_assert_eq(preview.doomed_count, 1);
	cr_expect_str_eq(preview.doomed[0].detail, "rule twins");
	cr_expect_not_null(preview.doomed[0].connection.peer);
	fl_preview_done(&preview);
	expect_carries_on(&call);
}

Test(judged, preview_says_what_is_wrong_with_a_destination)
{
	struct fl_preview preview;
	struct call call;

	call_open(&heart, &call, CALL_OUT_PLAIN);
	start_preview(&preview, 2,
		      &(struct heart_options){.db = "to = 127.0.0.1:1\n"
						    "peer = spiffe://prod.example/else\n",
					      .extra = CLOSES});
	HEART_UNTIL(&heart, previewed == 1);
	cr_assert_eq(preview.doomed_count, 1);
	cr_expect_str_eq(preview.doomed[0].detail,
			 "it is in plaintext, but its destination requires mtls now");
	cr_expect_eq(HASH_COUNT(preview.peers), 0, "plaintext stands on no root");
	fl_preview_done(&preview);
	expect_carries_on(&call);
}

/* A generation in the middle of a preview: it begins again, and each is counted once, also those that this judgement closes. */
Test(judged, preview_and_judgement_in_one_walk_see_each_connection)
{
	struct call calls[CALL_KINDS];
	struct fl_preview preview;

	open_each(calls);
	slow_down(FL_WALK_LOG);
	/* A walk for both aims follows this one. */
	for (unsigned i = 0; i < 2; i++) {
		fl_walk_start(&heart.worker->review.walk, FL_WALK_LOG);
	}
	start_preview(&preview, 10, &(struct heart_options){.rules = nobody, .extra = CLOSES});
	HEART_UNTIL(&heart, preview.judged == 1);
	heart_take(&heart, &(struct heart_options){.rules = nobody, .extra = CLOSES});
	HEART_UNTIL(&heart, previewed == 1);
	cr_expect_eq(preview.judged, CALL_KINDS);
	cr_expect_eq(preview.closes[FL_LOSS_POLICY], 2);
	cr_expect_eq(heart.worker->review.judge.last.closed[FL_LOSS_POLICY], 2);
	fl_preview_done(&preview);
	close_each(calls);
}

/* --- calls that fail -------------------------------------------------------------------------------- */

/* If any call fails while connections are closed, exactly the refused ones are closed. */
Test(judged, system_calls_that_fail_save_no_loser)
{
	struct faults faults = {.kinds = FAULTS_SYSTEM};

	while (faults_next(&faults)) {
		struct call loser, other;

		heart.spares_calls = true;
		heart_take(&heart, NULL);
		call_open(&heart, &loser, CALL_IN_TLS);
		call_open(&heart, &other, CALL_OUT_PLAIN);
		heart.spares_calls = false;
		heart_take(&heart, &(struct heart_options){.rules = nobody, .extra = CLOSES});
		HEART_UNTIL(&heart, heart.worker->review.judge.last.under_way == 0 &&
					    fl_worker_open(heart.worker, FL_INBOUND) == 0);
		heart_settle(&heart);
		faults_off();
		heart.spares_calls = true;
		cr_expect(loser.app.error != 0 || loser.app.has_finished, "%s", faults_where());
		cr_expect_eq(fl_worker_open(heart.worker, FL_OUTBOUND), 1, "%s", faults_where());
		call_close(&loser);
		expect_carries_on(&other);
	}
	cr_expect_gt(faults.most, 2);
}
