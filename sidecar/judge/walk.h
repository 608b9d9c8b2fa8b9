/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_JUDGE_WALK_H
#define FL_JUDGE_WALK_H
/* walk - visits every open stream of a loop, in slices between which traffic goes on.
 *
 * A slice lasts at most a millisecond, or one stream if that lasts longer. Streams that begin during a walk are not
 * visited: they began under the current generation. A walk has one or more aims; a visitor is registered for each.
 * Loop-bound. */
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct fl_loop;
struct fl_stream;

/* The aims of a walk, in the order in which their visitors get a stream: judging may end it. */
enum fl_walk_aim { FL_WALK_PREVIEW, FL_WALK_LOG, FL_WALK_JUDGE, FL_WALK_RECYCLE, FL_WALK_AIMS };

/* All except visit may be NULL. */
struct fl_walk_visitor {
	void *user;
	bool (*visit)(void *user, struct fl_stream *stream); /* false: the stream is gone */
	void (*on_slice)(void *user, uint64_t ns); /* the time spent, on all aims together */
	void (*on_restart)(void *user);            /* the walk begins again with the first stream */
	void (*on_done)(void *user);               /* all streams have been visited */
};

struct fl_walk {
	struct fl_loop *loop;
	uv_idle_t slice;
	struct fl_walk_visitor visitors[FL_WALK_AIMS];
	uint8_t aims;   /* bits: 1 << enum fl_walk_aim, of the one under way; 0: there is none */
	uint8_t wanted; /* aims of the next walk */
	bool closed;
};

void fl_walk_init(struct fl_walk *walk, struct fl_loop *loop);
void fl_walk_close(struct fl_walk *walk); /* the loop must run once more */
void fl_walk_register(struct fl_walk *walk, enum fl_walk_aim aim,
		      const struct fl_walk_visitor *visitor);
/* Begins a walk. For judging, a walk in progress begins again; for other aims, the new walk follows it. */
void fl_walk_start(struct fl_walk *walk, enum fl_walk_aim aim);

#endif
