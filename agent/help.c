/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agent/help.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/man.h"
#include "base/mem.h"
#include "base/text.h"

#define COMMAND_ROW(name) &fl_command_##name,
const struct fl_command *const fl_commands[] = {FL_COMMANDS(COMMAND_ROW)};
const size_t fl_command_count = FL_COUNT_OF(fl_commands);

static const struct fl_option common_options[FL_OPTIONS_COMMON] = {
	[FL_OPTION_CONFIG] = {"config", 'c', .has_value = true},
	[FL_OPTION_HELP] = {"help", 'h', .has_value = false},
	[FL_OPTION_VERSION] = {"version", 'V', .has_value = false},
	[FL_OPTION_CONTROL] = {"control", .has_value = true},
	[FL_OPTION_ADMIN] = {"admin", .has_value = true},
};

/* --- the table -------------------------------------------------------------------------------- */

const struct fl_command *fl_command_find(const char *name)
{
	for (size_t i = 0; i < fl_command_count; i++) {
		if (strcmp(fl_commands[i]->name, name) == 0) {
			return fl_commands[i];
		}
	}
	return NULL;
}

int fl_command_unknown_name(const char *name)
{
	const char *names[FL_COUNT_OF(fl_commands)];

	for (size_t i = 0; i < FL_COUNT_OF(fl_commands); i++) {
		names[i] = fl_commands[i]->name;
	}
	return fl_command_unknown(NULL, "command", name, names, FL_COUNT_OF(names));
}

static size_t count_common(const struct fl_command *command)
{
	switch (command != NULL ? command->asks : FL_ASKS_NOTHING) {
	case FL_ASKS_ADMIN:
		return FL_OPTIONS_COMMON;
	case FL_ASKS_CONTROL:
		return FL_OPTION_ADMIN;
	case FL_ASKS_NOTHING:
		break;
	}
	return FL_OPTION_CONTROL;
}

size_t fl_command_options(const struct fl_command *command, struct fl_option ret[FL_OPTIONS_MAX],
			  size_t *ret_common)
{
	size_t common = count_common(command), count = 0;

	memcpy(ret, common_options, common * sizeof(*ret));
	while (command != NULL && count < FL_COMMAND_OPTIONS_MAX &&
	       command->options[count].name != NULL) {
		ret[common + count] = command->options[count];
		count++;
	}
	*ret_common = common;
	return common + count;
}

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
	for (size_t i = 0; i < fl_command_count; i++) {
		fl_text_print(out, "  %-11s  %s\n", fl_commands[i]->name, fl_commands[i]->summary);
	}
	fl_text_print(
		out, "%s",
		"\n"
		"  fairlead-agent COMMAND --help tells more, as fairlead-agent help COMMAND does.\n"
		"\n"
		"OPTIONS\n" FL_PAGE_OPTIONS "\n"
		"EXIT STATUS\n"
		"  2 if the command line or the INI is wrong; 3 if the output cannot be written:\n"
		"  a full disk, a closed pipe. The pages of the commands name the other codes.\n"
		"  Diagnostics go to stderr, results to stdout.\n");
}

static void put_page(struct fl_text *out, const struct fl_command *command)
{
	if (command != NULL) {
		fl_text_print(out, "%s", command->page);
	} else {
		put_program_page(out);
	}
}

static int print(struct fl_text *text, const char *what)
{
	(void)fwrite(text->data, 1, text->len, stdout);
	fl_text_done(text);
	return fl_command_flush(what, 0);
}

int fl_help_print(const struct fl_command *command)
{
	struct fl_text page = {0};

	put_page(&page, command);
	return print(&page, "the page");
}

int fl_help_print_version(void)
{
	(void)puts("fairlead-agent " FL_VERSION);
	return fl_command_flush("the version", 0);
}

/* --- the commands ----------------------------------------------------------------------------- */

enum { OPTION_MAN, OPTION_COMPLETION };

static int print_man(const struct fl_command *command)
{
	struct fl_text page = {0}, man = {0};
	char *title = command != NULL ? fl_format("fairlead-agent-%s", command->name)
				      : fl_strdup("fairlead-agent");

	put_page(&page, command);
	fl_man_put(&man, title, 1, page.data);
	/* The program's man page contains the pages of all commands. */
	for (size_t i = 0; command == NULL && i < fl_command_count; i++) {
		char *part = fl_format("fairlead-agent %s", fl_commands[i]->name);

		fl_man_put_part(&man, part, fl_commands[i]->page);
		free(part);
	}
	fl_text_done(&page);
	free(title);
	return print(&man, "the man page");
}

/* The page of the INI; as fairlead.ini(5), or as it is. */
static int print_ini(bool as_man)
{
	struct fl_text page = {0}, man = {0};

	fl_help_ini_put(&page);
	if (!as_man) {
		return print(&page, "the page");
	}
	fl_man_put(&man, "fairlead.ini", 5, page.data);
	fl_text_done(&page);
	return print(&man, "the man page");
}

static int print_completion(const struct fl_command_line *line, const char *shell)
{
	static const char *const shells[] = {"bash", "zsh", "fish"};
	struct fl_text script = {0};

	return fl_completion_put(shell, &script) ? print(&script, "the script")
						 : fl_command_unknown(line->command, "shell", shell,
								      shells, FL_COUNT_OF(shells));
}

static int help(const struct fl_command_line *line)
{
	const struct fl_command *about = NULL;

	if (line->options[OPTION_COMPLETION] != NULL) {
		return print_completion(line, line->options[OPTION_COMPLETION]);
	}
	if (line->word_count > 0 && strcmp(line->words[0], "ini") == 0) {
		return print_ini(line->options[OPTION_MAN] != NULL);
	}
	if (line->word_count > 0) {
		about = fl_command_find(line->words[0]);
		if (about == NULL) {
			return fl_command_unknown_name(line->words[0]);
		}
	}
	return line->options[OPTION_MAN] != NULL ? print_man(about) : fl_help_print(about);
}

static const char help_page[] =
	"NAME\n"
	"  fairlead-agent help - the page of a command, as a man page, too; completion\n"
	"\n"
	"SYNOPSIS\n"
	"  fairlead-agent help [--man] [COMMAND | ini]\n"
	"  fairlead-agent help --completion bash|zsh|fish\n"
	"\n"
	"DESCRIPTION\n"
	"  Prints the page of COMMAND, as COMMAND --help does, or that of the program.\n"
	"  The page `ini` explains every section and key of the INI: fairlead.ini(5).\n"
	"\n"
	"OPTIONS\n"
	"      --man           as a man page\n"
	"      --completion SHELL  a script that lets this shell complete commands and\n"
	"                      options\n" FL_PAGE_OPTIONS_HELP "\n"
	"EXIT STATUS\n"
	"  0  printed\n"
	"  2  there is no such command or shell\n" FL_PAGE_EXIT_UNWRITTEN "\n"
	"EXAMPLES\n"
	"  fairlead-agent help --man check | man -l -\n"
	"  fairlead-agent help ini | less\n"
	"  source <(fairlead-agent help --completion bash)\n"
	"  fairlead-agent help --completion fish | source\n";

const struct fl_command fl_command_help = {
	.name = "help",
	.summary = "the page of a command; man pages; completion for shells",
	.page = help_page,
	.run = help,
	.options = {[OPTION_MAN] = {.name = "man"},
		    [OPTION_COMPLETION] = {.name = "completion", .has_value = true}},
	.words_max = 1,
	.ini_from_stdin = true, /* this command reads no INI */
};

static int version(const struct fl_command_line *line)
{
	(void)line;
	return fl_help_print_version();
}

static const char version_page[] = "NAME\n"
				   "  fairlead-agent version - print the version\n"
				   "\n"
				   "SYNOPSIS\n"
				   "  fairlead-agent version\n"
				   "\n"
				   "OPTIONS\n" FL_PAGE_OPTIONS_HELP "\n"
				   "EXIT STATUS\n"
				   "  0  printed\n" FL_PAGE_EXIT_UNWRITTEN;

const struct fl_command fl_command_version = {
	.name = "version",
	.summary = "print the version",
	.page = version_page,
	.run = version,
	.ini_from_stdin = true, /* this command reads no INI */
};
