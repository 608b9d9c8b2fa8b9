/* SPDX-License-Identifier: GPL-3.0-or-later */
/* control - `drain` and `log-level`: one POST to `[sidecar] control`; its answer is printed as it is. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/common/command.h"
#include "agent/tools/admin_client.h"
#include "base/mem.h"

#define REQUEST_MS 5000

static void print_line(const struct fl_text *body, FILE *out)
{
	char *line = fl_admin_client_line(body);

	(void)fprintf(out, "%s\n", line);
	free(line);
}

static int change(const struct fl_command_line *line, const char *path)
{
	struct fl_text body = {0};
	struct fl_admin_client control;
	struct fl_err err;
	unsigned status = 0;
	int code = fl_admin_client_find_control(line, &control);

	if (code != 0) {
		return code;
	}
	fl_admin_client_warn(line->conf_path);
	if (fl_admin_client_post(&control, path, REQUEST_MS, &status, &body, &err) != FL_OK) {
		(void)fprintf(stderr, "fairlead-agent: %s\n", err.text);
		code = 1;
	} else if (status != 200) {
		(void)fputs("fairlead-agent: refused: ", stderr);
		print_line(&body, stderr);
		code = 1;
	} else {
		print_line(&body, stdout);
		code = fl_command_flush("the answer", 0);
	}
	fl_text_done(&body);
	return code;
}

static int drain(const struct fl_command_line *line)
{
	return change(line, "/drain");
}

static int set_log_level(const struct fl_command_line *line, const char *level)
{
	char *path = fl_format("/log-level?level=%s", level);
	int code = change(line, path);

	free(path);
	return code;
}

static int log_level(const struct fl_command_line *line)
{
	static const char *const levels[] = {"debug", "info", "warn", "error", "default"};

	if (line->word_count == 0) {
		return fl_command_complain(line->command,
					   "missing LEVEL: debug, info, warn, error or default");
	}
	for (size_t i = 0; i < FL_COUNT_OF(levels); i++) {
		if (strcmp(levels[i], line->words[0]) == 0) {
			return set_log_level(line, levels[i]);
		}
	}
	return fl_command_unknown(line->command, "level", line->words[0], levels,
				  FL_COUNT_OF(levels));
}

#define CONTROL_NOTES                                                                              \
	"  The request goes to `[sidecar] control`, a Unix socket that accepts root, the\n"        \
	"  sidecar's own user and the agent's. An INI with an error is read as far as it\n"        \
	"  can be, for the path of the socket. Without this program:\n"

static const char drain_page[] =
	"NAME\n"
	"  fairlead-agent drain - let the sidecar finish its open connections and end\n"
	"\n"
	"SYNOPSIS\n"
	"  fairlead-agent drain [-c FILE] [--control PATH]\n"
	"\n"
	"DESCRIPTION\n"
	"  Does what SIGTERM does: the sidecar is not ready any more, accepts nothing,\n"
	"  gives open connections at most the time of `[sidecar] drain`, and ends. A\n"
	"  second request changes nothing. Returns at once.\n"
	"\n" CONTROL_NOTES
	"    curl -X POST --unix-socket /run/fairlead/sidecar.sock http://localhost/drain\n"
	"\n"
	"OPTIONS\n" FL_PAGE_OPTION_CONTROL FL_PAGE_OPTIONS "\n"
	"EXIT STATUS\n"
	"  0  it drains\n"
	"  1  not reachable, or refused\n"
	"  2  it cannot be asked: the command line, the INI, or no control socket\n" FL_PAGE_EXIT_UNWRITTEN;

const struct fl_command fl_command_drain = {
	.name = "drain",
	.summary = "let the sidecar finish its open connections and end",
	.page = drain_page,
	.run = drain,
	.asks = FL_ASKS_CONTROL,
	.capabilities = FL_COMMAND_READS_ALL,
};

static const char log_level_page[] =
	"NAME\n"
	"  fairlead-agent log-level - set the log level of the running sidecar\n"
	"\n"
	"SYNOPSIS\n"
	"  fairlead-agent log-level debug|info|warn|error|default [-c FILE]\n"
	"                           [--control PATH]\n"
	"\n"
	"DESCRIPTION\n"
	"  Sets it in place of `[log] level`, until `default` restores that or the\n"
	"  sidecar ends. A new generation does not change it.\n"
	"\n" CONTROL_NOTES "    curl -X POST --unix-socket /run/fairlead/sidecar.sock \\\n"
	"      'http://localhost/log-level?level=debug'\n"
	"\n"
	"OPTIONS\n" FL_PAGE_OPTION_CONTROL FL_PAGE_OPTIONS "\n"
	"EXIT STATUS\n"
	"  0  done\n"
	"  1  not reachable, or refused\n"
	"  2  it cannot be asked: the command line, the INI, or no control socket\n" FL_PAGE_EXIT_UNWRITTEN;

const struct fl_command fl_command_log_level = {
	.name = "log-level",
	.summary = "set the log level of the running sidecar",
	.page = log_level_page,
	.run = log_level,
	.words_max = 1,
	.asks = FL_ASKS_CONTROL,
	.capabilities = FL_COMMAND_READS_ALL,
};
