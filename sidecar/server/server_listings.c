/* SPDX-License-Identifier: GPL-3.0-or-later */
/* server_listings - the open connections and the callers that policy refused, for /connections, the
 * page and /seen. The workers are asked; their answers are available during one call of on_listed.
 * Requests that arrive in the meantime get the same answers. */
#include <stdlib.h>

#include "report/callers_report.h"
#include "report/connections.h"
#include "server/server_internal.h"

void fl_server_drop_listings(struct fl_server *server)
{
	struct fl_listings *listings = &server->listings;

	for (unsigned i = 0; listings->parts != NULL && i < server->worker_count; i++) {
		fl_listing_done(&listings->parts[i]);
	}
	free(listings->parts);
	fl_ask_all_done(&listings->ask);
	*listings = (struct fl_listings){.parts = NULL};
}

static void list(void *reader, void *part, struct fl_question *question)
{
	fl_worker_list(reader, part);
	fl_question_answered(question);
}

static void on_all_listed(void *user)
{
	struct fl_server *server = user;

	server->listings.is_ready = true;
	fl_server_answer_listed(server);
	fl_server_drop_listings(server);
}

/* False: there is no memory. */
static bool ask_workers(struct fl_server *server)
{
	struct fl_listings *listings = &server->listings;

	listings->parts = calloc(server->worker_count, sizeof(*listings->parts));
	if (listings->parts == NULL) {
		return false;
	}
	for (unsigned i = 0; i < server->worker_count; i++) {
		listings->parts[i].max = FL_LISTING_MAX / server->worker_count;
	}
	if (!fl_ask_all_begin(&listings->ask,
			      &(struct fl_ask_all_plan){.asker = &server->mailbox,
							.asked = server->worker_boxes,
							.count = server->worker_count,
							.ask = list,
							.parts = listings->parts,
							.part_size = sizeof(*listings->parts),
							.on_all = on_all_listed,
							.user = server})) {
		fl_server_drop_listings(server);
		return false;
	}
	return true;
}

/* Are the listings available? If not, asks the workers for them. If memory runs out, ret is made to
 * fail. */
static bool has_listings(struct fl_server *server, struct fl_text *ret)
{
	if (server->listings.is_ready || server->worker_count == 0) {
		return true;
	}
	if (server->listings.parts == NULL && !ask_workers(server)) {
		ret->has_failed = true;
		return true;
	}
	return false;
}

bool fl_server_connections(struct fl_server *server, struct fl_text *ret)
{
	if (!has_listings(server, ret)) {
		return false;
	}
	if (!ret->has_failed) {
		fl_report_connections(server->listings.parts, server->worker_count, uv_hrtime(),
				      ret);
	}
	return true;
}

bool fl_server_page(struct fl_server *server, struct fl_text *ret)
{
	struct fl_denials denials = {.count = 0};
	struct fl_snapshot snapshot;

	if (!has_listings(server, ret)) {
		return false;
	}
	if (ret->has_failed || !fl_server_snapshot(server, &snapshot)) {
		ret->has_failed = true;
		return true;
	}
	snapshot.listings = server->listings.parts;
	snapshot.listing_count = server->worker_count;
	fl_server_history_note(server);
	for (unsigned i = 0; i < server->worker_count; i++) {
		fl_denials_add(&denials, &server->listings.parts[i].denials);
	}
	fl_denials_sort(&denials);
	snapshot.denials = &denials;
	snapshot.history = &server->history;
	snapshot.now_ns = uv_hrtime();
	fl_report_page(&snapshot, ret);
	fl_denials_done(&denials);
	fl_snapshot_done(&snapshot);
	return true;
}

bool fl_server_callers(struct fl_server *server, struct fl_text *ret)
{
	struct fl_callers all = {.max = FL_CALLERS_MAX};

	if (!has_listings(server, ret)) {
		return false;
	}
	for (unsigned i = 0; !ret->has_failed && i < server->worker_count; i++) {
		fl_callers_add(&all, &server->listings.parts[i].callers);
	}
	fl_report_callers(&all, ret);
	fl_callers_done(&all);
	return true;
}

void fl_server_on_listed(struct fl_server *server, void (*cb)(void *user), void *user)
{
	server->on_listed = cb;
	server->on_listed_user = user;
}

void fl_server_answer_listed(struct fl_server *server)
{
	if (server->on_listed != NULL) {
		server->on_listed(server->on_listed_user);
	}
}
