/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "server/ask_all.h"

#include <stdlib.h>

#include "base/err.h"
#include "base/mem.h"

struct fl_asked {
	struct fl_question question;
	struct fl_ask_all *all;
	void *part;
};

/* Runs on the worker's thread. All that it reads here was set before the question was sent. */
static void ask_one(struct fl_question *question, void *reader)
{
	struct fl_asked *asked = FL_CONTAINER_OF(question, struct fl_asked, question);

	asked->all->plan.ask(reader, asked->part, question);
}

static void on_answered(struct fl_question *question)
{
	struct fl_ask_all *ask = FL_CONTAINER_OF(question, struct fl_asked, question)->all;

	if (--ask->unanswered == 0) {
		ask->plan.on_all(ask->plan.user);
	}
}

bool fl_ask_all_begin(struct fl_ask_all *ask, const struct fl_ask_all_plan *plan)
{
	FL_REQUIRE(ask->questions == NULL && plan->count > 0);
	ask->questions = calloc(plan->count, sizeof(*ask->questions));
	if (ask->questions == NULL) {
		return false;
	}
	ask->plan = *plan;
	ask->unanswered = plan->count;
	for (unsigned i = 0; i < plan->count; i++) {
		struct fl_asked *asked = &ask->questions[i];

		asked->all = ask;
		asked->part = (char *)plan->parts + i * plan->part_size;
		asked->question.ask = ask_one;
		asked->question.on_answered = on_answered;
		fl_question_send(&asked->question, plan->asked[i], plan->asker);
	}
	return true;
}

void fl_ask_all_done(struct fl_ask_all *ask)
{
	free(ask->questions);
	*ask = (struct fl_ask_all){.questions = NULL};
}
