/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_COMMON_ARGS_H
#define FL_AGENT_COMMON_ARGS_H
/* args - the command line as a sequence of options and words. Pure; no state outside the struct.
 *
 * Long names are taken whole (`--timeout 5s`, `--timeout=5s`), so that a script keeps its
 * meaning when an option is added; what is close to a known name is suggested. `--` ends the
 * options. */
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct fl_option {
	const char *name; /* "timeout", for --timeout */
	char letter;      /* 'c' for -c; FL_ARG_NO_LETTER for none */
	bool has_value;
	int id; /* > 0, what fl_args_next() returns */
};
#define FL_ARG_NO_LETTER '\0'

struct fl_args {
	char **argv; /* borrowed; ends with NULL */
	size_t at;   /* next to look at */
	bool words;  /* `--` has been seen */
};

#define FL_ARG_END 0
#define FL_ARG_WORD (-1000) /* neither an option nor an option's value */

/* The next option's id with its value (NULL for none), FL_ARG_WORD with the word, FL_ARG_END, or
 * FL_ERR_INVALID. */
int fl_args_next(struct fl_args *args, const struct fl_option *options, size_t count,
		 const char **ret_value, struct fl_err *err) FL_MUST_USE;

#endif
