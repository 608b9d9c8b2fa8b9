/* SPDX-License-Identifier: GPL-3.0-or-later */
/* walk - the head of the worker's list of streams is looked at and goes to its end, until the head is one that
 * this walk has seen. So no place has to be remembered, whoever ends between two slices. Nothing here fails. */
#include "judge/walk.h"

#include "conn/stream.h"
#include "judge/preview.h"

#define SLICE_NS (1000u * 1000)

static void on_slice(uv_idle_t *idle);

void fl_walk_init(struct fl_worker *worker)
{
	FL_REQUIRE(uv_idle_init(&worker->loop, &worker->walk.slice) == 0);
	worker->walk.number = 1;
}

void fl_walk_close(struct fl_worker *worker)
{
	worker->walk.closed = true;
	uv_close((uv_handle_t *)&worker->walk.slice, NULL);
}

static void begin(struct fl_worker *worker, uint8_t aims)
{
	struct fl_walk *walk = &worker->walk;

	/* 0 is the mark of nobody. */
	walk->number = walk->number == UINT32_MAX ? 1 : walk->number + 1;
	walk->aims = aims;
	FL_REQUIRE(uv_idle_start(&walk->slice, on_slice) == 0);
}

void fl_walk_start(struct fl_worker *worker, enum fl_walk_aim aim)
{
	struct fl_walk *walk = &worker->walk;

	if (walk->closed) {
		return;
	}
	if (walk->aims == 0 || aim == FL_WALK_JUDGE) {
		/* A preview that is under way has counted some already: it begins again, too. */
		if ((walk->aims & FL_WALK_PREVIEW) != 0) {
			fl_preview_again(worker);
		}
		begin(worker, (uint8_t)(walk->aims | aim));
	} else {
		walk->wanted |= (uint8_t)aim;
	}
}

static void finish(struct fl_worker *worker)
{
	struct fl_walk *walk = &worker->walk;
	uint8_t aims = walk->aims;

	walk->aims = 0;
	(void)uv_idle_stop(&walk->slice);
	if ((aims & FL_WALK_JUDGE) != 0) {
		fl_judge_walked(worker);
	}
	if ((aims & FL_WALK_RECYCLE) != 0) {
		fl_recycle_walked(worker);
	}
	if ((aims & FL_WALK_PREVIEW) != 0) {
		fl_preview_walked(worker);
	}
	if (walk->wanted != 0 && walk->aims == 0) {
		aims = walk->wanted;
		walk->wanted = 0;
		begin(worker, aims);
	}
}

static void look_at(struct fl_worker *worker, struct fl_stream *stream)
{
	uint8_t aims = worker->walk.aims;

	/* First: what is judged may be gone then. */
	if ((aims & FL_WALK_PREVIEW) != 0) {
		fl_preview_stream(worker, stream);
	}
	if ((aims & FL_WALK_TELL) != 0) {
		fl_stream_tell(stream);
	}
	if ((aims & FL_WALK_JUDGE) != 0 && !fl_judge_stream(stream)) {
		return;
	}
	if ((aims & FL_WALK_RECYCLE) != 0) {
		fl_recycle_stream(stream);
	}
}

static void on_slice(uv_idle_t *idle)
{
	struct fl_worker *worker = FL_CONTAINER_OF(idle, struct fl_worker, walk.slice);
	uint64_t begun = uv_hrtime(), now;
	struct fl_stream *stream;

	uv_update_time(&worker->loop);
	do {
		stream = fl_stream_take_turn(worker, worker->walk.number);
		if (stream != NULL) {
			look_at(worker, stream);
		}
		now = uv_hrtime();
	} while (stream != NULL && now - begun < SLICE_NS);
	if ((worker->walk.aims & FL_WALK_JUDGE) != 0) {
		fl_count(&worker->judge.last.ns, now - begun);
	}
	if (stream == NULL) {
		finish(worker);
	}
}
