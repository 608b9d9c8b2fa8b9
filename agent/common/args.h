/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_COMMON_ARGS_H
#define FL_AGENT_COMMON_ARGS_H
/* args - the command line as a sequence of options and words. Pure; no state outside the struct.
 *
 * Long names are matched in full (`--timeout 5s`, `--timeout=5s`), so that a script keeps its meaning when an option is
 * added; a mistyped one gets a suggestion. `--` ends the options. */
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct fl_option {
	const char *name; /* "timeout", for --timeout */
	char letter;      /* 'c' for -c; 0 for none */
	bool has_value;
	bool repeats; /* each value counts, not only the last one */
};

struct fl_args {
	char **argv; /* borrowed; ends with NULL */
	size_t at;   /* index of the next argument */
	bool words;  /* `--` has been read */
};

enum fl_arg { FL_ARG_END, FL_ARG_OPTION, FL_ARG_WORD };

/* The next one: an option, with its index in options and its value ("" if the option has none); a word; or the end. Values
 * are borrowed from argv. Errors: FL_ERR_INVALID, with a sentence: an unknown option, a value that is missing, or one that
 * is too many. Prints nothing. */
int fl_args_next(struct fl_args *args, const struct fl_option *options, size_t count,
		 size_t *ret_option, const char **ret_value, struct fl_err *err) FL_MUST_USE;

#endif
