/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_JUDGE_PREVIEW_H
#define FL_JUDGE_PREVIEW_H
/* preview - computes what a candidate generation would do to the open connections, without doing it.
 *
 * The candidate is built and judged like every generation; then each worker judges each of its connections as judge.c
 * would, in the same slices, and closes none. The main thread combines the workers' parts and reports, for each root of the
 * generation in use, which live peers depend on it (report/preview_report.h). */
#include <stddef.h>
#include <stdint.h>
#include <uthash.h>

#include "conn/listing.h"
#include "generation/generation.h"
#include "judge/judge.h"

#define FL_PREVIEW_LISTED 200u /* listed connections of all workers together */
#define FL_PREVIEW_PEERS 1024u /* different chains that are examined for roots */

/* An open connection that would be closed. */
struct fl_doomed {
	struct fl_listed connection;
	enum fl_loss loss;
	char *detail; /* owned; NULL: no additional sentence */
};

/* The connections with one chain. */
struct fl_peer_count {
	struct fl_tls_peer *peer; /* a reference */
	uint64_t connections;
	UT_hash_handle hh;
};

/* The preview of one worker. The asker sets the fields marked "asker"; the others begin as 0. It belongs to the worker
 * until done is called. */
struct fl_preview {
	struct fl_share *share;   /* asker: the candidate's; the worker drops the reference */
	size_t max;               /* asker: how many to list */
	void (*done)(void *user); /* asker: called last, on the worker's thread */
	void *done_user;
	uint64_t open, judged;
	uint64_t closes[FL_LOSSES], keeps[FL_LOSSES];
	struct fl_doomed *doomed; /* owned */
	size_t doomed_count;
	struct fl_peer_count *peers; /* owned: a hash table by address */
	uint64_t peers_left_out;
	struct fl_callers callers; /* owned: a copy of the worker's */
};
void fl_preview_done(struct fl_preview *preview);

/* The previewer of a loop. */
struct fl_previewer {
	struct fl_loop *loop;
	struct fl_walk *walk;
	struct fl_preview *preview; /* under way; NULL: there is none */
};
void fl_previewer_init(struct fl_previewer *previewer, struct fl_loop *loop, struct fl_walk *walk);
/* Ends a preview in progress with its partial results (shutdown). */
void fl_previewer_close(struct fl_previewer *previewer);
/* Begins a preview. One at a time. */
void fl_previewer_start(struct fl_previewer *previewer, struct fl_preview *preview);

#endif
