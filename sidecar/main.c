/* SPDX-License-Identifier: GPL-3.0-or-later */
/* fairlead-sidecar: wiring only. Command line, INI, log, server, admin endpoint and control socket.
 * Exit: 0 stopped by a signal; 1 could not run (a port in use); 2 wrong command line or INI; 3 help could not be written. */
#include <getopt.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "admin/admin.h"
#include "base/background.h"
#include "base/harden.h"
#include "base/man.h"
#include "base/mem.h"
#include "base/sandbox.h"
#include "net/bind.h"
#include "net/inherited.h"
#include "server/hand_over.h"
#include "server/restrict_files.h"
#include "server/server.h"
#include "tls/tls.h"

static const char help[] =
	"NAME\n"
	"  fairlead-sidecar - mutual TLS with SPIFFE identities for an app's TCP\n"
	"  connections\n"
	"\n"
	"SYNOPSIS\n"
	"  fairlead-sidecar [-c FILE] [--take-over [--background]]\n"
	"\n"
	"DESCRIPTION\n"
	"  The data plane of Fairlead: gives every TCP connection between services mutual\n"
	"  TLS 1.3 with SPIFFE identities. It takes certificates and policy from\n"
	"  fairlead-agent over the Unix socket [agent] socket and opens no key or\n"
	"  certificate file itself.\n"
	"\n"
	"  It is ready when [sidecar] admin answers /readyz with 200, or when\n"
	"  fairlead-agent wait ends. Where the INI has no fixed listeners, connections\n"
	"  have to be captured: fairlead-agent redirect apply.\n"
	"\n"
	"OPTIONS\n"
	"  -c, --config FILE   the INI; default " FL_CONF_DEFAULT_PATH "\n"
	"      --take-over     replace the running sidecar that has the same `control`:\n"
	"                      this one gets its listening sockets, and the other one\n"
	"                      drains once this one serves; no connection is refused\n"
	"      --background    with --take-over: end when the new one serves, and leave\n"
	"                      it in the background. If it fails, this one fails\n"
	"  -h, --help          this page\n"
	"      --man           this page as a man page\n"
	"  -V, --version       the version\n"
	"\n"
	"SIGNALS\n"
	"  SIGTERM, SIGINT     no longer ready, stops accepting, lets open connections\n"
	"                      finish for [sidecar] drain; a second one ends at once\n"
	"  SIGHUP, SIGUSR1, SIGUSR2\n"
	"                      ignored: there is nothing to reopen\n"
	"\n"
	"EXIT STATUS\n"
	"  0  ended by a signal\n"
	"  1  it could not run: a port is in use, a socket's directory is not safe\n"
	"  2  wrong command line or INI\n"
	"  3  --help or --version could not be written: a full disk, a closed pipe\n"
	"\n"
	"SEE ALSO\n"
	"  fairlead-agent(1), fairlead.ini(5)\n";

enum { EXIT_CANNOT_RUN = 1, EXIT_USAGE = 2, EXIT_UNWRITTEN = 3 };

/* What --help and --version print. */
static int print(const char *text)
{
	return fputs(text, stdout) >= 0 && fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_UNWRITTEN;
}

static int print_man(void)
{
	struct fl_text man = {0};
	int code;

	fl_man_put(&man, "fairlead-sidecar", 8, help);
	code = print(man.data);
	fl_text_done(&man);
	return code;
}

struct args {
	const char *path;
	bool take_over, background;
};

static int point_to_help(void)
{
	(void)fputs("Try `fairlead-sidecar --help`.\n", stderr);
	return EXIT_USAGE;
}

/* -1: go on; else the exit status. */
static int parse_args(int argc, char **argv, struct args *ret)
{
	static const struct option options[] = {{"config", required_argument, NULL, 'c'},
						{"take-over", no_argument, NULL, 't'},
						{"background", no_argument, NULL, 'b'},
						{"help", no_argument, NULL, 'h'},
						{"man", no_argument, NULL, 'm'},
						{"version", no_argument, NULL, 'V'},
						{NULL, 0, NULL, 0}};
	int option;

	/* NOLINTNEXTLINE(concurrency-mt-unsafe): there is one thread yet */
	while ((option = getopt_long(argc, argv, "c:hV", options, NULL)) != -1) {
		switch (option) {
		case 'c':
			ret->path = optarg;
			break;
		case 't':
			ret->take_over = true;
			break;
		case 'b':
			ret->background = true;
			break;
		case 'h':
			return print(help);
		case 'm':
			return print_man();
		case 'V':
			return print("fairlead-sidecar " FL_VERSION "\n");
		default:
			return point_to_help();
		}
	}
	if (optind < argc) {
		(void)fprintf(stderr, "fairlead-sidecar: unexpected argument `%s`\n", argv[optind]);
		return point_to_help();
	}
	if (ret->background && !ret->take_over) {
		(void)fputs("fairlead-sidecar: --background goes with --take-over only\n", stderr);
		return point_to_help();
	}
	return -1;
}

static bool ready(void *user, char *reason, size_t size)
{
	return fl_server_ready(user, reason, size);
}

static void render(struct fl_server *server, struct fl_text *ret,
		   void (*report)(const struct fl_snapshot *snapshot, struct fl_text *ret))
{
	struct fl_snapshot snapshot;

	if (!fl_server_snapshot(server, &snapshot)) {
		ret->has_failed = true;
		return;
	}
	report(&snapshot, ret);
	fl_snapshot_done(&snapshot);
}

static void metrics(void *user, struct fl_text *ret)
{
	render(user, ret, fl_report_metrics);
}

static void openmetrics(void *user, struct fl_text *ret)
{
	render(user, ret, fl_report_openmetrics);
}

static void status(void *user, struct fl_text *ret)
{
	render(user, ret, fl_report_status);
}

static bool page(void *user, struct fl_text *ret)
{
	return fl_server_page(user, ret);
}

static bool connections(void *user, struct fl_text *ret)
{
	return fl_server_connections(user, ret);
}

static bool callers(void *user, struct fl_text *ret)
{
	return fl_server_callers(user, ret);
}

static bool everywhere(void *user)
{
	return fl_server_conf(user)->sidecar.admin_everywhere;
}

/* What is asked and changed from outside. */
struct outside {
	const struct fl_conf *
		conf; /* the INI at the start: it says where we listen, whatever a generation says */
	struct fl_server *server;
	struct fl_log *log;
	struct fl_admin *admin, *control; /* NULL: not there */
	struct fl_hand_over *hand_over;   /* likewise */
	struct fl_inherited *inherited;   /* from the sidecar that this one replaces; NULL: none */
	struct fl_background *background; /* who waits until this one has done so */
};

/* The agent runs as `[agent] uid` or as our own user (worker/agent_dial.h), and may ask before it has connected: what it waits
 * for, and with which log level. */
static bool may_ask(void *user, uid_t uid)
{
	const struct outside *outside = user;

	return uid == 0 || uid == geteuid() || uid == outside->conf->agent.uid;
}

static unsigned drain(void *user, uid_t uid, struct fl_text *ret)
{
	const struct outside *outside = user;
	unsigned open = fl_server_open_connections(outside->server);

	fl_log_msg(outside->log, FL_LOG_INFO, "control: uid %lu asks to drain", (unsigned long)uid);
	if (fl_server_drain(outside->server)) {
		fl_text_print(ret, "draining: %u connections may finish\n", open);
	} else {
		fl_text_print(ret, "stopping already: %u connections are open\n", open);
	}
	return 200;
}

static unsigned set_log_level(void *user, uid_t uid, const char *word, struct fl_text *ret)
{
	static const char *const words[] = {[FL_LOG_DEBUG] = "debug",
					    [FL_LOG_INFO] = "info",
					    [FL_LOG_WARN] = "warn",
					    [FL_LOG_ERROR] = "error"};
	const struct outside *outside = user;
	enum fl_log_level level = FL_LOG_DEBUG;

	while (level <= FL_LOG_ERROR && strcmp(words[level], word) != 0) {
		level++;
	}
	if (level > FL_LOG_ERROR && strcmp(word, "default") != 0) {
		fl_text_print(
			ret,
			"unknown level: write debug, info, warn, error, or default for the level "
			"of the INI\n");
		return 400;
	}
	fl_log_msg(outside->log, FL_LOG_INFO, "control: uid %lu sets the log level to %s",
		   (unsigned long)uid,
		   level <= FL_LOG_ERROR ? words[level] : "the level of the INI");
	if (!fl_server_set_log_level(outside->server, level <= FL_LOG_ERROR ? &level : NULL)) {
		fl_text_print(ret,
			      "out of memory: not all threads have the new level; try again\n");
		return 503;
	}
	fl_text_print(ret, "log level: %s\n",
		      level <= FL_LOG_ERROR ? words[level] : "as the INI says");
	return 200;
}

static bool preview(void *user, struct fl_span body, const void *asker, unsigned *ret_status,
		    struct fl_text *ret)
{
	const struct outside *outside = user;

	return fl_server_preview(outside->server, body, asker, ret_status, ret);
}

static void on_listed(void *user)
{
	const struct outside *outside = user;

	fl_admin_go_on(outside->admin);
	fl_admin_go_on(outside->control);
}

static void leave_paths(struct outside *outside)
{
	fl_admin_hand_over(outside->admin);
	fl_admin_hand_over(outside->control);
	fl_hand_over_close(outside->hand_over, true);
	outside->hand_over = NULL;
	fl_server_leave_paths(outside->server);
}

static void close_outside(void *user)
{
	struct outside *outside = user;

	if (fl_hand_over_has_successor(outside->hand_over)) {
		leave_paths(outside); /* that one is not ready yet, but will not make them again */
	}
	fl_admin_close(outside->admin);
	fl_admin_close(outside->control);
	fl_hand_over_close(outside->hand_over, false);
	outside->admin = outside->control = NULL;
	outside->hand_over = NULL;
}

/* All that listens. */
static size_t give_sockets(void *user, int *fds, size_t max)
{
	const struct outside *outside = user;
	size_t count = max > 3 ? fl_server_listening(outside->server, fds, max - 3) : 0;

	if (count == 0) {
		return 0;
	}
	if (outside->admin != NULL) {
		fds[count++] = fl_admin_fd(outside->admin);
	}
	if (outside->control != NULL) {
		fds[count++] = fl_admin_fd(outside->control);
	}
	fds[count++] = fl_hand_over_fd(outside->hand_over);
	return count;
}

static void on_replaced(void *user)
{
	struct outside *outside = user;

	leave_paths(outside);
	fl_server_replaced(outside->server);
}

/* What the sidecar that we replace still listens on is opened late, when we serve; anything else at once: in the sandbox no
 * socket can be made. */
static bool is_due(const struct outside *outside, const struct fl_addr *addr, bool is_late)
{
	return fl_inherited_has(outside->inherited, addr) == is_late;
}

static bool is_path_due(const struct outside *outside, const char *path, bool is_late)
{
	char *text = fl_format("unix:%s", path);
	struct fl_addr addr;
	bool is_known = fl_addr_parse(text, FL_ADDR_ALLOW_UNIX, &addr, NULL) == 0;

	free(text);
	return is_known ? is_due(outside, &addr, is_late) : !is_late;
}

/* Without it the sidecar runs, and can be restarted like any other program. */
static void open_hand_over(struct outside *outside, const char *path)
{
	static const struct fl_hand_over_events events = {give_sockets, on_replaced};
	char *text = fl_format("unix:%s", path);
	struct fl_addr addr;
	struct fl_err err;
	int fd = -1;
	int rc = fl_addr_parse(text, FL_ADDR_ALLOW_UNIX, &addr, &err);

	if (rc == 0) {
		fd = fl_inherited_take(outside->inherited, &addr);
	}
	if (rc == 0 && fd < 0) {
		rc = fl_net_bind(&addr, false, 0600, &fd, &err);
	}
	if (rc == 0) {
		rc = fl_hand_over_open(fl_server_net(outside->server), fd, path, outside->log,
				       &events, outside, &outside->hand_over, &err);
	}
	if (rc != 0) {
		fl_log_msg(outside->log, FL_LOG_WARN,
			   "no other sidecar can take over from this one: %s", err.text);
	}
	free(text);
}

/* Traffic does not wait for the tools: another sidecar may have the path, its directory may not be there. */
static void open_control(struct outside *outside, const char *path,
			 const struct fl_admin_source *source)
{
	struct fl_admin_control control = {.may_ask = may_ask,
					   .drain = drain,
					   .log_level = set_log_level,
					   .preview = preview,
					   .user = outside};
	struct fl_err err;

	if (fl_admin_open_control(fl_server_net(outside->server), path, source, &control,
				  &outside->control, &err) != 0) {
		fl_log_msg(outside->log, FL_LOG_WARN, "[sidecar] control: %s; going on without it",
			   err.text);
	}
}

static void open_paths(struct outside *outside, const char *control,
		       const struct fl_admin_source *source, bool is_late)
{
	char *next = fl_hand_over_path(control);

	if (is_path_due(outside, control, is_late)) {
		open_control(outside, control, source);
	}
	if (is_path_due(outside, next, is_late)) {
		open_hand_over(outside, next);
	}
	free(next);
}

static int open_outside(struct outside *outside, bool is_late, struct fl_err *err)
{
	const struct fl_conf *conf = outside->conf;
	struct fl_admin_source source = {.ready = ready,
					 .metrics = metrics,
					 .openmetrics = openmetrics,
					 .status = status,
					 .page = page,
					 .page_policy = fl_report_page_policy(),
					 .connections = connections,
					 .callers = callers,
					 .everywhere = everywhere,
					 .user = outside->server,
					 .connections_max =
						 fl_server_admin_callers_max(outside->server),
					 .inherited = outside->inherited};
	int rc = 0;

	if (conf->sidecar.admin.kind != FL_ADDR_NONE &&
	    is_due(outside, &conf->sidecar.admin, is_late)) {
		rc = fl_admin_open(fl_server_net(outside->server), &conf->sidecar.admin, &source,
				   &outside->admin, err);
	}
	if (rc != 0) {
		return fl_err_prefix(err, "[sidecar] admin");
	}
	if (conf->sidecar.control != NULL) {
		open_paths(outside, conf->sidecar.control, &source, is_late);
	}
	return 0;
}

/* We serve, so the sidecar before us may end. Until then it answers probes and tools. */
static void succeed(void *user)
{
	struct outside *outside = user;
	struct fl_err err;

	if (fl_inherited_confirm(outside->inherited, &err) != 0) {
		fl_log_msg(outside->log, FL_LOG_WARN, "%s", err.text);
	}
	if (open_outside(outside, true, &err) != 0) {
		fl_log_msg(outside->log, FL_LOG_ERROR, "%s; going on without it", err.text);
	}
	fl_inherited_done(outside->inherited);
	outside->inherited = NULL;
	fl_background_release(outside->background);
}

static int prepare_outside(struct outside *outside, struct fl_err *err)
{
	fl_server_on_stop(outside->server, close_outside, outside);
	fl_server_on_listed(outside->server, on_listed, outside);
	if (outside->inherited != NULL) {
		fl_server_on_ready(outside->server, succeed, outside);
	}
	return open_outside(outside, false, err);
}

/* *ret: NULL unless wanted. */
static int inherit(const struct fl_conf *conf, bool take_over, struct fl_inherited *room,
		   struct fl_inherited **ret, struct fl_err *err)
{
	char *path;
	int rc;

	if (!take_over) {
		return 0;
	}
	if (conf->sidecar.control == NULL) {
		return fl_err_set(err, FL_ERR_INVALID,
				  "--take-over needs `[sidecar] control`, by which the running "
				  "sidecar is found");
	}
	path = fl_hand_over_path(conf->sidecar.control);
	rc = fl_inherited_receive(path, room, err);
	*ret = rc == 0 ? room : NULL;
	free(path);
	return rc;
}

/* What root was good for, a low port or a folder of somebody else's, is done. */
static int give_up_capabilities(const struct fl_conf *conf, struct fl_err *err)
{
	bool tproxy = conf->redirect.mode == FL_REDIRECT_TPROXY && conf->sidecar.inbound_count > 0;

	return fl_harden_capabilities(tproxy ? FL_CAPABILITY(CAP_NET_ADMIN) : 0, false, err);
}

/* With the workers' threads, so that no more can be made. */
static void restrict_calls(struct fl_sandbox *sandbox, struct fl_log *log)
{
	if (sandbox->is_wanted) {
		fl_sandbox_enter_calls(sandbox, FL_SANDBOX_SIDECAR, log);
	}
	fl_sandbox_log(sandbox, log);
}

static int run(const struct fl_conf *conf, struct fl_log *log, bool take_over,
	       struct fl_background *background)
{
	struct fl_server *server = NULL;
	struct outside outside = {.conf = conf, .log = log, .background = background};
	struct fl_inherited inherited;
	struct fl_sandbox sandbox = {.is_wanted = conf->sidecar.sandbox == FL_SANDBOX_ON};
	struct fl_err err;
	int rc;

	if (sandbox.is_wanted) {
		fl_harden_against_rings();
	}
	rc = fl_tls_global_init(&err);
	if (rc == 0 && fl_tls_warning() != NULL) {
		fl_log_msg(log, FL_LOG_WARN, "%s", fl_tls_warning());
	}
	if (rc == 0) {
		rc = inherit(conf, take_over, &inherited, &outside.inherited, &err);
	}
	if (rc == 0) {
		rc = fl_server_new(conf, log, outside.inherited, &server, &err);
	}
	if (rc == 0) {
		outside.server = server;
		rc = prepare_outside(&outside, &err);
	}
	if (rc == 0) {
		rc = give_up_capabilities(conf, &err);
	}
	if (rc == 0 && sandbox.is_wanted) {
		fl_server_restrict_files(conf, &sandbox);
	}
	if (rc == 0) {
		rc = fl_server_start(server, &err);
	}
	if (rc == 0) {
		restrict_calls(&sandbox, log);
		fl_server_run(server, &sandbox);
	} else {
		fl_log_msg(log, FL_LOG_ERROR, "cannot run: %s", err.text);
	}
	fl_server_free(server);
	if (outside.inherited != NULL) {
		fl_inherited_done(outside.inherited);
	}
	fl_tls_global_done();
	return rc == 0 ? EXIT_SUCCESS : EXIT_CANNOT_RUN;
}

/* As run(), but returns when the other process serves or has failed. */
static int run_in_background(const struct fl_conf *conf, struct fl_log *log)
{
	struct fl_background background;
	struct fl_err err;
	int status;

	if (fl_background_divide(&background, &status, &err) != FL_OK) {
		fl_log_msg(log, FL_LOG_ERROR, "cannot run: %s", err.text);
		return EXIT_CANNOT_RUN;
	}
	return status >= 0 ? status : run(conf, log, true, &background);
}

int main(int argc, char **argv)
{
	struct args args = {.path = FL_CONF_DEFAULT_PATH};
	struct fl_background none = {.fd = -1};
	struct fl_conf *conf;
	struct fl_log log;
	int rc;

	if (!fl_harden_descriptors()) {
		return EXIT_CANNOT_RUN;
	}
	fl_harden_process();
	fl_harden_signals();
	rc = parse_args(argc, argv, &args);
	if (rc >= 0) {
		return rc;
	}
	rc = fl_conf_start(args.path, fl_log_open_stderr(), "fairlead-sidecar", &conf, &log);
	if (rc != 0) {
		return EXIT_USAGE;
	}
	rc = args.background ? run_in_background(conf, &log)
			     : run(conf, &log, args.take_over, &none);
	fl_conf_free(conf);
	return rc;
}
