/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The worker's part. Nothing here fails: what there is no memory for is left out and counted, and a verdict that takes memory
 * which is not there counts as a loss, as it would in earnest. */
#define HASH_NONFATAL_OOM 1
#include "judge/preview.h"

#include <stdlib.h>

#include "conn/stream.h"

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
	fl_callers_done(&preview->seen);
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

static void take_stock(struct fl_worker *worker, struct fl_preview *preview)
{
	preview->open = fl_worker_open_connections(worker);
	preview->seen.max = worker->seen.max;
	fl_callers_add(&preview->seen, &worker->seen);
}

void fl_preview_start(struct fl_worker *worker, struct fl_preview *preview)
{
	FL_REQUIRE(worker->preview == NULL);
	worker->preview = preview;
	take_stock(worker, preview);
	if (worker->share == NULL || worker->stopping) {
		fl_preview_walked(worker);
		return;
	}
	fl_walk_start(worker, FL_WALK_PREVIEW);
}

void fl_preview_again(struct fl_worker *worker)
{
	forget(worker->preview);
	take_stock(worker, worker->preview);
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
		return; /* counted all the same */
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

void fl_preview_stream(struct fl_worker *worker, struct fl_stream *stream)
{
	struct fl_preview *preview = worker->preview;
	struct fl_judge_outcome outcome;
	struct fl_err detail = {.code = FL_OK};

	if (!fl_stream_has_mesh(stream)) {
		return;
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
}

void fl_preview_walked(struct fl_worker *worker)
{
	struct fl_preview *preview = worker->preview;

	if (preview == NULL) {
		return;
	}
	worker->preview = NULL;
	fl_share_unref(preview->share);
	preview->share = NULL;
	preview->done(preview->done_user);
}
