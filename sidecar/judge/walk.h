/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_JUDGE_WALK_H
#define FL_JUDGE_WALK_H
/* walk - a look at every open connection of a worker, in slices between which traffic goes on.
 *
 * A slice is a millisecond at most, or one connection where that takes longer. Connections that come meanwhile are not looked
 * at: they began under what is current. Loop-bound. */
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct fl_worker;

/* What a walk is for, as bits. */
enum fl_walk_aim {
	FL_WALK_JUDGE = 1,   /* judge.h */
	FL_WALK_RECYCLE = 2, /* recycle.h */
	FL_WALK_PREVIEW = 4, /* preview.h */
	FL_WALK_TELL = 8,    /* long_lived.h */
};

struct fl_walk {
	uv_idle_t slice;
	uint32_t number; /* of the walk under way, or of the last one; from 1 on */
	uint8_t aims;    /* of the one under way; 0: there is none */
	uint8_t wanted;  /* of the next one */
	bool closed;
};

void fl_walk_init(struct fl_worker *worker);
void fl_walk_close(struct fl_worker *worker); /* the loop has to run once more */
/* Begins one. To judge, one that is under way begins again; for the others, it comes after it. */
void fl_walk_start(struct fl_worker *worker, enum fl_walk_aim aim);

#endif
