/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_CONF_PROBLEMS_H
#define FL_CONF_PROBLEMS_H
/* problems - collects the problems of an INI, and suggests corrections. For conf, and for
 * tools that report in the same way.
 *
 * A file that is no INI at all has a problem in every line. The first FL_PROBLEMS_MAX of each kind are kept, and the others are
 * only counted. After FL_PROBLEMS_ENOUGH errors conf looks for no more of them. So neither memory nor log grows with the file. */
#include <stddef.h>

#include "base/err.h"
#include "base/log.h"

/* Where a setting stands; 0 = not in the file (default). */
typedef unsigned fl_conf_line;

/* Problems found, errors first by line. */
enum fl_problem_kind { FL_PROBLEM_ERROR, FL_PROBLEM_WARNING };
struct fl_problem {
	enum fl_problem_kind kind;
	fl_conf_line line; /* 0: the file as a whole */
	char *text;        /* without FILE:LINE; its middle is left out if it is very long */
};
#define FL_PROBLEMS_MAX 100u
#define FL_PROBLEMS_ENOUGH 1000u
struct fl_problems {
	struct fl_problem *items; /* owned: those that are kept */
	size_t count;             /* of items */
	size_t errors, warnings;  /* how many were found, kept or not */
};
void fl_problems_done(struct fl_problems *problems);

static inline bool fl_problems_enough(const struct fl_problems *problems)
{
	return problems->errors >= FL_PROBLEMS_ENOUGH;
}

void fl_problem_error(struct fl_problems *problems, fl_conf_line line, const char *fmt, ...)
	FL_PRINTF(3, 4);
void fl_problem_warning(struct fl_problems *problems, fl_conf_line line, const char *fmt, ...)
	FL_PRINTF(3, 4);

/* Errors first, each kind by line. */
void fl_problems_sort(struct fl_problems *problems);

/* `12 more errors and 3 more warnings are not listed`: those that are only counted; `at least 900` of errors if conf has not
 * looked for more. To free(); NULL: there are none. */
char *fl_problems_left_out(const struct fl_problems *problems);

/* Writes each problem as `FILE:LINE: [warning: ]text\n` to stream (stdio, stderr usually), and how many are left out. */
void fl_problems_print(const struct fl_problems *problems, const char *path, void *stream);

/* The same as lines of the log, of level error or warn. */
void fl_problems_log(const struct fl_problems *problems, const char *path, struct fl_log *log);

/* The first error, and the number of further ones, in one sentence: `FILE:LINE: text (and 2 more: see `fairlead-agent
 * check`)`. There is at least one error. To free(). */
char *fl_problems_summary(const struct fl_problems *problems, const char *path);

/* The name that text is most similar to; NULL: none is similar enough. */
const char *fl_suggest(const char *text, const char *const *names, size_t count);

/* ` (did you mean X?)`, or nothing when X is NULL. buf of FL_SUGGEST_TEXT bytes; returns buf. */
#define FL_SUGGEST_TEXT 128
const char *fl_suggest_text(const char *name, char *buf);

#endif
