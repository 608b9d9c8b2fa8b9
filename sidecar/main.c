/* SPDX-License-Identifier: GPL-3.0-or-later */
/* fairlead-sidecar: wiring only. Command line, INI, log, server, admin endpoint.
 * Exit: 0 stopped by a signal; 1 could not run (a port in use); 2 wrong command line or INI. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "admin/admin.h"
#include "base/harden.h"
#include "proxy/server.h"
#include "tls/tls.h"

static const char help[] =
	"Usage: fairlead-sidecar [-c FILE]\n"
	"\n"
	"The data plane of Fairlead: gives every TCP connection between services mutual TLS 1.3 with\n"
	"SPIFFE identities. It takes keys, certificates and policy from fairlead-agent over the Unix socket\n"
	"[agent] socket and opens no key or certificate file itself.\n"
	"\n"
	"Options:\n"
	"  -c, --config FILE  the INI (default " FL_CONF_DEFAULT_PATH ")\n"
	"  -h, --help         this text\n"
	"  -V, --version      the version\n"
	"\n"
	"Signals:\n"
	"  SIGTERM, SIGINT    not ready, stop accepting, let open connections finish for [sidecar] drain;\n"
	"                     a second one ends at once\n"
	"\n"
	"Exit status: 0 ended by a signal; 1 could not run; 2 wrong command line or INI.\n"
	"See also: fairlead-agent run, fairlead-agent check, fairlead-agent wait, fairlead-agent status.\n";

enum { EXIT_CANNOT_RUN = 1, EXIT_USAGE = 2 };

/* -1: go on; else the exit status. */
static int parse_args(int argc, char **argv, const char **ret_path)
{
	static const struct option options[] = {{"config", required_argument, NULL, 'c'},
						{"help", no_argument, NULL, 'h'},
						{"version", no_argument, NULL, 'V'},
						{NULL, 0, NULL, 0}};
	int option;

	/* NOLINTNEXTLINE(concurrency-mt-unsafe): there is one thread yet */
	while ((option = getopt_long(argc, argv, "c:hV", options, NULL)) != -1) {
		switch (option) {
		case 'c':
			*ret_path = optarg;
			break;
		case 'h':
			(void)fputs(help, stdout);
			return EXIT_SUCCESS;
		case 'V':
			(void)puts("fairlead-sidecar " FL_VERSION);
			return EXIT_SUCCESS;
		default:
			(void)fputs("Try `fairlead-sidecar --help`.\n", stderr);
			return EXIT_USAGE;
		}
	}
	if (optind < argc) {
		(void)fprintf(
			stderr,
			"fairlead-sidecar: unexpected argument `%s`\nTry `fairlead-sidecar --help`.\n",
			argv[optind]);
		return EXIT_USAGE;
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

	fl_server_snapshot(server, &snapshot);
	report(&snapshot, ret);
	fl_snapshot_done(&snapshot);
}

static void metrics(void *user, struct fl_text *ret)
{
	render(user, ret, fl_report_metrics);
}

static void status(void *user, struct fl_text *ret)
{
	render(user, ret, fl_report_status);
}

static void page(void *user, struct fl_text *ret)
{
	render(user, ret, fl_report_page);
}

static void close_admin(void *user)
{
	struct fl_admin **admin = user;

	if (*admin != NULL) {
		fl_admin_close(*admin);
		*admin = NULL;
	}
}

static int open_admin(struct fl_server *server, const struct fl_conf *conf, struct fl_admin **admin,
		      struct fl_err *err)
{
	struct fl_admin_source source = {
		.ready = ready, .metrics = metrics, .status = status, .page = page, .user = server};
	int rc = 0;

	fl_server_on_stop(server, close_admin, admin);
	if (conf->sidecar.admin.kind != FL_ADDR_NONE) {
		rc = fl_admin_open(fl_server_net(server), &conf->sidecar.admin, &source, admin,
				   err);
	}
	return rc == 0 ? 0 : fl_err_prefix(err, "[sidecar] admin");
}

static int run(const struct fl_conf *conf, struct fl_log *log)
{
	struct fl_server *server = NULL;
	struct fl_admin *admin = NULL;
	struct fl_err err;
	int rc;

	rc = fl_tls_global_init(&err);
	if (rc == 0) {
		rc = fl_server_new(conf, log, &server, &err);
	}
	if (rc == 0) {
		rc = open_admin(server, conf, &admin, &err);
	}
	if (rc == 0) {
		rc = fl_server_run(server, &err);
	}
	if (rc != 0) {
		fl_log_msg(log, FL_LOG_ERROR, "cannot run: %s", err.text);
	}
	fl_server_free(server);
	fl_tls_global_done();
	return rc == 0 ? EXIT_SUCCESS : EXIT_CANNOT_RUN;
}

int main(int argc, char **argv)
{
	const char *path = FL_CONF_DEFAULT_PATH;
	struct fl_problems problems = {0};
	struct fl_conf *conf;
	struct fl_log log;
	int rc = parse_args(argc, argv, &path);

	if (rc >= 0) {
		return rc;
	}
	fl_harden_process();
	rc = fl_conf_load(path, &conf, NULL, NULL, &problems);
	fl_problems_print(&problems, path, stderr);
	fl_problems_done(&problems);
	if (rc != 0) {
		return EXIT_USAGE;
	}
	fl_log_init(&log, fl_log_open_stderr(), conf->log.level, conf->log.format,
		    "fairlead-sidecar");
	rc = run(conf, &log);
	fl_conf_free(conf);
	return rc;
}
