/* SPDX-License-Identifier: GPL-3.0-or-later */
/* status - asks the running sidecar for /status (and /connections, for the peers) and prints the answer, most urgent first.
 * (`check` and its check_report.c print what the files say, and ask no sidecar.)
 *
 * Another version or another program may answer: a missing key removes its line, text is printed without control
 * characters, and an answer that is not such a document causes a sentence on stderr and exit code 1. */
#include <cjson/cJSON.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent/capture/redirect.h"
#include "agent/common/command.h"
#include "agent/common/json_read.h"
#include "agent/tools/admin_client.h"
#include "agent/tools/screen.h"
#include "agent/tools/status_peers.h"
#include "agent/tools/status_rates.h"
#include "agent/tools/status_sandbox.h"
#include "agent/tools/status_sections.h"
#include "base/when.h"

#define REQUEST_MS 5000
#define WATCH_REQUEST_MS 1000
#define PEERS_REQUEST_MS 1000
enum { OPTION_JSON, OPTION_WATCH };

#define ROOTS_MAX 8 /* certificates other than the leaf that get a line */

struct way {
	struct fl_admin_client admin;
	const char *conf_path;
	bool json;              /* print the document as it is */
	bool rules;             /* print the counters of the rules of [redirect] */
	struct fl_rates *rates; /* with --watch; NULL: without */
};

/* --- writing ---------------------------------------------------------------------------------- */

static void line_begin(struct fl_text *out, const char *name)
{
	fl_text_print(out, "%-12s ", name);
}

static void line_end(struct fl_text *out)
{
	fl_text_put(out, "\n", 1);
}

/* "expires in 5d", "EXPIRED 3m 10s ago" */
static void put_remaining(struct fl_text *out, const cJSON *certificate)
{
	int64_t left = fl_json_read_number(certificate, "remaining_seconds");
	char span[FL_SPAN_TEXT];

	if (left < 0) {
		fl_text_print(out, "EXPIRED %s ago",
			      fl_when_span(left > -INT64_MAX ? -left : INT64_MAX, span));
	} else {
		fl_text_print(out, "expires in %s", fl_when_span(left, span));
	}
}

static void put_bytes(struct fl_text *out, int64_t bytes)
{
	fl_text_put_bytes(out, bytes > 0 ? (uint64_t)bytes : 0);
}

/* --- parts ------------------------------------------------------------------------------------ */

static void put_after(struct fl_text *out, const char *before, const char *text)
{
	if (text[0] != '\0') {
		fl_text_print(out, "%s", before);
		fl_text_put_clean(out, text);
	}
}

static void put_version(struct fl_text *out, const char *version)
{
	fl_text_print(out, "version ");
	fl_text_put_clean(out, version[0] != '\0' ? version : "unknown");
	if (strcmp(version, FL_VERSION) != 0) {
		fl_text_print(out, " (this fairlead-agent is " FL_VERSION ")");
	}
}

static void put_state(struct fl_text *out, const cJSON *status)
{
	line_begin(out, "sidecar");
	if (fl_json_read_bool(status, "ready")) {
		fl_text_print(out, "ready");
	} else {
		fl_text_print(out, "NOT READY: ");
		fl_text_put_clean(out, fl_json_read_text(status, "reason"));
	}
	line_end(out);
	line_begin(out, "");
	put_version(out, fl_json_read_text(status, "version"));
	if (fl_json_read_count(status, "pid") > 0) {
		fl_text_print(out, ", process %" PRIu64, fl_json_read_count(status, "pid"));
	}
	put_after(out, ", started ", fl_json_read_text(status, "started"));
	if (fl_json_read_number(status, "log_lines_lost") > 0) {
		fl_text_print(out, ", %" PRId64 " log lines lost",
			      fl_json_read_number(status, "log_lines_lost"));
	}
	line_end(out);
}

static void put_certificate(struct fl_text *out, const cJSON *certificate)
{
	bool is_crl = strcmp(fl_json_read_text(certificate, "kind"), "crl") == 0;
	const char *domain = fl_json_read_text(certificate, "trust_domain");

	fl_text_put_clean(out, fl_json_read_text(certificate, "kind"));
	fl_text_print(out, " %" PRId64, fl_json_read_number(certificate, "index"));
	fl_text_print(out, domain[0] != '\0' ? " of " : " of a CA that is in no bundle");
	fl_text_put_clean(out, domain);
	fl_text_print(out, " ");
	put_remaining(out, certificate);
	if (is_crl && fl_json_read_number(certificate, "remaining_seconds") < 0) {
		fl_text_print(out, ", and stays in force");
	}
}

static void put_certificates(struct fl_text *out, const cJSON *status)
{
	const cJSON *certificate;
	unsigned lines = 0;
	uint64_t more = fl_json_read_count(status, "certificates_left_out");

	cJSON_ArrayForEach(certificate, fl_json_read_member(status, "certificates"))
	{
		if (strcmp(fl_json_read_text(certificate, "kind"), "leaf") == 0) {
			continue;
		}
		if (lines == ROOTS_MAX) {
			more++;
			continue;
		}
		line_begin(out, lines++ == 0 ? "trust" : "");
		put_certificate(out, certificate);
		line_end(out);
	}
	if (more > 0) {
		line_begin(out, "");
		fl_text_print(out, "and %" PRIu64 " more", more);
		line_end(out);
	}
}

static void put_generation(struct fl_text *out, const cJSON *status)
{
	const cJSON *generation = fl_json_read_member(status, "generation");

	line_begin(out, "identity");
	if (generation == NULL) {
		fl_text_print(out, "none yet\n");
		return;
	}
	put_after(out, "", fl_json_read_text(status, "id"));
	line_end(out);
	if (fl_json_read_member(generation, "remaining_seconds") != NULL) {
		line_begin(out, "");
		put_remaining(out, generation);
		put_after(out, ", ", fl_json_read_text(generation, "not_after"));
		line_end(out);
	}
	line_begin(out, "generation");
	fl_text_print(out, "%" PRIu64, fl_json_read_count(generation, "number"));
	put_after(out, ", since ", fl_json_read_text(generation, "since"));
	put_after(out, ", content ", fl_json_read_text(generation, "digest"));
	line_end(out);
	put_certificates(out, status);
}

static void put_rotations(struct fl_text *out, const cJSON *status)
{
	const cJSON *rotations = fl_json_read_member(status, "rotations"),
		    *last = fl_json_read_member(status, "last_rotation"),
		    *refusal = fl_json_read_member(status, "last_refusal");

	line_begin(out, "rotations");
	fl_text_print(out,
		      "%" PRId64 " used, %" PRId64 " refused by the agent, %" PRId64
		      " by the sidecar",
		      fl_json_read_number(rotations, "used"),
		      fl_json_read_number(rotations, "refused_by_agent"),
		      fl_json_read_number(rotations, "refused_by_sidecar"));
	if (last != NULL) {
		fl_text_print(out, "; last used ");
		fl_text_put_clean(out, fl_json_read_text(last, "time"));
	}
	line_end(out);
	if (refusal != NULL) {
		line_begin(out, fl_json_read_bool(refusal, "current") ? "REFUSED" : "last refusal");
		fl_text_put_clean(out, fl_json_read_text(refusal, "time"));
		fl_text_print(out, " by the ");
		fl_text_put_clean(out, fl_json_read_text(refusal, "by"));
		fl_text_print(out, ": ");
		fl_text_put_clean(out, fl_json_read_text(refusal, "text"));
		line_end(out);
	}
}

/* What is mounted now, whether or not the agent has accepted it. */
static void put_refused_ini(struct fl_text *out, const struct way *how)
{
	char *refused = fl_admin_client_ini_refused(how->conf_path);

	if (refused != NULL) {
		line_begin(out, "INI REFUSED");
		fl_text_put_clean(out, refused);
		line_end(out);
	}
	free(refused);
}

static void put_warnings(struct fl_text *out, const cJSON *status)
{
	const cJSON *warning;

	cJSON_ArrayForEach(warning, fl_json_read_member(status, "warnings"))
	{
		line_begin(out, "WARNING");
		fl_text_put_clean(out, cJSON_IsString(warning) ? warning->valuestring : "");
		line_end(out);
	}
}

static void put_restart_keys(struct fl_text *out, const cJSON *status)
{
	const char *keys = fl_json_read_text(status, "restart_keys");

	if (keys[0] != '\0') {
		line_begin(out, "RESTART");
		fl_text_print(out, "the sidecar for ");
		fl_text_put_clean(out, keys);
		line_end(out);
	}
}

/* The first word of a line, as line_begin() writes those that are known. */
static void put_section(struct fl_text *out, const char *section)
{
	size_t before = out->len;

	fl_text_put_clean(out, section);
	fl_text_print(out, "%*s", before + 13 > out->len ? (int)(before + 13 - out->len) : 1, "");
}

static void put_listeners(struct fl_text *out, const cJSON *status)
{
	const cJSON *listener, *to;

	cJSON_ArrayForEach(listener, fl_json_read_member(status, "listeners"))
	{
		bool first = true;

		put_section(out, fl_json_read_text(listener, "section"));
		fl_text_put_clean(out, fl_json_read_text(listener, "name"));
		fl_text_print(out, ": ");
		fl_text_put_clean(out, fl_json_read_text(listener, "address"));
		cJSON_ArrayForEach(to, fl_json_read_member(listener, "leads_to"))
		{
			fl_text_print(out, first ? " -> " : ", else ");
			fl_text_put_clean(out, cJSON_IsString(to) ? to->valuestring : "");
			first = false;
		}
		fl_text_print(out, "%s\n",
			      fl_json_read_bool(listener, "serving") ? "" : "  NOT SERVING");
	}
}

/* "5 done, 2 policy_denied". counts: an object. */
static void put_counts(struct fl_text *out, const cJSON *counts, const char *before)
{
	const cJSON *count;

	cJSON_ArrayForEach(count, counts)
	{
		if (cJSON_IsNumber(count) && count->valuedouble > 0) {
			fl_text_print(out, "%s%.0f ", before, count->valuedouble);
			fl_text_put_clean(out, count->string);
			before = ", ";
		}
	}
}

static void put_traffic(struct fl_text *out, const cJSON *status)
{
	static const char *const directions[] = {"inbound", "outbound"};

	for (size_t i = 0; i < 2; i++) {
		const char *direction = directions[i];
		const cJSON *connections = fl_json_read_member(
				    fl_json_read_member(status, "connections"), direction),
			    *bytes = fl_json_read_member(fl_json_read_member(status, "bytes"),
							 direction),
			    *handshakes = fl_json_read_member(
				    fl_json_read_member(status, "handshakes"), direction);

		if (fl_json_read_number(connections, "opened") == 0) {
			continue;
		}
		line_begin(out, direction);
		fl_text_print(out, "connections: %" PRId64 " open of %" PRId64,
			      fl_json_read_number(connections, "open"),
			      fl_json_read_number(connections, "opened"));
		put_counts(out, fl_json_read_object(connections, "closed"), "; ended: ");
		line_end(out);
		line_begin(out, "");
		fl_text_print(out, "handshakes: %" PRId64 " ok, %" PRId64 " of them resumed",
			      fl_json_read_number(handshakes, "ok"),
			      fl_json_read_number(handshakes, "resumed"));
		put_counts(out, fl_json_read_object(handshakes, "failed"), "; failed: ");
		line_end(out);
		fl_status_sessions_put(status, direction, out);
		line_begin(out, "");
		fl_text_print(out, "bytes: ");
		put_bytes(out, fl_json_read_number(bytes, "to_app"));
		fl_text_print(out, " to the app, ");
		put_bytes(out, fl_json_read_number(bytes, "to_mesh"));
		fl_text_print(out, " to the mesh\n");
	}
}

static void begin_rules(struct fl_text *out, bool first)
{
	line_begin(out, first ? "rules" : "");
}

static int64_t now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void put_status(struct fl_text *out, const struct way *how, const cJSON *status)
{
	const cJSON *agent = fl_json_read_member(status, "agent");

	put_state(out, status);
	if (how->rates != NULL) {
		fl_rates_put(how->rates, status, now_ms(), out);
	}
	fl_status_failing_put(status, out);
	put_generation(out, status);
	put_rotations(out, status);
	put_refused_ini(out, how);
	put_warnings(out, status);
	put_restart_keys(out, status);
	if (agent != NULL) {
		line_begin(out, "agent");
		fl_text_print(out, "%s",
			      fl_json_read_bool(agent, "hung")        ? "HANGS"
			      : fl_json_read_bool(agent, "connected") ? "connected"
								      : "NOT CONNECTED");
		put_after(out, " ", fl_json_read_text(agent, "trouble"));
		line_end(out);
	}
	fl_status_sandbox_put(status, out, line_begin);
	put_listeners(out, status);
	fl_status_sections_put(status, out);
	fl_status_capture_put(status, out);
	put_traffic(out, status);
	fl_status_policy_put(status, out);
	fl_status_peers_put(&how->admin, PEERS_REQUEST_MS, out);
	if (how->rules) {
		fl_redirect_counters(out, begin_rules);
	}
}

/* --- asking ----------------------------------------------------------------------------------- */

/* Appends the answer to out. 0: ready, 1: not; negative: err says why there is none. */
static int ask(const struct way *how, unsigned timeout_ms, struct fl_text *out, struct fl_err *err)
{
	struct fl_text body = {0};
	cJSON *status = NULL;
	int rc = fl_admin_client_document(&how->admin, "/status", timeout_ms, &body, err);

	if (rc == FL_OK) {
		status = cJSON_ParseWithLength(body.data, body.len);
		if (!cJSON_IsBool(cJSON_GetObjectItemCaseSensitive(status, "ready"))) {
			rc = fl_err_set(
				err, FL_ERR_PEER,
				"what answers there has no /status of a Fairlead sidecar: is it "
				"another program, or an older sidecar?");
		} else if (how->json) {
			fl_json_read_show(&body, out);
		} else {
			put_status(out, how, status);
		}
	}
	if (rc == FL_OK) {
		rc = fl_json_read_bool(status, "ready") ? 0 : 1;
	}
	cJSON_Delete(status);
	fl_text_done(&body);
	return rc;
}

/* There is no answer, perhaps because a refused INI names another address. With --json, that has been said already. */
static void complain(const struct way *how, const struct fl_err *err)
{
	if (!how->json) {
		fl_admin_client_warn(how->conf_path);
	}
	(void)fprintf(stderr, "fairlead-agent: %s\n", err->text);
}

/* Waits for a second. True: a signal has come that ends the command. */
static bool pause_or_end(const sigset_t *ends)
{
	struct timespec second = {.tv_sec = 1};

	return sigtimedwait(ends, NULL, &second) > 0;
}

static int watch(const struct way *how)
{
	bool on_terminal = isatty(STDOUT_FILENO) != 0 && !how->json;
	sigset_t ends;
	int rc;

	(void)sigemptyset(&ends);
	(void)sigaddset(&ends, SIGINT);
	(void)sigaddset(&ends, SIGTERM);
	(void)pthread_sigmask(SIG_BLOCK, &ends, NULL);
	if (on_terminal) {
		fl_screen_clear();
	}
	do {
		struct fl_text text = {0};
		struct fl_err err;

		rc = ask(how, WATCH_REQUEST_MS, &text, &err);
		if (rc < 0 && on_terminal) {
			put_refused_ini(&text, how);
			line_begin(&text, "sidecar");
			fl_text_print(&text, "NOT REACHABLE: %s\n", err.text);
		} else if (rc < 0) {
			complain(how, &err);
		}
		if (on_terminal) {
			fl_screen_draw(&text);
		} else if (text.len > 0) {
			(void)printf("%s%s", text.data, how->json ? "" : "\n");
		}
		fl_text_done(&text);
		/* Nobody reads the output any more. */
		if (fl_command_flush("the status", 0) != 0) {
			return FL_COMMAND_UNWRITTEN;
		}
	} while (!pause_or_end(&ends));
	return rc == 0 ? 0 : 1;
}

static void put_out(const struct fl_text *text, bool as_it_is)
{
	if (as_it_is) {
		(void)fwrite(text->data, 1, text->len, stdout);
	} else {
		fl_screen_print(text);
	}
}

static int status(const struct fl_command_line *line)
{
	struct fl_text text = {0};
	struct fl_rates rates = {0};
	struct way how = {.json = line->options[OPTION_JSON] != NULL};
	struct fl_err err;
	int rc = fl_admin_client_find(line, true, &how.admin);

	if (rc != 0) {
		return rc;
	}
	how.conf_path = line->conf_path;
	how.rules = fl_redirect_is_meant(line->conf_path);
	if (how.json) {
		fl_admin_client_warn(line->conf_path);
	}
	if (line->options[OPTION_WATCH] != NULL) {
		how.rates = &rates;
		return watch(&how);
	}
	rc = ask(&how, REQUEST_MS, &text, &err);
	if (rc < 0) {
		complain(&how, &err);
	} else {
		put_out(&text, how.json);
	}
	fl_text_done(&text);
	return fl_command_flush("the status", rc == 0 ? 0 : 1);
}

static const char page[] =
	"NAME\n"
	"  fairlead-agent status - what the sidecar does and how long its certificates\n"
	"  last\n"
	"\n"
	"SYNOPSIS\n"
	"  fairlead-agent status [-c FILE] [--watch] [--json]\n"
	"                        [--control PATH | --admin ADDRESS]\n"
	"\n"
	"DESCRIPTION\n"
	"  Asks /status of `[sidecar] admin` and prints it: ready or why not, the\n"
	"  identity and what is left of its life, the generation in use, when each\n"
	"  intermediate and root expires, how many generations were used and refused,\n"
	"  why the last one was refused, whether the agent is connected, the listeners\n"
	"  and where they lead, each service and upstream with its mode, its open\n"
	"  connections, its last success and failure, and what DNS says about its names,\n"
	"  whether the rules of capture are in force, and for each direction that has\n"
	"  seen any the connections, handshakes, bytes, and sessions: those that carry a\n"
	"  connection and those that wait for the next one. Connections and handshakes\n"
	"  that did not end well are counted by the reason that the access log gives,\n"
	"  too. Then [redirect], the policy and its rules with their hits, and the peers\n"
	"  that connections are open with (of 1000 connections at most). Last, where the\n"
	"  INI has [redirect], and with NET_ADMIN: the counts of its rules.\n"
	"\n"
	"  `FAILING`, at the top: an upstream whose last failure is newer than its last\n"
	"  success, or a service whose app did not accept; with reason and address.\n"
	"\n"
	"  `WARNING`: what the last change of our credentials may have broken, for peers\n"
	"  that are behind in a change of roots, and CRLs that have expired.\n"
	"\n"
	"  `RESTART`: the settings of the INI that wait for a restart of the sidecar.\n"
	"\n"
	"  `REFUSED` in place of `last refusal`: what was refused is still mounted, and\n"
	"  the sidecar continues with the previous generation. `INI REFUSED`: the mounted\n"
	"  INI has an error. It is read as far as it can be, for the address of the\n"
	"  sidecar. (With --json, and if nobody answers, stderr says so.)\n"
	"\n"
	"  An admin endpoint on all addresses (*:15020) is asked on loopback; one that is\n"
	"  not reachable there, or none, makes this ask `[sidecar] control`. A browser\n"
	"  finds the same at /, Prometheus at /metrics, and /connections lists each open\n"
	"  connection as JSON. All except /metrics is available only over loopback and\n"
	"  `control`, unless `admin_details = everywhere`.\n"
	"\n"
	"OPTIONS\n"
	"      --watch         repeat every second until Ctrl-C; on a terminal in place;\n"
	"                      with rates, and what failed, at the top\n"
	"      --json          the sidecar's document as it is: ready, reason, version,\n"
	"                      pid, now, started, workers, id, generation, certificates,\n"
	"                      certificates_left_out, rotations, last_rotation,\n"
	"                      last_refusal, warnings, restart_keys, listeners, capture,\n"
	"                      connections, sessions, bytes, plaintext,\n"
	"                      dns_addresses_refused, handshakes, policy, redirect,\n"
	"                      services, upstreams, peers, peers_size, last_judgement,\n"
	"                      sandbox, agent, log_lines_lost\n" FL_PAGE_OPTION_CONTROL
		FL_PAGE_OPTION_ADMIN FL_PAGE_OPTIONS "\n"
	"EXIT STATUS\n"
	"  0  ready\n"
	"  1  not ready, or not reachable\n"
	"  2  it cannot be asked: the command line, the INI, or neither an admin endpoint\n"
	"     nor a control socket\n" FL_PAGE_EXIT_UNWRITTEN
	"  With --watch, that of the last answer.\n"
	"\n"
	"EXAMPLES\n"
	"  fairlead-agent status --watch\n"
	"  fairlead-agent status --json | jq .generation.remaining_seconds\n"
	"\n"
	"SEE ALSO\n"
	"  fairlead-agent wait, which only says whether the sidecar is ready\n";

const struct fl_command fl_command_status = {
	.name = "status",
	.summary = "what the sidecar does and how long its certificates last",
	.page = page,
	.run = status,
	.options = {[OPTION_JSON] = {.name = "json"}, [OPTION_WATCH] = {.name = "watch"}},
	.asks = FL_ASKS_ADMIN,
	.capabilities = FL_COMMAND_READS_ALL | FL_CAPABILITY(CAP_NET_ADMIN),
	.executes = true,
};
