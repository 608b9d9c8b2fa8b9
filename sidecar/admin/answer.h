/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_ADMIN_ANSWER_H
#define FL_ADMIN_ANSWER_H
/* answer - the bytes of an answer, shared by all who get it, and how often one that costs something is made anew.
 *
 * Making them may take a fifth of the loop's time (FL_ANSWER_SHARE), after a burst: who asks more often than that gets the
 * last one again, which is younger than five times what it takes to make one. Loop-bound. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"

struct fl_answer {
	unsigned refs;
	size_t head_len, len; /* head_len: all that HEAD gets */
	char *data;           /* owned, except that of fl_answer_no_memory() */
};

/* Takes over what text holds. One that has failed, or that there is no memory for: fl_answer_no_memory(). */
struct fl_answer *fl_answer_new(struct fl_text *text, size_t head_len);
/* 503 with a sentence, which needs none. */
struct fl_answer *fl_answer_no_memory(void);
struct fl_answer *fl_answer_ref(struct fl_answer *answer);
void fl_answer_unref(struct fl_answer *answer); /* NULL is fine */

#define FL_ANSWER_SHARE 5              /* one part in so many of the time */
#define FL_ANSWER_BURST_NS 200000000LL /* of that, what may be saved up */

/* The answers to one question. Begins as {0}. */
struct fl_answer_again {
	struct fl_answer *last; /* a reference; NULL: there is none */
	int64_t budget_ns;
	uint64_t at_ns; /* when that was so; 0: never asked */
	uint64_t round; /* in which it was made */
};

/* The last one, borrowed, where it is good enough: it is of the same round, whatever that is (0: of none), or there is no
 * time for a new one. NULL: make one. */
struct fl_answer *fl_answer_again(struct fl_answer_again *again, uint64_t now_ns, uint64_t round);
/* One was made, and took so long. Keeps a reference. */
void fl_answer_made(struct fl_answer_again *again, struct fl_answer *answer, uint64_t cost_ns,
		    uint64_t round);
/* Nobody is there: one that would not be given out again is let go. */
void fl_answer_rest(struct fl_answer_again *again, uint64_t now_ns);
void fl_answer_forget(struct fl_answer_again *again);

#endif
