/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The timer is armed for the head and only ever re-armed when it fires, when the queue was empty, or for a new duration: a head
 * that was dropped costs one early, harmless wake-up. It is never late: a new duration stops the timer of an empty queue, or
 * the next entry would wait for the old one. Thousands of entries that end at the same moment are spread over several turns of
 * the loop, so that sockets are served in between. */
#include "conn/deadline.h"

#include "base/err.h"
#include "base/mem.h"

#define AT_ONCE_MAX 64u

static void arm(struct fl_deadline_queue *queue);

static bool is_empty(const struct fl_deadline_queue *queue)
{
	return queue->head.next == &queue->head;
}

static void on_timer(uv_timer_t *timer)
{
	struct fl_deadline_queue *queue = FL_CONTAINER_OF(timer, struct fl_deadline_queue, timer);
	uint64_t now = uv_now(timer->loop);

	for (unsigned i = 0; i < AT_ONCE_MAX && !is_empty(queue) && queue->head.next->at_ms <= now;
	     i++) {
		struct fl_deadline *due = queue->head.next;

		fl_deadline_drop(due);
		due->cb(due);
	}
	arm(queue);
}

static void arm(struct fl_deadline_queue *queue)
{
	uint64_t now = uv_now(queue->timer.loop);

	/* Not immediately: libuv would call the timer again before it handles anything else. */
	if (!is_empty(queue) && !uv_is_closing((uv_handle_t *)&queue->timer)) {
		uint64_t at = queue->head.next->at_ms;

		FL_REQUIRE(uv_timer_start(&queue->timer, on_timer, at > now ? at - now : 1, 0) ==
			   0);
	}
}

void fl_deadline_queue_init(struct fl_deadline_queue *queue, uv_loop_t *loop, uint64_t duration_ms)
{
	*queue = (struct fl_deadline_queue){.duration_ms = duration_ms};
	queue->head.prev = queue->head.next = &queue->head;
	FL_REQUIRE(uv_timer_init(loop, &queue->timer) == 0);
}

void fl_deadline_queue_set(struct fl_deadline_queue *queue, uint64_t duration_ms)
{
	uint64_t latest = uv_now(queue->timer.loop) + duration_ms;

	queue->duration_ms = duration_ms;
	/* An entry that ends later than those added after it would delay them, so it is shortened; the order stays. */
	for (struct fl_deadline *entry = queue->head.next; entry != &queue->head;
	     entry = entry->next) {
		if (entry->at_ms > latest) {
			entry->at_ms = latest;
		}
	}
	(void)uv_timer_stop(&queue->timer);
	arm(queue);
}

void fl_deadline_queue_close(struct fl_deadline_queue *queue)
{
	FL_REQUIRE(is_empty(queue));
	uv_close((uv_handle_t *)&queue->timer, NULL);
}

void fl_deadline_drop(struct fl_deadline *deadline)
{
	if (deadline->next == NULL) {
		return;
	}
	deadline->prev->next = deadline->next;
	deadline->next->prev = deadline->prev;
	deadline->prev = deadline->next = NULL;
}

bool fl_deadline_pass_on(struct fl_deadline *from, struct fl_deadline *to, fl_deadline_cb cb)
{
	if (from->next == NULL) {
		return false;
	}
	fl_deadline_drop(to);
	*to = *from;
	to->cb = cb;
	to->prev->next = to->next->prev = to;
	from->prev = from->next = NULL;
	return true;
}

void fl_deadline_add(struct fl_deadline_queue *queue, struct fl_deadline *deadline,
		     fl_deadline_cb cb)
{
	fl_deadline_drop(deadline);
	deadline->at_ms = uv_now(queue->timer.loop) + queue->duration_ms;
	deadline->cb = cb;
	deadline->prev = queue->head.prev;
	deadline->next = &queue->head;
	queue->head.prev->next = deadline;
	queue->head.prev = deadline;
	if (!uv_is_active((uv_handle_t *)&queue->timer)) {
		arm(queue);
	}
}

struct fl_deadline *fl_deadline_first(struct fl_deadline_queue *queue)
{
	return is_empty(queue) ? NULL : queue->head.next;
}

struct fl_deadline *fl_deadline_after(const struct fl_deadline_queue *queue,
				      const struct fl_deadline *deadline)
{
	return deadline->next != &queue->head ? deadline->next : NULL;
}
