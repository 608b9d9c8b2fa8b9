/* SPDX-License-Identifier: GPL-3.0-or-later */
/* suggest - finds the refused observations that a rule could admit, lets observed.h find few rules for them, and writes them. */
#include "policy/suggest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "base/mem.h"
#include "policy/propose.h"

/* Bytes of a list of a proposed rule: well below what a line of the INI may have (conf/lines.c), and readable in an editor. */
#define LIST_MAX 32768u

/* --- names --------------------------------------------------------------------------------- */

struct names {
	const struct fl_policy *policy;
	char (*given)[FL_PROPOSED_NAME_TEXT];
	size_t count;
};

static bool is_taken(const void *user, const char *name)
{
	const struct names *names = user;
	bool found = fl_propose_rule_is_taken(names->policy, name);

	for (size_t i = 0; i < names->count; i++) {
		found = found || strcmp(names->given[i], name) == 0;
	}
	return found;
}

static const char *give_name(struct names *names, const char *about)
{
	struct fl_name_wish wish = {.about = about, .is_taken = is_taken, .user = names};

	names->given = fl_grow(names->given, names->count + 1, sizeof(*names->given));
	(void)fl_propose_name(&wish, names->given[names->count]);
	return names->given[names->count++];
}

/* --- writing ------------------------------------------------------------------------------- */

struct writer {
	struct names names;
	bool plaintext, wildcards;
	size_t written; /* rules */
	struct fl_text *out;
};

static size_t parent_len(const char *id)
{
	return (size_t)(strrchr(id, '/') - id) + 1;
}

/* The number of rows before end that differ from this one only in their last segment, including this one. */
static size_t count_siblings(const struct fl_observed *table, const bool *rows, size_t row,
			     size_t end)
{
	size_t len = parent_len(table->rows[row]), count = 0;

	for (size_t r = 0; r < end; r++) {
		count += rows[r] && parent_len(table->rows[r]) == len &&
			 strncmp(table->rows[r], table->rows[row], len) == 0;
	}
	return count;
}

/* Has the list room for one more item? It always has for the first. */
static bool has_room(const struct fl_text *list, const char *item)
{
	return list->len == 0 || list->len + 2 + strlen(item) <= LIST_MAX;
}

static void put_item(struct fl_text *list, const char *item)
{
	fl_text_print(list, "%s%s", list->len > 0 ? ", " : "", item);
}

/* The row as `from` or `sources` names it, to free(); NULL: it is not in the rule, or an earlier one gave their pattern. */
static char *row_item(const struct writer *writer, const struct fl_observed *table,
		      const bool *rows, size_t row)
{
	const char *text = table->rows[row];

	if (!rows[row]) {
		return NULL;
	}
	if (writer->plaintext || !writer->wildcards ||
	    count_siblings(table, rows, row, table->row_count) < 2) {
		return fl_strdup(text);
	}
	return count_siblings(table, rows, row, row) == 0
		       ? fl_format("%.*s*", (int)parent_len(text), text)
		       : NULL;
}

/* Appends the rows from *at on, as many as the list has room for; *at is then the first that is missing. */
static void put_rows(const struct writer *writer, const struct fl_observed *table, const bool *rows,
		     size_t *at, struct fl_text *list)
{
	bool is_full = false;

	while (*at < table->row_count && !is_full) {
		char *item = row_item(writer, table, rows, *at);

		is_full = item != NULL && !has_room(list, item);
		if (!is_full) {
			if (item != NULL) {
				put_item(list, item);
			}
			++*at;
		}
		free(item);
	}
}

/* The last of the columns that begin with this one and are one range of ports. */
static size_t range_end(const struct fl_observed *table, const bool *columns, size_t first)
{
	const struct fl_observed_place *all = table->columns;
	size_t last = first;

	while (all[first].service == NULL && last + 1 < table->column_count && columns[last + 1] &&
	       all[last + 1].port == all[last].port + 1) {
		last++;
	}
	return last;
}

#define PORTS_TEXT 16
static const char *format_ports(uint16_t first, uint16_t last, char buf[PORTS_TEXT])
{
	if (first == last) {
		(void)snprintf(buf, PORTS_TEXT, "%u", first);
	} else {
		(void)snprintf(buf, PORTS_TEXT, "%u-%u", first, last);
	}
	return buf;
}

/* The same for the columns. */
static void put_columns(const struct fl_observed *table, const bool *columns, size_t *at,
			struct fl_text *list)
{
	const struct fl_observed_place *all = table->columns;
	char ports[PORTS_TEXT];

	while (*at < table->column_count) {
		const char *item = all[*at].service;
		size_t last = range_end(table, columns, *at);

		if (!columns[*at]) {
			++*at;
			continue;
		}
		if (item == NULL) {
			item = format_ports(all[*at].port, all[last].port, ports);
		}
		if (!has_room(list, item)) {
			return;
		}
		put_item(list, item);
		*at = last + 1;
	}
}

static size_t only_one(const bool *flags, size_t count)
{
	size_t found = count, number = 0;

	for (size_t i = 0; i < count; i++) {
		if (flags[i]) {
			found = i;
			number++;
		}
	}
	return number == 1 ? found : count;
}

static const char *name_rule(struct writer *writer, const struct fl_observed *table,
			     const struct fl_observed_area *area)
{
	size_t row = only_one(area->rows, table->row_count);
	size_t column = only_one(area->columns, table->column_count);
	char about[FL_PROPOSED_NAME_TEXT] = "seen";

	if (writer->plaintext) {
		return give_name(&writer->names, "plaintext");
	}
	if (row < table->row_count) {
		return give_name(&writer->names, table->rows[row]);
	}
	if (column < table->column_count && table->columns[column].service != NULL) {
		(void)snprintf(about, sizeof(about), "to %.50s", table->columns[column].service);
	} else if (column < table->column_count) {
		(void)snprintf(about, sizeof(about), "to %u", table->columns[column].port);
	}
	return give_name(&writer->names, about);
}

static void write_one(struct writer *writer, const char *name, const char *rows,
		      const char *columns)
{
	fl_text_print(writer->out, "%s", writer->out->len > 0 ? "\n" : "");
	fl_propose_allow(writer->out, FL_PROPOSE_LINES, name, writer->plaintext ? NULL : rows,
			 writer->plaintext ? rows : NULL, columns);
	fl_text_print(writer->out, "\n");
	writer->written++;
}

/* fl_observed_rule. A list that is too long for a line of the INI makes several rules. */
static void write_rule(void *user, const struct fl_observed *table,
		       const struct fl_observed_area *area)
{
	struct writer *writer = user;

	for (size_t row = 0; row < table->row_count;) {
		struct fl_text rows = {0};

		put_rows(writer, table, area->rows, &row, &rows);
		for (size_t column = 0; rows.len > 0 && column < table->column_count;) {
			struct fl_text columns = {0};

			put_columns(table, area->columns, &column, &columns);
			if (columns.len > 0) {
				write_one(writer, name_rule(writer, table, area), rows.data,
					  columns.data);
			}
			fl_text_done(&columns);
		}
		fl_text_done(&rows);
	}
}

/* --- what needs a rule --------------------------------------------------------------------- */

static struct fl_request request_of(const struct fl_observation *observation,
				    union fl_sockaddr *source)
{
	struct fl_request request = {.id = observation->id,
				     .id_len =
					     observation->id != NULL ? strlen(observation->id) : 0,
				     .port = observation->port,
				     .service = observation->service};

	if (observation->source.family != AF_UNSPEC) {
		*source = fl_cidr_sockaddr(&observation->source);
		request.source = &source->any;
	}
	return request;
}

/* Writes why no allow rule helps, if none does. */
static bool is_out_of_reach(const struct fl_policy *policy,
			    const struct fl_observation *observation,
			    const struct fl_request *request, struct fl_text *ret)
{
	struct fl_rule_spec rule;

	if (observation->id == NULL && observation->source.family == AF_UNSPEC) {
		fl_text_print(ret, "; plaintext to %u from an unknown address: left out\n",
			      observation->port);
		return true;
	}
	for (size_t i = 0; i < fl_policy_rule_count(policy); i++) {
		fl_policy_rule(policy, i, &rule);
		if (rule.effect == FL_DENY && !rule.audit &&
		    fl_policy_misses(policy, i, request) == 0) {
			fl_text_print(ret, "; [deny %s] (%s:%u) refuses %s to ", rule.name,
				      rule.file, rule.line,
				      observation->id != NULL ? observation->id : "plaintext");
			if (observation->service != NULL) {
				fl_text_print(ret, "%s", observation->service);
			} else {
				fl_text_print(ret, "%u", observation->port);
			}
			fl_text_print(ret, ": no [allow] rule changes that\n");
			return true;
		}
	}
	return false;
}

/* The allow rule that matches this except for the parts in misses; false: none. */
static bool find_near_miss(const struct fl_policy *policy, const struct fl_request *request,
			   unsigned misses, struct fl_rule_spec *ret)
{
	for (size_t i = 0; i < fl_policy_rule_count(policy); i++) {
		unsigned missing = fl_policy_misses(policy, i, request);

		fl_policy_rule(policy, i, ret);
		if (ret->effect == FL_ALLOW && !ret->audit && missing != 0 &&
		    (missing & ~misses) == 0) {
			return true;
		}
	}
	return false;
}

/* A rule that lacks only the address, or excludes this by an exception: its author meant that, and a new rule
 * would undo it. */
static void explain_near_misses(const struct fl_policy *policy,
				const struct fl_observation *observation,
				const struct fl_request *request, struct fl_text *ret)
{
	const char *id = observation->id != NULL ? observation->id : "plaintext";
	char source[FL_CIDR_TEXT] = "an unknown address";
	struct fl_rule_spec rule;

	if (observation->source.family != AF_UNSPEC) {
		(void)fl_cidr_format(&observation->source, source);
	}
	if (find_near_miss(policy, request, FL_MISS_SOURCE, &rule)) {
		fl_text_print(ret,
			      "; [allow %s] (%s:%u) admits %s, but not from %s: add that "
			      "to its sources, in place of a rule below\n",
			      rule.name, rule.file, rule.line, id, source);
	}
	if (find_near_miss(policy, request, FL_MISS_EXCEPT, &rule)) {
		fl_text_print(
			ret,
			"; [allow %s] (%s:%u) excludes %s by an exception: a rule below admits "
			"it all the same\n",
			rule.name, rule.file, rule.line, id);
	}
}

static bool needs_rule(const struct fl_policy *policy, const struct fl_observation *observation,
		       struct fl_text *ret)
{
	union fl_sockaddr source;
	struct fl_request request = request_of(observation, &source);
	struct fl_verdict verdict = fl_policy_decide(policy, &request);

	if (fl_verdict_decision(&verdict) == FL_DECISION_ALLOW ||
	    is_out_of_reach(policy, observation, &request, ret)) {
		return false;
	}
	explain_near_misses(policy, observation, &request, ret);
	return true;
}

size_t fl_policy_suggest(const struct fl_policy *policy, const struct fl_observation *observations,
			 size_t count, bool wildcards, struct fl_text *ret)
{
	const struct fl_observation **of[2]; /* with an identity, without one */
	size_t counts[2] = {0, 0};
	struct writer writer = {.names = {.policy = policy}, .wildcards = wildcards, .out = ret};

	of[0] = fl_grow(NULL, count, sizeof(const struct fl_observation *));
	of[1] = fl_grow(NULL, count, sizeof(const struct fl_observation *));
	for (size_t i = 0; i < count; i++) {
		if (needs_rule(policy, &observations[i], ret)) {
			size_t kind = observations[i].id == NULL;

			of[kind][counts[kind]++] = &observations[i];
		}
	}
	for (size_t kind = 0; kind < 2; kind++) {
		struct fl_observed table;

		if (counts[kind] > 0) {
			writer.plaintext = kind == 1;
			fl_observed_fill(&table, of[kind], counts[kind]);
			(void)fl_observed_rules(&table, write_rule, &writer);
			fl_observed_done(&table);
		}
	}
	free(of[0]);
	free(of[1]);
	free(writer.names.given);
	return writer.written;
}
