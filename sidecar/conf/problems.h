/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_CONF_PROBLEMS_H
#define FL_CONF_PROBLEMS_H
/* problems - collects the problems of an INI, and suggests corrections. For conf, and for
 * tools that report in the same way. */
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
	char *text;        /* without FILE:LINE */
};
struct fl_problems {
	struct fl_problem *items; /* owned */
	size_t count;
	size_t errors; /* how many of them are errors */
};
void fl_problems_done(struct fl_problems *problems);

void fl_problem_error(struct fl_problems *problems, fl_conf_line line, const char *fmt, ...)
	FL_PRINTF(3, 4);
void fl_problem_warning(struct fl_problems *problems, fl_conf_line line, const char *fmt, ...)
	FL_PRINTF(3, 4);

/* Errors first, each kind by line. */
void fl_problems_sort(struct fl_problems *problems);

/* Writes each problem as `FILE:LINE: [warning: ]text\n` to stream (stdio, stderr usually). */
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
