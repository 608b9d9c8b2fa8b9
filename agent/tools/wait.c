/* SPDX-License-Identifier: GPL-3.0-or-later */
/* wait - sends one short HTTP request after another, with pauses that grow from 10 ms to half a second.
 *
 * A request ends at the deadline of the command, or after 5 s, so that a sidecar that accepts and then hangs is asked
 * again. The last error is the reason that is printed when time is up. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/common/command.h"
#include "agent/tools/admin_client.h"
#include "conf/values.h"

#define DEFAULT_TIMEOUT_MS 30000
#define MAX_TIMEOUT_MS (24U * 3600 * 1000)
#define REQUEST_MS 5000
#define LEAST_MS 250 /* a shorter last attempt would only report a timeout */
#define FIRST_PAUSE_MS 10
#define LAST_PAUSE_MS 500

static int64_t now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void pause_ms(int64_t ms)
{
	struct timespec ts = {ms / 1000, (ms % 1000) * 1000000};

	(void)nanosleep(&ts, NULL);
}

static int judge_answer(unsigned status, const struct fl_text *body, struct fl_err *err)
{
	char *said = fl_admin_client_line(body);
	int rc = FL_OK;

	if (status == 200 && strcmp(said, "ready") != 0) {
		rc = fl_err_set(
			err, FL_ERR_PEER,
			"what answers there is not the admin endpoint of a Fairlead sidecar");
	} else if (status != 200) {
		rc = fl_err_set(err, FL_ERR_PEER, "%s",
				said[0] != '\0' ? said : "it gives no reason");
	}
	free(said);
	return rc;
}

static int ask(const struct fl_admin_client *admin, int64_t left, struct fl_err *err)
{
	int64_t timeout = left < LEAST_MS ? LEAST_MS : left > REQUEST_MS ? REQUEST_MS : left;
	struct fl_text body = {0};
	unsigned status;
	int rc = fl_admin_client_get(admin, "/readyz", (unsigned)timeout, &status, &body, err);

	if (rc == FL_OK) {
		rc = judge_answer(status, &body, err);
	}
	fl_text_done(&body);
	return rc;
}

static int ask_until(const struct fl_admin_client *admin, unsigned timeout_ms)
{
	int64_t deadline = now_ms() + timeout_ms, pause = FIRST_PAUSE_MS;
	struct fl_err err;

	for (;;) {
		int64_t left;

		if (ask(admin, deadline - now_ms(), &err) == FL_OK) {
			(void)puts("ready");
			return fl_command_flush("the answer", 0);
		}
		left = deadline - now_ms();
		if (left <= 0) {
			break;
		}
		pause_ms(pause < left ? pause : left);
		pause = pause * 2 < LAST_PAUSE_MS ? pause * 2 : LAST_PAUSE_MS;
	}
	(void)fprintf(stderr, "fairlead-agent: not ready after %g s: %s\n", timeout_ms / 1000.0,
		      err.text);
	return 1;
}

static int wait_until_ready(const struct fl_command_line *line)
{
	const char *timeout = line->options[0];
	uint32_t timeout_ms = DEFAULT_TIMEOUT_MS;
	struct fl_admin_client admin;
	struct fl_err err;
	int code;

	if (timeout != NULL &&
	    fl_value_duration(timeout, 0, MAX_TIMEOUT_MS, &timeout_ms, &err) != FL_OK) {
		return fl_command_complain(line->command, "--timeout: %s", err.text);
	}
	code = fl_admin_client_find(line, false, &admin);
	if (code != 0) {
		return code;
	}
	fl_admin_client_warn(line->conf_path);
	return ask_until(&admin, timeout_ms);
}

static const char page[] =
	"NAME\n"
	"  fairlead-agent wait - wait until the sidecar is ready\n"
	"\n"
	"SYNOPSIS\n"
	"  fairlead-agent wait [-c FILE] [--timeout DURATION]\n"
	"                      [--control PATH | --admin ADDRESS]\n"
	"\n"
	"DESCRIPTION\n"
	"  Asks /readyz of `[sidecar] admin` until the sidecar can carry traffic: it has\n"
	"  a usable generation, its certificate is valid, the rules of capture are in\n"
	"  force where the INI has [redirect], DNS has been asked once, and the sidecar\n"
	"  is not about to stop. It also waits for a sidecar that is not running yet.\n"
	"  When time is up, it prints the last reason.\n"
	"\n"
	"  An admin endpoint on all addresses (*:15020) is asked on loopback. Without an\n"
	"  admin endpoint `[sidecar] control` is asked. An INI with an error is read as\n"
	"  far as it can be, for these addresses.\n"
	"\n"
	"OPTIONS\n"
	"      --timeout DURATION  give up after this time: 250ms, 30s, 5m, 1h;\n"
	"                      default 30s; 0 asks once\n" FL_PAGE_OPTION_CONTROL
		FL_PAGE_OPTION_ADMIN FL_PAGE_OPTIONS "\n"
	"EXIT STATUS\n"
	"  0  ready\n"
	"  1  not ready in time\n"
	"  2  it cannot be asked: the command line, the INI, or neither an admin endpoint\n"
	"     nor a control socket\n" FL_PAGE_EXIT_UNWRITTEN "\n"
	"EXAMPLES\n"
	"  fairlead-agent wait --timeout 5s && exec ./app\n";

const struct fl_command fl_command_wait = {
	.name = "wait",
	.summary = "wait until the sidecar is ready",
	.page = page,
	.run = wait_until_ready,
	.options = {{.name = "timeout", .has_value = true}},
	.asks = FL_ASKS_ADMIN,
	.capabilities = FL_COMMAND_READS_ALL,
};
