/* SPDX-License-Identifier: GPL-3.0-or-later */
/* main - the command line of fairlead-agent: which command, which options, which exit code.
 *
 * An error in the command line is one sentence on stderr, with a suggestion where there is one, and exit code 2; nothing
 * has happened then. */
#include <stdio.h>
#include <string.h>

#include "agent/common/command.h"
#include "agent/common/stdin_file.h"
#include "base/harden.h"
#include "base/mem.h"
#include "base/text.h"

#define COMMAND_ROW(name) &fl_command_##name,
static const struct fl_command *const commands[] = {FL_COMMANDS(COMMAND_ROW)};

/* The last two are those of commands that ask the sidecar. */
enum { OPTION_CONFIG, OPTION_HELP, OPTION_VERSION, OPTION_CONTROL, OPTION_ADMIN, COMMON_COUNT };
static const struct fl_option common_options[COMMON_COUNT] = {
	[OPTION_CONFIG] = {"config", 'c', .has_value = true},
	[OPTION_HELP] = {"help", 'h', .has_value = false},
	[OPTION_VERSION] = {"version", 'V', .has_value = false},
	[OPTION_CONTROL] = {"control", .has_value = true},
	[OPTION_ADMIN] = {"admin", .has_value = true},
};

/* --- the program's own page ------------------------------------------------------------------- */

static void put_program_page(struct fl_text *out)
{
	fl_text_print(out,
		      "NAME\n"
		      "  fairlead-agent - credentials and policy for a Fairlead sidecar, and its "
		      "tools\n"
		      "\n"
		      "SYNOPSIS\n"
		      "  fairlead-agent [-c FILE] COMMAND [OPTION...]\n"
		      "\n"
		      "COMMANDS\n");
	for (size_t i = 0; i < FL_COUNT_OF(commands); i++) {
		fl_text_print(out, "  %-9s  %s\n", commands[i]->name, commands[i]->summary);
	}
	fl_text_print(
		out, "%s",
		"\n"
		"  fairlead-agent COMMAND --help tells more.\n"
		"\n"
		"OPTIONS\n" FL_PAGE_OPTIONS "\n"
		"EXIT STATUS\n"
		"  2 if the command line or the INI is wrong; the pages of the commands name the\n"
		"  other codes. Diagnostics go to stderr, results to stdout.\n");
}

static int print_page(const struct fl_command *command)
{
	struct fl_text page = {0};

	if (command != NULL) {
		fl_text_print(&page, "%s", command->page);
	} else {
		put_program_page(&page);
	}
	(void)fwrite(page.data, 1, page.len, stdout);
	fl_text_done(&page);
	return fl_command_flush("the page") ? 0 : 2;
}

static int print_version(void)
{
	(void)puts("fairlead-agent " FL_VERSION);
	return fl_command_flush("the version") ? 0 : 2;
}

/* --- which command ---------------------------------------------------------------------------- */

static const struct fl_command *find_command(const char *name)
{
	for (size_t i = 0; i < FL_COUNT_OF(commands); i++) {
		if (strcmp(commands[i]->name, name) == 0) {
			return commands[i];
		}
	}
	return NULL;
}

static int complain_of_unknown(const char *name)
{
	const char *names[FL_COUNT_OF(commands)];

	for (size_t i = 0; i < FL_COUNT_OF(commands); i++) {
		names[i] = commands[i]->name;
	}
	return fl_command_unknown(NULL, "command", name, names, FL_COUNT_OF(names));
}

/* "missing COMMAND: run, check, ... or import" */
static int complain_of_none(void)
{
	struct fl_text names = {0};
	int code;

	for (size_t i = 0; i < FL_COUNT_OF(commands); i++) {
		fl_text_print(&names, "%s%s",
			      i == 0                           ? ""
			      : i + 1 == FL_COUNT_OF(commands) ? " or "
							       : ", ",
			      commands[i]->name);
	}
	code = fl_command_complain(NULL, "missing COMMAND: %s", names.data);
	fl_text_done(&names);
	return code;
}

/* --- which options ---------------------------------------------------------------------------- */

/* How many of common_options a command has; NULL: none is known yet. */
static size_t common_count(const struct fl_command *command)
{
	switch (command != NULL ? command->asks : FL_ASKS_NOTHING) {
	case FL_ASKS_ADMIN:
		return COMMON_COUNT;
	case FL_ASKS_CONTROL:
		return OPTION_ADMIN;
	case FL_ASKS_NOTHING:
		break;
	}
	return OPTION_CONTROL;
}

/* Those of all commands, then those of this one. */
static size_t collect_options(const struct fl_command *command,
			      struct fl_option ret[COMMON_COUNT + FL_COMMAND_OPTIONS_MAX])
{
	size_t common = common_count(command), count = 0;

	memcpy(ret, common_options, common * sizeof(*ret));
	while (command != NULL && count < FL_COMMAND_OPTIONS_MAX &&
	       command->options[count].name != NULL) {
		ret[common + count] = command->options[count];
		count++;
	}
	return common + count;
}

/* option: its index in what collect_options() gives. */
static void take_option(struct fl_command_line *line, size_t option, const char *value)
{
	size_t common = common_count(line->command);

	if (option >= common) {
		line->options[option - common] = value;
	} else if (option == OPTION_CONFIG) {
		line->conf_path = fl_stdin_is(value) ? FL_STDIN_NAME : value;
	} else if (option == OPTION_CONTROL) {
		line->control = value;
	} else {
		line->admin = value;
	}
}

/* Reads options until a word or the end. Returns FL_ARG_WORD or FL_ARG_END; or -1 with the exit code, after anything that
 * ends the program. */
static int read_options(struct fl_args *args, struct fl_command_line *line, const char **ret_word,
			int *ret_exit)
{
	struct fl_option options[COMMON_COUNT + FL_COMMAND_OPTIONS_MAX];
	size_t count = collect_options(line->command, options), option = 0;
	struct fl_err err;
	int rc;

	while ((rc = fl_args_next(args, options, count, &option, ret_word, &err)) ==
	       FL_ARG_OPTION) {
		switch (option) {
		case OPTION_HELP:
			*ret_exit = print_page(line->command);
			return -1;
		case OPTION_VERSION:
			*ret_exit = print_version();
			return -1;
		default:
			take_option(line, option, *ret_word);
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

	line->command = find_command(name);
	if (line->command == NULL) {
		return complain_of_unknown(name);
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

	fl_harden_process();
	switch (read_options(&args, &line, &word, &code)) {
	case FL_ARG_WORD:
		return run_command(&args, word, &line);
	case FL_ARG_END:
		return complain_of_none();
	default:
		return code;
	}
}
