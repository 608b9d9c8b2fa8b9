/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_JUDGE_PREVIEW_H
#define FL_JUDGE_PREVIEW_H
/* preview - what a candidate generation would do to the connections that are open, without doing it.
 *
 * The candidate is built and judged like every generation; then each worker asks of each of its connections what
 * judge.c would ask, in the same slices, and nobody is closed. The main thread puts the workers' parts together, and
 * tells of each root of the generation in use which live peers stand on it (report/preview_report.h). */
#include <stddef.h>
#include <stdint.h>
#include <uthash.h>

#include "conn/listing.h"
#include "generation/generation.h"
#include "judge/judge.h"

#define FL_PREVIEW_LISTED 200u /* connections, of all workers together */
#define FL_PREVIEW_PEERS 1024u /* different chains that are looked at for roots */

/* An open connection that would be closed. */
struct fl_doomed {
	struct fl_listed connection;
	enum fl_loss loss;
	char *detail; /* owned; NULL: there is nothing to add */
};

/* Connections of one chain. */
struct fl_peer_count {
	struct fl_tls_peer *peer; /* a reference */
	uint64_t connections;
	UT_hash_handle hh;
};

/* Of one worker. Begins as {0} but for what is said to be the asker's; belongs to the worker until done is called. */
struct fl_preview {
	struct fl_share *share;   /* asker: of the candidate; the worker lets go of it */
	size_t max;               /* asker: how many to list */
	void (*done)(void *user); /* asker: on the worker's thread; last thing that happens */
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

/* Loop: who previews. */
struct fl_previewer {
	struct fl_loop *loop;
	struct fl_walk *walk;
	struct fl_preview *preview; /* under way; NULL: there is none */
};
void fl_previewer_init(struct fl_previewer *previewer, struct fl_loop *loop, struct fl_walk *walk);
/* Answers one that is under way as far as it has come (shutdown). */
void fl_previewer_close(struct fl_previewer *previewer);
/* Begins it. One at a time. */
void fl_previewer_start(struct fl_previewer *previewer, struct fl_preview *preview);

#endif
