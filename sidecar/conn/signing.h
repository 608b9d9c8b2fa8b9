/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_CONN_SIGNING_H
#define FL_CONN_SIGNING_H
/* signing - the handshakes of a loop that wait for a signature by our key, which the agent has ([tls] key).
 *
 * A session joins the queue, and is called back once, with the signature or with a sentence why there is none. Who talks to
 * the agent (worker/sign_link.h) is told once in each turn of the loop by hooks.ask_signatures, takes the requests that are
 * new, in the order in which they came, and answers them by number. The queue knows no socket and no message.
 *
 * Bounds: each session in it holds a slot ([limits] handshakes), and waits for FL_SIGNING_MS at most. If the agent has been
 * away for as long as that, nobody waits. What the agent puts off, because it makes no more signatures in this second, goes
 * on waiting here, where one that ends costs no signature. So strangers who begin handshakes and leave take time from
 * others, as much as their slots allow, and not their signatures. Loop-bound. */
#include <stdbool.h>
#include <stdint.h>

#include "conn/deadline.h"
#include "tls/tls.h"

#define FL_SIGNING_MS 2000u

/* signature NULL: there is none, and text says why. Both are valid during the call. The entry is gone. */
typedef void (*fl_signing_cb)(void *user, struct fl_span signature, const char *text);

enum fl_signing_list {
	FL_SIGNING_ASKED, /* an answer is due */
	FL_SIGNING_AGAIN, /* asked for before */
	FL_SIGNING_FRESH,
	FL_SIGNING_LISTS,
};

/* One that waits. */
struct fl_signing {
	struct fl_signing *prev, *next;
	enum fl_signing_list list;
	bool is_put_off;
	struct fl_deadline deadline;
	struct fl_signing_queue *queue;
	const struct fl_tls *tls; /* borrowed */
	fl_signing_cb cb;
	void *user;
	uint32_t number;
};

struct fl_signing_queue {
	struct fl_deadline_queue deadlines;
	struct fl_signing *lists[FL_SIGNING_LISTS]; /* utlist; oldest first */
	uint32_t numbers;                           /* the last number given; 0: none */
	bool is_down;                               /* see fl_signing_set_down() */
};

void fl_signing_init(struct fl_signing_queue *queue, uv_loop_t *uv);
/* It must be empty; the loop has to run once more. */
void fl_signing_close(struct fl_signing_queue *queue);

/* --- for sessions --- */

/* Joins the queue with what the engine has to have signed (fl_tls_to_sign()). NULL: nobody waits now, *ret_text says why; cb
 * is not called. */
struct fl_signing *fl_signing_wait(struct fl_signing_queue *queue, const struct fl_tls *tls,
				   fl_signing_cb cb, void *user, const char **ret_text);
/* Leaves it without an answer. NULL is fine. */
void fl_signing_cancel(struct fl_signing *signing);

/* --- for who asks the agent --- */

/* Are there requests that are to be taken? */
bool fl_signing_is_wanted(const struct fl_signing_queue *queue);
/* Takes the next one, oldest first; it waits for its answer, and borrows from its engine. False: there is none. */
bool fl_signing_take(struct fl_signing_queue *queue, uint32_t *ret_number,
		     struct fl_tls_to_sign *ret);
/* The answer to it; the session's callback runs inside. One that does not wait any more is ignored. signature empty: none,
 * text says why. */
void fl_signing_answer(struct fl_signing_queue *queue, uint32_t number, struct fl_span signature,
		       const char *text);
/* The agent puts it off: it is to be taken again, after those that were put off before. True: for the first time. */
bool fl_signing_put_off(struct fl_signing_queue *queue, uint32_t number);
/* The agent that was asked is gone: all that were taken are to be taken again. */
void fl_signing_ask_again(struct fl_signing_queue *queue);
/* is_down: no agent has been there for so long that nobody waits from now on, and those that do fail, in which callbacks run.
 * Otherwise: they wait again. */
void fl_signing_set_down(struct fl_signing_queue *queue, bool is_down);

#endif
