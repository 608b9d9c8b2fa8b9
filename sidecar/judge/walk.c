/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Visits the head of the loop's list of streams and moves it to the end, until this walk has already visited the head. So
 * the walk stores no position, and any stream may end between two slices. Nothing here fails. */
#include "judge/walk.h"

#include "base/err.h"
#include "base/mem.h"
#include "conn/loop.h"
#include "conn/stream.h"

#define SLICE_NS (1000u * 1000)

static void on_slice(uv_idle_t *idle);

static bool has(uint8_t aims, unsigned aim)
{
	return (aims & 1u << aim) != 0;
}

void fl_walk_init(struct fl_walk *walk, struct fl_loop *loop)
{
	*walk = (struct fl_walk){.loop = loop};
	FL_REQUIRE(uv_idle_init(loop->uv, &walk->slice) == 0);
	loop->walk = 1;
}

void fl_walk_close(struct fl_walk *walk)
{
	walk->closed = true;
	uv_close((uv_handle_t *)&walk->slice, NULL);
}

void fl_walk_register(struct fl_walk *walk, enum fl_walk_aim aim,
		      const struct fl_walk_visitor *visitor)
{
	walk->visitors[aim] = *visitor;
}

static void begin(struct fl_walk *walk, uint8_t aims)
{
	uint32_t *number = &walk->loop->walk;

	/* No stream has the number 0. */
	*number = *number == UINT32_MAX ? 1 : *number + 1;
	walk->aims = aims;
	FL_REQUIRE(uv_idle_start(&walk->slice, on_slice) == 0);
}

static void restart(struct fl_walk *walk, uint8_t aims)
{
	for (unsigned i = 0; i < FL_WALK_AIMS; i++) {
		const struct fl_walk_visitor *visitor = &walk->visitors[i];

		if (has(walk->aims, i) && visitor->on_restart != NULL) {
			visitor->on_restart(visitor->user);
		}
	}
	begin(walk, aims);
}

void fl_walk_start(struct fl_walk *walk, enum fl_walk_aim aim)
{
	uint8_t bit = (uint8_t)(1u << aim);

	if (walk->closed) {
		return;
	}
	if (walk->aims == 0 || aim == FL_WALK_JUDGE) {
		restart(walk, walk->aims | bit);
	} else {
		walk->wanted |= bit;
	}
}

static void finish(struct fl_walk *walk)
{
	uint8_t aims = walk->aims;

	walk->aims = 0;
	(void)uv_idle_stop(&walk->slice);
	for (unsigned i = 0; i < FL_WALK_AIMS; i++) {
		const struct fl_walk_visitor *visitor = &walk->visitors[i];

		if (has(aims, i) && visitor->on_done != NULL) {
			visitor->on_done(visitor->user);
		}
	}
	if (walk->wanted != 0 && walk->aims == 0) {
		aims = walk->wanted;
		walk->wanted = 0;
		begin(walk, aims);
	}
}

static void show(struct fl_walk *walk, struct fl_stream *stream)
{
	for (unsigned i = 0; i < FL_WALK_AIMS; i++) {
		const struct fl_walk_visitor *visitor = &walk->visitors[i];

		if (has(walk->aims, i) && !visitor->visit(visitor->user, stream)) {
			return;
		}
	}
}

static void count_time(struct fl_walk *walk, uint64_t ns)
{
	for (unsigned i = 0; i < FL_WALK_AIMS; i++) {
		const struct fl_walk_visitor *visitor = &walk->visitors[i];

		if (has(walk->aims, i) && visitor->on_slice != NULL) {
			visitor->on_slice(visitor->user, ns);
		}
	}
}

static void on_slice(uv_idle_t *idle)
{
	struct fl_walk *walk = FL_CONTAINER_OF(idle, struct fl_walk, slice);
	uint64_t begun = uv_hrtime(), now;
	struct fl_stream *stream;

	uv_update_time(walk->loop->uv);
	do {
		stream = fl_stream_take_turn(walk->loop, walk->loop->walk);
		if (stream != NULL) {
			show(walk, stream);
		}
		now = uv_hrtime();
	} while (stream != NULL && now - begun < SLICE_NS);
	count_time(walk, now - begun);
	if (stream == NULL) {
		finish(walk);
	}
}
