/* SPDX-License-Identifier: GPL-3.0-or-later */
/* server_preview - a candidate from the control socket: built like a generation, shown to the workers, thrown away.
 *
 * One preview runs at a time; other askers wait. The result is available during one call of
 * on_listed, so an asker that has gone by then costs nothing more. */
#include <stdlib.h>
#include <time.h>

#include "report/preview_report.h"
#include "server/server_internal.h"

/* Chains are judged again for a candidate. A verdict that is stored for a preview must not be used
 * for a later generation, so previews have their own epochs. */
#define PREVIEW_EPOCHS (UINT64_C(1) << 48)

void fl_server_drop_preview(struct fl_server *server)
{
	struct fl_previewing *previewing = &server->previewing;

	for (unsigned i = 0; previewing->parts != NULL && i < previewing->part_count; i++) {
		fl_preview_done(&previewing->parts[i]);
	}
	free(previewing->parts);
	fl_ask_all_done(&previewing->ask);
	fl_generation_unref(previewing->current);
	fl_generation_unref(previewing->candidate);
	fl_text_done(&previewing->body);
	*previewing = (struct fl_previewing){.number = previewing->number};
}

static void on_all_previewed(void *user)
{
	struct fl_server *server = user;
	struct fl_previewing *previewing = &server->previewing;
	struct fl_err err;

	previewing->is_done = true;
	previewing->status = 200;
	previewing->body.is_soft = true;
	if (fl_report_preview(previewing->current, previewing->candidate, previewing->parts,
			      previewing->part_count, &previewing->body, &err) != 0) {
		fl_text_print(&previewing->body, "%s\n", err.text);
		previewing->status = 503;
	}
	fl_server_answer_listed(server);
	fl_server_drop_preview(server);
	fl_server_answer_listed(server); /* the next asker's turn */
}

/* Runs on the worker's thread. */
static void answer(void *user)
{
	fl_question_answered(user);
}

static void preview(void *reader, void *part, struct fl_question *question)
{
	struct fl_worker *worker = reader;
	struct fl_preview *preview = part;

	preview->done = answer;
	preview->done_user = question;
	fl_previewer_start(&worker->review.previewer, preview);
}

/* Takes ownership of the shares. False: out of memory. */
static bool show_to_workers(struct fl_server *server, struct fl_generation *candidate,
			    struct fl_share **shares)
{
	struct fl_previewing *previewing = &server->previewing;
	struct fl_upstream_map *map = fl_resolver_imagine(server->resolver, candidate->conf);

	previewing->parts = fl_new(server->worker_count * sizeof(*previewing->parts));
	previewing->part_count = server->worker_count;
	previewing->current = fl_generation_ref(server->current);
	previewing->candidate = fl_generation_ref(candidate);
	for (unsigned i = 0; i < server->worker_count; i++) {
		shares[i]->upstream_map = fl_upstream_map_ref(map);
		previewing->parts[i] = (struct fl_preview){
			.share = shares[i], .max = FL_PREVIEW_LISTED / server->worker_count};
	}
	fl_upstream_map_unref(map);
	return fl_ask_all_begin(&previewing->ask,
				&(struct fl_ask_all_plan){.asker = &server->mailbox,
							  .asked = server->worker_boxes,
							  .count = server->worker_count,
							  .ask = preview,
							  .parts = previewing->parts,
							  .part_size = sizeof(*previewing->parts),
							  .on_all = on_all_previewed,
							  .user = server});
}

/* Drops the shares; no worker was asked. */
static void forget_shares(struct fl_server *server)
{
	for (unsigned i = 0; i < server->previewing.part_count; i++) {
		fl_share_unref(server->previewing.parts[i].share);
	}
	fl_server_drop_preview(server);
}

static int begin(struct fl_server *server, const struct fl_ctl_generation *message,
		 struct fl_err *err)
{
	struct fl_generation *candidate;
	struct fl_share **shares;
	struct fl_rule_counts *rule_counts;
	int rc = fl_server_has_memory(server, message, err);

	if (rc == 0) {
		rc = fl_generation_new(message, (int64_t)time(NULL), server->current, &candidate,
				       err);
	}
	if (rc != 0) {
		return rc == FL_ERR_NOMEM ? rc
					  : fl_err_prefix(err, "this candidate would be refused");
	}
	candidate->epoch = PREVIEW_EPOCHS + ++server->previewing.number;
	shares = fl_new(server->worker_count * sizeof(struct fl_share *));
	rule_counts = fl_rule_counts_new(candidate->conf->policy, server->worker_count);
	rc = fl_server_make_shares(server, candidate, rule_counts, shares, err);
	if (rc == 0 && !show_to_workers(server, candidate, shares)) {
		forget_shares(server);
		rc = fl_err_set(err, FL_ERR_NOMEM, "out of memory");
	}
	fl_rule_counts_unref(rule_counts);
	free(shares);
	fl_generation_unref(candidate);
	return rc;
}

/* 0, or what is wrong with the request. */
static int take_frame(struct fl_server *server, struct fl_span frame, struct fl_err *err)
{
	struct fl_ctl_decoder *decoder = fl_ctl_decoder_new(FL_CTL_FROM_AGENT);
	struct fl_ctl_message message;
	int rc;

	if (decoder == NULL) {
		return fl_err_set(err, FL_ERR_NOMEM, "out of memory");
	}
	rc = fl_ctl_decoder_feed(decoder, &frame.data, &frame.len, &message, err);
	if (rc == 1 && message.type == FL_CTL_GENERATION && frame.len == 0) {
		rc = begin(server, &message.u.generation, err);
	} else if (rc >= 0) {
		rc = fl_err_set(err, FL_ERR_PEER,
				"the body is not a candidate: ask with `fairlead-agent preview`");
	}
	fl_ctl_decoder_free(decoder);
	return rc;
}

bool fl_server_preview(struct fl_server *server, struct fl_span frame, const void *asker,
		       unsigned *ret_status, struct fl_text *ret)
{
	struct fl_previewing *previewing = &server->previewing;
	struct fl_err err;
	int rc;

	if (previewing->is_done && previewing->asker == asker) {
		fl_text_put(ret, previewing->body.data, previewing->body.len);
		ret->has_failed = ret->has_failed || previewing->body.has_failed;
		*ret_status = previewing->status;
		return true;
	}
	if (previewing->parts != NULL) {
		return false;
	}
	if (server->current == NULL || server->phase != SERVING) {
		fl_text_print(ret, "the sidecar has no generation in use to compare with\n");
		*ret_status = 503;
		return true;
	}
	rc = take_frame(server, frame, &err);
	if (rc != 0) {
		fl_text_print(ret, "%s\n", err.text);
		*ret_status = rc == FL_ERR_NOMEM ? 503 : 400;
		return true;
	}
	previewing->asker = asker;
	return false;
}
