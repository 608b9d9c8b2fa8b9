/* SPDX-License-Identifier: GPL-3.0-or-later */
/* connections - the open connections of /connections as a table. Any program may answer there: values of an unexpected form
 * are skipped, and texts are cleaned. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/common/command.h"
#include "agent/common/json_read.h"
#include "agent/tools/admin_client.h"
#include "base/mem.h"
#include "base/when.h"
#include "policy/pattern.h"

#define REQUEST_MS 5000
#define COLUMNS 9

enum { OPTION_PEER, OPTION_DIRECTION, OPTION_NAME, OPTION_JSON };

/* The conditions that a connection must meet to be listed. */
struct filter {
	const char *direction, *name; /* NULL: any */
	struct fl_pattern *peer;      /* NULL: any */
	bool unknown_peer;            /* only those without one */
};

static const char *const titles[COLUMNS] = {"DIRECTION", "NAME", "SOURCE", "DESTINATION", "PEER",
					    "SECURITY",  "AGE",  "TO APP", "TO MESH"};

struct row {
	char *cells[COLUMNS]; /* owned, clean */
};

struct table {
	struct row *rows;
	size_t count;
	size_t widths[COLUMNS]; /* in characters */
};

static int complain(const char *text, int code)
{
	(void)fprintf(stderr, "fairlead-agent connections: %s\n", text);
	return code;
}

/* --- which ------------------------------------------------------------------------------------ */

static bool is_wanted(const struct filter *filter, const cJSON *connection)
{
	const char *direction = fl_json_read_text(connection, "direction");
	const char *peer = fl_json_read_text(connection, "peer");

	return direction[0] != '\0' &&
	       (filter->direction == NULL || strcmp(filter->direction, direction) == 0) &&
	       (filter->name == NULL ||
		strcmp(filter->name, fl_json_read_text(connection, "name")) == 0) &&
	       (!filter->unknown_peer || peer[0] == '\0') &&
	       (filter->peer == NULL || fl_pattern_match(filter->peer, peer, strlen(peer)));
}

static int read_filter(const struct fl_command_line *line, struct filter *ret)
{
	static const char *const directions[] = {"inbound", "outbound"};
	const char *peer = line->options[OPTION_PEER], *direction = line->options[OPTION_DIRECTION];
	struct fl_err err;

	*ret = (struct filter){.direction = direction, .name = line->options[OPTION_NAME]};
	if (direction != NULL && strcmp(direction, directions[0]) != 0 &&
	    strcmp(direction, directions[1]) != 0) {
		return fl_command_unknown(line->command, "direction", direction, directions,
					  FL_COUNT_OF(directions));
	}
	ret->unknown_peer = peer != NULL && strcmp(peer, "none") == 0;
	if (peer != NULL && !ret->unknown_peer &&
	    fl_pattern_parse(peer, &ret->peer, &err) != FL_OK) {
		return fl_command_complain(line->command, "--peer: %s", err.text);
	}
	return 0;
}

/* --- the table -------------------------------------------------------------------------------- */

static size_t characters(const char *text)
{
	size_t count = 0;

	for (; *text != '\0'; text++) {
		count += ((unsigned char)*text & 0xc0) != 0x80;
	}
	return count;
}

/* A copy that the table owns. */
static char *clean(const char *text)
{
	struct fl_text out = {0};

	fl_text_put_clean(&out, text[0] != '\0' ? text : "-");
	return out.data;
}

static char *bytes_of(const cJSON *connection, const char *key)
{
	struct fl_text out = {0};

	fl_text_put_bytes(&out, fl_json_read_count(connection, key));
	return out.data;
}

static void add(struct table *table, const cJSON *connection)
{
	char age[FL_SPAN_TEXT];
	struct row row = {
		{clean(fl_json_read_text(connection, "direction")),
		 clean(fl_json_read_text(connection, "name")),
		 clean(fl_json_read_text(connection, "source")),
		 clean(fl_json_read_text(connection, "destination")),
		 clean(fl_json_read_text(connection, "peer")),
		 /* A connection that is not decided yet has only a state. */
		 clean(fl_json_read_text(connection,
					 fl_json_read_text(connection, "security")[0] != '\0'
						 ? "security"
						 : "state")),
		 clean(fl_when_span(fl_json_read_number(connection, "age_seconds"), age)),
		 bytes_of(connection, "bytes_to_app"), bytes_of(connection, "bytes_to_mesh")}};

	for (size_t i = 0; i < COLUMNS; i++) {
		size_t width = characters(row.cells[i]);

		table->widths[i] = width > table->widths[i] ? width : table->widths[i];
	}
	table->rows = fl_grow(table->rows, table->count + 1, sizeof(row));
	table->rows[table->count++] = row;
}

static void put_row(const struct table *table, const char *const cells[COLUMNS],
		    struct fl_text *out)
{
	for (size_t i = 0; i < COLUMNS; i++) {
		int pad = i + 1 < COLUMNS ? (int)(table->widths[i] + 2 - characters(cells[i])) : 0;

		fl_text_print(out, "%s%*s", cells[i], pad, "");
	}
	fl_text_put(out, "\n", 1);
}

static void put_table(const struct table *table, uint64_t left_out, struct fl_text *out)
{
	if (table->count > 0) {
		put_row(table, titles, out);
	}
	for (size_t i = 0; i < table->count; i++) {
		put_row(table, (const char *const *)table->rows[i].cells, out);
	}
	if (table->count == 0) {
		fl_text_print(out, "no connection\n");
	}
	if (left_out > 0) {
		fl_text_print(out, "and %" PRIu64 " more that the sidecar does not list\n",
			      left_out);
	}
}

static void table_done(struct table *table)
{
	for (size_t i = 0; i < table->count; i++) {
		for (size_t k = 0; k < COLUMNS; k++) {
			free(table->rows[i].cells[k]);
		}
	}
	free(table->rows);
}

/* --- the answer ------------------------------------------------------------------------------- */

static void put_text(const struct filter *filter, const cJSON *document, struct fl_text *out)
{
	struct table table = {0};
	const cJSON *connection;

	for (size_t i = 0; i < COLUMNS; i++) {
		table.widths[i] = strlen(titles[i]);
	}
	cJSON_ArrayForEach(connection, fl_json_read_member(document, "connections"))
	{
		if (is_wanted(filter, connection)) {
			add(&table, connection);
		}
	}
	put_table(&table, fl_json_read_count(document, "left_out"), out);
	table_done(&table);
}

/* Prints the document without the connections that do not match. */
static void put_json(const struct filter *filter, cJSON *document, struct fl_text *out)
{
	cJSON *list = cJSON_GetObjectItemCaseSensitive(document, "connections");
	cJSON *connection = list->child;
	struct fl_text printed = {0};
	char *text;

	while (connection != NULL) {
		cJSON *next = connection->next;

		if (!is_wanted(filter, connection)) {
			cJSON_Delete(cJSON_DetachItemViaPointer(list, connection));
		}
		connection = next;
	}
	text = cJSON_PrintUnformatted(document);
	fl_text_print(&printed, "%s\n", text != NULL ? text : "");
	cJSON_free(text);
	fl_json_read_show(&printed, out);
	fl_text_done(&printed);
}

static int answer(const struct fl_command_line *line, const struct filter *filter,
		  const struct fl_text *body)
{
	cJSON *document = cJSON_ParseWithLength(body->data, body->len);
	struct fl_text out = {0};

	if (!cJSON_IsArray(cJSON_GetObjectItemCaseSensitive(document, "connections"))) {
		cJSON_Delete(document);
		return complain("what answers there has no /connections of a Fairlead sidecar", 1);
	}
	if (line->options[OPTION_JSON] != NULL) {
		put_json(filter, document, &out);
	} else {
		put_text(filter, document, &out);
	}
	cJSON_Delete(document);
	(void)fwrite(out.data, 1, out.len, stdout);
	fl_text_done(&out);
	return fl_command_flush("the connections", 0);
}

static int ask(const struct fl_command_line *line, const struct filter *filter)
{
	struct fl_admin_client admin;
	struct fl_text body = {0};
	struct fl_err err;
	int code = fl_admin_client_find(line, true, &admin);

	if (code != 0) {
		return code;
	}
	fl_admin_client_warn(line->conf_path);
	if (fl_admin_client_document(&admin, "/connections", REQUEST_MS, &body, &err) != FL_OK) {
		code = complain(err.text, 1);
	} else {
		code = answer(line, filter, &body);
	}
	fl_text_done(&body);
	return code;
}

static int connections(const struct fl_command_line *line)
{
	struct filter filter;
	int code = read_filter(line, &filter);

	if (code == 0) {
		code = ask(line, &filter);
	}
	fl_pattern_free(filter.peer);
	return code;
}

static const char page[] =
	"NAME\n"
	"  fairlead-agent connections - the open connections, as a table\n"
	"\n"
	"SYNOPSIS\n"
	"  fairlead-agent connections [-c FILE] [--peer ID|PATTERN|none]\n"
	"                             [--direction inbound|outbound] [--name NAME]\n"
	"                             [--json] [--control PATH | --admin ADDRESS]\n"
	"\n"
	"DESCRIPTION\n"
	"  Asks /connections of `[sidecar] admin`, or of `control`, and prints a line for\n"
	"  each open connection: the direction, the [service] or [upstream], who\n"
	"  connected to what, the peer's SPIFFE ID, how it is secured (or its state, as\n"
	"  long as that is not decided), its age, and the bytes towards app and mesh. The\n"
	"  sidecar lists 1000 at most, and says how many it leaves out.\n"
	"\n"
	"OPTIONS\n"
	"      --peer ID       only those with this peer; a pattern as in [allow]; none:\n"
	"                      those whose peer has no identity, or none yet\n"
	"      --direction DIRECTION  only inbound, or only outbound\n"
	"      --name NAME     only those of this [service] or [upstream]\n"
	"      --json          the sidecar's document, without the connections that are\n"
	"                      not wanted\n" FL_PAGE_OPTION_CONTROL FL_PAGE_OPTION_ADMIN
		FL_PAGE_OPTIONS "\n"
	"EXIT STATUS\n"
	"  0  printed, also if there is none\n"
	"  1  the sidecar is not reachable, or does not tell\n"
	"  2  it cannot be asked: the command line, the INI, or neither an admin endpoint\n"
	"     nor a control socket\n" FL_PAGE_EXIT_UNWRITTEN "\n"
	"EXAMPLES\n"
	"  fairlead-agent connections --peer 'spiffe://prod.example/ns/web/**'\n"
	"  fairlead-agent connections --json | jq '.connections[].peer'\n";

const struct fl_command fl_command_connections = {
	.name = "connections",
	.summary = "the open connections, as a table",
	.page = page,
	.run = connections,
	.options = {[OPTION_PEER] = {.name = "peer", .has_value = true},
		    [OPTION_DIRECTION] = {.name = "direction", .has_value = true},
		    [OPTION_NAME] = {.name = "name", .has_value = true},
		    [OPTION_JSON] = {.name = "json"}},
	.asks = FL_ASKS_ADMIN,
	.capabilities = FL_COMMAND_READS_ALL,
};
