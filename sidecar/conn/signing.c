/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "conn/signing.h"

#include <stdlib.h>
#include <utlist.h>

static const char no_agent[] =
	"there is no fairlead-agent to sign our handshake: is it running? See `fairlead-agent status`";

void fl_signing_init(struct fl_signing_queue *queue, uv_loop_t *uv)
{
	*queue = (struct fl_signing_queue){0};
	fl_deadline_queue_init(&queue->deadlines, uv, FL_SIGNING_MS);
}

void fl_signing_close(struct fl_signing_queue *queue)
{
	FL_REQUIRE(queue->first == NULL);
	fl_deadline_queue_close(&queue->deadlines);
}

void fl_signing_cancel(struct fl_signing *signing)
{
	struct fl_signing_queue *queue;

	if (signing == NULL) {
		return;
	}
	queue = signing->queue;
	if (queue->fresh == signing) {
		queue->fresh = signing->next;
	}
	DL_DELETE(queue->first, signing);
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
	end(FL_CONTAINER_OF(deadline, struct fl_signing, deadline), (struct fl_span){0}, no_agent);
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
	*signing = (struct fl_signing){
		.queue = queue, .tls = tls, .cb = cb, .user = user, .number = queue->numbers};
	DL_APPEND(queue->first, signing);
	if (queue->fresh == NULL) {
		queue->fresh = signing;
	}
	fl_deadline_add(&queue->deadlines, &signing->deadline, on_deadline);
	return signing;
}

bool fl_signing_has_fresh(const struct fl_signing_queue *queue)
{
	return queue->fresh != NULL;
}

bool fl_signing_take(struct fl_signing_queue *queue, uint32_t *ret_number,
		     struct fl_tls_to_sign *ret)
{
	struct fl_signing *signing = queue->fresh;

	if (signing == NULL) {
		return false;
	}
	queue->fresh = signing->next;
	*ret_number = signing->number;
	fl_tls_to_sign(signing->tls, ret);
	return true;
}

void fl_signing_answer(struct fl_signing_queue *queue, uint32_t number, struct fl_span signature,
		       const char *text)
{
	struct fl_signing *signing = queue->first;

	/* Answers come in the order of the questions: it is the first, unless some have left. */
	while (signing != queue->fresh && signing->number != number) {
		signing = signing->next;
	}
	if (signing != queue->fresh) {
		end(signing, signature, text);
	}
}

void fl_signing_ask_again(struct fl_signing_queue *queue)
{
	queue->fresh = queue->first;
}

void fl_signing_set_down(struct fl_signing_queue *queue, bool is_down)
{
	queue->is_down = is_down;
	while (is_down && queue->first != NULL) {
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): end() takes it out of the queue */
		end(queue->first, (struct fl_span){0}, no_agent);
	}
}
