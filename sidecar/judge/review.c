/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "judge/review.h"

#include "conn/stream.h"

void fl_review_init(struct fl_review *review, struct fl_loop *loop)
{
	fl_walk_init(&review->walk, loop);
	fl_recycle_init(&review->recycle, loop, &review->walk);
	fl_judge_init(&review->judge, loop, &review->walk, &review->recycle);
	fl_previewer_init(&review->previewer, loop, &review->walk);
	fl_long_lived_init(&review->long_lived, loop, &review->walk);
}

void fl_review_close(struct fl_review *review)
{
	fl_previewer_close(&review->previewer);
	fl_walk_close(&review->walk);
	fl_judge_close(&review->judge);
	fl_recycle_close(&review->recycle);
	fl_long_lived_close(&review->long_lived);
}

void fl_review_take_share(struct fl_review *review)
{
	fl_judge_start(&review->judge);
	fl_recycle_generation(&review->recycle);
}

bool fl_review_admit_stream(struct fl_review *review, struct fl_stream *stream)
{
	return fl_judge_late(&review->judge, stream);
}

void fl_review_on_relay(struct fl_review *review, const struct fl_stream *stream)
{
	const struct fl_tls_peer *peer = fl_stream_peer(stream);

	if (peer != NULL) {
		fl_judge_note_expiry(&review->judge, fl_tls_peer_until(peer));
	}
}
