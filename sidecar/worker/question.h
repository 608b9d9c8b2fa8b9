/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_WORKER_QUESTION_H
#define FL_WORKER_QUESTION_H
/* question - a letter that goes to another thread's mailbox and returns to the asker's when it is
 * answered. */
#include "worker/mailbox.h"

struct fl_question {
	struct fl_mail mail;
	struct fl_mailbox *asker; /* where the answer goes */
	/* On the other thread; reader: that of its mailbox. Answers with fl_question_answered(), at once or later; until then the
	 * question, and what it asks for, are that thread's. */
	void (*ask)(struct fl_question *question, void *reader);
	/* On the asker's thread again, last. */
	void (*on_answered)(struct fl_question *question);
};

/* Call on the asker's thread. ask and on_answered are set; the rest is zero. */
void fl_question_send(struct fl_question *question, struct fl_mailbox *to,
		      struct fl_mailbox *asker);

/* Call on the thread that was asked. */
void fl_question_answered(struct fl_question *question);

#endif
