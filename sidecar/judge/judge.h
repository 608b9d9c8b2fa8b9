/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_JUDGE_JUDGE_H
#define FL_JUDGE_JUDGE_H
/* judge - whether an open connection would be admitted now, and what [rotation] does about one that would not.
 *
 * Every connection is judged when a generation arrives and when a peer's certificate expires (`on_expiry = close`). A
 * connection whose handshake began under an older generation is judged when the handshake ends. The checks are those of its
 * start: trust and CRLs (fl_tls_peer_judge()) and policy or, for an outbound connection, the settings of its upstream.
 * Loop-bound; fl_judge_decide() is pure. */
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

/* The facts about one connection. */
struct fl_judge_facts {
	enum fl_rule rule; /* broken now by its peer's chain; FL_RULE_NONE in plaintext */
	bool expired;
	bool denied;  /* policy, or its upstream, refuses it */
	bool audited; /* policy would refuse it, but is in audit mode */
	bool is_new; /* it has just become ready: any loss closes it, even where [rotation] says keep */
};
struct fl_judge_outcome {
	uint8_t losses; /* bits: 1 << enum fl_loss */
	bool closes;
	enum fl_loss loss; /* why it is closed; otherwise the first of losses; FL_LOSSES: none */
};
struct fl_judge_outcome fl_judge_decide(const struct fl_judge_facts *facts,
					const struct fl_conf *conf);

struct fl_judge {
	struct fl_loop *loop;
	struct fl_walk *walk;
	struct fl_recycle *recycle;
	uv_timer_t expiry;
	int64_t next_expiry; /* earliest expiry of the peers' chains, seconds since the epoch; INT64_MAX: none known */
	struct fl_judged last; /* of fl_judge_start() alone; read by any thread */
};

void fl_judge_init(struct fl_judge *judge, struct fl_loop *loop, struct fl_walk *walk,
		   struct fl_recycle *recycle);
void fl_judge_close(struct fl_judge *judge); /* the loop must run once more */
/* Judges all open connections under the loop's share, because the share has changed or time has passed. In slices. */
void fl_judge_start(struct fl_judge *judge);
/* The loop has a new map of upstreams: judges plaintext streams whose address now belongs to another upstream, and all that
 * were judged while a name that may have their address was not answered. Immediately. */
void fl_judge_addresses(struct fl_judge *judge);
/* Judges a connection that has just become ready, and whose generation may no longer be the current one. False: it is not
 * admitted any more, and was closed. */
bool fl_judge_late(struct fl_judge *judge, struct fl_stream *stream);
/* Decides what would happen to the connection if share's generation arrived; no engine may use that generation's contexts
 * meanwhile. Changes nothing. detail: an additional sentence, if any, for a connection that would be refused. */
void fl_judge_ask(struct fl_stream *stream, struct fl_share *share, struct fl_judge_outcome *ret,
		  struct fl_err *detail);
/* There is a peer whose chain is valid until then. */
void fl_judge_note_expiry(struct fl_judge *judge, int64_t until);

#endif
