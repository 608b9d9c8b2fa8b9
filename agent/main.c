/* SPDX-License-Identifier: GPL-3.0-or-later */
/* main - the command line of fairlead-agent: which command, which options, which exit code.
 *
 * What is wrong with the command line is one sentence on stderr, with a suggestion where there is
 * one, and exit 2; nothing has happened then. */
#include <errno.h>
#include <linux/capability.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/capture/redirect.h"
#include "agent/common/args.h"
#include "agent/common/stdin_file.h"
#include "agent/import/import.h"
#include "agent/run/run.h"
#include "agent/run/supervisor.h"
#include "agent/tools/check.h"
#include "agent/tools/control.h"
#include "agent/tools/explain.h"
#include "agent/tools/help.h"
#include "agent/tools/preview.h"
#include "agent/tools/status.h"
#include "agent/tools/suggest.h"
#include "agent/tools/wait.h"
#include "base/harden.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "conf/problems.h"
#include "conf/values.h"

#define DEFAULT_TIMEOUT_MS 30000
#define MAX_TIMEOUT_MS (24U * 3600 * 1000)

#define WORDS_MAX 64

/* What the options and words of all commands say. */
struct settings {
	const char *conf_path;
	bool json, watch, wildcards, force;
	uint32_t timeout_ms;
	struct fl_explain explain;
	struct fl_import_options import;
	const char *words[WORDS_MAX]; /* after the command's name */
	size_t word_count;
};

struct command {
	const char *name;
	int (*run)(const struct settings *settings);
	const struct fl_option *options; /* of its own */
	size_t option_count;             /* at most OPTIONS_MAX */
	size_t words_max;                /* at most WORDS_MAX */
	uint64_t keeps;                  /* capabilities, where it is given them */
	bool executes;                   /* another program, with these */
	bool takes_input;                /* -c may be stdin */
};

/* Root asks about files of others, and only reads them. `run` is no tool: it stays, and reads what its user may read. */
#define READS .keeps = FL_CAPABILITY(CAP_DAC_READ_SEARCH)

enum {
	OPTION_CONFIG = 1,
	OPTION_HELP,
	OPTION_VERSION,
	OPTION_JSON,
	OPTION_TIMEOUT,
	OPTION_WATCH,
	OPTION_FROM,
	OPTION_TO,
	OPTION_SOURCE,
	OPTION_WILDCARDS,
	OPTION_FORCE,
	OPTION_TRUST_DOMAIN,
	OPTION_NAMESPACE,
	OPTION_LABELS,
	OPTION_ROOT_NAMESPACE
};

#define OPTIONS_MAX 4

static const struct fl_option common_options[] = {
	{"config", 'c', true, OPTION_CONFIG},
	{"help", 'h', false, OPTION_HELP},
	{"version", 'V', false, OPTION_VERSION},
};

static const struct fl_option json_option = {"json", FL_ARG_NO_LETTER, false, OPTION_JSON};
static const struct fl_option status_options[] = {
	{"json", FL_ARG_NO_LETTER, false, OPTION_JSON},
	{"watch", FL_ARG_NO_LETTER, false, OPTION_WATCH},
};
static const struct fl_option explain_options[] = {
	{"from", FL_ARG_NO_LETTER, true, OPTION_FROM},
	{"to", FL_ARG_NO_LETTER, true, OPTION_TO},
	{"source", FL_ARG_NO_LETTER, true, OPTION_SOURCE},
	{"json", FL_ARG_NO_LETTER, false, OPTION_JSON},
};
static const struct fl_option wildcards_option = {"wildcards", FL_ARG_NO_LETTER, false,
						  OPTION_WILDCARDS};
static const struct fl_option force_option = {"force", FL_ARG_NO_LETTER, false, OPTION_FORCE};
static const struct fl_option import_options[] = {
	{"trust-domain", FL_ARG_NO_LETTER, true, OPTION_TRUST_DOMAIN},
	{"namespace", FL_ARG_NO_LETTER, true, OPTION_NAMESPACE},
	{"labels", FL_ARG_NO_LETTER, true, OPTION_LABELS},
	{"root-namespace", FL_ARG_NO_LETTER, true, OPTION_ROOT_NAMESPACE},
};
static const struct fl_option timeout_option = {"timeout", FL_ARG_NO_LETTER, true, OPTION_TIMEOUT};

static int run(const struct settings *settings)
{
	int code = fl_keep_first();

	return code >= 0 ? code : fl_run(settings->conf_path);
}

static int check(const struct settings *settings)
{
	return fl_check(settings->conf_path, settings->json);
}

static int wait_ready(const struct settings *settings)
{
	return fl_wait(settings->conf_path, settings->timeout_ms);
}

static int status(const struct settings *settings)
{
	return fl_status(settings->conf_path, settings->json, settings->watch);
}

static int suggest(const struct settings *settings)
{
	return fl_suggest_rules(settings->conf_path, settings->wildcards);
}

static int explain(const struct settings *settings)
{
	struct fl_explain options = settings->explain;

	options.json = settings->json;
	return fl_explain(settings->conf_path, &options);
}

static int preview(const struct settings *settings)
{
	return fl_preview(settings->conf_path, settings->words, settings->word_count,
			  settings->json);
}

static int complain(const char *command, const char *text)
{
	(void)fprintf(stderr, "fairlead-agent%s%s: %s; see fairlead-agent%s%s --help\n",
		      command != NULL ? " " : "", command != NULL ? command : "", text,
		      command != NULL ? " " : "", command != NULL ? command : "");
	return 2;
}

static int import(const struct settings *settings)
{
	if (settings->word_count == 0) {
		return complain("import", "missing FILE: the policies to translate; `-` is stdin");
	}
	return fl_import(&settings->import, settings->words, settings->word_count);
}

static int redirect(const struct settings *settings)
{
	static const char *const actions[] = {"apply", "remove", "print"};
	const char *given = settings->words[0];
	char meant[FL_SUGGEST_TEXT];
	char *text;

	if (settings->word_count == 0) {
		return complain("redirect", "which action? apply, remove or print");
	}
	if (strcmp(given, "remove") == 0) {
		return fl_redirect_remove(settings->force);
	}
	if (settings->force) {
		return complain("redirect", "--force goes with remove");
	}
	if (strcmp(given, "apply") == 0) {
		return fl_redirect_apply(settings->conf_path);
	}
	if (strcmp(given, "print") == 0) {
		return fl_redirect_print(settings->conf_path);
	}
	text = fl_format("unknown action `%s`%s", given,
			 fl_suggest_text(fl_suggest(given, actions, FL_COUNT_OF(actions)), meant));
	(void)complain("redirect", text);
	free(text);
	return 2;
}

static int drain(const struct settings *settings)
{
	return fl_control_drain(settings->conf_path);
}

static int log_level(const struct settings *settings)
{
	static const char *const levels[] = {"debug", "info", "warn", "error", "default"};
	const char *given = settings->words[0];
	char meant[FL_SUGGEST_TEXT];
	char *text;

	if (settings->word_count == 0) {
		return complain("log-level", "which level? debug, info, warn, error or default");
	}
	for (size_t i = 0; i < FL_COUNT_OF(levels); i++) {
		if (strcmp(levels[i], given) == 0) {
			return fl_control_log_level(settings->conf_path, given);
		}
	}
	text = fl_format("unknown level `%s`%s", given,
			 fl_suggest_text(fl_suggest(given, levels, FL_COUNT_OF(levels)), meant));
	(void)complain("log-level", text);
	free(text);
	return 2;
}

static const struct command commands[] = {
	{.name = "run", .run = run},
	{.name = "check",
	 .run = check,
	 .options = &json_option,
	 .option_count = 1,
	 .takes_input = true,
	 READS},
	{.name = "wait", .run = wait_ready, .options = &timeout_option, .option_count = 1, READS},
	{.name = "status",
	 .run = status,
	 .options = status_options,
	 .option_count = FL_COUNT_OF(status_options),
	 .keeps = FL_CAPABILITY(CAP_DAC_READ_SEARCH) | FL_CAPABILITY(CAP_NET_ADMIN),
	 .executes = true},
	{.name = "explain",
	 .run = explain,
	 .options = explain_options,
	 .option_count = FL_COUNT_OF(explain_options),
	 .takes_input = true,
	 READS},
	{.name = "suggest", .run = suggest, .options = &wildcards_option, .option_count = 1, READS},
	{.name = "redirect",
	 .run = redirect,
	 .options = &force_option,
	 .option_count = 1,
	 .words_max = 1,
	 .keeps = FL_CAPABILITY(CAP_NET_ADMIN),
	 .executes = true},
	{.name = "drain", .run = drain, READS},
	{.name = "log-level", .run = log_level, .words_max = 1, READS},
	{.name = "preview",
	 .run = preview,
	 .options = &json_option,
	 .option_count = 1,
	 .words_max = WORDS_MAX,
	 READS},
	{.name = "import",
	 .run = import,
	 .options = import_options,
	 .option_count = FL_COUNT_OF(import_options),
	 .words_max = WORDS_MAX,
	 READS},
};

static int unknown_command(const char *name)
{
	const char *names[FL_COUNT_OF(commands)];
	char meant[FL_SUGGEST_TEXT];
	char *text;

	for (size_t i = 0; i < FL_COUNT_OF(commands); i++) {
		names[i] = commands[i].name;
	}
	text = fl_format("unknown command `%s`%s", name,
			 fl_suggest_text(fl_suggest(name, names, FL_COUNT_OF(names)), meant));
	(void)complain(NULL, text);
	free(text);
	return 2;
}

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < FL_COUNT_OF(commands); i++) {
		if (strcmp(commands[i].name, name) == 0) {
			return &commands[i];
		}
	}
	return NULL;
}

static int read_timeout(const char *value, struct settings *settings, struct fl_err *err)
{
	int rc = fl_value_duration(value, 0, MAX_TIMEOUT_MS, &settings->timeout_ms, err);

	return rc == FL_OK ? rc : fl_err_prefix(err, "--timeout");
}

static void take_option(int option, const char *value, struct settings *settings)
{
	switch (option) {
	case OPTION_CONFIG:
		settings->conf_path = fl_input_is(value) ? FL_INPUT_NAME : value;
		break;
	case OPTION_JSON:
		settings->json = true;
		break;
	case OPTION_WATCH:
		settings->watch = true;
		break;
	case OPTION_WILDCARDS:
		settings->wildcards = true;
		break;
	case OPTION_FORCE:
		settings->force = true;
		break;
	case OPTION_FROM:
		settings->explain.from = value;
		break;
	case OPTION_TO:
		settings->explain.to = value;
		break;
	case OPTION_SOURCE:
		settings->explain.source = value;
		break;
	case OPTION_TRUST_DOMAIN:
		settings->import.trust_domain = value;
		break;
	case OPTION_NAMESPACE:
		settings->import.workload_ns = value;
		break;
	case OPTION_LABELS:
		settings->import.workload_labels = value;
		break;
	case OPTION_ROOT_NAMESPACE:
		settings->import.root_ns = value;
		break;
	default: /* taken where it is read */
		break;
	}
}

static int print(const char *text)
{
	struct fl_err err;

	if (fputs(text, stdout) < 0 || fflush(stdout) != 0) {
		(void)fl_err_sys(&err, errno, "cannot write");
		(void)fprintf(stderr, "fairlead-agent: %s\n", err.text);
		return 2;
	}
	return 0;
}

/* Reads options until a word or the end. Returns FL_ARG_WORD or FL_ARG_END, or after anything that
 * ends the program -1 with its exit code. */
static int read_options(struct fl_args *args, const struct command *command,
			struct settings *settings, const char **ret_word, int *ret_exit)
{
	const char *name = command != NULL ? command->name : NULL;
	struct fl_option options[FL_COUNT_OF(common_options) + OPTIONS_MAX];
	size_t count = FL_COUNT_OF(common_options);
	struct fl_err err;
	int rc;

	memcpy(options, common_options, sizeof(common_options));
	for (size_t i = 0; command != NULL && i < command->option_count; i++) {
		options[count++] = command->options[i];
	}
	while ((rc = fl_args_next(args, options, count, ret_word, &err)) > 0) {
		if (rc == OPTION_HELP || rc == OPTION_VERSION) {
			*ret_exit = print(rc == OPTION_HELP ? fl_help(name)
							    : "fairlead-agent " FL_VERSION "\n");
			return -1;
		}
		if (rc == OPTION_TIMEOUT && read_timeout(*ret_word, settings, &err) != FL_OK) {
			rc = FL_ERR_INVALID;
			break;
		}
		take_option(rc, *ret_word, settings);
	}
	if (rc == FL_ARG_WORD || rc == FL_ARG_END) {
		return rc;
	}
	*ret_exit = complain(name, err.text);
	return -1;
}

static int one_word_too_many(const char *command, const char *word)
{
	char *text = fl_format("`%s` is one word too many", word);

	(void)complain(command, text);
	free(text);
	return 2;
}

/* Of what is in force, there is a file. */
static bool takes_input(const struct command *command, const struct settings *settings)
{
	return command->takes_input || (command->run == redirect && settings->word_count > 0 &&
					strcmp(settings->words[0], "print") == 0);
}

static int start(const struct command *command, const struct settings *settings)
{
	struct fl_err err;

	if (fl_input_is(settings->conf_path) && !takes_input(command, settings)) {
		return complain(
			command->name,
			"-c takes the path of a file here: of stdin the INI is read by check, "
			"explain and redirect print alone, and preview takes a `-` as its candidate");
	}
	if (fl_harden_capabilities(command->keeps, command->executes, &err) != FL_OK) {
		(void)fprintf(stderr, "fairlead-agent: %s\n", err.text);
		return 2;
	}
	return command->run(settings);
}

static int run_command(struct fl_args *args, const char *name, struct settings *settings)
{
	const struct command *command = find_command(name);
	const char *word = NULL;
	int code = 2;

	if (command == NULL) {
		return unknown_command(name);
	}
	for (;;) {
		switch (read_options(args, command, settings, &word, &code)) {
		case FL_ARG_END:
			return start(command, settings);
		case FL_ARG_WORD:
			if (settings->word_count == command->words_max) {
				return one_word_too_many(name, word);
			}
			settings->words[settings->word_count++] = word;
			break;
		default:
			return code;
		}
	}
}

int main(int argc, char **argv)
{
	struct settings settings = {.conf_path = FL_CONF_DEFAULT_PATH,
				    .timeout_ms = DEFAULT_TIMEOUT_MS};
	struct fl_args args = {.argv = argv, .at = argc > 0 ? 1 : 0};
	const char *word = NULL;
	int code = 2;

	fl_harden_process();
	switch (read_options(&args, NULL, &settings, &word, &code)) {
	case FL_ARG_WORD:
		return run_command(&args, word, &settings);
	case FL_ARG_END:
		return complain(
			NULL, "which command? run, check, wait, status, explain, suggest, preview, "
			      "redirect, drain, log-level or import");
	default:
		return code;
	}
}
