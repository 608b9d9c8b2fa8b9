/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_ADMIN_ANSWER_H
#define FL_ADMIN_ANSWER_H
/* answer - the bytes of an answer, shared by all its receivers, and how often an expensive one is
 * rebuilt.
 *
 * After an initial burst, building answers may use a fifth of the loop's time (FL_ANSWER_SHARE). A
 * caller that asks more often gets the last answer again, which is younger than five times the time
 * it takes to build one. Loop-bound. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"

struct fl_answer {
	unsigned refs;
	size_t head_len, len; /* head_len: the part that HEAD gets */
	char *data;           /* owned, except that of fl_answer_no_memory() */
};

/* Takes ownership of the content of text. If text has failed, or if memory runs out, returns
 * fl_answer_no_memory(). */
struct fl_answer *fl_answer_new(struct fl_text *text, size_t head_len);
/* Returns a static 503 answer, which needs no memory. */
struct fl_answer *fl_answer_no_memory(void);
struct fl_answer *fl_answer_ref(struct fl_answer *answer);
void fl_answer_unref(struct fl_answer *answer); /* NULL is fine */

#define FL_ANSWER_SHARE 5              /* the divisor: one fifth of the time */
#define FL_ANSWER_BURST_NS 200000000LL /* how much of that time may accumulate */

/* The cached answer to one question. Initialize to {0}. */
struct fl_answer_again {
	struct fl_answer *last; /* a reference; NULL: there is none */
	int64_t budget_ns;
	uint64_t at_ns; /* when the budget had that value; 0: never asked */
	uint64_t round; /* the round in which it was built */
};

/* Returns the last answer, borrowed, if it is of the same round (0: no round) or if there is no
 * budget for a new one. NULL: build a new one. */
struct fl_answer *fl_answer_again(struct fl_answer_again *again, uint64_t now_ns, uint64_t round);
/* Stores an answer that was built, and what it cost. Keeps a reference. */
void fl_answer_made(struct fl_answer_again *again, struct fl_answer *answer, uint64_t cost_ns,
		    uint64_t round);
/* Call it when no caller is connected: frees an answer that would not be given out again. */
void fl_answer_rest(struct fl_answer_again *again, uint64_t now_ns);
void fl_answer_forget(struct fl_answer_again *again);

#endif
