/* SPDX-License-Identifier: GPL-3.0-or-later */
/* run - the command that keeps running: the agent's main loop.
 *
 * If the INI has an error, nothing starts. After the start, reload.c makes generations of the mounted files, whenever it
 * changes, and serve.c hands them out. The only copy of the key in this process is in keyring.c, or, with `[tls] key = sidecar`,
 * in the encoded frame.
 *
 * It fails only at the start (INI, socket): exit code 2, with a sentence in the log. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <uv.h>

#include "agent/common/command.h"
#include "agent/run/reload.h"
#include "agent/run/restrict.h"
#include "agent/run/serve.h"
#include "agent/run/supervisor.h"
#include "base/harden.h"
#include "base/log.h"
#include "base/notify.h"
#include "tls/tls.h"

#define READ_CAP ((size_t)4 * 1024) /* tens of requests for signatures; all else is smaller */

struct run {
	uv_loop_t loop;
	uv_signal_t signals[3];
	struct fl_net net;
	struct fl_log log;
	struct fl_serve *serve;
	struct fl_reload *reload;
	const char *conf_path;
	struct fl_conf *conf; /* until reload has it */
};

/* --- the loop --------------------------------------------------------------------------------- */

/* Writes log lines before the loop sleeps. */
static void on_turn_over(void *user)
{
	fl_log_flush(&((struct run *)user)->log);
}

static void stop(struct run *run)
{
	if (run->serve != NULL) {
		fl_reload_close(run->reload);
		fl_serve_close(run->serve);
	}
	for (size_t i = 0; i < FL_COUNT_OF(run->signals); i++) {
		uv_close((uv_handle_t *)&run->signals[i], NULL);
	}
}

static void on_signal(uv_signal_t *signal, int number)
{
	struct run *run = signal->data;

	if (number == SIGHUP) {
		fl_log_msg(&run->log, FL_LOG_INFO, "SIGHUP: reading INI and credentials");
		if (run->reload != NULL) {
			fl_reload_now(run->reload);
		}
		return;
	}
	fl_log_msg(&run->log, FL_LOG_INFO, "stopping on %s",
		   number == SIGINT ? "SIGINT" : "SIGTERM");
	(void)fl_notify(FL_NOTIFY_STOPPING, NULL);
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
}

static int complain(struct run *run, const struct fl_err *err)
{
	fl_log_msg(&run->log, FL_LOG_ERROR, "cannot run: %s", err->text);
	return 2;
}

static int serve_until_signal(struct run *run)
{
	struct fl_err err;
	int rc;

	rc = uv_loop_init(&run->loop);
	if (rc != 0) {
		(void)fl_err_sys(&err, rc, "cannot make an event loop");
		return complain(run, &err);
	}
	fl_net_init(&run->net, &run->loop, READ_CAP);
	run->net.wipes = true; /* generations hold the key */
	rc = fl_net_lead(&run->net);
	if (rc != 0) {
		(void)fl_err_sys(&err, rc, "cannot make an event loop");
		return complain(run, &err);
	}
	/* Handle signals before the socket exists: a process that sees the socket may send a signal and expect a clean
	 * end. */
	start_handles(run);
	rc = fl_serve_open(&run->net, run->conf, &run->log, &run->serve, &err);
	if (rc == FL_OK) {
		fl_restrict_agent(run->conf_path, run->conf, &run->log);
		run->reload = fl_reload_open(&run->loop, run->conf_path, run->conf, &run->log,
					     run->serve);
		run->conf = NULL;
	} else {
		stop(run);
	}
	FL_REQUIRE(fl_net_run(&run->net, on_turn_over, run) == 0);
	FL_REQUIRE(uv_loop_close(&run->loop) == 0);
	fl_net_done(&run->net);
	return rc == FL_OK ? 0 : complain(run, &err);
}

static int run_daemon(const char *conf_path)
{
	struct run *run = fl_new(sizeof(*run));
	struct fl_err err;
	int code = 2;
	int rc;

	fl_harden_signals();
	run->conf_path = conf_path;
	rc = fl_conf_start(conf_path, STDERR_FILENO, "fairlead-agent", &run->conf, &run->log);
	if (rc == FL_OK) {
		if (run->conf->agent.sandbox == FL_SANDBOX_ON) {
			fl_harden_against_rings();
		}
		if (fl_tls_global_init(&err) == FL_OK) {
			code = serve_until_signal(run);
			fl_tls_global_done();
		} else {
			code = complain(run, &err);
		}
		fl_log_flush(&run->log);
	}
	fl_conf_free(run->conf);
	free(run);
	return code;
}

static int run(const struct fl_command_line *line)
{
	int code = fl_supervise();

	return code >= 0 ? code : run_daemon(line->conf_path);
}

static const char page[] =
	"NAME\n"
	"  fairlead-agent run - validate the mounted credentials and hand them to the\n"
	"  sidecar\n"
	"\n"
	"SYNOPSIS\n"
	"  fairlead-agent run [-c FILE]\n"
	"\n"
	"DESCRIPTION\n"
	"  Reads the certificate, key and trust bundles that the INI names, validates\n"
	"  them down to a trial handshake with themselves, and pushes them together with\n"
	"  the INI to the sidecar as one numbered generation, over `[agent] socket`. The\n"
	"  sidecar itself opens no key and no certificate.\n"
	"\n"
	"  The private key stays here (`[tls] key = agent`): the sidecar asks for the one\n"
	"  signature that a full handshake needs, and gets it for handshakes of TLS 1.3\n"
	"  only. A key that was replaced is wiped when no sidecar uses it any more and\n"
	"  connections that were being made with it have had their time: by `[limits]`,\n"
	"  twice `connect_timeout` + `handshake_timeout`.\n"
	"\n"
	"  While files are missing or not usable, the reason is logged once and they are\n"
	"  read again every second: a Kubernetes Secret may come later. An error in the\n"
	"  INI is fatal at the start, also beside a sidecar that runs: its full\n"
	"  handshakes fail until the INI is repaired and the agent is back.\n"
	"\n"
	"  Afterwards it watches what is mounted: a change becomes the next generation,\n"
	"  or is refused as a whole, with the reason; the generation in force then stays.\n"
	"\n"
	"  Both processes may be restarted at any time. A sidecar that has the same\n"
	"  content already gets nothing; another one gets it with the next number.\n"
	"\n"
	"  The socket accepts processes of the agent's own uid and of `[agent]\n"
	"  sidecar_uid`. The sidecar accepts generations only from `[agent] uid` and its\n"
	"  own uid. The socket's directory must belong to root or to one of these uids,\n"
	"  and only its owner may write there. Below a sticky directory, such as a volume\n"
	"  of a pod, the agent creates it. Started as root, the agent gives up every\n"
	"  capability: it reads only what uid 0 may read without them.\n"
	"\n"
	"OPTIONS\n" FL_PAGE_OPTIONS "\n"
	"SIGNALS\n"
	"  SIGTERM, SIGINT  end it; the sidecar continues with what it has\n"
	"  SIGHUP           re-read INI and credentials now\n"
	"  Other signals, such as SIGUSR1, are ignored.\n"
	"\n"
	"EXIT STATUS\n"
	"  0  after SIGTERM or SIGINT\n"
	"  2  it could not start: the INI, the socket or its directory\n"
	"\n"
	"FILES\n"
	"  " FL_CONF_DEFAULT_PATH "\n"
	"  what [identity] and [federate ...] name in it\n"
	"\n"
	"SEE ALSO\n"
	"  fairlead-agent check, which shows beforehand what run would do\n";

const struct fl_command fl_command_run = {
	.name = "run",
	.summary = "validate the mounted credentials and hand them to the sidecar",
	.page = page,
	.run = run,
};
