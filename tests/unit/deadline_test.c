/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Deadlines on a real loop: order, dropping, re-adding from the callback, and no wake-ups when nothing is due. */
#include <criterion/criterion.h>

#include "base/mem.h"
#include "conn/deadline.h"

struct entry {
	struct fl_deadline deadline;
	int fired;
	int again; /* how often the callback adds it again */
	struct fl_deadline_queue *queue;
};

static void on_deadline(struct fl_deadline *deadline)
{
	struct entry *entry = FL_CONTAINER_OF(deadline, struct entry, deadline);

	entry->fired++;
	if (entry->again > 0) {
		entry->again--;
		fl_deadline_add(entry->queue, deadline, on_deadline);
	}
}

static void close_all(uv_loop_t *loop, struct fl_deadline_queue *queue)
{
	fl_deadline_queue_close(queue);
	(void)uv_run(loop, UV_RUN_DEFAULT);
	cr_assert_eq(uv_loop_close(loop), 0);
}

Test(deadline, fires_each_entry_once_and_then_sleeps)
{
	struct entry entries[3] = {{.fired = 0}};
	struct fl_deadline_queue queue;
	uv_loop_t loop;

	cr_assert_eq(uv_loop_init(&loop), 0);
	fl_deadline_queue_init(&queue, &loop, 5);
	for (size_t i = 0; i < FL_COUNT_OF(entries); i++) {
		fl_deadline_add(&queue, &entries[i].deadline, on_deadline);
	}
	/* Returns when no timer is active any more: the queue does not tick when it is empty. */
	cr_assert_eq(uv_run(&loop, UV_RUN_DEFAULT), 0);
	for (size_t i = 0; i < FL_COUNT_OF(entries); i++) {
		cr_assert_eq(entries[i].fired, 1);
	}
	close_all(&loop, &queue);
}

static void on_check(uv_check_t *check)
{
	(*(unsigned *)check->data)++;
}

/* A thousand entries that end together do not block the loop. */
Test(deadline, many_at_once_take_several_turns)
{
	static struct entry entries[1000];
	struct fl_deadline_queue queue;
	unsigned turns = 0;
	uv_check_t check;
	uv_loop_t loop;

	cr_assert_eq(uv_loop_init(&loop), 0);
	fl_deadline_queue_init(&queue, &loop, 5);
	cr_assert_eq(uv_check_init(&loop, &check), 0);
	check.data = &turns;
	cr_assert_eq(uv_check_start(&check, on_check), 0);
	uv_unref((uv_handle_t *)&check);
	for (size_t i = 0; i < FL_COUNT_OF(entries); i++) {
		fl_deadline_add(&queue, &entries[i].deadline, on_deadline);
	}
	cr_assert_eq(uv_run(&loop, UV_RUN_DEFAULT), 0);
	for (size_t i = 0; i < FL_COUNT_OF(entries); i++) {
		cr_assert_eq(entries[i].fired, 1);
	}
	cr_expect_geq(turns, 10, "%u", turns);
	uv_close((uv_handle_t *)&check, NULL);
	close_all(&loop, &queue);
}

Test(deadline, a_dropped_entry_does_not_fire_and_others_do)
{
	struct entry entries[3] = {{.fired = 0}};
	struct fl_deadline_queue queue;
	uv_loop_t loop;

	cr_assert_eq(uv_loop_init(&loop), 0);
	fl_deadline_queue_init(&queue, &loop, 5);
	for (size_t i = 0; i < FL_COUNT_OF(entries); i++) {
		fl_deadline_add(&queue, &entries[i].deadline, on_deadline);
	}
	fl_deadline_drop(&entries[0].deadline); /* the head, for which the timer is armed */
	fl_deadline_drop(&entries[0].deadline); /* twice is harmless */
	cr_assert_eq(uv_run(&loop, UV_RUN_DEFAULT), 0);
	cr_assert_eq(entries[0].fired, 0);
	cr_assert_eq(entries[1].fired, 1);
	cr_assert_eq(entries[2].fired, 1);
	close_all(&loop, &queue);
}

Test(deadline, the_callback_may_add_its_entry_again)
{
	struct entry entry = {.again = 3};
	struct fl_deadline_queue queue;
	uv_loop_t loop;

	cr_assert_eq(uv_loop_init(&loop), 0);
	fl_deadline_queue_init(&queue, &loop, 2);
	entry.queue = &queue;
	fl_deadline_add(&queue, &entry.deadline, on_deadline);
	cr_assert_eq(uv_run(&loop, UV_RUN_DEFAULT), 0);
	cr_assert_eq(entry.fired, 4);
	close_all(&loop, &queue);
}

Test(deadline, a_shorter_duration_holds_for_entries_that_wait_already)
{
	struct entry waiting = {.fired = 0}, added = {.fired = 0};
	struct fl_deadline_queue queue;
	uv_loop_t loop;

	cr_assert_eq(uv_loop_init(&loop), 0);
	fl_deadline_queue_init(&queue, &loop, 3600 * 1000);
	fl_deadline_add(&queue, &waiting.deadline, on_deadline);
	fl_deadline_queue_set(&queue, 2);
	fl_deadline_add(&queue, &added.deadline, on_deadline);
	cr_assert_eq(uv_run(&loop, UV_RUN_DEFAULT), 0);
	cr_assert_eq(waiting.fired, 1);
	cr_assert_eq(added.fired, 1);
	close_all(&loop, &queue);
}

/* What waits when the duration changes, and what is added afterwards: nothing is late, whatever the timer was armed for.
 * The timer is asked, so that no time has to pass. */
Test(deadline, a_new_duration_holds_for_the_next_entry_whatever_waited_before)
{
	static const struct {
		uint64_t before, after;
		bool was_used, still_waits;
		uint64_t due; /* at most: of the first entry */
	} cases[] = {
		{3600000, 5, false, false, 5},      {3600000, 5, true, false, 5},
		{3600000, 5, true, true, 5},        {3600000, 0, true, false, 1},
		{3600000, 0, true, true, 1},        {0, 3600000, true, false, 3600000},
		{5, 3600000, true, false, 3600000}, {3600000, 3600000, true, false, 3600000},
	};

	for (size_t i = 0; i < FL_COUNT_OF(cases); i++) {
		struct entry waiting = {.fired = 0}, added = {.fired = 0};
		struct fl_deadline_queue queue;
		uint64_t due;
		uv_loop_t loop;

		cr_assert_eq(uv_loop_init(&loop), 0);
		fl_deadline_queue_init(&queue, &loop, cases[i].before);
		if (cases[i].was_used) {
			fl_deadline_add(&queue, &waiting.deadline, on_deadline);
		}
		if (!cases[i].still_waits) {
			fl_deadline_drop(&waiting.deadline);
		}
		fl_deadline_queue_set(&queue, cases[i].after);
		cr_expect_eq(uv_is_active((uv_handle_t *)&queue.timer), cases[i].still_waits,
			     "%zu: an empty queue does not wake", i);
		fl_deadline_add(&queue, &added.deadline, on_deadline);
		due = uv_timer_get_due_in(&queue.timer);
		cr_expect(uv_is_active((uv_handle_t *)&queue.timer), "%zu", i);
		cr_expect_leq(due, cases[i].due, "%zu: due in %llu", i, (unsigned long long)due);
		fl_deadline_drop(&waiting.deadline);
		fl_deadline_drop(&added.deadline);
		(void)uv_timer_stop(&queue.timer);
		close_all(&loop, &queue);
	}
}

Test(deadline, a_longer_duration_leaves_those_that_wait_and_their_order)
{
	struct entry waiting = {.fired = 0}, added = {.fired = 0};
	struct fl_deadline_queue queue;
	uv_loop_t loop;

	cr_assert_eq(uv_loop_init(&loop), 0);
	fl_deadline_queue_init(&queue, &loop, 1000);
	fl_deadline_add(&queue, &waiting.deadline, on_deadline);
	fl_deadline_queue_set(&queue, 3600000);
	fl_deadline_add(&queue, &added.deadline, on_deadline);
	cr_expect_leq(uv_timer_get_due_in(&queue.timer), 1000);
	cr_expect_eq(waiting.deadline.at_ms + 3599000, added.deadline.at_ms);
	fl_deadline_queue_set(&queue, 100); /* shorter than both have left */
	cr_expect_leq(uv_timer_get_due_in(&queue.timer), 100);
	cr_expect_eq(fl_deadline_first(&queue), &waiting.deadline);
	cr_expect_eq(waiting.deadline.at_ms, added.deadline.at_ms);
	fl_deadline_drop(&waiting.deadline);
	fl_deadline_drop(&added.deadline);
	(void)uv_timer_stop(&queue.timer);
	close_all(&loop, &queue);
}

Test(deadline, time_that_is_passed_on_goes_on)
{
	struct entry entries[3] = {{.fired = 0}}, heir = {.fired = 0};
	struct fl_deadline_queue queue;
	uint64_t at_ms;
	uv_loop_t loop;

	cr_assert_eq(uv_loop_init(&loop), 0);
	fl_deadline_queue_init(&queue, &loop, 5);
	cr_expect_not(fl_deadline_pass_on(&entries[1].deadline, &heir.deadline, on_deadline));
	for (size_t i = 0; i < FL_COUNT_OF(entries); i++) {
		fl_deadline_add(&queue, &entries[i].deadline, on_deadline);
	}
	at_ms = entries[1].deadline.at_ms;
	cr_expect(fl_deadline_pass_on(&entries[1].deadline, &heir.deadline, on_deadline));
	cr_expect_eq(heir.deadline.at_ms, at_ms);
	cr_expect_eq(heir.deadline.next, &entries[2].deadline);
	fl_deadline_drop(&entries[1].deadline); /* it is not queued any more */
	cr_assert_eq(uv_run(&loop, UV_RUN_DEFAULT), 0);
	cr_expect_eq(entries[0].fired + entries[2].fired, 2);
	cr_expect_eq(entries[1].fired, 0);
	cr_expect_eq(heir.fired, 1);
	close_all(&loop, &queue);
}
