/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_SERVER_ASK_ALL_H
#define FL_SERVER_ASK_ALL_H
/* ask_all - sends one question to all workers and makes one call when all have answered.
 *
 * The asker owns an array with one part for each worker. A worker fills in its part on its own
 * thread; until it has answered, no other thread may touch that part. Thread: the asker's. */
#include <stdbool.h>
#include <stddef.h>

#include "worker/question.h"

/* Runs on a worker's thread. reader: that of its mailbox. Fills in part and calls
 * fl_question_answered(question), now or later. */
typedef void (*fl_ask_cb)(void *reader, void *part, struct fl_question *question);

struct fl_ask_all_plan {
	struct fl_mailbox *asker; /* the answers come here */
	struct fl_mailbox *const
		*asked; /* one for each worker; read during fl_ask_all_begin() only */
	unsigned count; /* of them, at least 1 */
	fl_ask_cb ask;
	void *parts; /* count parts; must not move until on_all or fl_ask_all_done() */
	size_t part_size;
	void (*on_all)(
		void *user); /* all have answered; may call fl_ask_all_done() and ask again */
	void *user;
};

/* Zeroed: no question is open. */
struct fl_ask_all {
	struct fl_ask_all_plan plan;
	struct fl_asked *questions; /* one for each worker; NULL: no question is open */
	unsigned unanswered;
};

/* Asks all workers. Must not be called again before fl_ask_all_done(). False: out of memory, and no
 * worker was asked. */
bool fl_ask_all_begin(struct fl_ask_all *ask, const struct fl_ask_all_plan *plan);

/* Frees the questions. Requires that all have been answered, or that the threads have ended and the
 * asker's mailbox is closed. Does nothing if no question is open. */
void fl_ask_all_done(struct fl_ask_all *ask);

#endif
