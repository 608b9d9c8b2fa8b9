/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "conn/signing.h"

#include <stdlib.h>
#include <utlist.h>

static const char no_agent[] =
	"there is no fairlead-agent to sign our handshake: is it running? See `fairlead-agent status`";

static const char too_many[] = "the agent makes no more signatures a second: `[agent] signatures`";

void fl_signing_init(struct fl_signing_queue *queue, uv_loop_t *uv)
{
	*queue = (struct fl_signing_queue){0};
	fl_deadline_queue_init(&queue->deadlines, uv, FL_SIGNING_MS);
}

void fl_signing_close(struct fl_signing_queue *queue)
{
	for (size_t i = 0; i < FL_SIGNING_LISTS; i++) {
		FL_REQUIRE(queue->lists[i] == NULL);
	}
	fl_deadline_queue_close(&queue->deadlines);
}

static void move(struct fl_signing *signing, enum fl_signing_list list)
{
	struct fl_signing_queue *queue = signing->queue;

	DL_DELETE(queue->lists[signing->list], signing);
	signing->list = list;
	DL_APPEND(queue->lists[list], signing);
}

void fl_signing_cancel(struct fl_signing *signing)
{
	if (signing == NULL) {
		return;
	}
	DL_DELETE(signing->queue->lists[signing->list], signing);
	fl_deadline_drop(&signing->deadline);
	free(signing);
}

/* Leaves the queue, then tells its session. */
static void end(struct fl_signing *signing, struct fl_span signature, const char *text)
{
	fl_signing_cb cb = signing->cb;
	void *user = signing->user;

	fl_signing_cancel(signing);
	cb(user, signature, text);
}

static void on_deadline(struct fl_deadline *deadline)
{
	struct fl_signing *signing = FL_CONTAINER_OF(deadline, struct fl_signing, deadline);

	end(signing, (struct fl_span){0}, signing->is_put_off ? too_many : no_agent);
}

struct fl_signing *fl_signing_wait(struct fl_signing_queue *queue, const struct fl_tls *tls,
				   fl_signing_cb cb, void *user, const char **ret_text)
{
	struct fl_signing *signing = queue->is_down ? NULL : calloc(1, sizeof(*signing));

	if (signing == NULL) {
		*ret_text = queue->is_down ? no_agent : "out of memory";
		return NULL;
	}
	queue->numbers = queue->numbers == UINT32_MAX ? 1 : queue->numbers + 1;
	*signing = (struct fl_signing){.list = FL_SIGNING_FRESH,
				       .queue = queue,
				       .tls = tls,
				       .cb = cb,
				       .user = user,
				       .number = queue->numbers};
	DL_APPEND(queue->lists[FL_SIGNING_FRESH], signing);
	fl_deadline_add(&queue->deadlines, &signing->deadline, on_deadline);
	return signing;
}

static struct fl_signing *next_of(const struct fl_signing_queue *queue)
{
	return queue->lists[FL_SIGNING_AGAIN] != NULL ? queue->lists[FL_SIGNING_AGAIN]
						      : queue->lists[FL_SIGNING_FRESH];
}

bool fl_signing_is_wanted(const struct fl_signing_queue *queue)
{
	return next_of(queue) != NULL;
}

bool fl_signing_take(struct fl_signing_queue *queue, uint32_t *ret_number,
		     struct fl_tls_to_sign *ret)
{
	struct fl_signing *signing = next_of(queue);

	if (signing == NULL) {
		return false;
	}
	move(signing, FL_SIGNING_ASKED);
	*ret_number = signing->number;
	fl_tls_to_sign(signing->tls, ret);
	return true;
}

/* NULL: it does not wait any more. Answers come in the order of the questions: it is the first, unless some have left. */
static struct fl_signing *asked_of(const struct fl_signing_queue *queue, uint32_t number)
{
	struct fl_signing *signing = queue->lists[FL_SIGNING_ASKED];

	while (signing != NULL && signing->number != number) {
		signing = signing->next;
	}
	return signing;
}

void fl_signing_answer(struct fl_signing_queue *queue, uint32_t number, struct fl_span signature,
		       const char *text)
{
	struct fl_signing *signing = asked_of(queue, number);

	if (signing != NULL) {
		end(signing, signature, text);
	}
}

bool fl_signing_put_off(struct fl_signing_queue *queue, uint32_t number)
{
	struct fl_signing *signing = asked_of(queue, number);
	bool is_first = signing != NULL && !signing->is_put_off;

	if (signing != NULL) {
		signing->is_put_off = true;
		move(signing, FL_SIGNING_AGAIN);
	}
	return is_first;
}

/* Those whose answers were due go first. */
void fl_signing_ask_again(struct fl_signing_queue *queue)
{
	struct fl_signing *signing;

	DL_FOREACH(queue->lists[FL_SIGNING_ASKED], signing)
	{
		signing->list = FL_SIGNING_AGAIN;
	}
	DL_CONCAT(queue->lists[FL_SIGNING_ASKED], queue->lists[FL_SIGNING_AGAIN]);
	queue->lists[FL_SIGNING_AGAIN] = queue->lists[FL_SIGNING_ASKED];
	queue->lists[FL_SIGNING_ASKED] = NULL;
}

void fl_signing_set_down(struct fl_signing_queue *queue, bool is_down)
{
	queue->is_down = is_down;
	for (size_t i = 0; is_down && i < FL_SIGNING_LISTS; i++) {
		while (queue->lists[i] != NULL) {
			/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): end() takes it out of the list */
			end(queue->lists[i], (struct fl_span){0}, no_agent);
		}
	}
}
