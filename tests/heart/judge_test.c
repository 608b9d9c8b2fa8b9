/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Open connections judged again: after a change of policy, trust or names, for age, and for a preview. */
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

TestSuite(judge, .init = open_heart, .fini = close_heart);

#define CLOSES_ALL "[rotation]\non_policy_loss = close\non_trust_loss = close\non_expiry = close\n"
#define KEEPS_ALL "[rotation]\non_policy_loss = keep\non_trust_loss = keep\non_expiry = keep\n"

/* The change that makes each kind of call inadmissible. */
static struct heart_options denial_of(enum call_kind kind)
{
	static const char others[] = "[allow else]\nfrom = spiffe://prod.example/else\n";

	switch (kind) {
	case CALL_IN_TLS:
	case CALL_IN_PLAIN:
		return (struct heart_options){.rules = others};
	case CALL_OUT_TLS:
		return (struct heart_options){
			.api = "to = 127.0.0.1:1\npeer = spiffe://prod.example/else\n"};
	case CALL_OUT_PLAIN:
	case CALL_KINDS:
		break;
	}
	return (struct heart_options){
		.db = "to = 127.0.0.1:1\npeer = spiffe://prod.example/else\n"};
}

static void expect_closed(struct call *call, enum fl_reason reason)
{
	HEART_UNTIL(&heart, side_was_reset(&call->app));
	cr_expect_eq(heart_ended(&heart, call_direction(call->kind), reason), 1, "%s",
		     heart_log(&heart));
	HEART_UNTIL(&heart, side_was_reset(&call->mesh) || call->mesh.failure != NULL ||
				    call->mesh.has_fin);
	if (call_is_tls(call->kind)) { /* without our close_notify yet: an alert says why */
		HEART_UNTIL(&heart, call->mesh.failure != NULL);
		cr_expect_eq(call->mesh.failure->cause, FL_TLS_CAUSE_PEER_ALERT);
	}
	call_close(call);
	HEART_UNTIL(&heart, heart_open_connections(&heart) == 0);
}

static void expect_carries_on(struct call *call)
{
	side_say(&call->app, "still here");
	HEART_UNTIL(&heart, side_has(&call->mesh, "still here"));
	call_close(call);
	HEART_UNTIL(&heart, heart_open_connections(&heart) == 0);
}

/* --- policy --------------------------------------------------------------------------------------- */

Test(judge, connection_that_policy_or_its_upstream_allows_no_more_is_closed)
{
	EACH_KIND
	{
		struct heart_options options = denial_of(kind);
		struct call call;

		call_open(&heart, &call, kind);
		options.extra = CLOSES_ALL;
		heart_take(&heart, &options);
		expect_closed(&call, FL_REASON_POLICY_LOST);
		cr_expect_eq(heart.worker->review.judge.last.closed[FL_LOSS_POLICY], 1);
		close_heart();
		open_heart();
	}
}

Test(judge, connection_that_rotation_keeps_is_counted_and_carries_on)
{
	EACH_KIND
	{
		struct heart_options options = denial_of(kind);
		struct call call;

		call_open(&heart, &call, kind);
		options.extra = KEEPS_ALL;
		heart_take(&heart, &options);
		heart_settle(&heart);
		cr_expect_eq(heart.loop->counters.judged_kept[FL_LOSS_POLICY], 1);
		expect_carries_on(&call);
		close_heart();
		open_heart();
	}
}

Test(judge, connection_in_audit_mode_is_counted_and_carries_on)
{
	struct call call;

	call_open(&heart, &call, CALL_IN_TLS);
	heart_take(&heart, &(struct heart_options){.rules = "[policy]\nmode = audit\n"
							    "[allow else]\nfrom = "
							    "spiffe://prod.example/else\n",
						   .extra = CLOSES_ALL});
	heart_settle(&heart);
	cr_expect_eq(heart.loop->counters.judged_audited, 1);
	expect_carries_on(&call);
}

Test(judge, upstream_that_has_gone_loses_its_connections)
{
	struct call call;

	call_open(&heart, &call, CALL_OUT_TLS);
	heart_take(&heart, &(struct heart_options){.lacks_api_and_web = true, .extra = CLOSES_ALL});
	expect_closed(&call, FL_REASON_POLICY_LOST);
	cr_expect(heart_logged(&heart, "the INI has no such upstream any more"));
}

Test(judge, captured_connection_whose_destination_is_refused_now_is_closed)
{
	struct sockaddr_in to;
	struct call call = {.heart = &heart, .kind = CALL_OUT_PLAIN};

	heart_take(&heart, &(struct heart_options){.extra = "[outbound]\ndefault = plaintext\n"});
	to = heart_loopback(heart.place_ports[PLACE_OTHER]);
	heart_pretend_destination((struct sockaddr *)&to);
	heart_connect(&heart, &call.app, DOOR_CAPTURE_OUT);
	heart_accept(&heart, &call.mesh, PLACE_OTHER);
	HEART_UNTIL(&heart, strcmp(heart_state(&heart), "open") == 0);
	heart_take(&heart,
		   &(struct heart_options){.extra = "[outbound]\ndefault = refuse\n" CLOSES_ALL});
	expect_closed(&call, FL_REASON_POLICY_LOST);
	cr_expect(heart_logged(&heart, "its destination is refused now"));
}

Test(judge, upstream_that_becomes_plaintext_keeps_its_sessions)
{
	struct call call;

	call_open(&heart, &call, CALL_OUT_TLS);
	heart_take(&heart, &(struct heart_options){.api = "to = 127.0.0.1:1\nmode = plaintext\n",
						   .extra = CLOSES_ALL});
	heart_settle(&heart);
	expect_carries_on(&call);
}

Test(judge, plaintext_at_a_port_that_is_strict_now_is_closed)
{
	struct call call;

	call_open(&heart, &call, CALL_IN_PLAIN);
	heart_take(&heart, &(struct heart_options){.clear = "app = 127.0.0.1:1\nmode = strict\n",
						   .extra = CLOSES_ALL});
	expect_closed(&call, FL_REASON_POLICY_LOST);
}

/* --- trust ---------------------------------------------------------------------------------------- */

static void lose_by(const struct heart_options *options, enum fl_reason reason)
{
	for (enum call_kind kind = CALL_IN_TLS; kind <= CALL_OUT_TLS;
	     kind += CALL_OUT_TLS - CALL_IN_TLS) {
		struct call call;

		close_heart();
		open_heart();
		call_open(&heart, &call, kind);
		heart_take(&heart, options);
		expect_closed(&call, reason);
	}
}

Test(judge, peer_whose_root_has_gone_is_closed)
{
	lose_by(&(struct heart_options){.own = "under-p384-root",
					.bundle = "p384-root",
					.extra = CLOSES_ALL},
		FL_REASON_TRUST_LOST);
}

Test(judge, peer_that_is_revoked_is_closed)
{
	lose_by(&(struct heart_options){.crl = "own", .extra = CLOSES_ALL}, FL_REASON_REVOKED);
}

/* After that, no certificate of this process is valid any more. */
static void outlive_certificate(enum call_kind kind)
{
	struct call call;

	heart_take(&heart,
		   &(struct heart_options){.extra = CLOSES_ALL "[limits]\nidle_timeout = 0\n"});
	call_open(&heart, &call, kind);
	heart_skip_ms(&heart, 70000);
	cr_expect_eq(heart_open_connections(&heart), 1);
	clock_skip_ms(TEN_YEARS_MS);
	heart_turn(&heart);
	expect_closed(&call, FL_REASON_PEER_EXPIRED);
}

Test(judge, client_whose_certificate_runs_out_is_closed)
{
	outlive_certificate(CALL_IN_TLS);
}

Test(judge, server_whose_certificate_runs_out_is_closed)
{
	outlive_certificate(CALL_OUT_TLS);
}

/* The generation changes during a handshake: the connection is judged by the new one when it is ready. */
Test(judge, peer_that_becomes_ready_late_is_judged_by_the_current_generation)
{
	struct heart_options options = denial_of(CALL_OUT_TLS);
	struct side peer, app;

	heart_connect(&heart, &app, DOOR_MTLS_OUT);
	heart_accept(&heart, &peer, PLACE_MESH);
	peer.is_deaf = true;
	HEART_UNTIL(&heart, strcmp(heart_state(&heart), "handshake") == 0);
	options.extra = KEEPS_ALL;
	heart_take(&heart, &options);
	heart_speak_tls(&heart, &peer, FL_TLS_SERVER, "p256");
	peer.is_deaf = false;
	HEART_UNTIL(&heart, side_was_reset(&app));
	cr_expect_eq(heart_ended(&heart, FL_OUTBOUND, FL_REASON_POLICY_LOST), 1);
	heart_forget(&heart, &app);
	heart_forget(&heart, &peer);
	side_close(&app);
	side_close(&peer);
}

Test(judge, peer_that_becomes_ready_late_and_is_still_welcome_stays)
{
	struct side peer, app;

	heart_connect(&heart, &app, DOOR_MTLS_OUT);
	heart_accept(&heart, &peer, PLACE_MESH);
	peer.is_deaf = true;
	HEART_UNTIL(&heart, strcmp(heart_state(&heart), "handshake") == 0);
	heart_take(&heart, &(struct heart_options){.crl = "none"});
	heart_speak_tls(&heart, &peer, FL_TLS_SERVER, "p256");
	peer.is_deaf = false;
	side_say(&app, "hello");
	HEART_UNTIL(&heart, side_has(&peer, "hello"));
	heart_forget(&heart, &app);
	heart_forget(&heart, &peer);
	side_close(&app);
	side_close(&peer);
}

/* --- age ------------------------------------------------------------------------------------------ */

Test(judge, connections_of_older_generations_end_in_an_orderly_way_at_a_pause)
{
	EACH_KIND
	{
		struct call call;

		call_open(&heart, &call, kind);
		heart_take(&heart, &(struct heart_options){.extra = "[rotation]\nrecycle = 20s\n"});
		for (unsigned i = 0; i < 80 && !call.app.has_finished; i++) {
			heart_skip_ms(&heart, 250);
		}
		cr_expect(call.app.has_finished && !side_was_reset(&call.app));
		HEART_UNTIL(&heart, call.mesh.has_finished);
		cr_expect_eq(heart_ended(&heart, call_direction(kind), FL_REASON_RECYCLED), 1);
		call_close(&call);
		close_heart();
		open_heart();
	}
}

static void speak_on(struct call *call, unsigned seconds, struct side *watched)
{
	for (unsigned i = 0; i < seconds * 4 && !side_was_reset(watched) && watched->error == 0;
	     i++) {
		side_say(&call->app, ".");
		side_say(&call->mesh, ".");
		heart_skip_ms(&heart, 250);
	}
}

Test(judge, connection_of_an_older_generation_without_a_pause_is_reset_in_the_end)
{
	struct call call;

	call_open(&heart, &call, CALL_IN_PLAIN);
	heart_take(&heart, &(struct heart_options){.extra = "[rotation]\nrecycle = 20s\n"});
	speak_on(&call, 15, &call.app);
	cr_expect_eq(heart_open_connections(&heart), 1);
	speak_on(&call, 15, &call.app);
	cr_expect_eq(heart_ended(&heart, FL_INBOUND, FL_REASON_RECYCLED), 1);
	call_close(&call);
}

Test(judge, connection_of_max_age_ends_at_a_pause_or_is_reset_after_drain)
{
	for (unsigned speaks = 0; speaks < 2; speaks++) {
		struct call call;

		close_heart();
		heart_open(&heart, &(struct heart_options){.extra = "[limits]\nmax_age = 20s\n"});
		call_open(&heart, &call, CALL_IN_PLAIN);
		heart_skip_ms(&heart, 15000);
		cr_expect_eq(heart_open_connections(&heart), 1);
		if (speaks) {
			speak_on(&call, 12, &call.app);
		} else {
			heart_skip_ms(&heart, 8000);
		}
		cr_expect_eq(heart_ended(&heart, FL_INBOUND, FL_REASON_MAX_AGE), 1);
		cr_expect_eq(call.app.has_finished, !speaks);
		call_close(&call);
	}
}

Test(judge, connection_that_lives_long_leaves_a_line_now_and_then)
{
	EACH_KIND
	{
		struct call call;

		close_heart();
		heart_open(&heart,
			   &(struct heart_options){.extra = "[limits]\nidle_timeout = 0\n"});
		call_open(&heart, &call, kind);
		heart_skip_ms(&heart, 640000);
		cr_expect(heart_logged(&heart, "open"), "%s", heart_log(&heart));
		expect_carries_on(&call);
	}
}

/* --- previews ------------------------------------------------------------------------------------- */

static unsigned previewed;

static void on_previewed(void *user)
{
	(void)user;
	previewed++;
}

static void start_preview(struct fl_preview *preview, const struct heart_options *options)
{
	*preview = (struct fl_preview){
		.share = heart_candidate(&heart, options), .max = 10, .done = on_previewed};
	previewed = 0;
	fl_previewer_start(&heart.worker->review.previewer, preview);
}

Test(judge, preview_tells_who_would_be_closed_and_closes_nobody)
{
	struct call calls[CALL_KINDS];

	EACH_KIND
	{
		call_open(&heart, &calls[kind], kind);
	}
	EACH_KIND
	{
		struct heart_options options = denial_of(kind);
		struct fl_preview preview;
		unsigned losers = call_is_inbound(kind) ? 2 : 1; /* the policy covers both */

		options.extra = CLOSES_ALL;
		start_preview(&preview, &options);
		HEART_UNTIL(&heart, previewed == 1);
		cr_expect_eq(preview.open, CALL_KINDS);
		cr_expect_eq(preview.judged, CALL_KINDS);
		cr_expect_eq(preview.closes[FL_LOSS_POLICY], losers);
		cr_expect_eq(preview.doomed_count, losers);
		cr_expect_eq(HASH_COUNT(preview.peers), 1);
		fl_preview_done(&preview);
		options.extra = KEEPS_ALL;
		start_preview(&preview, &options);
		HEART_UNTIL(&heart, previewed == 1);
		cr_expect_eq(preview.keeps[FL_LOSS_POLICY], losers);
		cr_expect_eq(preview.doomed_count, 0);
		fl_preview_done(&preview);
	}
	cr_expect_eq(heart_open_connections(&heart), CALL_KINDS);
	EACH_KIND
	{
		call_close(&calls[kind]);
	}
}

Test(judge, preview_of_other_roots_names_what_breaks)
{
	struct fl_preview preview;
	struct call call;

	call_open(&heart, &call, CALL_IN_TLS);
	start_preview(&preview, &(struct heart_options){.own = "under-p384-root",
							.bundle = "p384-root",
							.extra = CLOSES_ALL});
	HEART_UNTIL(&heart, previewed == 1);
	cr_assert_eq(preview.doomed_count, 1);
	cr_expect_eq(preview.doomed[0].loss, FL_LOSS_TRUST);
	cr_expect_not_null(strstr(preview.doomed[0].detail, "p256"), "%s",
			   preview.doomed[0].detail);
	fl_preview_done(&preview);
	expect_carries_on(&call);
}

Test(judge, preview_begins_again_when_a_generation_comes_meanwhile)
{
	struct fl_preview preview;
	struct call call;

	call_open(&heart, &call, CALL_IN_TLS);
	start_preview(&preview, &(struct heart_options){.extra = CLOSES_ALL});
	heart_take(&heart, NULL);
	HEART_UNTIL(&heart, previewed == 1);
	cr_expect_eq(preview.judged, 1);
	fl_preview_done(&preview);
	expect_carries_on(&call);
}

Test(judge, preview_is_answered_by_a_worker_that_stops)
{
	struct fl_preview preview;
	struct call call;

	call_open(&heart, &call, CALL_IN_TLS);
	start_preview(&preview, &(struct heart_options){.extra = CLOSES_ALL});
	fl_worker_post_stop(heart.worker);
	HEART_UNTIL(&heart, previewed == 1);
	fl_preview_done(&preview);
	start_preview(&preview, &(struct heart_options){.extra = CLOSES_ALL});
	cr_expect_eq(previewed, 1);
	fl_preview_done(&preview);
	call_close(&call);
}

/* --- memory --------------------------------------------------------------------------------------- */

Test(judge, preview_without_memory_ends_all_the_same)
{
	struct faults faults = {.kinds = FAULTS_MEMORY};
	struct heart_options options = denial_of(CALL_IN_TLS);
	struct call call;

	call_open(&heart, &call, CALL_IN_TLS);
	options.extra = CLOSES_ALL;
	while (faults_next(&faults)) {
		struct fl_preview preview;

		start_preview(&preview, &options);
		HEART_UNTIL(&heart, previewed == 1);
		cr_expect_eq(preview.judged, 1);
		cr_expect_eq(preview.closes[FL_LOSS_POLICY] + preview.closes[FL_LOSS_TRUST], 1);
		fl_preview_done(&preview);
	}
	cr_expect_gt(faults.most, 2);
	expect_carries_on(&call);
}

/* A chain must be verified again: if memory runs out, the connection is lost. */
Test(judge, judging_without_memory_costs_that_connection_at_most)
{
	struct faults faults = {.kinds = FAULTS_MEMORY};
	bool has_crl = false;

	while (faults_next(&faults)) {
		struct heart_options options = {.crl = has_crl ? NULL : "none",
						.extra = CLOSES_ALL};
		struct call call;

		has_crl = !has_crl;
		heart.spares_calls = true;
		call_open(&heart, &call, CALL_IN_TLS);
		heart.spares_calls = false;
		heart_take(&heart, &options);
		HEART_UNTIL(&heart, heart.worker->review.judge.last.under_way == 0);
		if (faults.round == 0) {
			cr_assert_eq(heart_open_connections(&heart), 1);
		}
		call_close(&call);
		HEART_UNTIL(&heart, heart_open_connections(&heart) == 0);
	}
	cr_expect_gt(faults.most, 2);
}

/* --- walks ---------------------------------------------------------------------------------------- */

/* More than one walk is requested: judging begins again, and the other aims follow it. */
Test(judge, walks_for_several_aims_see_each_connection)
{
	struct call calls[CALL_KINDS];

	heart_take(&heart, &(struct heart_options){.extra = "[rotation]\nrecycle = 1h\n"});
	EACH_KIND
	{
		call_open(&heart, &calls[kind], kind);
	}
	fl_walk_start(&heart.worker->review.walk, FL_WALK_RECYCLE);
	fl_walk_start(&heart.worker->review.walk, FL_WALK_LOG);
	fl_judge_start(&heart.worker->review.judge);
	fl_walk_start(&heart.worker->review.walk, FL_WALK_RECYCLE);
	heart_settle(&heart);
	cr_expect_eq(heart.worker->review.judge.last.judged, CALL_KINDS);
	cr_expect_eq(heart.worker->review.judge.last.under_way, 0);
	cr_expect_eq(heart.worker->review.walk.aims, 0);
	EACH_KIND
	{
		call_close(&calls[kind]);
	}
}
