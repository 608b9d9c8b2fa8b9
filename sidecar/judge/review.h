/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_JUDGE_REVIEW_H
#define FL_JUDGE_REVIEW_H
/* review - everything that visits the open connections of one loop again, in one place. Loop-bound. */
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
void fl_review_close(struct fl_review *review); /* the loop has to run once more */
/* The loop has a new share. */
void fl_review_take_share(struct fl_review *review);

/* May a stream whose mesh side has just become ready go on? False: it is ended. */
bool fl_review_admit_stream(struct fl_review *review, struct fl_stream *stream);
/* Its relay has begun. */
void fl_review_on_relay(struct fl_review *review, const struct fl_stream *stream);

#endif
