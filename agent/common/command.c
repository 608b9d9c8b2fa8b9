/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agent/common/command.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "agent/common/stdin_file.h"
#include "conf/problems.h"

int fl_command_complain(const struct fl_command *command, const char *fmt, ...)
{
	const char *space = command != NULL ? " " : "";
	const char *name = command != NULL ? command->name : "";
	va_list ap;

	(void)fprintf(stderr, "fairlead-agent%s%s: ", space, name);
	va_start(ap, fmt);
	(void)vfprintf(stderr, fmt, ap);
	va_end(ap);
	(void)fprintf(stderr, "; see fairlead-agent%s%s --help\n", space, name);
	return 2;
}

int fl_command_unknown(const struct fl_command *command, const char *what, const char *given,
		       const char *const *known, size_t known_count)
{
	char meant[FL_SUGGEST_TEXT];

	return fl_command_complain(command, "unknown %s `%s`%s", what, given,
				   fl_suggest_text(fl_suggest(given, known, known_count), meant));
}

bool fl_command_lacks_file(const struct fl_command_line *line)
{
	if (!fl_stdin_is(line->conf_path)) {
		return false;
	}
	(void)fl_command_complain(
		line->command,
		"-c takes the path of a file here: only check, explain and redirect print read the "
		"INI from stdin, and preview takes a `-` as its candidate");
	return true;
}

int fl_command_flush(const char *what, int code)
{
	struct fl_err err;

	if (fflush(stdout) == 0 && ferror(stdout) == 0) {
		return code;
	}
	(void)fl_err_sys(&err, errno, "cannot write %s", what);
	(void)fprintf(stderr, "fairlead-agent: %s\n", err.text);
	return FL_COMMAND_UNWRITTEN;
}
