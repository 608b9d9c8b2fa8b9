/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_CONF_PROBLEMS_H
#define FL_CONF_PROBLEMS_H
/* problems - collects the problems of an INI, and suggests corrections. For conf, and for
 * tools that report in the same way. */
#include <stddef.h>

#include "conf/conf.h"

void fl_problem_error(struct fl_problems *problems, fl_conf_line line, const char *fmt, ...)
	FL_PRINTF(3, 4);
void fl_problem_warning(struct fl_problems *problems, fl_conf_line line, const char *fmt, ...)
	FL_PRINTF(3, 4);

/* Errors first, each kind by line. */
void fl_problems_sort(struct fl_problems *problems);

/* The name that text is most similar to; NULL: none is similar enough. */
const char *fl_suggest(const char *text, const char *const *names, size_t count);

/* ` (did you mean X?)`, or nothing when X is NULL. buf of FL_SUGGEST_TEXT bytes; returns buf. */
#define FL_SUGGEST_TEXT 128
const char *fl_suggest_text(const char *name, char *buf);

#endif
