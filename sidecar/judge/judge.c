/* SPDX-License-Identifier: GPL-3.0-or-later */
/* judge - collects facts, decides, and acts.
 *
 * Happy path: nothing has changed for the connection; the cost is reading its peer's stored verdict and one policy
 * decision. Failure: if memory runs out while a chain is verified, the connection is closed, as in a handshake. */
#include "judge/judge.h"

#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "base/tls_alert.h"
#include "conn/loop.h"
#include "conn/stream.h"
#include "judge/recycle.h"
#include "judge/walk.h"
#include "pki/spiffe.h"

#define CLOCK_CHECK_S 60 /* clocks may be set, so no timer of ours runs longer */

/* --- decision ------------------------------------------------------------------------------------- */

static uint8_t losses_of(const struct fl_judge_facts *facts)
{
	uint8_t losses = 0;

	if (facts->rule != FL_RULE_NONE) {
		losses |= 1u << (facts->rule == FL_RULE_REVOKED ? FL_LOSS_REVOKED : FL_LOSS_TRUST);
	}
	if (facts->denied) {
		losses |= 1u << FL_LOSS_POLICY;
	}
	if (facts->expired) {
		losses |= 1u << FL_LOSS_EXPIRED;
	}
	return losses;
}

struct fl_judge_outcome fl_judge_decide(const struct fl_judge_facts *facts,
					const struct fl_conf *conf)
{
	const enum fl_on_change on[FL_LOSSES] = {
		[FL_LOSS_TRUST] = conf->rotation.on_trust_loss,
		[FL_LOSS_REVOKED] = conf->rotation.on_trust_loss,
		[FL_LOSS_POLICY] = conf->rotation.on_policy_loss,
		[FL_LOSS_EXPIRED] = conf->rotation.on_expiry,
	};
	struct fl_judge_outcome outcome = {.losses = losses_of(facts), .loss = FL_LOSSES};

	for (unsigned i = FL_LOSSES; i-- > 0;) {
		bool closes = facts->is_new || on[i] == FL_CHANGE_CLOSE;

		/* The first loss counts; losses that close the connection come before those that do not. */
		if ((outcome.losses & 1u << i) != 0 && (closes || !outcome.closes)) {
			outcome.loss = (enum fl_loss)i;
			outcome.closes = closes;
		}
	}
	return outcome;
}

/* --- facts ---------------------------------------------------------------------------------------- */

/* What the log adds about a connection that is no longer admitted. */
struct grounds {
	struct fl_verdict verdict; /* inbound: by the current policy */
	struct fl_err detail;
};

/* Would the connection be allowed to this destination and peer? id: NULL in plaintext. */
static bool may_go_out(const struct fl_stream *stream, const struct fl_share *share, const char *id,
		       struct fl_err *detail)
{
	const struct fl_conn *conn = fl_stream_conn(stream);
	const struct fl_conf_upstream *upstream = fl_conn_upstream_under(conn, share);

	if (upstream == NULL) {
		fl_err_set(detail, FL_ERR_DENIED, "the INI has no such upstream any more");
		return false;
	}
	if (upstream->mode == FL_OUTBOUND_REFUSE) {
		fl_err_set(detail, FL_ERR_DENIED, "its destination is refused now");
		return false;
	}
	if (id == NULL && upstream->mode == FL_OUTBOUND_MTLS) {
		fl_err_set(detail, FL_ERR_DENIED,
			   "it is in plaintext, but its destination requires mtls now");
		return false;
	}
	if (id == NULL && fl_stream_is_claimed(stream, share)) {
		fl_err_set(detail, FL_ERR_DENIED,
			   "it is in plaintext, but its address now belongs to an upstream that is "
			   "not, or is outside of `within`");
		return false;
	}
	if (id == NULL || upstream->mode == FL_OUTBOUND_PLAINTEXT) {
		return true;
	}
	if (!fl_stream_is_mutual(stream) && !upstream->mutual_optional) {
		fl_err_set(detail, FL_ERR_DENIED,
			   "its server has not asked for our certificate, which is required now");
		return false;
	}
	if (upstream->peer_count > 0
		    ? fl_upstream_expects(upstream, id, strlen(id))
		    : fl_spiffe_is_of_domain(id, share->generation->credentials->trust_domain)) {
		return true;
	}
	fl_err_set(detail, FL_ERR_DENIED, "`peer` of the upstream does not name %s any more", id);
	return false;
}

static bool may_come_in(const struct fl_conn *conn, const struct fl_share *share, const char *id,
			struct grounds *grounds)
{
	const struct fl_conf *conf = share->generation->conf;
	const struct fl_conf_service *service = fl_conn_service_under(conn, share);
	const struct fl_conf_inbound *inbound =
		service != NULL ? &service->inbound : &conf->inbound;
	union fl_sockaddr source;
	struct fl_request request = fl_conn_request(conn, id, &source);

	request.service = service != NULL ? service->name : NULL;
	grounds->verdict = fl_policy_decide(conf->policy, &request);
	if (grounds->verdict.effect != FL_ALLOW) {
		return false;
	}
	/* A fixed listener whose section has gone says nothing about its mode. */
	if (id == NULL && inbound->mode == FL_INBOUND_STRICT &&
	    (service != NULL || fl_conn_is_captured(conn))) {
		fl_err_set(&grounds->detail, FL_ERR_DENIED,
			   "it is in plaintext, but its port is strict now");
		return false;
	}
	return true;
}

/* 0 or FL_ERR_NOMEM. share: of the generation to judge by; peer: NULL in plaintext. */
static int find_facts(struct fl_share *share, const struct fl_stream *stream,
		      struct fl_tls_peer *peer, struct fl_judge_facts *facts,
		      struct grounds *grounds)
{
	const struct fl_conn *conn = fl_stream_conn(stream);
	const char *id = peer != NULL ? fl_tls_peer_name(peer) : NULL;
	int rc = 0;

	if (peer != NULL) {
		facts->expired = fl_tls_peer_until(peer) < (int64_t)time(NULL);
		rc = fl_tls_peer_judge(share->server, peer, &facts->rule, NULL);
	}
	if (conn->direction == FL_INBOUND) {
		facts->denied = !may_come_in(conn, share, id, grounds);
		facts->audited = !facts->denied && grounds->verdict.audited;
	} else {
		facts->denied = !may_go_out(stream, share, id, &grounds->detail);
	}
	return rc;
}

/* --- consequence ---------------------------------------------------------------------------------- */

static uint8_t alert_of(enum fl_loss loss, enum fl_rule rule)
{
	switch (loss) {
	case FL_LOSS_TRUST:
	case FL_LOSS_REVOKED:
		return fl_rule_alert(rule);
	case FL_LOSS_EXPIRED:
		return FL_ALERT_CERTIFICATE_EXPIRED;
	case FL_LOSS_POLICY:
	case FL_LOSSES:
		break;
	}
	return FL_ALERT_ACCESS_DENIED;
}

static void close_loser(const struct fl_judge *judge, struct fl_stream *stream,
			struct fl_tls_peer *peer, struct fl_judge_outcome outcome,
			enum fl_rule rule, struct grounds *grounds)
{
	bool by_trust = outcome.loss == FL_LOSS_TRUST || outcome.loss == FL_LOSS_REVOKED;
	struct fl_ending ending = {
		.reason = fl_loss_reason(outcome.loss),
		.alert = alert_of(outcome.loss, rule),
		.verdict = grounds->verdict.effect != FL_ALLOW ? &grounds->verdict : NULL,
	};

	if (by_trust) {
		/* Judges again for the sentence: only the rule is stored. */
		grounds->detail = (struct fl_err){.code = FL_OK};
		ending.broken_rule = rule;
		(void)!fl_tls_peer_judge(judge->loop->share->server, peer, &rule, &grounds->detail);
	}
	if ((by_trust || outcome.loss == FL_LOSS_POLICY) && grounds->detail.text[0] != '\0') {
		ending.detail = grounds->detail.text;
	}
	fl_stream_end(stream, &ending);
}

/* Counts each connection once, under its first loss. */
static void count_in_walk(struct fl_judged *last, const struct fl_judge_facts *facts,
			  struct fl_judge_outcome outcome)
{
	fl_count(&last->judged, 1);
	if (outcome.closes) {
		fl_count(&last->closed[outcome.loss], 1);
		return;
	}
	if (facts->audited) {
		fl_count(&last->audited, 1);
	}
	if (outcome.loss != FL_LOSSES) {
		fl_count(&last->kept[outcome.loss], 1);
	}
}

static void count_kept(struct fl_counters *counters, const struct fl_judge_facts *facts,
		       struct fl_judge_outcome outcome)
{
	if (facts->audited) {
		fl_count(&counters->judged_audited, 1);
	}
	if (outcome.loss != FL_LOSSES) {
		fl_count(&counters->judged_kept[outcome.loss], 1);
	}
}

/* last: the counts of a walk over all streams; NULL: this one is judged by itself. False: it is no longer admitted, and was closed. */
static bool judge_stream(struct fl_judge *judge, struct fl_stream *stream, bool is_new,
			 struct fl_judged *last)
{
	struct fl_tls_peer *peer = fl_stream_peer(stream);
	struct fl_judge_facts facts = {.rule = FL_RULE_NONE, .is_new = is_new};
	struct grounds grounds;
	struct fl_judge_outcome outcome;
	int rc;

	grounds.verdict = (struct fl_verdict){.effect = FL_ALLOW};
	grounds.detail.text[0] = '\0';
	fl_stream_conn(stream)->awaits_name =
		fl_conn_awaits_name(fl_stream_conn(stream), judge->loop->share);
	fl_count(&judge->loop->counters.judged, 1);
	rc = find_facts(judge->loop->share, stream, peer, &facts, &grounds);
	if (rc != 0) {
		fl_stream_end(stream, &(struct fl_ending){.reason = FL_REASON_INTERNAL});
		return false;
	}
	outcome = fl_judge_decide(&facts, judge->loop->share->generation->conf);
	if (last != NULL) {
		count_in_walk(last, &facts, outcome);
	}
	if (outcome.closes) {
		close_loser(judge, stream, peer, outcome, facts.rule, &grounds);
		return false;
	}
	count_kept(&judge->loop->counters, &facts, outcome);
	if (peer != NULL && !facts.expired) {
		fl_judge_note_expiry(judge, fl_tls_peer_until(peer));
	}
	return true;
}

void fl_judge_ask(struct fl_stream *stream, struct fl_share *share, struct fl_judge_outcome *ret,
		  struct fl_err *detail)
{
	struct fl_tls_peer *peer = fl_stream_peer(stream);
	struct fl_judge_facts facts = {.rule = FL_RULE_NONE};
	struct grounds grounds = {.verdict = {.effect = FL_ALLOW}};

	if (find_facts(share, stream, peer, &facts, &grounds) != 0) {
		facts.rule = FL_RULE_CHAIN;
	}
	*ret = fl_judge_decide(&facts, share->generation->conf);
	if (ret->loss == FL_LOSS_TRUST || ret->loss == FL_LOSS_REVOKED) {
		(void)!fl_tls_peer_judge(share->server, peer, &facts.rule, detail);
	} else if (ret->loss == FL_LOSS_POLICY && grounds.verdict.effect != FL_ALLOW) {
		fl_err_set(detail, FL_ERR_DENIED, "rule %s",
			   grounds.verdict.rule != NULL ? grounds.verdict.rule : "default");
	} else if (ret->loss == FL_LOSS_POLICY) {
		*detail = grounds.detail;
	}
}

/* A connection whose mesh side is not ready yet is judged when it is. */
static bool visit(void *user, struct fl_stream *stream)
{
	struct fl_judge *judge = user;

	return !fl_stream_has_mesh(stream) || judge_stream(judge, stream, false, &judge->last);
}

bool fl_judge_late(struct fl_judge *judge, struct fl_stream *stream)
{
	struct fl_share *current = judge->loop->share;

	if (current == NULL) {
		return true;
	}
	if (fl_stream_conn(stream)->share == current) {
		/* The address may have changed owners while it was dialled. */
		return !fl_stream_is_claimed(stream, current) ||
		       judge_stream(judge, stream, true, NULL);
	}
	fl_recycle_generation(judge->recycle);
	return judge_stream(judge, stream, true, NULL);
}

void fl_judge_addresses(struct fl_judge *judge)
{
	struct fl_stream *stream = fl_stream_first(judge->loop);

	while (stream != NULL) {
		struct fl_stream *next = fl_stream_next(stream);

		if (fl_stream_has_mesh(stream) &&
		    (fl_stream_conn(stream)->awaits_name ||
		     fl_stream_is_claimed(stream, judge->loop->share))) {
			(void)judge_stream(judge, stream, false, NULL);
		}
		stream = next;
	}
}

/* --- time ----------------------------------------------------------------------------------------- */

static void on_clock(uv_timer_t *timer);

static void set_clock(struct fl_judge *judge)
{
	int64_t left = judge->next_expiry - (int64_t)time(NULL);

	/* A certificate is still valid in its last second. */
	left = left < 0 ? 1 : left >= CLOCK_CHECK_S ? CLOCK_CHECK_S : left + 1;
	FL_REQUIRE(uv_timer_start(&judge->expiry, on_clock, (uint64_t)left * 1000, 0) == 0);
}

static void on_clock(uv_timer_t *timer)
{
	struct fl_judge *judge = FL_CONTAINER_OF(timer, struct fl_judge, expiry);

	if (judge->next_expiry < (int64_t)time(NULL)) {
		fl_judge_start(judge);
	} else {
		set_clock(judge);
	}
}

void fl_judge_note_expiry(struct fl_judge *judge, int64_t until)
{
	if (until < judge->next_expiry && judge->loop->share != NULL && !judge->loop->stopping &&
	    judge->loop->share->generation->conf->rotation.on_expiry == FL_CHANGE_CLOSE) {
		judge->next_expiry = until;
		set_clock(judge);
	}
}

/* --- walks ---------------------------------------------------------------------------------------- */

void fl_judge_close(struct fl_judge *judge)
{
	uv_close((uv_handle_t *)&judge->expiry, NULL);
}

/* For a moment a reader may see counts of two different times, but never a torn count. */
static void forget(struct fl_judged *last)
{
	uint64_t *fields = (uint64_t *)(void *)last;

	for (size_t i = 0; i < sizeof(*last) / sizeof(*fields); i++) {
		__atomic_store_n(&fields[i], 0, __ATOMIC_RELAXED);
	}
}

void fl_judge_start(struct fl_judge *judge)
{
	struct fl_judged *last = &judge->last;

	forget(last);
	fl_count(&last->generation, judge->loop->share->generation->number);
	fl_count(&last->workers, 1);
	fl_count(&last->under_way, 1);
	judge->next_expiry = INT64_MAX;
	(void)uv_timer_stop(&judge->expiry);
	fl_walk_start(judge->walk, FL_WALK_JUDGE);
}

static uint64_t sum_of(const uint64_t counts[FL_LOSSES])
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < FL_LOSSES; i++) {
		sum += counts[i];
	}
	return sum;
}

static void on_walked(void *user)
{
	struct fl_judge *judge = user;
	struct fl_judged *last = &judge->last;
	uint64_t closed = sum_of(last->closed), kept = sum_of(last->kept);
	struct fl_line line;

	__atomic_store_n(&last->under_way, 0, __ATOMIC_RELAXED);
	if (last->judged == 0) {
		return;
	}
	fl_line_begin(&line, &judge->loop->log,
		      closed + kept + last->audited > 0 ? FL_LOG_INFO : FL_LOG_DEBUG,
		      "open connections judged again");
	fl_line_u64(&line, "generation", last->generation);
	fl_line_u64(&line, "judged", last->judged);
	fl_line_u64(&line, "closed", closed);
	fl_line_u64(&line, "kept", kept);
	fl_line_u64(&line, "audited", last->audited);
	fl_line_seconds(&line, "cpu_s", last->ns);
	fl_line_end(&line);
}

static void on_slice(void *user, uint64_t ns)
{
	struct fl_judge *judge = user;

	fl_count(&judge->last.ns, ns);
}

void fl_judge_init(struct fl_judge *judge, struct fl_loop *loop, struct fl_walk *walk,
		   struct fl_recycle *recycle)
{
	*judge = (struct fl_judge){
		.loop = loop, .walk = walk, .recycle = recycle, .next_expiry = INT64_MAX};
	fl_walk_register(
		walk, FL_WALK_JUDGE,
		&(struct fl_walk_visitor){
			.user = judge, .visit = visit, .on_slice = on_slice, .on_done = on_walked});
	FL_REQUIRE(uv_timer_init(loop->uv, &judge->expiry) == 0);
}
