/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The arithmetic of judging open connections: which ones are refused, which are kept, and which end next. */
#include <criterion/criterion.h>

#include <string.h>

#include "base/mem.h"
#include "judge/judge.h"
#include "judge/recycle.h"

/* --- judge ------------------------------------------------------------------------------------------ */

static struct fl_conf conf_of(enum fl_on_change trust, enum fl_on_change expiry,
			      enum fl_on_change policy)
{
	struct fl_conf conf = {.path = NULL};

	conf.rotation.on_trust_loss = trust;
	conf.rotation.on_expiry = expiry;
	conf.rotation.on_policy_loss = policy;
	return conf;
}

/* Every fact, alone and with the others, under every setting. */
Test(judge, every_combination)
{
	static const enum fl_rule rules[] = {FL_RULE_NONE, FL_RULE_UNKNOWN_ISSUER, FL_RULE_REVOKED};

	for (unsigned bits = 0; bits < 3 * 2 * 2 * 2 * 8; bits++) {
		struct fl_judge_facts facts = {.rule = rules[bits % 3],
					       .expired = (bits / 3 & 1) != 0,
					       .denied = (bits / 6 & 1) != 0,
					       .is_new = (bits / 12 & 1) != 0};
		unsigned set = bits / 24;
		struct fl_conf conf = conf_of((set & 1) != 0 ? FL_CHANGE_CLOSE : FL_CHANGE_KEEP,
					      (set & 2) != 0 ? FL_CHANGE_CLOSE : FL_CHANGE_KEEP,
					      (set & 4) != 0 ? FL_CHANGE_CLOSE : FL_CHANGE_KEEP);
		bool trust = facts.rule != FL_RULE_NONE;
		bool closes = (trust && (facts.is_new || (set & 1) != 0)) ||
			      (facts.expired && (facts.is_new || (set & 2) != 0)) ||
			      (facts.denied && (facts.is_new || (set & 4) != 0));
		struct fl_judge_outcome outcome = fl_judge_decide(&facts, &conf);

		cr_assert_eq(outcome.closes, closes, "%u", bits);
		cr_assert_eq(outcome.losses != 0, trust || facts.expired || facts.denied);
		cr_assert_eq(outcome.loss == FL_LOSSES, outcome.losses == 0);
		cr_assert(outcome.losses == 0 || (outcome.losses & 1u << outcome.loss) != 0);
	}
}

Test(judge, the_reason_is_the_first_that_closes)
{
	struct fl_conf all = conf_of(FL_CHANGE_CLOSE, FL_CHANGE_CLOSE, FL_CHANGE_CLOSE),
		       late = conf_of(FL_CHANGE_KEEP, FL_CHANGE_CLOSE, FL_CHANGE_KEEP),
		       none = conf_of(FL_CHANGE_KEEP, FL_CHANGE_KEEP, FL_CHANGE_KEEP);
	struct fl_judge_facts facts = {.rule = FL_RULE_REVOKED, .expired = true, .denied = true};

	cr_assert_eq(fl_judge_decide(&facts, &all).loss, FL_LOSS_REVOKED);
	cr_assert_eq(fl_judge_decide(&facts, &late).loss, FL_LOSS_EXPIRED);
	cr_assert_eq(fl_judge_decide(&facts, &none).loss, FL_LOSS_REVOKED);
	cr_assert_not(fl_judge_decide(&facts, &none).closes);
	facts.rule = FL_RULE_CHAIN;
	cr_assert_eq(fl_judge_decide(&facts, &all).loss, FL_LOSS_TRUST);
	facts.rule = FL_RULE_NONE;
	cr_assert_eq(fl_judge_decide(&facts, &all).loss, FL_LOSS_POLICY);
	/* A decision in audit mode is not a loss. */
	facts = (struct fl_judge_facts){.audited = true};
	cr_assert_eq(fl_judge_decide(&facts, &all).losses, 0);
}

Test(judge, reasons)
{
	cr_assert_str_eq(fl_reason_word(fl_loss_reason(FL_LOSS_TRUST)), "trust_lost");
	cr_assert_str_eq(fl_reason_word(fl_loss_reason(FL_LOSS_REVOKED)), "revoked");
	cr_assert_str_eq(fl_reason_word(fl_loss_reason(FL_LOSS_POLICY)), "policy_lost");
	cr_assert_str_eq(fl_reason_word(fl_loss_reason(FL_LOSS_EXPIRED)), "peer_expired");
}

/* Workers get a generation one after the other: the later one counts. */
Test(judge, counts_of_workers)
{
	const struct fl_judged old = {.generation = 1, .workers = 1, .judged = 7},
			       a = {.generation = 2, .workers = 1, .under_way = 1, .judged = 3},
			       b = {.generation = 2, .workers = 1, .judged = 4, .closed = {1, 2}},
			       none = {0};
	const struct fl_judged *const in[] = {&old, &a, &none, &old, &b};
	struct fl_judged sum = {0};

	for (size_t i = 0; i < FL_COUNT_OF(in); i++) {
		fl_judged_add(&sum, in[i]);
	}
	cr_assert_eq(sum.generation, 2);
	cr_assert_eq(sum.workers, 2);
	cr_assert_eq(sum.under_way, 1);
	cr_assert_eq(sum.judged, 7);
	cr_assert_eq(sum.closed[1], 2);
}

/* --- recycle ---------------------------------------------------------------------------------------- */

Test(recycle, buckets)
{
	cr_assert_eq(fl_recycle_bucket(0), 0);
	cr_assert_eq(fl_recycle_bucket(1), 1);
	cr_assert_eq(fl_recycle_bucket(2), 2);
	cr_assert_eq(fl_recycle_bucket(1023), 10);
	cr_assert_eq(fl_recycle_bucket(1024), 11);
	cr_assert_eq(fl_recycle_bucket(UINT64_MAX), FL_RECYCLE_BUCKETS - 1);
}

Test(recycle, share_of_a_look)
{
	cr_assert_float_eq(fl_recycle_share(100, 200, 100, 150), 0.5, 1e-9);
	cr_assert_float_eq(fl_recycle_share(100, 200, 0, 150), 0.5, 1e-9);
	cr_assert_float_eq(fl_recycle_share(100, 200, 150, 175), 0.5, 1e-9);
	cr_assert_float_eq(fl_recycle_share(100, 200, 150, 150), 0, 1e-9);
	cr_assert_float_eq(fl_recycle_share(100, 200, 0, 50), 0, 1e-9);
	cr_assert_float_eq(fl_recycle_share(100, 200, 150, 200), 1, 1e-9);
	cr_assert_float_eq(fl_recycle_share(100, 200, 250, 300), 1, 1e-9);
	cr_assert_float_eq(fl_recycle_share(100, 100, 0, 100), 1, 1e-9);
}

/* At any interval between rounds, the share of connections left equals the share of time left. */
Test(recycle, goes_evenly)
{
	double left = 1;
	uint64_t last = 1000;

	for (uint64_t now = 1000; now < 2000; now += 1 + now % 37) {
		left *= 1 - fl_recycle_share(1000, 2000, last, now);
		last = now;
		cr_assert_float_eq(left, (double)(2000 - now) / 1000, 1e-6);
	}
}

Test(recycle, longest_idle_first)
{
	struct fl_recycle_census census = {.total = 100};

	census.counts[fl_recycle_bucket(60000)] = 20;
	census.counts[fl_recycle_bucket(2000)] = 30;
	census.counts[fl_recycle_bucket(10)] = 50;
	/* A tenth: half of those that have been idle longest, by chance. */
	cr_assert(fl_recycle_is_among(&census, 60000, 0.1, 0.49));
	cr_assert_not(fl_recycle_is_among(&census, 60000, 0.1, 0.51));
	cr_assert_not(fl_recycle_is_among(&census, 2000, 0.1, 0));
	/* Four tenths: all of them, and two thirds of the next. */
	cr_assert(fl_recycle_is_among(&census, 60000, 0.4, 0.99));
	cr_assert(fl_recycle_is_among(&census, 2000, 0.4, 0.6));
	cr_assert_not(fl_recycle_is_among(&census, 2000, 0.4, 0.7));
	cr_assert_not(fl_recycle_is_among(&census, 10, 0.4, 0));
	cr_assert(fl_recycle_is_among(&census, 10, 1, 0.999));
	/* No connection was counted yet: none ends. */
	census = (struct fl_recycle_census){.total = 0};
	cr_assert_not(fl_recycle_is_among(&census, 60000, 0.5, 0));
}
