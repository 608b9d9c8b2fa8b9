/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_JUDGE_JUDGE_H
#define FL_JUDGE_JUDGE_H
/* judge - whether an open connection would be admitted now, and what [rotation] does about one that would not.
 *
 * Asked of each when a generation arrives, when a peer's certificate runs out (`on_expiry = close`), and of a
 * connection whose handshake began under an older generation than the one that is current when it is done. What is asked
 * is what was asked at its start: trust and CRLs (fl_tls_peer_judge()), policy, or on the way out what the upstream in
 * charge says. Loop-bound; fl_judge_decide() is pure. */
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "conf/conf.h"
#include "count/judged.h"
#include "pki/svid.h"

struct fl_loop;
struct fl_recycle;
struct fl_share;
struct fl_stream;
struct fl_walk;

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

struct fl_judge {
	struct fl_loop *loop;
	struct fl_walk *walk;
	struct fl_recycle *recycle;
	uv_timer_t expiry;
	int64_t next_expiry; /* of the peers' chains, seconds since the epoch; INT64_MAX: none known */
	struct fl_judged last; /* read by any thread */
};

void fl_judge_init(struct fl_judge *judge, struct fl_loop *loop, struct fl_walk *walk,
		   struct fl_recycle *recycle);
void fl_judge_close(struct fl_judge *judge); /* the loop has to run once more */
/* Judges all that are open under the loop's share, which is another one now, or time has passed. In slices. */
void fl_judge_start(struct fl_judge *judge);
/* The loop has another map of upstreams: judges plaintext streams whose address it gives to another upstream. At once. */
void fl_judge_claimed(struct fl_judge *judge);
/* Judges one that has just become ready, and whose generation may not be the current one any more. False: it has lost,
 * and is closed. */
bool fl_judge_late(struct fl_judge *judge, struct fl_stream *stream);
/* What would become of it if share's generation arrived, whose contexts no engine uses meanwhile. Changes nothing. detail:
 * for one that would lose, a sentence where there is something to add. */
void fl_judge_ask(struct fl_stream *stream, struct fl_share *share, struct fl_judge_outcome *ret,
		  struct fl_err *detail);
/* A peer is there whose chain is good until then. */
void fl_judge_note_expiry(struct fl_judge *judge, int64_t until);

#endif
