/* SPDX-License-Identifier: GPL-3.0-or-later */
/* control - one request, and its answer in the sidecar's own words. */
#include "agent/tools/control.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/tools/admin_client.h"
#include "base/mem.h"

#define REQUEST_MS 5000

/* What answers there may be anybody. */
static void print_line(struct fl_text *body, FILE *out)
{
	struct fl_text line = {0};

	fl_text_print(body, "%s", ""); /* at least a NUL */
	body->data[strcspn(body->data, "\n")] = '\0';
	fl_text_put_clean(&line, body->data);
	fl_text_put(&line, "\n", 1);
	(void)fwrite(line.data, 1, line.len, out);
	fl_text_done(&line);
}

static int change(const char *conf_path, const char *path)
{
	struct fl_text body = {0};
	struct fl_ask_target control;
	struct fl_err err;
	unsigned status = 0;
	int code = fl_ask_where_control(conf_path, &control);

	if (code != 0) {
		return code;
	}
	if (fl_ask_change(&control, path, REQUEST_MS, &status, &body, &err) != FL_OK) {
		(void)fprintf(stderr, "fairlead-agent: %s\n", err.text);
		code = 1;
	} else if (status != 200) {
		(void)fputs("fairlead-agent: refused: ", stderr);
		print_line(&body, stderr);
		code = 1;
	} else {
		print_line(&body, stdout);
	}
	fl_text_done(&body);
	return code;
}

int fl_control_drain(const char *conf_path)
{
	return change(conf_path, "/drain");
}

int fl_control_log_level(const char *conf_path, const char *level)
{
	char *path = fl_format("/log-level?level=%s", level);
	int code = change(conf_path, path);

	free(path);
	return code;
}
