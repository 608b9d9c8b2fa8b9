/* SPDX-License-Identifier: GPL-3.0-or-later */
/* main - the command line of fairlead-agent: which command, which options, which exit code.
 *
 * An error in the command line is one sentence on stderr, with a suggestion where there is one, and exit code 2; nothing
 * has happened then. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "agent/common/command.h"
#include "agent/common/stdin_file.h"
#include "agent/help.h"
#include "base/harden.h"
#include "base/mem.h"
#include "base/text.h"

/* --- which command ---------------------------------------------------------------------------- */

/* "missing COMMAND: run, check, ... or import" */
static int complain_of_none(void)
{
	struct fl_text names = {0};
	int code;

	for (size_t i = 0; i < fl_command_count; i++) {
		fl_text_print(&names, "%s%s",
			      i == 0                      ? ""
			      : i + 1 == fl_command_count ? " or "
							  : ", ",
			      fl_commands[i]->name);
	}
	code = fl_command_complain(NULL, "missing COMMAND: %s", names.data);
	fl_text_done(&names);
	return code;
}

/* --- which options ---------------------------------------------------------------------------- */

/* An option of the command itself. False: it was given too often. */
static bool take_own_option(struct fl_command_line *line, size_t option, bool repeats,
			    const char *value)
{
	line->options[option] = value;
	if (!repeats) {
		return true;
	}
	if (line->repeated_count == FL_COMMAND_REPEATED_MAX) {
		return false;
	}
	line->repeated[line->repeated_count].option = option;
	line->repeated[line->repeated_count].value = value;
	line->repeated_count++;
	return true;
}

/* option: its index among the options of the command, the first of which are the common ones. */
static bool take_option(struct fl_command_line *line, size_t option, size_t common, bool repeats,
			const char *value)
{
	if (option >= common) {
		return take_own_option(line, option - common, repeats, value);
	}
	if (option == FL_OPTION_CONFIG) {
		line->conf_path = fl_stdin_is(value) ? FL_STDIN_NAME : value;
	} else if (option == FL_OPTION_CONTROL) {
		line->control = value;
	} else {
		line->admin = value;
	}
	return true;
}

/* Reads options until a word or the end. Returns FL_ARG_WORD or FL_ARG_END; or -1 with the exit code, after anything that
 * ends the program. */
static int read_options(struct fl_args *args, struct fl_command_line *line, const char **ret_word,
			int *ret_exit)
{
	struct fl_option options[FL_OPTIONS_MAX];
	size_t common = 0, count = fl_command_options(line->command, options, &common), option = 0;
	struct fl_err err;
	int rc;

	while ((rc = fl_args_next(args, options, count, &option, ret_word, &err)) ==
	       FL_ARG_OPTION) {
		switch (option) {
		case FL_OPTION_HELP:
			*ret_exit = fl_help_print(line->command);
			return -1;
		case FL_OPTION_VERSION:
			*ret_exit = fl_help_print_version();
			return -1;
		default:
			if (!take_option(line, option, common, options[option].repeats,
					 *ret_word)) {
				*ret_exit = fl_command_complain(
					line->command, "--%s is given more than %d times",
					options[option].name, FL_COMMAND_REPEATED_MAX);
				return -1;
			}
			break;
		}
	}
	if (rc == FL_ARG_WORD || rc == FL_ARG_END) {
		return rc;
	}
	*ret_exit = fl_command_complain(line->command, "%s", err.text);
	return -1;
}

static int start(const struct fl_command_line *line)
{
	const struct fl_command *command = line->command;
	struct fl_err err;

	if (!command->ini_from_stdin && fl_command_lacks_file(line)) {
		return 2;
	}
	if (fl_harden_capabilities(command->capabilities, command->executes, &err) != FL_OK) {
		(void)fprintf(stderr, "fairlead-agent: %s\n", err.text);
		return 2;
	}
	return command->run(line);
}

static int run_command(struct fl_args *args, const char *name, struct fl_command_line *line)
{
	const char *word = NULL;
	int code = 2;

	line->command = fl_command_find(name);
	if (line->command == NULL) {
		return fl_command_unknown_name(name);
	}
	for (;;) {
		switch (read_options(args, line, &word, &code)) {
		case FL_ARG_END:
			return start(line);
		case FL_ARG_WORD:
			if (line->word_count == line->command->words_max) {
				return fl_command_complain(line->command,
							   "`%s` is one word too many", word);
			}
			line->words[line->word_count++] = word;
			break;
		default:
			return code;
		}
	}
}

int main(int argc, char **argv)
{
	struct fl_command_line line = {.conf_path = FL_CONF_DEFAULT_PATH};
	struct fl_args args = {.argv = argv, .at = argc > 0 ? 1 : 0};
	const char *word = NULL;
	int code = 2;

	if (!fl_harden_descriptors()) {
		return 1;
	}
	fl_harden_process();
	(void)signal(SIGPIPE,
		     SIG_IGN); /* a failed write is reported, with an exit code of its own */
	switch (read_options(&args, &line, &word, &code)) {
	case FL_ARG_WORD:
		return run_command(&args, word, &line);
	case FL_ARG_END:
		return complain_of_none();
	default:
		return code;
	}
}
