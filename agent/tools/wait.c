/* SPDX-License-Identifier: GPL-3.0-or-later */
/* wait - one short HTTP request after the other, with pauses that grow from 10 ms to half a
 * second.
 *
 * A request has the deadline of the whole, and 5 s at most, so that a sidecar that accepts and
 * then hangs is asked again. Whatever goes wrong becomes the reason that is printed when time is
 * up. */
#include "agent/tools/wait.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "agent/tools/admin_client.h"

#define REQUEST_MS 5000
#define LEAST_MS 250 /* or the last attempt would only ever say that it had no time */
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

/* The body's first line is why not; what answers there may be anybody. */
static int judge_answer(unsigned status, struct fl_text *body, struct fl_err *err)
{
	if (status == 200) {
		return FL_OK;
	}
	body->data[strcspn(body->data, "\r\n")] = '\0';
	for (char *c = body->data; *c != '\0'; c++) {
		if ((unsigned char)*c < ' ' || *c == 0x7f) {
			*c = '?';
		}
	}
	return fl_err_set(err, FL_ERR_PEER, "%s",
			  body->data[0] != '\0' ? body->data : "it gives no reason");
}

static int ask(const struct fl_ask_target *admin, int64_t left, struct fl_err *err)
{
	int64_t timeout = left < LEAST_MS ? LEAST_MS : left > REQUEST_MS ? REQUEST_MS : left;
	struct fl_text body = {0};
	unsigned status;
	int rc = fl_ask(admin, "/readyz", (unsigned)timeout, &status, &body, err);

	if (rc == FL_OK) {
		rc = judge_answer(status, &body, err);
	}
	fl_text_done(&body);
	return rc;
}

static int ask_until(const struct fl_ask_target *admin, unsigned timeout_ms)
{
	int64_t deadline = now_ms() + timeout_ms, pause = FIRST_PAUSE_MS;
	struct fl_err err;

	for (;;) {
		int64_t left;

		if (ask(admin, deadline - now_ms(), &err) == FL_OK) {
			(void)puts("ready");
			return 0;
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

int fl_wait(const char *conf_path, unsigned timeout_ms)
{
	struct fl_ask_target admin;
	int code = fl_ask_where(conf_path, false, &admin);

	return code == 0 ? ask_until(&admin, timeout_ms) : code;
}
