/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_RUN_SIGN_TURNS_H
#define FL_AGENT_RUN_SIGN_TURNS_H
/* sign_turns - who asks for signatures gets them in turns, so that nobody keeps the agent from the others.
 *
 * Signatures are all that takes the agent's time, up to milliseconds each. What an asker has sent is answered at once and in one
 * piece, as far as that takes no longer than FL_SIGN_TURN_MS; that is hundreds of requests for ECDSA, and some tens for RSA.
 * If it takes longer, or while others wait, the asker waits in a queue: each turn of the loop goes on with it for FL_SIGN_TURN_MS at
 * most, and then does what else there is. Of the queue each gets an equal share of time, so that all of it is gone through in
 * FL_SIGN_ROUND_MS, or with one signature for each. An asker that waits is not read, so what it may keep here is bounded.
 *
 * Loop-bound. Owns: the bytes that were read behind requests that wait. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "agent/run/keyring.h"
#include "net/sock.h"

#define FL_SIGN_TURN_MS 20u
#define FL_SIGN_ROUND_MS 500u /* far less than the patience of a worker (FL_SIGNING_MS) */

/* A connection; a part of its owner, all zero but for sock. */
struct fl_sign_asker {
	struct fl_sock *sock; /* borrowed */
	struct fl_sign_asker *next;
	struct fl_sign_share share;   /* of the rate */
	struct fl_ctl_items requests; /* to be answered; they point into the owner's decoder */
	uint8_t *behind;              /* owned; fl_sign_turns_keep() */
	size_t behind_len;
	bool has_more;  /* of the requests */
	bool is_queued; /* else, if it waits: the other end has to read its answers first */
	bool waits;
};

/* It waits no more: all that it asked for is answered. The owner frees `behind`, acts on what is in it, and reads on. sys: 0, or a
 * negative uv error: the connection is broken. The owner may leave. */
typedef void (*fl_sign_turns_cb)(struct fl_sign_asker *asker, uint8_t *behind, size_t behind_len,
				 int sys);

struct fl_sign_turns {
	uv_idle_t idle; /* while somebody is in the queue */
	struct fl_keyring *keyring;
	fl_sign_turns_cb cb;
	struct fl_sign_asker *first, **last;
	size_t count;
	uint64_t turn;              /* uv_now() of the turn that these are of: */
	uint64_t turn_end, its_end; /* uv_hrtime(): of all askers, and of the present one */
	bool is_serving;            /* the queue */
};

void fl_sign_turns_init(struct fl_sign_turns *turns, uv_loop_t *loop, struct fl_keyring *keyring,
			fl_sign_turns_cb cb);

/* Answers a SIGN, or has its asker wait. 0: it is answered. 1: read no more from the asker, nor feed its decoder, until cb.
 * Negative: a uv error. */
int fl_sign_turns_ask(struct fl_sign_turns *turns, struct fl_sign_asker *asker,
		      struct fl_ctl_items requests) FL_MUST_USE;
/* What was read behind requests that wait; copied. Once for each time that it waits. 0 or UV_ENOMEM. */
int fl_sign_turns_keep(struct fl_sign_asker *asker, const uint8_t *data, size_t len) FL_MUST_USE;
/* The other end of an asker that waits has read its answers (on_drain). */
void fl_sign_turns_drained(struct fl_sign_turns *turns, struct fl_sign_asker *asker);
/* Before its owner is freed, at any time. */
void fl_sign_turns_leave(struct fl_sign_turns *turns, struct fl_sign_asker *asker);

#endif
