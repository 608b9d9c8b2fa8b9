/* SPDX-License-Identifier: GPL-3.0-or-later */
/* sign_turns - a FIFO, and two ends of time: that of the turn, and within it that of the asker who is served. Both are looked at
 * after each signature, so either is exceeded by one signature at most. */
#include "agent/run/sign_turns.h"

#include <stdlib.h>
#include <string.h>

#include "agent/run/sign_answers.h"

#define NS_MS UINT64_C(1000000)

/* --- the queue ---------------------------------------------------------------------------------- */

static void on_idle(uv_idle_t *idle);

static void enqueue(struct fl_sign_turns *turns, struct fl_sign_asker *asker)
{
	asker->waits = asker->is_queued = true;
	asker->next = NULL;
	*turns->last = asker;
	turns->last = &asker->next;
	turns->count++;
	(void)uv_idle_start(&turns->idle, on_idle);
}

static void dequeue(struct fl_sign_turns *turns, struct fl_sign_asker *asker)
{
	struct fl_sign_asker **at = &turns->first;

	while (*at != asker) {
		at = &(*at)->next;
	}
	*at = asker->next;
	if (turns->last == &asker->next) {
		turns->last = at;
	}
	turns->count--;
	asker->is_queued = false;
}

/* --- time --------------------------------------------------------------------------------------- */

/* The first asker of a turn begins it. */
static void begin_turn(struct fl_sign_turns *turns)
{
	uint64_t now = uv_now(turns->idle.loop);

	if (turns->turn != now) {
		turns->turn = now;
		turns->turn_end = turns->its_end = uv_hrtime() + FL_SIGN_TURN_MS * NS_MS;
	}
}

/* Of those in the queue, each gets the same. */
static void begin_share(struct fl_sign_turns *turns)
{
	uint64_t end = uv_hrtime() + FL_SIGN_ROUND_MS * NS_MS / turns->count;

	turns->its_end = end < turns->turn_end ? end : turns->turn_end;
}

/* --- answers ------------------------------------------------------------------------------------ */

/* 0: all is answered; 1: it waits; negative: a uv error. */
static int answer(struct fl_sign_turns *turns, struct fl_sign_asker *asker)
{
	int rc = 0;

	while (rc == 0 && asker->has_more && uv_hrtime() < turns->its_end) {
		rc = fl_sign_answers_send(turns->keyring, &asker->share, &asker->requests,
					  turns->its_end, asker->sock, &asker->has_more);
	}
	if (rc == 0 && asker->has_more) {
		enqueue(turns, asker);
	} else if (rc > 0) {
		asker->waits = true;
	}
	return rc < 0 ? rc : asker->waits;
}

static void serve(struct fl_sign_turns *turns, struct fl_sign_asker *asker)
{
	uint8_t *behind = asker->behind;
	int rc;

	asker->waits = false;
	rc = answer(turns, asker);
	if (rc <= 0) {
		asker->behind = NULL;
		turns->cb(asker, behind, asker->behind_len, rc);
	}
}

static void on_idle(uv_idle_t *idle)
{
	struct fl_sign_turns *turns = idle->data;

	begin_turn(turns);
	turns->is_serving = true;
	while (turns->count > 0 && uv_hrtime() < turns->turn_end) {
		struct fl_sign_asker *asker = turns->first;

		begin_share(turns);
		dequeue(turns, asker);
		serve(turns, asker);
	}
	turns->is_serving = false;
	turns->its_end = turns->turn_end;
	if (turns->count == 0) {
		(void)uv_idle_stop(idle);
	}
}

/* --- the interface ------------------------------------------------------------------------------ */

void fl_sign_turns_init(struct fl_sign_turns *turns, uv_loop_t *loop, struct fl_keyring *keyring,
			fl_sign_turns_cb cb)
{
	FL_REQUIRE(uv_idle_init(loop, &turns->idle) == 0);
	turns->idle.data = turns;
	turns->keyring = keyring;
	turns->cb = cb;
	turns->last = &turns->first;
}

int fl_sign_turns_ask(struct fl_sign_turns *turns, struct fl_sign_asker *asker,
		      struct fl_ctl_items requests)
{
	asker->requests = requests;
	asker->has_more = true; /* a message without requests has an answer, too */
	if (turns->count > 0 && !turns->is_serving) {
		enqueue(turns, asker);
		return 1;
	}
	begin_turn(turns);
	return answer(turns, asker);
}

int fl_sign_turns_keep(struct fl_sign_asker *asker, const uint8_t *data, size_t len)
{
	asker->behind_len = len;
	if (len == 0) {
		return 0;
	}
	asker->behind = malloc(len);
	if (asker->behind == NULL) {
		return UV_ENOMEM;
	}
	memcpy(asker->behind, data, len);
	return 0;
}

void fl_sign_turns_drained(struct fl_sign_turns *turns, struct fl_sign_asker *asker)
{
	if (!asker->is_queued) {
		enqueue(turns, asker);
	}
}

void fl_sign_turns_leave(struct fl_sign_turns *turns, struct fl_sign_asker *asker)
{
	if (asker->is_queued) {
		dequeue(turns, asker);
	}
	fl_keyring_leave(turns->keyring, &asker->share);
	free(asker->behind);
	asker->behind = NULL;
}
