/* SPDX-License-Identifier: GPL-3.0-or-later */
/* observed - the table falls into parts that share neither row nor column. In each part either equal rows are grouped, or
 * equal columns: whichever gives fewer rules. */
#include "policy/observed.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* --- the table ----------------------------------------------------------------------------- */

static int compare_rows(const void *left, const void *right)
{
	return strcmp(*(char *const *)left, *(char *const *)right);
}

static int compare_columns(const void *left, const void *right)
{
	const struct fl_observed_place *a = left, *b = right;

	if (a->service == NULL || b->service == NULL) {
		return a->service != NULL   ? -1
		       : b->service != NULL ? 1
					    : (int)a->port - (int)b->port;
	}
	return strcmp(a->service, b->service);
}

static struct fl_observed_place column_of(const struct fl_observation *observation)
{
	return (struct fl_observed_place){.service = observation->service,
					  .port = observation->service != NULL ? 0
									       : observation->port};
}

static char *row_of(const struct fl_observation *observation)
{
	char text[FL_CIDR_TEXT];

	return fl_strdup(observation->id != NULL ? observation->id
						 : fl_cidr_format(&observation->source, text));
}

/* Sorts, and removes duplicates. */
static void tidy_rows(struct fl_observed *table)
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

static void tidy_columns(struct fl_observed *table)
{
	size_t kept = 0;

	qsort(table->columns, table->column_count, sizeof(struct fl_observed_place),
	      compare_columns);
	for (size_t i = 0; i < table->column_count; i++) {
		if (kept == 0 ||
		    compare_columns(&table->columns[kept - 1], &table->columns[i]) != 0) {
			table->columns[kept++] = table->columns[i];
		}
	}
	table->column_count = kept;
}

static bool *cell(const struct fl_observed *table, size_t row, size_t column)
{
	return &table->cells[row * table->column_count + column];
}

void fl_observed_fill(struct fl_observed *table, const struct fl_observation *const *observations,
		      size_t count)
{
	*table = (struct fl_observed){
		.rows = fl_grow(NULL, count, sizeof(char *)),
		.row_count = count,
		.columns = fl_grow(NULL, count, sizeof(struct fl_observed_place)),
		.column_count = count};
	for (size_t i = 0; i < count; i++) {
		table->rows[i] = row_of(observations[i]);
		table->columns[i] = column_of(observations[i]);
	}
	tidy_rows(table);
	tidy_columns(table);
	table->cells = fl_new(table->row_count * table->column_count * sizeof(bool));
	for (size_t i = 0; i < count; i++) {
		struct fl_observed_place column = column_of(observations[i]);
		char *row = row_of(observations[i]);
		char **at_row =
			bsearch(&row, table->rows, table->row_count, sizeof(char *), compare_rows);
		struct fl_observed_place *at_column =
			bsearch(&column, table->columns, table->column_count, sizeof(column),
				compare_columns);

		*cell(table, (size_t)(at_row - table->rows), (size_t)(at_column - table->columns)) =
			true;
		free(row);
	}
}

void fl_observed_done(struct fl_observed *table)
{
	for (size_t i = 0; i < table->row_count; i++) {
		free(table->rows[i]);
	}
	free(table->rows);
	free(table->columns);
	free(table->cells);
}

/* --- parts and groups ---------------------------------------------------------------------- */

static struct fl_observed_area area_new(const struct fl_observed *table)
{
	return (struct fl_observed_area){.rows = fl_new(table->row_count * sizeof(bool)),
					 .columns = fl_new(table->column_count * sizeof(bool))};
}

static void area_free(struct fl_observed_area *area)
{
	free(area->rows);
	free(area->columns);
}

/* Adds to the part the columns that cross its rows, and the rows that cross its columns; false: nothing new. */
static bool grow_by_row(const struct fl_observed *table, size_t row, struct fl_observed_area *part)
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

/* The part that contains the row. */
static void grow_part(const struct fl_observed *table, size_t row, struct fl_observed_area *part)
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

static bool same_row(const struct fl_observed *table, size_t a, size_t b)
{
	return memcmp(cell(table, a, 0), cell(table, b, 0), table->column_count * sizeof(bool)) ==
	       0;
}

static bool same_column(const struct fl_observed *table, size_t a, size_t b)
{
	for (size_t r = 0; r < table->row_count; r++) {
		if (*cell(table, r, a) != *cell(table, r, b)) {
			return false;
		}
	}
	return true;
}

/* The first of the part's rows (columns) that is equal to this one: it represents the group. */
static bool is_first(const struct fl_observed *table, const bool *part, size_t index,
		     bool (*same)(const struct fl_observed *table, size_t a, size_t b))
{
	for (size_t i = 0; i < index; i++) {
		if (part[i] && same(table, i, index)) {
			return false;
		}
	}
	return true;
}

static size_t count_groups(const struct fl_observed *table, const bool *part, size_t count,
			   bool (*same)(const struct fl_observed *table, size_t a, size_t b))
{
	size_t groups = 0;

	for (size_t i = 0; i < count; i++) {
		groups += part[i] && is_first(table, part, i, same);
	}
	return groups;
}

/* --- rules ---------------------------------------------------------------------------------- */

static size_t walk_groups(const struct fl_observed *table, const struct fl_observed_area *part,
			  bool by_rows, fl_observed_rule *rule, void *user)
{
	size_t count = by_rows ? table->row_count : table->column_count, found = 0;
	const bool *of = by_rows ? part->rows : part->columns;

	for (size_t i = 0; i < count; i++) {
		struct fl_observed_area area;

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
		rule(user, table, &area);
		area_free(&area);
		found++;
	}
	return found;
}

size_t fl_observed_rules(const struct fl_observed *table, fl_observed_rule *rule, void *user)
{
	bool *is_done = fl_new(table->row_count * sizeof(bool));
	size_t found = 0;

	for (size_t r = 0; r < table->row_count; r++) {
		struct fl_observed_area part;
		size_t by_rows, by_columns;

		if (is_done[r]) {
			continue;
		}
		part = area_new(table);
		grow_part(table, r, &part);
		by_rows = count_groups(table, part.rows, table->row_count, same_row);
		by_columns = count_groups(table, part.columns, table->column_count, same_column);
		found += walk_groups(table, &part, by_rows <= by_columns, rule, user);
		for (size_t k = 0; k < table->row_count; k++) {
			is_done[k] = is_done[k] || part.rows[k];
		}
		area_free(&part);
	}
	free(is_done);
	return found;
}
