/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_JUDGE_REVIEW_H
#define FL_JUDGE_REVIEW_H
/* review - one place for all modules that visit the open connections of a loop again. Loop-bound. */
#include "judge/judge.h"
#include "judge/long_lived.h"
#include "judge/preview.h"
#include "judge/recycle.h"
#include "judge/walk.h"

struct fl_review {
	struct fl_walk walk;
	struct fl_judge judge;
	struct fl_recycle recycle;
	struct fl_previewer previewer;
	struct fl_long_lived long_lived;
};

void fl_review_init(struct fl_review *review, struct fl_loop *loop);
void fl_review_close(struct fl_review *review); /* the loop must run once more */
/* The loop has a new share. */
void fl_review_take_share(struct fl_review *review);

/* May a stream continue whose mesh side has just become ready? False: it was ended. */
bool fl_review_admit_stream(struct fl_review *review, struct fl_stream *stream);
/* Its relay has begun. */
void fl_review_on_relay(struct fl_review *review, const struct fl_stream *stream);

#endif
