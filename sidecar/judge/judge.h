/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_JUDGE_JUDGE_H
#define FL_JUDGE_JUDGE_H
/* judge - whether an open connection would be let in now, and what [rotation] does about one that would not.
 *
 * Asked of each when a generation arrives, when a peer's certificate runs out (`on_expiry = close`), and of a
 * connection whose handshake began under an older generation than the one that is current when it is done. What is asked
 * is what was asked at its start: trust and CRLs (fl_tls_peer_judge()), policy, or on the way out what the upstream in
 * charge says. Loop-bound but for fl_judge_decide(), which is pure. */
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "conf/conf.h"
#include "count/reason.h"
#include "pki/svid.h"

struct fl_share;
struct fl_stream;
struct fl_worker;

/* Ways to lose, in the order in which they count. */
enum fl_loss { FL_LOSS_TRUST, FL_LOSS_REVOKED, FL_LOSS_POLICY, FL_LOSS_EXPIRED, FL_LOSSES };
enum fl_reason fl_loss_reason(enum fl_loss loss);

/* What was found out about one connection. */
struct fl_judge_facts {
	enum fl_rule rule; /* that its peer's chain breaks now; FL_RULE_NONE in plaintext */
	bool expired;
	bool denied;  /* policy, or the upstream in charge, says no */
	bool audited; /* policy would have, and is in audit mode */
	bool is_new;  /* it has just become ready: nothing is to be kept yet */
};
struct fl_judge_outcome {
	uint8_t losses; /* bits: 1 << enum fl_loss */
	bool closes;
	enum fl_loss loss; /* why it is closed; else the first of losses, FL_LOSSES: none */
};
struct fl_judge_outcome fl_judge_decide(const struct fl_judge_facts *facts,
					const struct fl_conf *conf);

/* Counts of the last time; written by the worker, read by anybody (counters.h). */
struct fl_judged {
	uint64_t generation; /* 0: none yet */
	uint64_t workers;    /* how many have it: 1, or a sum */
	uint64_t under_way;  /* of those, where the walk is not over */
	uint64_t judged;
	uint64_t closed[FL_LOSSES];
	uint64_t kept[FL_LOSSES]; /* would have lost, but [rotation] keeps them */
	uint64_t audited;
	uint64_t ns; /* CPU time */
};
/* Adds another worker's; of two generations the later one counts alone. */
void fl_judged_add(struct fl_judged *sum, const struct fl_judged *judged);

struct fl_judge {
	uv_timer_t expiry;
	int64_t next_expiry; /* of the peers' chains, seconds since the epoch; INT64_MAX: none known */
	struct fl_judged last;
};

void fl_judge_init(struct fl_worker *worker);
void fl_judge_close(struct fl_worker *worker); /* the loop has to run once more */
/* All that are open, under the worker's share, which is another one now, or time has passed. */
void fl_judge_start(struct fl_worker *worker);
/* False: it has lost, and is closed. */
bool fl_judge_stream(struct fl_stream *stream);
/* The same for one that has just become ready, and whose generation is not the current one any more. */
bool fl_judge_late(struct fl_stream *stream);
/* What would become of it if share's generation arrived, whose contexts no engine uses meanwhile. Nothing comes of it.
 * detail: for a loser, one sentence where there is something to add. */
void fl_judge_ask(struct fl_stream *stream, struct fl_share *share, struct fl_judge_outcome *ret,
		  struct fl_err *detail);
/* A peer is there whose chain is good until then. */
void fl_judge_note_expiry(struct fl_worker *worker, int64_t until);
/* For walk.c: it has seen them all. */
void fl_judge_walked(struct fl_worker *worker);

#endif
