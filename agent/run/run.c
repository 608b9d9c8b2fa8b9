/* SPDX-License-Identifier: GPL-3.0-or-later */
/* run - the agent's main loop.
 *
 * With an error in the INI nothing starts. From then on reload.c turns what is mounted into generations,
 * whenever it changes, and serve.c hands them out: the encoded frame is the only copy of the key in
 * this process.
 *
 * It fails only at the start (INI, socket): exit 2 with a sentence on stderr. */
#include "agent/run/run.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <uv.h>

#include "agent/run/reload.h"
#include "agent/run/serve.h"
#include "base/harden.h"
#include "base/log.h"
#include "tls/tls.h"

#define READ_CAP ((size_t)16 * 1024) /* HELLO and RESULT are small */

struct run {
	uv_loop_t loop;
	uv_prepare_t flush; /* lines leave before the loop sleeps */
	uv_signal_t signals[3];
	struct fl_net net;
	struct fl_log log;
	struct fl_serve *serve;
	struct fl_reload *reload;
	const char *conf_path;
	struct fl_conf *conf; /* until reload has it */
};

/* --- the loop --------------------------------------------------------------------------------- */

static void on_prepare(uv_prepare_t *prepare)
{
	fl_log_flush(&((struct run *)prepare->data)->log);
}

static void stop(struct run *run)
{
	if (run->serve != NULL) {
		fl_reload_close(run->reload);
		fl_serve_close(run->serve);
	}
	uv_close((uv_handle_t *)&run->flush, NULL);
	for (size_t i = 0; i < FL_COUNT_OF(run->signals); i++) {
		uv_close((uv_handle_t *)&run->signals[i], NULL);
	}
}

static void on_signal(uv_signal_t *signal, int number)
{
	struct run *run = signal->data;

	if (number == SIGHUP) {
		fl_log_msg(&run->log, FL_LOG_INFO, "SIGHUP: looking at INI and credentials");
		if (run->reload != NULL) {
			fl_reload_look(run->reload);
		}
		return;
	}
	fl_log_msg(&run->log, FL_LOG_INFO, "stopping on %s",
		   number == SIGINT ? "SIGINT" : "SIGTERM");
	stop(run);
}

static void start_handles(struct run *run)
{
	static const int numbers[] = {SIGTERM, SIGINT, SIGHUP};

	for (size_t i = 0; i < FL_COUNT_OF(numbers); i++) {
		FL_REQUIRE(uv_signal_init(&run->loop, &run->signals[i]) == 0);
		run->signals[i].data = run;
		FL_REQUIRE(uv_signal_start(&run->signals[i], on_signal, numbers[i]) == 0);
	}
	FL_REQUIRE(uv_prepare_init(&run->loop, &run->flush) == 0);
	run->flush.data = run;
	FL_REQUIRE(uv_prepare_start(&run->flush, on_prepare) == 0);
}

static int complain(const struct fl_err *err)
{
	(void)fprintf(stderr, "fairlead-agent: %s\n", err->text);
	return 2;
}

static int serve_until_signal(struct run *run)
{
	struct fl_err err;
	int rc;

	rc = uv_loop_init(&run->loop);
	if (rc != 0) {
		(void)fl_err_sys(&err, rc, "cannot make an event loop");
		return complain(&err);
	}
	fl_net_init(&run->net, &run->loop, READ_CAP);
	run->net.wipes = true; /* generations hold the key */
	/* Before the socket: who sees it may send a signal and expect a clean end. */
	start_handles(run);
	rc = fl_serve_open(&run->net, run->conf, &run->log, &run->serve, &err);
	if (rc == FL_OK) {
		run->reload = fl_reload_open(&run->loop, run->conf_path, run->conf, &run->log,
					     run->serve);
		run->conf = NULL;
	} else {
		stop(run);
	}
	(void)uv_run(&run->loop, UV_RUN_DEFAULT);
	FL_REQUIRE(uv_loop_close(&run->loop) == 0);
	fl_net_done(&run->net);
	return rc == FL_OK ? 0 : complain(&err);
}

int fl_run(const char *conf_path)
{
	struct fl_problems problems = {0};
	struct run *run = fl_new(sizeof(*run));
	struct fl_err err;
	int code = 2;
	int rc;

	fl_harden_signals();
	run->conf_path = conf_path;
	rc = fl_conf_load(conf_path, &run->conf, NULL, NULL, &problems);
	fl_problems_print(&problems, conf_path, stderr);
	fl_problems_done(&problems);
	if (rc == FL_OK) {
		fl_log_init(&run->log, STDERR_FILENO, run->conf->log.level, run->conf->log.format,
			    "fairlead-agent");
		if (fl_tls_global_init(&err) == FL_OK) {
			code = serve_until_signal(run);
			fl_tls_global_done();
		} else {
			code = complain(&err);
		}
		fl_log_flush(&run->log);
	}
	fl_conf_free(run->conf);
	free(run);
	return code;
}
