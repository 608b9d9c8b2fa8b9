/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "worker/question.h"

#include "base/mem.h"

static void take_question(struct fl_mail *mail, void *reader)
{
	struct fl_question *question = FL_CONTAINER_OF(mail, struct fl_question, mail);

	question->ask(question, reader);
}

static void take_answer(struct fl_mail *mail, void *reader)
{
	struct fl_question *question = FL_CONTAINER_OF(mail, struct fl_question, mail);

	(void)reader;
	question->on_answered(question);
}

void fl_question_send(struct fl_question *question, struct fl_mailbox *to, struct fl_mailbox *asker)
{
	question->asker = asker;
	question->mail.take = take_question;
	fl_mailbox_post(to, &question->mail);
}

void fl_question_answered(struct fl_question *question)
{
	question->mail.take = take_answer;
	fl_mailbox_post(question->asker, &question->mail);
}
