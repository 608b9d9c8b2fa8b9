/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The letters between the main thread and a worker. The first function of each pair handles the
 * letter on the reader's loop, the second posts it.
 *
 * Happy path: the first share opens the listeners. A later one replaces it between two events; open
 * connections keep the share they began with. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "conn/connections.h"
#include "conn/parking.h"
#include "worker/worker_internal.h"

/* --- a share of a new generation ----------------------------------------------------------------- */

struct share_mail {
	struct fl_mail mail;
	struct fl_share *share;
	struct fl_target_set *targets;
};

/* The section of a fixed listener in the new INI, and where it leads. */
static void take_section(struct fl_endpoint *endpoint, const struct fl_generation *generation,
			 const struct fl_target_set *targets)
{
	struct fl_targets *before = endpoint->targets;

	fl_endpoint_take_generation(endpoint, generation);
	endpoint->targets = NULL;
	if (endpoint->upstream != NULL) {
		size_t number = (size_t)(endpoint->upstream - generation->conf->upstreams);

		FL_REQUIRE(number < targets->count && targets->items[number] != NULL);
		endpoint->targets = fl_targets_ref(targets->items[number]);
	}
	fl_targets_unref(before);
}

static void take_share(struct fl_worker *worker, struct fl_share *share,
		       const struct fl_target_set *targets)
{
	const struct fl_share *last = worker->loop.share;
	bool first = last == NULL;
	bool may_reuse = first || fl_generation_may_reuse(last->generation, share->generation);
	bool may_resume = fl_loop_take_share(&worker->loop, share);

	fl_worker_apply_limits(worker, share->generation->conf);
	for (size_t i = 0; i < worker->listeners.count; i++) {
		struct fl_endpoint *endpoint = &worker->listeners.items[i].endpoint;

		take_section(endpoint, share->generation, targets);
		if (!may_resume) {
			fl_resume_flush(&endpoint->resume);
		}
	}
	if (!may_reuse) {
		fl_parking_flush(&worker->loop);
	}
	fl_review_take_share(&worker->review);
	if (!share->generation->conf->tls.key_in_sidecar) {
		fl_sign_link_open(&worker->sign_link);
	}
	if (first && !worker->draining) {
		fl_listeners_open(&worker->listeners);
		__atomic_store_n(&worker->serving, true, __ATOMIC_RELEASE);
	}
	fl_listeners_tune(&worker->listeners, &worker->loop);
	fl_loop_serve_waiting(&worker->loop); /* the new limits may provide more slots */
	/* with the new map they may not have to wait any more */
	fl_connections_names_answered(&worker->loop);
}

static void on_share(struct fl_mail *mail, void *reader)
{
	struct share_mail *letter = FL_CONTAINER_OF(mail, struct share_mail, mail);

	take_share(reader, letter->share, letter->targets);
	fl_target_set_unref(letter->targets);
	free(letter);
}

void fl_worker_post_share(struct fl_worker *worker, struct fl_share *share,
			  struct fl_target_set *targets)
{
	struct share_mail *letter = fl_new(sizeof(*letter));

	letter->mail.take = on_share;
	letter->share = share;
	letter->targets = fl_target_set_ref(targets);
	fl_mailbox_post(&worker->mailbox, &letter->mail);
}

/* --- what DNS says -------------------------------------------------------------------------------- */

struct targets_mail {
	struct fl_mail mail;
	struct fl_targets *targets;
	char upstream[];
};

static void take_targets(struct fl_worker *worker, const char *upstream, struct fl_targets *targets)
{
	for (size_t i = 0; i < worker->listeners.count; i++) {
		struct fl_endpoint *endpoint = &worker->listeners.items[i].endpoint;

		if (endpoint->direction == FL_OUTBOUND && !endpoint->captures &&
		    strcmp(endpoint->name, upstream) == 0) {
			fl_targets_unref(endpoint->targets);
			endpoint->targets = fl_targets_ref(targets);
		}
	}
}

static void on_targets(struct fl_mail *mail, void *reader)
{
	struct targets_mail *letter = FL_CONTAINER_OF(mail, struct targets_mail, mail);

	take_targets(reader, letter->upstream, letter->targets);
	fl_targets_unref(letter->targets);
	free(letter);
}

void fl_worker_post_targets(struct fl_worker *worker, const char *upstream,
			    struct fl_targets *targets)
{
	size_t size = strlen(upstream) + 1;
	struct targets_mail *letter = fl_new(sizeof(*letter) + size);

	letter->mail.take = on_targets;
	letter->targets = fl_targets_ref(targets);
	memcpy(letter->upstream, upstream, size);
	fl_mailbox_post(&worker->mailbox, &letter->mail);
}

struct upstream_map_mail {
	struct fl_mail mail;
	struct fl_upstream_map *map;
};

static void take_upstream_map(struct fl_worker *worker, struct fl_upstream_map *map)
{
	if (worker->loop.share == NULL) { /* the worker is stopping */
		fl_upstream_map_unref(map);
		return;
	}
	fl_upstream_map_unref(worker->loop.share->upstream_map);
	worker->loop.share->upstream_map = map;
	fl_judge_addresses(&worker->review.judge);
}

static void on_upstream_map(struct fl_mail *mail, void *reader)
{
	struct upstream_map_mail *letter = FL_CONTAINER_OF(mail, struct upstream_map_mail, mail);

	take_upstream_map(reader, letter->map);
	free(letter);
}

void fl_worker_post_upstream_map(struct fl_worker *worker, struct fl_upstream_map *map)
{
	struct upstream_map_mail *letter = fl_new(sizeof(*letter));

	letter->mail.take = on_upstream_map;
	letter->map = fl_upstream_map_ref(map);
	fl_mailbox_post(&worker->mailbox, &letter->mail);
}

static void on_answer(struct fl_mail *mail, void *reader)
{
	struct fl_worker *worker = reader;

	worker->is_answered = true;
	free(mail);
}

void fl_worker_post_answer(struct fl_worker *worker)
{
	struct fl_mail *mail = fl_new(sizeof(*mail));

	mail->take = on_answer;
	fl_mailbox_post(&worker->mailbox, mail);
}

/* --- the log level -------------------------------------------------------------------------------- */

struct log_level_mail {
	struct fl_mail mail;
	enum fl_log_level level;
	bool is_set;
};

static void on_log_level(struct fl_mail *mail, void *reader)
{
	struct log_level_mail *letter = FL_CONTAINER_OF(mail, struct log_level_mail, mail);
	struct fl_worker *worker = reader;

	worker->loop.log.level = letter->level;
	worker->log_level_is_set = letter->is_set;
	free(letter);
}

bool fl_worker_post_log_level(struct fl_worker *worker, enum fl_log_level level, bool is_set)
{
	struct log_level_mail *letter = calloc(1, sizeof(*letter));

	if (letter == NULL) {
		return false;
	}
	letter->mail.take = on_log_level;
	letter->level = level;
	letter->is_set = is_set;
	fl_mailbox_post(&worker->mailbox, &letter->mail);
	return true;
}

/* --- the end -------------------------------------------------------------------------------------- */

static void on_drain(struct fl_mail *mail, void *reader)
{
	free(mail);
	fl_worker_drain(reader);
}

void fl_worker_post_drain(struct fl_worker *worker)
{
	struct fl_mail *mail = fl_new(sizeof(*mail));

	mail->take = on_drain;
	fl_mailbox_post(&worker->mailbox, mail);
}

static void on_stop(struct fl_mail *mail, void *reader)
{
	free(mail);
	fl_worker_stop(reader);
}

void fl_worker_post_stop(struct fl_worker *worker)
{
	struct fl_mail *mail = fl_new(sizeof(*mail));

	mail->take = on_stop;
	fl_mailbox_post(&worker->mailbox, mail);
}

/* --- to the main thread ----------------------------------------------------------------------------- */

static void take_idle(struct fl_mail *mail, void *reader)
{
	struct fl_worker *worker = FL_CONTAINER_OF(mail, struct fl_worker, idle_mail);

	worker->events->on_idle(reader);
}

void fl_worker_report_idle(struct fl_worker *worker)
{
	fl_mailbox_post(worker->main, &worker->idle_mail);
}

static void take_wanted(struct fl_mail *mail, void *reader)
{
	struct fl_worker *worker = FL_CONTAINER_OF(mail, struct fl_worker, wanted_names.mail);

	fl_wanted_names_take(&worker->wanted_names, worker->events->on_name_wanted, reader);
}

/* --- the box ---------------------------------------------------------------------------------------- */

/* Runs once for all answers that have arrived, because thousands of connections may wait, each for
 * hundreds of names. */
static void on_taken(void *reader)
{
	struct fl_worker *worker = reader;

	if (worker->is_answered) {
		worker->is_answered = false;
		fl_connections_names_answered(&worker->loop);
	}
}

void fl_worker_init_mail(struct fl_worker *worker, struct fl_mailbox *main,
			 const struct fl_worker_events *events)
{
	worker->main = main;
	worker->events = events;
	worker->idle_mail.take = take_idle;
	worker->wanted_names.mail.take = take_wanted;
	fl_mailbox_init(&worker->mailbox, &worker->uv, worker, on_taken);
}
