/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_WORKER_SIGN_LINK_H
#define FL_WORKER_SIGN_LINK_H
/* sign_link - a worker's connection to the agent, which signs its handshakes ([tls] key = agent).
 *
 * Each worker has its own: a signature that went through the main thread would wait while that builds a generation or
 * renders a page, and cost two more wake-ups. The requests of a turn of the loop go out together at its end. The answers come
 * in one piece, too, when the agent has made them.
 *
 * Requests beyond the rate that the agent allows are sent again after a pause, and newer ones with them.
 *
 * When the connection is lost, requests that have no answer are asked again on the next one. The agent is *down* when it has
 * not answered for FL_SIGNING_MS, whether it cannot be reached or hangs: then nobody waits for it any more (conn/signing.h)
 * until it answers again.
 *
 * Loop-bound, except fl_sign_link_state(). Errors: none; the log of the worker says when the agent goes down, and when it is
 * back. */
#include "conn/loop.h"
#include "ctl/message.h"
#include "worker/agent_dial.h"

enum fl_sign_state {
	FL_SIGN_STATE_OFF,     /* no generation has needed it */
	FL_SIGN_STATE_DIALING, /* the agent has not answered yet */
	FL_SIGN_STATE_UP,      /* it answers, or has been lost for less than FL_SIGNING_MS */
	FL_SIGN_STATE_DOWN,
};

struct fl_sign_link {
	struct fl_loop *loop;
	struct fl_agent_place place;
	struct fl_sock *sock; /* NULL: waiting to dial */
	struct fl_ctl_decoder *decoder;
	uint8_t *frame;      /* owned; NULL until the first time */
	uv_timer_t retry;    /* until the next dial */
	uv_timer_t patience; /* while an answer is due */
	uv_timer_t pause;    /* after the agent has put requests off, before they are sent again */
	unsigned due;        /* answers that are due on this connection */
	uint32_t backoff_ms;
	bool is_connected;
	unsigned state; /* enum fl_sign_state; atomic */
};

/* loop: its queue of handshakes that wait is the one that is served. conf: for the call. */
void fl_sign_link_init(struct fl_sign_link *link, struct fl_loop *loop, const struct fl_conf *conf);
/* The current generation needs the agent's signatures: connects, and stays connected. Again: nothing happens. */
void fl_sign_link_open(struct fl_sign_link *link);
/* Asks for what waits in the queue (fl_loop_hooks.ask_signatures). */
void fl_sign_link_ask(struct fl_sign_link *link);
/* Nobody waits in the queue. The loop has to run once more. */
void fl_sign_link_close(struct fl_sign_link *link);
void fl_sign_link_done(struct fl_sign_link *link); /* after that */

enum fl_sign_state fl_sign_link_state(const struct fl_sign_link *link); /* any thread */

#endif
