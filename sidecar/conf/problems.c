/* SPDX-License-Identifier: GPL-3.0-or-later */
/* problems - a list of sentences with line numbers.
 *
 * A suggestion is the name with the smallest edit distance (with transpositions, ignoring case), if at most
 * a third of its bytes differ. Nothing here fails. */
#include "conf/problems.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* No name is as long as this: nothing to suggest for longer words. */
#define WORD_MAX 40

/* A name, a key or a path of an INI may have thousands of bytes. Cuts in the middle: the remedy is at the end. */
#define TEXT_HEAD 1400
#define TEXT_TAIL 500
static void shorten(char *text)
{
	static const char gap[] = " ... ";
	size_t len = strlen(text);

	if (len > TEXT_HEAD + sizeof(gap) + TEXT_TAIL) {
		memcpy(text + TEXT_HEAD, gap, sizeof(gap) - 1);
		memmove(text + TEXT_HEAD + sizeof(gap) - 1, text + len - TEXT_TAIL, TEXT_TAIL + 1);
	}
}

static void add(struct fl_problems *problems, enum fl_problem_kind kind, fl_conf_line line,
		const char *fmt, va_list args)
{
	size_t *found = kind == FL_PROBLEM_ERROR ? &problems->errors : &problems->warnings;
	char *text = NULL;

	if ((*found)++ >= FL_PROBLEMS_MAX) {
		return;
	}
	if (vasprintf(&text, fmt, args) < 0) {
		text = fl_strdup("out of memory");
	}
	shorten(text);
	problems->items = fl_grow(problems->items, problems->count + 1, sizeof(*problems->items));
	problems->items[problems->count++] = (struct fl_problem){kind, line, text};
}

void fl_problem_error(struct fl_problems *problems, fl_conf_line line, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	add(problems, FL_PROBLEM_ERROR, line, fmt, args);
	va_end(args);
}

void fl_problem_warning(struct fl_problems *problems, fl_conf_line line, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	add(problems, FL_PROBLEM_WARNING, line, fmt, args);
	va_end(args);
}

char *fl_problems_left_out(const struct fl_problems *problems)
{
	size_t errors = problems->errors > FL_PROBLEMS_MAX ? problems->errors - FL_PROBLEMS_MAX : 0;
	size_t warnings =
		problems->warnings > FL_PROBLEMS_MAX ? problems->warnings - FL_PROBLEMS_MAX : 0;
	const char *at_least = fl_problems_enough(problems) ? "at least " : "";

	if (errors == 0 && warnings == 0) {
		return NULL;
	}
	if (errors == 0) {
		return fl_format("%zu more warnings are not listed", warnings);
	}
	return warnings == 0 ? fl_format("%s%zu more errors are not listed", at_least, errors)
			     : fl_format("%s%zu more errors and %zu more warnings are not listed",
					 at_least, errors, warnings);
}

void fl_problems_log(const struct fl_problems *problems, const char *path, struct fl_log *log)
{
	char *left_out = fl_problems_left_out(problems);

	for (size_t i = 0; i < problems->count; i++) {
		const struct fl_problem *problem = &problems->items[i];
		enum fl_log_level level =
			problem->kind == FL_PROBLEM_ERROR ? FL_LOG_ERROR : FL_LOG_WARN;

		if (problem->line != 0) {
			fl_log_msg(log, level, "%s:%u: %s", path, problem->line, problem->text);
		} else {
			fl_log_msg(log, level, "%s: %s", path, problem->text);
		}
	}
	if (left_out != NULL) {
		fl_log_msg(log, problems->errors > 0 ? FL_LOG_ERROR : FL_LOG_WARN, "%s: %s", path,
			   left_out);
	}
	free(left_out);
}

char *fl_problems_summary(const struct fl_problems *problems, const char *path)
{
	const struct fl_problem *first = NULL;
	char *more, *all;

	for (size_t i = 0; i < problems->count && first == NULL; i++) {
		first = problems->items[i].kind == FL_PROBLEM_ERROR ? &problems->items[i] : NULL;
	}
	FL_REQUIRE(first != NULL);
	more = problems->errors > 1 ? fl_format(" (and %zu more: see `fairlead-agent check`)",
						problems->errors - 1)
				    : fl_strdup("");
	all = first->line != 0 ? fl_format("%s:%u: %s%s", path, first->line, first->text, more)
			       : fl_format("%s: %s%s", path, first->text, more);
	free(more);
	return all;
}

static int compare(const void *left, const void *right)
{
	const struct fl_problem *a = left;
	const struct fl_problem *b = right;

	if (a->kind != b->kind) {
		return a->kind < b->kind ? -1 : 1;
	}
	if (a->line != b->line) {
		return a->line < b->line ? -1 : 1;
	}
	return strcmp(a->text, b->text); /* qsort() is not stable */
}

void fl_problems_sort(struct fl_problems *problems)
{
	if (problems->count > 1) {
		qsort(problems->items, problems->count, sizeof(*problems->items), compare);
	}
}

void fl_problems_done(struct fl_problems *problems)
{
	for (size_t i = 0; i < problems->count; i++) {
		free(problems->items[i].text);
	}
	free(problems->items);
	*problems = (struct fl_problems){0};
}

/* A file and its path may contain any bytes; a terminal gets only printable ASCII. */
static void print_safely(const char *text, FILE *stream)
{
	for (; *text != '\0'; text++) {
		unsigned char c = (unsigned char)*text;

		if (c < ' ' || c >= 0x7f) {
			(void)fprintf(stream, "\\x%02x", c);
		} else {
			(void)fputc(c, stream);
		}
	}
}

void fl_problems_print(const struct fl_problems *problems, const char *path, void *stream)
{
	char *left_out = fl_problems_left_out(problems);

	for (size_t i = 0; i < problems->count; i++) {
		const struct fl_problem *problem = &problems->items[i];

		print_safely(path, stream);
		if (problem->line != 0) {
			(void)fprintf(stream, ":%u", problem->line);
		}
		(void)fputs(": ", stream);
		if (problem->kind == FL_PROBLEM_WARNING) {
			(void)fputs("warning: ", stream);
		}
		print_safely(problem->text, stream);
		(void)fputc('\n', stream);
	}
	if (left_out != NULL) {
		print_safely(path, stream);
		(void)fprintf(stream, ": %s\n", left_out);
	}
	free(left_out);
}

/* --- suggestions --------------------------------------------------------------------------- */

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

/* Optimal string alignment: insert, delete, replace, swap two neighbours. Three rows at a time. */
static unsigned distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
	unsigned rows[3][WORD_MAX + 1] = {{0}};
	unsigned *before = rows[0];
	unsigned *last = rows[1];
	unsigned *now = rows[2];

	for (unsigned j = 0; j <= b_len; j++) {
		last[j] = j;
	}
	for (size_t i = 1; i <= a_len; i++) {
		unsigned *spare = before;

		now[0] = (unsigned)i;
		for (size_t j = 1; j <= b_len; j++) {
			unsigned cost = lower(a[i - 1]) != lower(b[j - 1]);

			now[j] = least(least(last[j], now[j - 1]) + 1, last[j - 1] + cost);
			if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) &&
			    lower(a[i - 2]) == lower(b[j - 1])) {
				now[j] = least(now[j], before[j - 2] + 1);
			}
		}
		before = last;
		last = now;
		now = spare;
	}
	return last[b_len];
}

const char *fl_suggest(const char *text, const char *const *names, size_t count)
{
	size_t len = strlen(text);
	const char *best = NULL;
	unsigned best_distance = 0;

	if (len == 0 || len > WORD_MAX) {
		return NULL;
	}
	for (size_t i = 0; i < count; i++) {
		size_t name_len = strlen(names[i]);
		size_t longer = len > name_len ? len : name_len;
		unsigned found;

		if (name_len > WORD_MAX) {
			continue;
		}
		found = distance(text, len, names[i], name_len);
		if (found <= (longer + 2) / 3 && found < longer &&
		    (best == NULL || found < best_distance)) {
			best = names[i];
			best_distance = found;
		}
	}
	return best;
}

const char *fl_suggest_text(const char *name, char *buf)
{
	buf[0] = '\0';
	if (name != NULL) {
		(void)snprintf(buf, FL_SUGGEST_TEXT, " (did you mean `%s`?)", name);
	}
	return buf;
}
