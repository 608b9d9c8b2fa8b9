/* SPDX-License-Identifier: GPL-3.0-or-later */
/* connections - the open connections of callers: three lists, by what the connection waits for; in each the
 * oldest entry comes first. */
#include <stdlib.h>

#include "admin/admin_internal.h"

#define SLOW_PART 8u      /* of all connections */
#define SLOW_LEAST 4u     /* a scrape, a tool, a person */
#define REQUEST_MS 10000u /* for each of the three lists */
#define LINGER_MS 1000

/* --- deadlines -------------------------------------------------------------------------------- */

static void on_timer(uv_timer_t *timer);

/* Does nothing if the timer already fires early enough. */
static void arm_timer(struct fl_admin *admin)
{
	uint64_t now = uv_now(admin->net->loop), due = UINT64_MAX;

	for (size_t i = 0; i < LISTS; i++) {
		if (admin->first[i] != NULL && admin->first[i]->deadline < due) {
			due = admin->first[i]->deadline;
		}
	}
	if (due == UINT64_MAX) {
		(void)uv_timer_stop(&admin->timer);
	} else if (uv_is_active((uv_handle_t *)&admin->timer) == 0 || due < admin->due) {
		admin->due = due;
		FL_REQUIRE(uv_timer_start(&admin->timer, on_timer, due > now ? due - now : 0, 0) ==
			   0);
	}
}

static void on_timer(uv_timer_t *timer)
{
	struct fl_admin *admin = timer->data;
	uint64_t now = uv_now(admin->net->loop);

	for (size_t i = 0; i < LISTS; i++) {
		while (admin->first[i] != NULL && admin->first[i]->deadline <= now) {
			fl_admin_connection_close(admin->first[i]);
		}
	}
	arm_timer(admin);
}

/* --- connections ------------------------------------------------------------------------------ */

static void leave_list(struct fl_admin_connection *connection)
{
	struct fl_admin *admin = connection->admin;
	enum fl_admin_list list = connection->list;

	if (connection->prev != NULL) {
		connection->prev->next = connection->next;
	} else {
		admin->first[list] = connection->next;
	}
	if (connection->next != NULL) {
		connection->next->prev = connection->prev;
	} else {
		admin->last[list] = connection->prev;
	}
	admin->counts[list]--;
}

static void enter_list(struct fl_admin_connection *connection, enum fl_admin_list list)
{
	struct fl_admin *admin = connection->admin;

	connection->list = list;
	connection->next = NULL;
	connection->prev = admin->last[list];
	if (connection->prev != NULL) {
		connection->prev->next = connection;
	} else {
		admin->first[list] = connection;
	}
	admin->last[list] = connection;
	admin->counts[list]++;
	connection->deadline = uv_now(admin->net->loop) + REQUEST_MS;
	arm_timer(admin);
}

static size_t count(const struct fl_admin *admin)
{
	return admin->counts[READING] + admin->counts[SLOW] + admin->counts[SENT];
}

void fl_admin_connection_close(struct fl_admin_connection *connection)
{
	struct fl_admin *admin = connection->admin;

	leave_list(connection);
	if (connection->is_gone != NULL) {
		*connection->is_gone = true;
	}
	fl_sock_close(connection->sock, connection->list == SENT ? LINGER_MS : 0);
	fl_answer_unref(connection->answer);
	admin->bodies -= connection->body_len;
	fl_wipe_free(connection->body, connection->body_len);
	free(connection);
	for (size_t d = 0; d < FL_ADMIN_DOCUMENTS && count(admin) == 0; d++) {
		fl_answer_rest(&admin->documents[d], uv_hrtime());
	}
	if (!admin->is_closing) {
		arm_timer(admin);
	}
}

/* A caller that has its whole answer loses nothing. Otherwise the oldest caller without a complete
 * request has had the most time to send one. */
static void make_room(struct fl_admin *admin)
{
	struct fl_admin_connection *victim = admin->first[SENT];

	if (victim == NULL) {
		victim = admin->first[READING];
	}
	fl_admin_connection_close(victim != NULL ? victim : admin->first[SLOW]);
}

void fl_admin_connection_enter(struct fl_admin_connection *connection)
{
	if (count(connection->admin) >= connection->admin->source.connections_max) {
		make_room(connection->admin);
	}
	enter_list(connection, READING);
}

/* Without this limit, callers that do not read their answers could occupy all connections. */
void fl_admin_connection_move(struct fl_admin_connection *connection, enum fl_admin_list list)
{
	struct fl_admin *admin = connection->admin;
	size_t slow_max;

	if (connection->list == list) {
		return;
	}
	leave_list(connection);
	enter_list(connection, list);
	slow_max = admin->source.connections_max / SLOW_PART;
	if (admin->counts[SLOW] > (slow_max > SLOW_LEAST ? slow_max : SLOW_LEAST)) {
		fl_admin_connection_close(admin->first[SLOW]);
	}
}
