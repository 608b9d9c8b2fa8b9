/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agent/common/args.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "conf/problems.h"

static int unknown(const char *given, const char *name, const struct fl_option *options,
		   size_t count, struct fl_err *err)
{
	const char **names = fl_new((count + 1) * sizeof(*names));
	const char *meant;

	for (size_t i = 0; i < count; i++) {
		names[i] = options[i].name;
	}
	meant = fl_suggest(name, names, count);
	free(names);
	return fl_err_set(err, FL_ERR_INVALID, "unknown option `%s`%s%s%s", given,
			  meant != NULL ? " (did you mean `--" : "", meant != NULL ? meant : "",
			  meant != NULL ? "`?)" : "");
}

/* inline_value: the text after the name in the same argument; NULL: there is none, so the next argument is the value. */
static int take_value(struct fl_args *args, const struct fl_option *option,
		      const char *inline_value, const char **ret_value, struct fl_err *err)
{
	if (!option->has_value) {
		if (inline_value != NULL) {
			return fl_err_set(err, FL_ERR_INVALID, "--%s takes no value", option->name);
		}
		*ret_value = "";
		return FL_ARG_OPTION;
	}
	if (inline_value == NULL) {
		inline_value = args->argv[args->at];
		if (inline_value == NULL) {
			return fl_err_set(err, FL_ERR_INVALID, "--%s needs a value", option->name);
		}
		args->at++;
	}
	*ret_value = inline_value;
	return FL_ARG_OPTION;
}

static int long_option(struct fl_args *args, const char *given, const struct fl_option *options,
		       size_t count, size_t *ret_option, const char **ret_value, struct fl_err *err)
{
	const char *name = given + 2;
	size_t len = strcspn(name, "=");
	char *bare;
	int rc;

	for (size_t i = 0; i < count; i++) {
		if (strlen(options[i].name) == len && memcmp(options[i].name, name, len) == 0) {
			*ret_option = i;
			return take_value(args, &options[i],
					  name[len] == '=' ? name + len + 1 : NULL, ret_value, err);
		}
	}
	bare = fl_strndup(name, len);
	rc = unknown(given, bare, options, count, err);
	free(bare);
	return rc;
}

static int short_option(struct fl_args *args, const char *given, const struct fl_option *options,
			size_t count, size_t *ret_option, const char **ret_value,
			struct fl_err *err)
{
	for (size_t i = 0; i < count; i++) {
		if (options[i].letter != '\0' && options[i].letter == given[1]) {
			*ret_option = i;
			return take_value(args, &options[i], given[2] != '\0' ? given + 2 : NULL,
					  ret_value, err);
		}
	}
	return unknown(given, given + 1, options, count, err);
}

int fl_args_next(struct fl_args *args, const struct fl_option *options, size_t count,
		 size_t *ret_option, const char **ret_value, struct fl_err *err)
{
	const char *given = args->argv[args->at];

	if (given == NULL) {
		return FL_ARG_END;
	}
	args->at++;
	if (args->words || given[0] != '-' || given[1] == '\0') {
		*ret_value = given;
		return FL_ARG_WORD;
	}
	if (strcmp(given, "--") == 0) {
		args->words = true;
		return fl_args_next(args, options, count, ret_option, ret_value, err);
	}
	return given[1] == '-'
		       ? long_option(args, given, options, count, ret_option, ret_value, err)
		       : short_option(args, given, options, count, ret_option, ret_value, err);
}
