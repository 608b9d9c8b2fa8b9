/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "admin/answer.h"

#include <stdlib.h>

#define NO_MEMORY_HEAD                                                                             \
	"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\n"          \
	"Content-Length: 50\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"
#define NO_MEMORY_BODY "the sidecar has no memory for this now; ask again\n"
_Static_assert(sizeof(NO_MEMORY_BODY) - 1 == 50, "it is what its head says");

struct fl_answer *fl_answer_no_memory(void)
{
	static char text[] = NO_MEMORY_HEAD NO_MEMORY_BODY;
	/* Never counted, so it belongs to all threads. */
	static struct fl_answer answer = {
		.head_len = sizeof(NO_MEMORY_HEAD) - 1, .len = sizeof(text) - 1, .data = text};

	return &answer;
}

struct fl_answer *fl_answer_new(struct fl_text *text, size_t head_len)
{
	struct fl_answer *answer = text->has_failed ? NULL : malloc(sizeof(*answer));

	if (answer == NULL) {
		fl_text_done(text);
		return fl_answer_no_memory();
	}
	*answer = (struct fl_answer){
		.refs = 1, .head_len = head_len, .len = text->len, .data = text->data};
	*text = (struct fl_text){.is_soft = text->is_soft};
	return answer;
}

struct fl_answer *fl_answer_ref(struct fl_answer *answer)
{
	if (answer->refs > 0) {
		answer->refs++;
	}
	return answer;
}

void fl_answer_unref(struct fl_answer *answer)
{
	if (answer != NULL && answer->refs > 0 && --answer->refs == 0) {
		free(answer->data);
		free(answer);
	}
}

static void save_up(struct fl_answer_again *again, uint64_t now_ns)
{
	uint64_t passed = again->at_ns != 0 && now_ns > again->at_ns ? now_ns - again->at_ns : 0;

	/* The full budget is available before the first request. */
	if (again->at_ns == 0 || passed / FL_ANSWER_SHARE > (uint64_t)FL_ANSWER_BURST_NS * 2) {
		again->budget_ns = FL_ANSWER_BURST_NS;
	} else {
		again->budget_ns += (int64_t)(passed / FL_ANSWER_SHARE);
	}
	if (again->budget_ns > FL_ANSWER_BURST_NS) {
		again->budget_ns = FL_ANSWER_BURST_NS;
	}
	again->at_ns = now_ns;
}

struct fl_answer *fl_answer_again(struct fl_answer_again *again, uint64_t now_ns, uint64_t round)
{
	save_up(again, now_ns);
	return again->budget_ns <= 0 || (round != 0 && again->round == round) ? again->last : NULL;
}

void fl_answer_made(struct fl_answer_again *again, struct fl_answer *answer, uint64_t cost_ns,
		    uint64_t round)
{
	const uint64_t most = 2ULL * FL_ANSWER_BURST_NS;

	fl_answer_unref(again->last);
	again->last = answer != fl_answer_no_memory() ? fl_answer_ref(answer) : NULL;
	/* The cost is capped, so that a slow document delays the next one by about two seconds at
	 * most. */
	again->budget_ns -= (int64_t)(cost_ns < most ? cost_ns : most);
	again->round = round;
}

void fl_answer_rest(struct fl_answer_again *again, uint64_t now_ns)
{
	save_up(again, now_ns);
	if (again->budget_ns > 0) {
		fl_answer_unref(again->last);
		again->last = NULL;
	}
}

void fl_answer_forget(struct fl_answer_again *again)
{
	fl_answer_unref(again->last);
	again->last = NULL;
}
