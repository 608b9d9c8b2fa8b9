/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The worker's part. Nothing here fails: items for which there is no memory are left out and counted, and a verdict for
 * which memory runs out counts as a loss, as in a real judgement. */
#define HASH_NONFATAL_OOM 1
#include "judge/preview.h"

#include <stdlib.h>

#include "base/err.h"
#include "conn/loop.h"
#include "conn/stream.h"
#include "judge/walk.h"

static void forget(struct fl_preview *preview)
{
	struct fl_peer_count *peer = preview->peers;

	for (size_t i = 0; i < preview->doomed_count; i++) {
		fl_listed_done(&preview->doomed[i].connection);
		free(preview->doomed[i].detail);
	}
	free(preview->doomed);
	HASH_CLEAR(hh, preview->peers); /* the table; its items stay a list */
	while (peer != NULL) {
		struct fl_peer_count *next = peer->hh.next;

		fl_tls_peer_unref(peer->peer);
		free(peer);
		peer = next;
	}
	fl_callers_done(&preview->callers);
	*preview = (struct fl_preview){.share = preview->share,
				       .max = preview->max,
				       .done = preview->done,
				       .done_user = preview->done_user};
}

void fl_preview_done(struct fl_preview *preview)
{
	forget(preview);
	*preview = (struct fl_preview){0};
}

static void take_stock(struct fl_preview *preview, const struct fl_loop *loop)
{
	preview->open = fl_loop_open_connections(loop);
	preview->callers.max = loop->callers.max + loop->unproven.max;
	fl_callers_add(&preview->callers, &loop->unproven);
	fl_callers_add(&preview->callers, &loop->callers);
}

/* NOLINTNEXTLINE(readability-function-size): what is large is uthash's macros */
static void count_peer(struct fl_preview *preview, struct fl_tls_peer *peer)
{
	struct fl_peer_count *found = NULL;

	if (peer == NULL) {
		return;
	}
	HASH_FIND_PTR(preview->peers, &peer, found);
	if (found == NULL) {
		if (HASH_COUNT(preview->peers) == FL_PREVIEW_PEERS) {
			preview->peers_left_out++;
			return;
		}
		found = calloc(1, sizeof(*found));
		if (found == NULL) {
			preview->peers_left_out++;
			return;
		}
		found->peer = fl_tls_peer_ref(peer);
		HASH_ADD_PTR(preview->peers, peer, found);
		if (found->hh.tbl == NULL) { /* no memory for the table */
			fl_tls_peer_unref(found->peer);
			free(found);
			preview->peers_left_out++;
			return;
		}
	}
	found->connections++;
}

static void list(struct fl_preview *preview, const struct fl_stream *stream, enum fl_loss loss,
		 const struct fl_err *detail)
{
	struct fl_doomed *doomed;

	if (preview->doomed_count == preview->max) {
		return;
	}
	doomed = realloc(preview->doomed, (preview->doomed_count + 1) * sizeof(*doomed));
	if (doomed == NULL) {
		return; /* counted anyway */
	}
	preview->doomed = doomed;
	doomed = &preview->doomed[preview->doomed_count];
	*doomed = (struct fl_doomed){.loss = loss};
	fl_stream_describe(stream, &doomed->connection);
	doomed->detail =
		detail->text[0] != '\0' ? fl_listed_copy(&doomed->connection, detail->text) : NULL;
	if (doomed->connection.is_short) {
		fl_listed_done(&doomed->connection);
		free(doomed->detail);
		return;
	}
	preview->doomed_count++;
}

static bool visit(void *user, struct fl_stream *stream)
{
	struct fl_preview *preview = ((struct fl_previewer *)user)->preview;
	struct fl_judge_outcome outcome;
	struct fl_err detail = {.code = FL_OK};

	if (!fl_stream_has_mesh(stream)) {
		return true;
	}
	preview->judged++;
	count_peer(preview, fl_stream_peer(stream));
	fl_judge_ask(stream, preview->share, &outcome, &detail);
	if (outcome.closes) {
		preview->closes[outcome.loss]++;
		list(preview, stream, outcome.loss, &detail);
	} else if (outcome.loss < FL_LOSSES) {
		preview->keeps[outcome.loss]++;
	}
	return true;
}

/* Some have been counted already. */
static void on_restart(void *user)
{
	struct fl_previewer *previewer = user;

	forget(previewer->preview);
	take_stock(previewer->preview, previewer->loop);
}

static void on_walked(void *user)
{
	struct fl_previewer *previewer = user;
	struct fl_preview *preview = previewer->preview;

	previewer->preview = NULL;
	fl_share_unref(preview->share);
	preview->share = NULL;
	preview->done(preview->done_user);
}

void fl_previewer_start(struct fl_previewer *previewer, struct fl_preview *preview)
{
	const struct fl_loop *loop = previewer->loop;

	FL_REQUIRE(previewer->preview == NULL);
	previewer->preview = preview;
	take_stock(preview, loop);
	if (loop->share == NULL || loop->stopping) {
		on_walked(previewer);
		return;
	}
	fl_walk_start(previewer->walk, FL_WALK_PREVIEW);
}

void fl_previewer_init(struct fl_previewer *previewer, struct fl_loop *loop, struct fl_walk *walk)
{
	*previewer = (struct fl_previewer){.loop = loop, .walk = walk};
	fl_walk_register(walk, FL_WALK_PREVIEW,
			 &(struct fl_walk_visitor){.user = previewer,
						   .visit = visit,
						   .on_restart = on_restart,
						   .on_done = on_walked});
}

void fl_previewer_close(struct fl_previewer *previewer)
{
	if (previewer->preview != NULL) {
		on_walked(previewer);
	}
}
