/* SPDX-License-Identifier: GPL-3.0-or-later */
/* server_preview - a candidate from the control socket: built like a generation, shown to the workers, thrown away.
 *
 * One at a time; whoever comes meanwhile waits. What was found out is there for the time of one call of on_listed: an
 * asker that has gone by then costs nothing more. */
#include <stdlib.h>
#include <time.h>

#include "server/server_internal.h"

/* Chains are judged anew for a candidate, and what is noted of them must not pass for a verdict of a generation to
 * come: previews have epochs of their own. */
#define PREVIEW_EPOCHS (UINT64_C(1) << 48)

void fl_server_drop_preview(struct fl_server *server)
{
	struct fl_previewing *previewing = &server->previewing;

	for (unsigned i = 0; previewing->parts != NULL && i < previewing->part_count; i++) {
		fl_preview_done(&previewing->parts[i]);
	}
	free(previewing->parts);
	fl_generation_unref(previewing->current);
	fl_generation_unref(previewing->candidate);
	fl_text_done(&previewing->body);
	*previewing = (struct fl_previewing){.number = previewing->number};
}

/* On the worker's thread. */
static void on_worker_done(void *user)
{
	struct fl_server *server = user;

	(void)__atomic_add_fetch(&server->previewing.answered, 1, __ATOMIC_ACQ_REL);
	(void)uv_async_send(&server->worker_listed);
}

static void call_back(struct fl_server *server)
{
	if (server->on_listed != NULL) {
		server->on_listed(server->on_listed_user);
	}
}

void fl_server_previewed(struct fl_server *server)
{
	struct fl_previewing *previewing = &server->previewing;
	struct fl_err err;

	if (previewing->parts == NULL || previewing->is_done ||
	    __atomic_load_n(&previewing->answered, __ATOMIC_ACQUIRE) < previewing->part_count) {
		return;
	}
	previewing->is_done = true;
	previewing->status = 200;
	previewing->body.is_soft = true;
	if (fl_report_preview(previewing->current, previewing->candidate, previewing->parts,
			      previewing->part_count, &previewing->body, &err) != 0) {
		fl_text_print(&previewing->body, "%s\n", err.text);
		previewing->status = 503;
	}
	call_back(server);
	fl_server_drop_preview(server);
	call_back(server); /* the next one's turn */
}

static void show_to_workers(struct fl_server *server, struct fl_generation *candidate,
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
		previewing->parts[i] =
			(struct fl_preview){.share = shares[i],
					    .max = FL_PREVIEW_LISTED / server->worker_count,
					    .done = on_worker_done,
					    .done_user = server};
		fl_worker_post_preview(server->workers[i], &previewing->parts[i]);
	}
	fl_upstream_map_unref(map);
}

static int begin(struct fl_server *server, const struct fl_ctl_generation *message,
		 struct fl_err *err)
{
	struct fl_generation *candidate;
	struct fl_share **shares;
	struct fl_rule_counts *tally;
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
	tally = fl_rule_counts_new(candidate->conf->policy, server->worker_count);
	rc = fl_server_make_shares(server, candidate, tally, shares, err);
	if (rc == 0) {
		show_to_workers(server, candidate, shares);
	}
	fl_rule_counts_unref(tally);
	free(shares);
	fl_generation_unref(candidate);
	return rc;
}

/* 0, or what is wrong with the request. */
static int take_frame(struct fl_server *server, struct fl_span frame, struct fl_err *err)
{
	struct fl_ctl_decoder *decoder = fl_ctl_decoder_new();
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
