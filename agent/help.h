/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_HELP_H
#define FL_AGENT_HELP_H
/* help - the table of commands, and everything that is generated from it: help pages, man pages, shell completion. Main
 * thread. */
#include "agent/common/command.h"
#include "base/text.h"

/* The options that several commands share: first those of all commands, then those of commands that ask the sidecar. */
enum {
	FL_OPTION_CONFIG,
	FL_OPTION_HELP,
	FL_OPTION_VERSION,
	FL_OPTION_CONTROL,
	FL_OPTION_ADMIN,
	FL_OPTIONS_COMMON
};
#define FL_OPTIONS_MAX (FL_OPTIONS_COMMON + FL_COMMAND_OPTIONS_MAX)

/* All commands, in the order in which help lists them. */
extern const struct fl_command *const fl_commands[];
extern const size_t fl_command_count;

/* NULL: there is no command of this name. */
const struct fl_command *fl_command_find(const char *name);
/* Reports an unknown command name, with a suggestion. Returns the exit code. */
int fl_command_unknown_name(const char *name);

/* The options of a command: the first *ret_common are the shared ones above, then come its own. NULL: the options that may
 * precede the command. Returns how many. */
size_t fl_command_options(const struct fl_command *command, struct fl_option ret[FL_OPTIONS_MAX],
			  size_t *ret_common);

/* Prints the page of a command, or of the program (NULL). Returns the exit code. */
int fl_help_print(const struct fl_command *command);
int fl_help_print_version(void);

/* Appends the page of the INI: every section and key. */
void fl_help_ini_put(struct fl_text *out);

/* Appends a script that completes the command line in this shell. False: there is none for it. */
bool fl_completion_put(const char *shell, struct fl_text *out);

#endif
