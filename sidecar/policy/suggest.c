/* SPDX-License-Identifier: GPL-3.0-or-later */
/* suggest - who (a row) was seen where (a column) is a table; a rule is a set of rows and a set of columns whose every
 * crossing is in it. The table falls into parts that share neither; in each part, either rows that are alike are put
 * together, or columns that are: whichever makes fewer rules. */
#include "policy/suggest.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "base/mem.h"

#define SUFFIX_TEXT 8 /* "-999999" */

/* --- names --------------------------------------------------------------------------------- */

struct taken {
	const struct fl_policy *policy;
	char (*names)[FL_RULE_NAME_TEXT]; /* given out */
	size_t count;
};

static bool is_taken(const struct taken *taken, const char *name)
{
	bool found = fl_policy_has_rule(taken->policy, name) || strcmp(name, "default") == 0;

	for (size_t i = 0; i < taken->count; i++) {
		found = found || strcmp(taken->names[i], name) == 0;
	}
	return found;
}

static void make_name(const struct taken *taken, const char *about, char *buf)
{
	static const char scheme[] = "spiffe://";
	bool letter = false;
	size_t len = 0;

	if (strncmp(about, scheme, sizeof(scheme) - 1) == 0) {
		const char *path = strchr(about + sizeof(scheme) - 1, '/');

		about = path != NULL ? path + 1 : "peer";
	}
	for (; *about != '\0' && len + SUFFIX_TEXT < FL_RULE_NAME_TEXT; about++) {
		letter = letter || isalpha((unsigned char)*about);
		buf[len++] = isalnum((unsigned char)*about) ? *about : '-';
	}
	if (!letter) { /* it could be a port */
		len = (size_t)snprintf(buf, FL_RULE_NAME_TEXT, "peer");
	}
	buf[len] = '\0';
	for (unsigned i = 2; is_taken(taken, buf) && i < 1000000; i++) {
		(void)snprintf(buf + len, SUFFIX_TEXT, "-%u", i);
	}
}

const char *fl_policy_rule_name(const struct fl_policy *policy, const char *about, char *buf)
{
	struct taken taken = {.policy = policy};

	make_name(&taken, about, buf);
	return buf;
}

/* --- the table ----------------------------------------------------------------------------- */

struct column {
	const char *service; /* NULL: port */
	uint16_t port;
};

struct table {
	char **rows; /* SPIFFE IDs, or addresses; sorted */
	size_t row_count;
	struct column *columns; /* sorted: services, then ports */
	size_t column_count;
	bool *cells;
	bool *row_done; /* a rule is about it */
};

static int compare_rows(const void *left, const void *right)
{
	return strcmp(*(char *const *)left, *(char *const *)right);
}

static int compare_columns(const void *left, const void *right)
{
	const struct column *a = left, *b = right;

	if (a->service == NULL || b->service == NULL) {
		return a->service != NULL   ? -1
		       : b->service != NULL ? 1
					    : (int)a->port - (int)b->port;
	}
	return strcmp(a->service, b->service);
}

static struct column column_of(const struct fl_observation *seen)
{
	return (struct column){.service = seen->service,
			       .port = seen->service != NULL ? 0 : seen->port};
}

static char *row_of(const struct fl_observation *seen)
{
	char text[FL_CIDR_TEXT];

	return fl_strdup(seen->id != NULL ? seen->id : fl_cidr_format(&seen->source, text));
}

/* Sorts, and drops what stands there twice. */
static void tidy_rows(struct table *table)
{
	size_t kept = 0;

	qsort(table->rows, table->row_count, sizeof(char *), compare_rows);
	for (size_t i = 0; i < table->row_count; i++) {
		if (kept > 0 && strcmp(table->rows[kept - 1], table->rows[i]) == 0) {
			free(table->rows[i]);
		} else {
			table->rows[kept++] = table->rows[i];
		}
	}
	table->row_count = kept;
}

static void tidy_columns(struct table *table)
{
	size_t kept = 0;

	qsort(table->columns, table->column_count, sizeof(struct column), compare_columns);
	for (size_t i = 0; i < table->column_count; i++) {
		if (kept == 0 ||
		    compare_columns(&table->columns[kept - 1], &table->columns[i]) != 0) {
			table->columns[kept++] = table->columns[i];
		}
	}
	table->column_count = kept;
}

static bool *cell(const struct table *table, size_t row, size_t column)
{
	return &table->cells[row * table->column_count + column];
}

static void table_fill(struct table *table, const struct fl_observation *const *seen, size_t count)
{
	*table = (struct table){.rows = fl_grow(NULL, count, sizeof(char *)),
				.row_count = count,
				.columns = fl_grow(NULL, count, sizeof(struct column)),
				.column_count = count};
	for (size_t i = 0; i < count; i++) {
		table->rows[i] = row_of(seen[i]);
		table->columns[i] = column_of(seen[i]);
	}
	tidy_rows(table);
	tidy_columns(table);
	table->cells = fl_new(table->row_count * table->column_count * sizeof(bool));
	table->row_done = fl_new(table->row_count * sizeof(bool));
	for (size_t i = 0; i < count; i++) {
		struct column column = column_of(seen[i]);
		char *row = row_of(seen[i]);
		char **at_row =
			bsearch(&row, table->rows, table->row_count, sizeof(char *), compare_rows);
		struct column *at_column = bsearch(&column, table->columns, table->column_count,
						   sizeof(column), compare_columns);

		*cell(table, (size_t)(at_row - table->rows), (size_t)(at_column - table->columns)) =
			true;
		free(row);
	}
}

static void table_done(struct table *table)
{
	for (size_t i = 0; i < table->row_count; i++) {
		free(table->rows[i]);
	}
	free(table->rows);
	free(table->columns);
	free(table->cells);
	free(table->row_done);
}

/* --- parts and groups ---------------------------------------------------------------------- */

/* A set of rows and a set of columns, as flags. */
struct area {
	bool *rows, *columns;
};

static struct area area_new(const struct table *table)
{
	return (struct area){.rows = fl_new(table->row_count * sizeof(bool)),
			     .columns = fl_new(table->column_count * sizeof(bool))};
}

static void area_free(struct area *area)
{
	free(area->rows);
	free(area->columns);
}

/* Takes in what crosses the row or what is in the part already; false: nothing new. */
static bool grow_by_row(const struct table *table, size_t row, struct area *part)
{
	bool grown = false;

	for (size_t c = 0; c < table->column_count; c++) {
		if (*cell(table, row, c) && part->rows[row] != part->columns[c]) {
			part->rows[row] = part->columns[c] = true;
			grown = true;
		}
	}
	return grown;
}

/* All that hangs together with the row. */
static void grow_part(const struct table *table, size_t row, struct area *part)
{
	bool grown = true;

	part->rows[row] = true;
	while (grown) {
		grown = false;
		for (size_t r = 0; r < table->row_count; r++) {
			grown = grow_by_row(table, r, part) || grown;
		}
	}
}

static bool same_row(const struct table *table, size_t a, size_t b)
{
	return memcmp(cell(table, a, 0), cell(table, b, 0), table->column_count * sizeof(bool)) ==
	       0;
}

static bool same_column(const struct table *table, size_t a, size_t b)
{
	for (size_t r = 0; r < table->row_count; r++) {
		if (*cell(table, r, a) != *cell(table, r, b)) {
			return false;
		}
	}
	return true;
}

/* The first of the part's rows (columns) that is like this one: it stands for the group. */
static bool is_first(const struct table *table, const bool *part, size_t index,
		     bool (*same)(const struct table *table, size_t a, size_t b))
{
	for (size_t i = 0; i < index; i++) {
		if (part[i] && same(table, i, index)) {
			return false;
		}
	}
	return true;
}

static size_t count_groups(const struct table *table, const bool *part, size_t count,
			   bool (*same)(const struct table *table, size_t a, size_t b))
{
	size_t groups = 0;

	for (size_t i = 0; i < count; i++) {
		groups += part[i] && is_first(table, part, i, same);
	}
	return groups;
}

/* --- writing ------------------------------------------------------------------------------- */

struct writer {
	struct taken taken;
	const struct table *table;
	bool plaintext, wildcards;
	struct fl_text *out;
};

static size_t parent_len(const char *id)
{
	return (size_t)(strrchr(id, '/') - id) + 1;
}

/* Rows are sorted, so those of one parent that are alone in their last segment stand together, but for deeper ones
 * in between. */
static size_t siblings(const struct writer *writer, const bool *rows, size_t row)
{
	size_t len = parent_len(writer->table->rows[row]), count = 0;

	for (size_t r = 0; r < writer->table->row_count; r++) {
		const char *id = writer->table->rows[r];

		count += rows[r] && parent_len(id) == len &&
			 strncmp(id, writer->table->rows[row], len) == 0;
	}
	return count;
}

static bool is_first_sibling(const struct writer *writer, const bool *rows, size_t row)
{
	size_t len = parent_len(writer->table->rows[row]);

	for (size_t r = 0; r < row; r++) {
		const char *id = writer->table->rows[r];

		if (rows[r] && parent_len(id) == len &&
		    strncmp(id, writer->table->rows[row], len) == 0) {
			return false;
		}
	}
	return true;
}

static void write_rows(const struct writer *writer, const bool *rows)
{
	const char *separator = "";

	for (size_t r = 0; r < writer->table->row_count; r++) {
		const char *row = writer->table->rows[r];

		if (!rows[r]) {
			continue;
		}
		if (writer->plaintext || !writer->wildcards || siblings(writer, rows, r) < 2) {
			fl_text_print(writer->out, "%s%s", separator, row);
		} else if (is_first_sibling(writer, rows, r)) {
			fl_text_print(writer->out, "%s%.*s*", separator, (int)parent_len(row), row);
		} else {
			continue;
		}
		separator = ", ";
	}
	fl_text_print(writer->out, "\n");
}

static void write_columns(const struct writer *writer, const bool *columns)
{
	const struct column *all = writer->table->columns;
	const char *separator = "";

	for (size_t c = 0; c < writer->table->column_count; c++) {
		size_t last = c;

		if (!columns[c]) {
			continue;
		}
		if (all[c].service != NULL) {
			fl_text_print(writer->out, "%s%s", separator, all[c].service);
		} else {
			while (last + 1 < writer->table->column_count && columns[last + 1] &&
			       all[last + 1].port == all[last].port + 1) {
				last++;
			}
			fl_text_print(writer->out, "%s%u", separator, all[c].port);
			if (last > c) {
				fl_text_print(writer->out, "-%u", all[last].port);
			}
			c = last;
		}
		separator = ", ";
	}
	fl_text_print(writer->out, "\n");
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

static void write_rule(struct writer *writer, const struct area *area)
{
	const struct table *table = writer->table;
	size_t row = only_one(area->rows, table->row_count);
	size_t column = only_one(area->columns, table->column_count);
	char about[FL_RULE_NAME_TEXT] = "seen", *name;

	if (column < table->column_count && table->columns[column].service != NULL) {
		(void)snprintf(about, sizeof(about), "to %.50s", table->columns[column].service);
	} else if (column < table->column_count) {
		(void)snprintf(about, sizeof(about), "to %u", table->columns[column].port);
	}
	writer->taken.names =
		fl_grow(writer->taken.names, writer->taken.count + 1, sizeof(*writer->taken.names));
	name = writer->taken.names[writer->taken.count];
	make_name(&writer->taken,
		  writer->plaintext        ? "plaintext"
		  : row < table->row_count ? table->rows[row]
					   : about,
		  name);
	writer->taken.count++;
	fl_text_print(writer->out, "%s[allow %s]\nfrom = %s", writer->out->len > 0 ? "\n" : "",
		      name, writer->plaintext ? "plaintext\nsources = " : "");
	write_rows(writer, area->rows);
	fl_text_print(writer->out, "to = ");
	write_columns(writer, area->columns);
}

static size_t write_groups(struct writer *writer, const struct area *part, bool by_rows)
{
	const struct table *table = writer->table;
	size_t count = by_rows ? table->row_count : table->column_count, written = 0;
	const bool *of = by_rows ? part->rows : part->columns;

	for (size_t i = 0; i < count; i++) {
		struct area area;

		if (!of[i] || !is_first(table, of, i, by_rows ? same_row : same_column)) {
			continue;
		}
		area = area_new(table);
		for (size_t k = 0; k < table->row_count; k++) {
			area.rows[k] = by_rows ? part->rows[k] && same_row(table, i, k)
					       : *cell(table, k, i);
		}
		for (size_t k = 0; k < table->column_count; k++) {
			area.columns[k] = by_rows ? *cell(table, i, k)
						  : part->columns[k] && same_column(table, i, k);
		}
		write_rule(writer, &area);
		area_free(&area);
		written++;
	}
	return written;
}

static size_t write_table(struct writer *writer, struct table *table)
{
	size_t written = 0;

	writer->table = table;
	for (size_t r = 0; r < table->row_count; r++) {
		struct area part;
		size_t by_rows, by_columns;

		if (table->row_done[r]) {
			continue;
		}
		part = area_new(table);
		grow_part(table, r, &part);
		by_rows = count_groups(table, part.rows, table->row_count, same_row);
		by_columns = count_groups(table, part.columns, table->column_count, same_column);
		written += write_groups(writer, &part, by_rows <= by_columns);
		for (size_t k = 0; k < table->row_count; k++) {
			table->row_done[k] = table->row_done[k] || part.rows[k];
		}
		area_free(&part);
	}
	return written;
}

/* --- what needs a rule --------------------------------------------------------------------- */

static struct fl_request request_of(const struct fl_observation *seen, union fl_sockaddr *source)
{
	struct fl_request request = {.id = seen->id,
				     .id_len = seen->id != NULL ? strlen(seen->id) : 0,
				     .port = seen->port,
				     .service = seen->service};

	if (seen->source.family == AF_UNSPEC) {
		return request;
	}
	memset(source, 0, sizeof(*source));
	source->any.sa_family = seen->source.family;
	if (seen->source.family == AF_INET) {
		memcpy(&source->in.sin_addr, seen->source.addr, 4);
	} else {
		memcpy(&source->in6.sin6_addr, seen->source.addr, 16);
	}
	request.source = &source->any;
	return request;
}

/* Says why no allow rule helps, if that is so. */
static bool is_out_of_reach(const struct fl_policy *policy, const struct fl_observation *seen,
			    const struct fl_request *request, struct fl_text *ret)
{
	struct fl_rule_spec rule;

	if (seen->id == NULL && seen->source.family == AF_UNSPEC) {
		fl_text_print(ret, "; plaintext to %u from an unknown address: left out\n",
			      seen->port);
		return true;
	}
	for (size_t i = 0; i < fl_policy_rule_count(policy); i++) {
		fl_policy_rule(policy, i, &rule);
		if (rule.effect == FL_DENY && fl_policy_misses(policy, i, request) == 0) {
			fl_text_print(ret, "; [deny %s] (%s:%u) refuses %s to ", rule.name,
				      rule.file, rule.line,
				      seen->id != NULL ? seen->id : "plaintext");
			if (seen->service != NULL) {
				fl_text_print(ret, "%s", seen->service);
			} else {
				fl_text_print(ret, "%u", seen->port);
			}
			fl_text_print(ret, ": no [allow] rule changes that\n");
			return true;
		}
	}
	return false;
}

/* The allow rule that is about all of this except what misses says; false: none. */
static bool find_near(const struct fl_policy *policy, const struct fl_request *request,
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

/* A rule that only lacks the address, or leaves this out by an exception: its author wanted it so, and a new rule
 * would undo that. */
static void tell_of_near(const struct fl_policy *policy, const struct fl_observation *seen,
			 const struct fl_request *request, struct fl_text *ret)
{
	const char *id = seen->id != NULL ? seen->id : "plaintext";
	char source[FL_CIDR_TEXT] = "an unknown address";
	struct fl_rule_spec rule;

	if (seen->source.family != AF_UNSPEC) {
		(void)fl_cidr_format(&seen->source, source);
	}
	if (find_near(policy, request, FL_MISS_SOURCE, &rule)) {
		fl_text_print(ret,
			      "; [allow %s] (%s:%u) lets in %s, but not from %s: add that "
			      "to its sources, in place of a rule below\n",
			      rule.name, rule.file, rule.line, id, source);
	}
	if (find_near(policy, request, FL_MISS_EXCEPT, &rule)) {
		fl_text_print(
			ret,
			"; [allow %s] (%s:%u) leaves out %s by an exception: a rule below lets "
			"it in all the same\n",
			rule.name, rule.file, rule.line, id);
	}
}

static bool needs_rule(const struct fl_policy *policy, const struct fl_observation *seen,
		       struct fl_text *ret)
{
	union fl_sockaddr source;
	struct fl_request request = request_of(seen, &source);
	struct fl_verdict verdict = fl_policy_decide(policy, &request);

	if (fl_verdict_decision(&verdict) == FL_DECISION_ALLOW ||
	    is_out_of_reach(policy, seen, &request, ret)) {
		return false;
	}
	tell_of_near(policy, seen, &request, ret);
	return true;
}

size_t fl_policy_suggest(const struct fl_policy *policy, const struct fl_observation *seen,
			 size_t count, bool wildcards, struct fl_text *ret)
{
	const struct fl_observation **of[2]; /* with an identity, without one */
	size_t counts[2] = {0, 0}, written = 0;
	struct writer writer = {.taken = {.policy = policy}, .wildcards = wildcards, .out = ret};

	of[0] = fl_grow(NULL, count, sizeof(const struct fl_observation *));
	of[1] = fl_grow(NULL, count, sizeof(const struct fl_observation *));
	for (size_t i = 0; i < count; i++) {
		if (needs_rule(policy, &seen[i], ret)) {
			size_t kind = seen[i].id == NULL;

			of[kind][counts[kind]++] = &seen[i];
		}
	}
	for (size_t kind = 0; kind < 2; kind++) {
		struct table table;

		if (counts[kind] > 0) {
			writer.plaintext = kind == 1;
			table_fill(&table, of[kind], counts[kind]);
			written += write_table(&writer, &table);
			table_done(&table);
		}
	}
	free(of[0]);
	free(of[1]);
	free(writer.taken.names);
	return written;
}
