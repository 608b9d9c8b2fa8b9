/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_COMMON_COMMAND_H
#define FL_AGENT_COMMON_COMMAND_H
/* command - what a command of fairlead-agent is: its name, its page, its options, its function.
 *
 * A command is one `const struct fl_command fl_command_NAME` in the file that does its work, and its name in FL_COMMANDS;
 * main.c and help.c derive everything else from it: the list in `fairlead-agent --help`, the suggestions for a mistyped
 * name, the options that are accepted. Main thread. */
#include <linux/capability.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/common/args.h"
#include "base/err.h"
#include "base/harden.h"
#include "conf/conf.h"

/* All of them, in the order in which help lists them. */
#define FL_COMMANDS(X)                                                                             \
	X(run)                                                                                     \
	X(check)                                                                                   \
	X(wait)                                                                                    \
	X(status)                                                                                  \
	X(connections)                                                                             \
	X(explain)                                                                                 \
	X(suggest)                                                                                 \
	X(preview)                                                                                 \
	X(redirect)                                                                                \
	X(drain)                                                                                   \
	X(log_level)                                                                               \
	X(import)                                                                                  \
	X(help)                                                                                    \
	X(version)

#define FL_COMMAND_OPTIONS_MAX 5
#define FL_COMMAND_WORDS_MAX 64
#define FL_COMMAND_REPEATED_MAX 64

/* The text about the options that every command has. */
#define FL_PAGE_OPTION_CONFIG                                                                      \
	"  -c, --config FILE   the INI that agent and sidecar share; default\n"                    \
	"                      " FL_CONF_DEFAULT_PATH "\n"
#define FL_PAGE_OPTIONS_HELP                                                                       \
	"  -h, --help          this page\n"                                                        \
	"  -V, --version       the version\n"
#define FL_PAGE_OPTIONS FL_PAGE_OPTION_CONFIG FL_PAGE_OPTIONS_HELP

/* The text about the options of commands that ask the running sidecar. */
#define FL_PAGE_OPTION_CONTROL "      --control PATH  ask at this socket, whatever the INI says\n"
#define FL_PAGE_OPTION_ADMIN                                                                       \
	"      --admin ADDRESS ask at this address (HOST:PORT), whatever the INI says\n"

/* Whether a command asks the running sidecar, and where. */
enum fl_asks {
	FL_ASKS_NOTHING,
	FL_ASKS_CONTROL, /* has --control */
	FL_ASKS_ADMIN,   /* has --control and --admin */
};

/* What was typed. Strings are borrowed from argv. */
struct fl_command_line {
	const struct fl_command *command; /* NULL: none was named */
	const char *conf_path;            /* -c, or its default; FL_STDIN_NAME for stdin */
	const char *control, *admin;      /* NULL: not given */
	/* By the index of the option in its command's table: NULL, it was not given; "" if it has no value. */
	const char *options[FL_COMMAND_OPTIONS_MAX];
	/* The values of options that repeat, each with that index. */
	struct {
		size_t option;
		const char *value;
	} repeated[FL_COMMAND_REPEATED_MAX];
	size_t repeated_count;
	const char *words[FL_COMMAND_WORDS_MAX]; /* neither options nor values */
	size_t word_count;
};

struct fl_command {
	const char *name;
	const char *summary; /* for the list of commands: at most 67 characters */
	const char *page;    /* the whole manual page: 80 columns, no markup */
	/* Does the work; returns the exit code. The options and the number of words are right, what they say is not
	 * checked. */
	int (*run)(const struct fl_command_line *line);
	struct fl_option options[FL_COMMAND_OPTIONS_MAX]; /* its own; unused ones have no name */
	size_t words_max;                                 /* at most FL_COMMAND_WORDS_MAX */
	enum fl_asks asks;
	uint64_t
		capabilities; /* kept where the process has them: FL_CAPABILITY() of base/harden.h */
	bool executes;        /* starts another program, which keeps them too */
	bool ini_from_stdin;  /* `-c -` is allowed */
};

/* Root may check files that belong to other users; the command only reads them. */
#define FL_COMMAND_READS_ALL FL_CAPABILITY(CAP_DAC_READ_SEARCH)

#define FL_COMMAND_DECLARE(name) extern const struct fl_command fl_command_##name;
FL_COMMANDS(FL_COMMAND_DECLARE)

/* `fairlead-agent COMMAND: TEXT; see fairlead-agent COMMAND --help` on stderr, for a command line that is wrong. command:
 * NULL for none. Returns 2, the exit code. */
int fl_command_complain(const struct fl_command *command, const char *fmt, ...) FL_PRINTF(2, 3);

/* The same for an unknown word, given. what: the kind of word ("action"). Suggests the most similar known one, if there is
 * one. */
int fl_command_unknown(const struct fl_command *command, const char *what, const char *given,
		       const char *const *known, size_t known_count);

/* For commands whose INI must be a file, because a running process reads it too. True, after a message on stderr: `-c -`
 * was given. */
bool fl_command_lacks_file(const struct fl_command_line *line);

/* The exit code of a command whose output could not be written: a full disk, a closed pipe. */
#define FL_COMMAND_UNWRITTEN 3
#define FL_PAGE_EXIT_UNWRITTEN "  3  the output could not be written: a full disk, a closed pipe\n"

/* Flushes stdout. Returns code; or, after a sentence on stderr, FL_COMMAND_UNWRITTEN: some of `what` ("the report") could
 * not be written. */
int fl_command_flush(const char *what, int code);

#endif
