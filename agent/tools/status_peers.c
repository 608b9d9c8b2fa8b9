/* SPDX-License-Identifier: GPL-3.0-or-later */
/* status_peers - counts the connections of /connections by peer. Any program may answer there: values of an unexpected form
 * are skipped. */
#include "agent/tools/status_peers.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "agent/common/json_read.h"
#include "agent/tools/admin_client.h"
#include "base/mem.h"

#define LINES_MAX 10 /* others are only counted */

struct peer {
	const char *name; /* borrowed from the document */
	unsigned inbound, outbound;
};

struct peers {
	struct peer *items;
	size_t count;
};

static const char *name_of(const cJSON *connection)
{
	const char *peer = fl_json_read_text(connection, "peer");

	if (peer[0] != '\0') {
		return peer;
	}
	return fl_json_read_text(connection, "security")[0] != '\0' ? "nobody known, in plaintext"
								    : "not known yet";
}

static void add(struct peers *peers, const cJSON *connection)
{
	const char *direction = fl_json_read_text(connection, "direction");
	const char *name = name_of(connection);
	size_t i = 0;

	if (direction[0] == '\0') {
		return;
	}
	while (i < peers->count && strcmp(peers->items[i].name, name) != 0) {
		i++;
	}
	if (i == peers->count) {
		peers->items = fl_grow(peers->items, ++peers->count, sizeof(*peers->items));
		peers->items[i] = (struct peer){.name = name};
	}
	if (strcmp(direction, "inbound") == 0) {
		peers->items[i].inbound++;
	} else {
		peers->items[i].outbound++;
	}
}

static int compare(const void *left, const void *right)
{
	const struct peer *a = left;
	const struct peer *b = right;
	unsigned a_all = a->inbound + a->outbound, b_all = b->inbound + b->outbound;

	return a_all != b_all ? (a_all > b_all ? -1 : 1) : strcmp(a->name, b->name);
}

static void put_line(struct fl_text *out, const struct peer *peer, bool first)
{
	fl_text_print(out, "%-12s ", first ? "peers" : "");
	fl_text_put_clean(out, peer->name);
	if (peer->inbound > 0) {
		fl_text_print(out, ": %u inbound", peer->inbound);
	}
	if (peer->outbound > 0) {
		fl_text_print(out, "%s %u outbound", peer->inbound > 0 ? "," : ":", peer->outbound);
	}
	fl_text_put(out, "\n", 1);
}

static void put_rest(struct fl_text *out, const struct peers *peers, uint64_t left_out)
{
	if (peers->count > LINES_MAX) {
		fl_text_print(out, "%-12s and %zu more\n", "", peers->count - LINES_MAX);
	}
	if (left_out > 0) {
		fl_text_print(out, "%-12s %" PRIu64 " more open connections are not counted here\n",
			      peers->count > 0 ? "" : "peers", left_out);
	}
}

static void put_document(const cJSON *document, struct fl_text *out)
{
	const cJSON *connection;
	struct peers peers = {0};

	cJSON_ArrayForEach(connection, fl_json_read_member(document, "connections"))
	{
		add(&peers, connection);
	}
	if (peers.count > 1) {
		qsort(peers.items, peers.count, sizeof(*peers.items), compare);
	}
	for (size_t i = 0; i < peers.count && i < LINES_MAX; i++) {
		put_line(out, &peers.items[i], i == 0);
	}
	put_rest(out, &peers, fl_json_read_count(document, "left_out"));
	free(peers.items);
}

void fl_status_peers_put(const struct fl_admin_client *admin, unsigned timeout_ms,
			 struct fl_text *out)
{
	struct fl_text body = {0};
	unsigned status = 0;
	cJSON *document = NULL;

	if (fl_admin_client_get(admin, "/connections", timeout_ms, &status, &body, NULL) == FL_OK &&
	    status == 200) {
		document = cJSON_ParseWithLength(body.data, body.len);
		put_document(document, out);
	}
	cJSON_Delete(document);
	fl_text_done(&body);
}
