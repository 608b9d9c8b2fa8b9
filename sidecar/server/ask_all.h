/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_SERVER_ASK_ALL_H
#define FL_SERVER_ASK_ALL_H
/* ask_all - one question to all workers, and one call when every one of them has answered.
 *
 * The asker has an array with one part for each worker; a worker fills in its part on its own thread, which is nobody else's
 * until it has answered. The asker's thread. */
#include <stdbool.h>
#include <stddef.h>

#include "worker/question.h"

/* On a worker's thread. reader: that of its mailbox. Fills part, and calls fl_question_answered(question), now or later. */
typedef void (*fl_ask_cb)(void *reader, void *part, struct fl_question *question);

struct fl_ask_all_plan {
	struct fl_mailbox *asker; /* the answers come here */
	struct fl_mailbox *const
		*asked; /* one for each worker; read during fl_ask_all_begin() only */
	unsigned count; /* of them, at least 1 */
	fl_ask_cb ask;
	void *parts; /* count of them; stay where they are until on_all, or fl_ask_all_done() */
	size_t part_size;
	void (*on_all)(
		void *user); /* all have answered; may call fl_ask_all_done(), and begin again */
	void *user;
};

/* Zeroed: nobody is asked. */
struct fl_ask_all {
	struct fl_ask_all_plan plan;
	struct fl_asked *questions; /* one for each worker; NULL: nobody is asked */
	unsigned unanswered;
};

/* Asks; not again before fl_ask_all_done(). False: there is no memory, and nobody was asked. */
bool fl_ask_all_begin(struct fl_ask_all *ask, const struct fl_ask_all_plan *plan);

/* Lets go of the questions: all have been answered, or the threads have ended and the asker's mailbox is closed. Harmless when
 * nobody is asked. */
void fl_ask_all_done(struct fl_ask_all *ask);

#endif
