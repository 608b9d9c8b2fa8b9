/* SPDX-License-Identifier: GPL-3.0-or-later */
/* suggest - finds the refused observations that a rule could admit, lets observed.h find few rules for them, and writes them. */
#include "policy/suggest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "base/mem.h"
#include "policy/propose.h"

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

static void put_rows(const struct writer *writer, const struct fl_observed *table, const bool *rows,
		     struct fl_text *ret)
{
	const char *separator = "";

	for (size_t r = 0; r < table->row_count; r++) {
		const char *row = table->rows[r];

		if (!rows[r]) {
			continue;
		}
		if (writer->plaintext || !writer->wildcards ||
		    count_siblings(table, rows, r, table->row_count) < 2) {
			fl_text_print(ret, "%s%s", separator, row);
		} else if (count_siblings(table, rows, r, r) == 0) {
			fl_text_print(ret, "%s%.*s*", separator, (int)parent_len(row), row);
		} else {
			continue; /* the pattern was written already */
		}
		separator = ", ";
	}
}

static void put_columns(const struct fl_observed *table, const bool *columns, struct fl_text *ret)
{
	const struct fl_observed_place *all = table->columns;
	const char *separator = "";

	for (size_t c = 0; c < table->column_count; c++) {
		size_t last = c;

		if (!columns[c]) {
			continue;
		}
		if (all[c].service != NULL) {
			fl_text_print(ret, "%s%s", separator, all[c].service);
		} else {
			while (last + 1 < table->column_count && columns[last + 1] &&
			       all[last + 1].port == all[last].port + 1) {
				last++;
			}
			fl_text_print(ret, "%s%u", separator, all[c].port);
			if (last > c) {
				fl_text_print(ret, "-%u", all[last].port);
			}
			c = last;
		}
		separator = ", ";
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

/* fl_observed_rule */
static void write_rule(void *user, const struct fl_observed *table,
		       const struct fl_observed_area *area)
{
	struct writer *writer = user;
	struct fl_text rows = {0}, columns = {0};

	put_rows(writer, table, area->rows, &rows);
	put_columns(table, area->columns, &columns);
	fl_text_print(writer->out, "%s", writer->out->len > 0 ? "\n" : "");
	fl_propose_allow(writer->out, FL_PROPOSE_LINES, name_rule(writer, table, area),
			 writer->plaintext ? NULL : rows.data, writer->plaintext ? rows.data : NULL,
			 columns.data);
	fl_text_print(writer->out, "\n");
	fl_text_done(&rows);
	fl_text_done(&columns);
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
	size_t counts[2] = {0, 0}, written = 0;
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
			written += fl_observed_rules(&table, write_rule, &writer);
			fl_observed_done(&table);
		}
	}
	free(of[0]);
	free(of[1]);
	free(writer.names.given);
	return written;
}
