/* SPDX-License-Identifier: GPL-3.0-or-later */
/* check - collects problems from three sources into one list: conf (the INI), certs-watch (files and certificates), and
 * what only both together show. Problems of the last kind are warnings: the INI would run, but probably not as intended.
 * check_report.c prints the problems, and what would run.
 *
 * Of a refused INI, what it says rightly is judged all the same, so that one run shows everything that has to be repaired. What
 * may only follow from an error that is reported already is left out. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/capture/ruleset.h"
#include "agent/common/candidate.h"
#include "agent/common/command.h"
#include "agent/common/stdin_file.h"
#include "agent/tools/app_port.h"
#include "agent/tools/check_readers.h"
#include "agent/tools/check_report.h"
#include "agent/tools/check_users.h"
#include "base/guarded.h"
#include "base/mem.h"
#include "base/when.h"
#include "conf/problems.h"
#include "pki/spiffe.h"

/* A certificate with less than 1/LIFE of its life left should have been renewed. */
#define LIFE 5

enum { OPTION_JSON, OPTION_STRICT };

/* --- credentials ------------------------------------------------------------------------------ */

static void add_findings(const struct fl_conf *conf, const struct fl_findings *findings,
			 struct fl_problems *problems)
{
	for (size_t i = 0; i < findings->count; i++) {
		const struct fl_finding *finding = &findings->items[i];
		fl_conf_line line = fl_candidate_line(conf, finding->path);
		const char *path = finding->path != NULL ? finding->path : "";
		const char *colon = finding->path != NULL ? ": " : "";

		if (finding->is_error) {
			fl_problem_error(problems, line, "%s%s%s", path, colon, finding->text);
		} else {
			fl_problem_warning(problems, line, "%s%s%s", path, colon, finding->text);
		}
	}
}

static bool is_old(int64_t not_before, int64_t not_after, int64_t now)
{
	return now <= not_after && (not_after - now) * LIFE < not_after - not_before;
}

static void check_ages(const struct fl_conf *conf, const struct fl_credentials *credentials,
		       int64_t now, struct fl_problems *problems)
{
	char left[FL_SPAN_TEXT];

	if (is_old(credentials->not_before, credentials->not_after, now)) {
		fl_problem_warning(
			problems,
			conf->identity.cert != NULL ? conf->identity.cert_line
						    : conf->identity.credential_bundle_line,
			"the certificate expires in %s, less than a fifth of its life: is its "
			"renewal stuck?",
			fl_when_span(credentials->not_after - now, left));
	}
	for (size_t i = 0; i < credentials->bundle_count; i++) {
		const struct fl_bundle *bundle = &credentials->bundles[i];

		for (size_t k = 0; k < bundle->roots.count; k++) {
			struct fl_span der = {bundle->roots.items[k].data,
					      bundle->roots.items[k].len};
			int64_t from, to;

			if (fl_svid_validity(der, &from, &to, NULL) == FL_OK &&
			    is_old(from, to, now)) {
				fl_problem_warning(
					problems,
					i == 0 ? conf->identity.bundle_line
					       : conf->federate[i - 1].line,
					"root %zu of %s expires in %s, less than a fifth of its "
					"life: add its successor to the bundle before",
					k + 1, bundle->trust_domain, fl_when_span(to - now, left));
			}
		}
	}
}

/* --- identities that can never match ---------------------------------------------------------- */

static bool has_bundle(const struct fl_credentials *credentials, const char *domain, size_t len)
{
	for (size_t i = 0; i < credentials->bundle_count; i++) {
		const char *known = credentials->bundles[i].trust_domain;

		if (strlen(known) == len && memcmp(known, domain, len) == 0) {
			return true;
		}
	}
	return false;
}

/* A pattern for a trust domain without a bundle: no identity of it can be verified. */
static void check_pattern(const struct fl_pattern *pattern,
			  const struct fl_credentials *credentials, fl_conf_line line,
			  const char *where, struct fl_problems *problems)
{
	const char *text = fl_pattern_text(pattern);
	const char *domain = fl_spiffe_after_scheme(text);
	size_t len;

	if (domain == NULL) {
		return;
	}
	len = (size_t)(fl_spiffe_path(text) - domain);
	if (!has_bundle(credentials, domain, len)) {
		fl_problem_warning(
			problems, line,
			"%s names %s, and there is no bundle for the trust domain %.*s, so "
			"this never matches: add [federate %.*s], or correct the name",
			where, text, (int)len, domain, (int)len, domain);
	}
}

static void check_peers(const struct fl_conf_upstream *upstream,
			const struct fl_credentials *credentials, struct fl_problems *problems)
{
	for (size_t i = 0; i < upstream->peer_count; i++) {
		check_pattern(upstream->peer[i], credentials, upstream->line, "`peer`", problems);
	}
}

static void check_patterns(const struct fl_conf *conf, const struct fl_credentials *credentials,
			   struct fl_problems *problems)
{
	for (size_t i = 0; i < fl_policy_rule_count(conf->policy); i++) {
		struct fl_rule_spec rule;

		fl_policy_rule(conf->policy, i, &rule);
		for (size_t k = 0; k < rule.from_count; k++) {
			check_pattern(rule.from[k], credentials, rule.line, "`from`", problems);
		}
	}
	for (size_t i = 0; i < conf->upstream_count; i++) {
		check_peers(&conf->upstreams[i], credentials, problems);
	}
	check_peers(&conf->outbound, credentials, problems);
}

/* --- ports that nobody dials -------------------------------------------------------------------- */

static void check_ports(const struct fl_conf *conf, struct fl_problems *problems)
{
	for (size_t i = 0; i < fl_policy_rule_count(conf->policy); i++) {
		struct fl_rule_spec rule;
		char *mistake;

		fl_policy_rule(conf->policy, i, &rule);
		mistake = fl_app_port_mistake(conf, &rule);
		if (mistake != NULL) {
			fl_problem_warning(problems, rule.line, "[%s %s]: %s",
					   rule.effect == FL_ALLOW ? "allow" : "deny", rule.name,
					   mistake);
		}
		free(mistake);
	}
}

/* --- settings that are rarely intended -------------------------------------------------------- */

static void check_policy(const struct fl_conf *conf, struct fl_problems *problems)
{
	if (fl_policy_default(conf->policy) == FL_ALLOW) {
		fl_problem_warning(
			problems, 0,
			"`[policy] default = allow` admits every identity that no rule denies: "
			"write [allow] rules, and set it to deny");
	}
	if (fl_policy_audit(conf->policy)) {
		fl_problem_warning(
			problems, 0,
			"`[policy] mode = audit` only records what rules deny, and admits it: set it "
			"to enforce when the records are as expected");
	}
}

static void check_listeners(const struct fl_conf *conf, struct fl_problems *problems)
{
	char text[FL_ADDR_TEXT];

	for (size_t i = 0; i < conf->service_count; i++) {
		const struct fl_conf_service *service = &conf->services[i];

		if (fl_addr_is_loopback(&service->listen)) {
			fl_problem_warning(
				problems, service->line,
				"service %s listens on %s only, where no other machine or pod "
				"reaches it: did you mean listen = *:%u?",
				service->name, fl_addr_format(&service->listen, text),
				service->listen.port);
		}
	}
	for (size_t i = 0; i < conf->upstream_count; i++) {
		const struct fl_conf_upstream *upstream = &conf->upstreams[i];

		if (upstream->listen.kind != FL_ADDR_UNIX &&
		    upstream->listen.kind != FL_ADDR_NONE &&
		    !fl_addr_is_loopback(&upstream->listen)) {
			fl_problem_warning(
				problems, upstream->line,
				"upstream %s listens on %s, so everybody who reaches that port "
				"uses our identity: did you mean listen = 127.0.0.1:%u?",
				upstream->name, fl_addr_format(&upstream->listen, text),
				upstream->listen.port);
		}
	}
}

/* `redirect apply` would refuse the INI, and the pod would not start. */
static void check_reach(const struct fl_conf *conf, struct fl_problems *problems)
{
	struct fl_ruleset_ports inbound = {0}, outbound = {0};
	struct fl_err err = {0};
	bool refused = false;

	if (fl_ruleset_inbound(conf, &inbound, &err) != FL_OK) {
		fl_problem_error(problems, conf->redirect.line, "[redirect]: %s", err.text);
		refused = true;
	}
	if (fl_ruleset_outbound(conf, &outbound, &err) != FL_OK) {
		fl_problem_error(problems, conf->redirect.line, "[redirect]: %s", err.text);
		refused = true;
	}
	if (!refused && fl_ruleset_something(&inbound, &outbound, &err) != FL_OK) {
		fl_problem_error(problems, conf->redirect.line, "[redirect]: %s", err.text);
	}
}

/* is_good: the INI has no error. */
static void check_capture(const struct fl_conf *conf, bool is_good, struct fl_problems *problems)
{
	if (conf->redirect.line != 0) {
		check_reach(conf, problems);
	}
	if (conf->redirect.line != 0 && conf->agent.sidecar_uid == 0) {
		fl_problem_warning(
			problems, conf->redirect.line,
			"`[agent] sidecar_uid = 0`: every process that runs as root in this pod counts as "
			"the sidecar, so its connections leave in plaintext: give the sidecar a uid of "
			"its own");
	} else if (conf->redirect.line != 0 && is_good) {
		fl_check_users(conf, problems);
	}
}

static void check_socket(const struct fl_conf *conf, struct fl_problems *problems)
{
	const char *slash = strrchr(conf->agent.socket, '/');
	struct stat st;
	struct fl_err err;
	char *dir;

	if (fl_conf_guard_socket(conf->agent.socket, conf->agent.uid, conf->agent.sidecar_uid,
				 &err) != FL_OK) {
		fl_problem_error(problems, 0, "`[agent] socket`: %s", err.text);
	}
	if (slash == NULL || slash == conf->agent.socket) {
		return;
	}
	dir = fl_strndup(conf->agent.socket, (size_t)(slash - conf->agent.socket));
	if (stat(dir, &st) != 0 && errno == ENOENT && !fl_guarded_above_is_shared(dir)) {
		fl_problem_warning(problems, 0,
				   "the directory %s of `[agent] socket` does not exist: create it "
				   "before `fairlead-agent run`",
				   dir);
	}
	fl_wipe_free(dir, strlen(dir));
}

/* --- all of it -------------------------------------------------------------------------------- */

static void check_conf(const struct fl_conf *conf, const char *path, struct fl_problems *problems)
{
	bool is_good = problems->errors == 0;

	check_policy(conf, problems);
	if (is_good) {
		check_ports(conf, problems);
	}
	check_listeners(conf, problems);
	check_capture(conf, is_good, problems);
	if (!conf->agent.doubtful) {
		check_socket(conf, problems);
		fl_check_readers(conf, path, problems);
	}
	if (fl_source_is_mount(path)) {
		fl_problem_warning(problems, 0, "%s", FL_SOURCE_MOUNT_TEXT);
	}
}

/* Does it fit into one frame? */
static void check_size(const struct fl_conf *conf, const struct fl_candidate *candidate,
		       struct fl_span ini, struct fl_problems *problems)
{
	uint8_t digest[FL_DIGEST_LEN];
	struct fl_err err;
	uint8_t *frame;
	size_t len;

	if (fl_candidate_encode(candidate, conf, ini, &frame, &len, digest, &err) == FL_OK) {
		fl_wipe_free(frame, len);
	} else {
		fl_problem_error(problems, 0, "%s", err.text);
	}
}

/* The files that [identity] and [federate] name, and what shows only in comparison with them. Adds to the report what would run. */
static void check_files(const struct fl_conf *conf, struct fl_span ini,
			struct fl_candidate *candidate, struct fl_check_report *report,
			struct fl_problems *problems)
{
	int64_t now = report->now;

	if (report->conf == NULL) {
		fl_candidate_judge_doubtful(conf, now, candidate);
	} else if (fl_candidate_load(conf, now, &(struct fl_late_crls){0}, candidate) == FL_OK) {
		report->credentials = candidate->credentials;
		check_patterns(conf, candidate->credentials, problems);
	}
	if (candidate->credentials != NULL) {
		check_ages(conf, candidate->credentials, now, problems);
		check_size(conf, candidate, ini, problems);
	}
	add_findings(conf, &candidate->findings, problems);
}

/* strict: warnings count. */
static int exit_code(const struct fl_check_report *report, bool strict)
{
	int verdict = fl_check_report_verdict(report);

	return verdict == 1 && !strict ? 0 : verdict;
}

static int print(const struct fl_check_report *report, bool json, bool strict)
{
	if (json) {
		fl_check_report_json(report, stdout);
	} else {
		fl_problems_print(report->problems, report->path, stderr);
		fl_check_report_text(report, stdout);
	}
	return fl_command_flush("the report", exit_code(report, strict));
}

static int check(const struct fl_command_line *line)
{
	const char *conf_path = line->conf_path;
	struct fl_problems problems = {0};
	struct fl_candidate candidate = {0};
	struct fl_check_report report = {
		.path = conf_path, .problems = &problems, .now = fl_candidate_now()};
	struct fl_conf *conf = NULL;
	char *ini = NULL;
	size_t ini_len = 0;
	struct fl_err err;
	int code;

	if (fl_tls_global_init(&err) != FL_OK) {
		(void)fprintf(stderr, "fairlead-agent: %s\n", err.text);
		return 2;
	}
	if (fl_stdin_load_conf_lenient(conf_path, &conf, &ini, &ini_len, &problems) == FL_OK) {
		report.conf = problems.errors == 0 ? conf : NULL;
		check_conf(conf, conf_path, &problems);
		check_files(conf, (struct fl_span){(const uint8_t *)ini, ini_len}, &candidate,
			    &report, &problems);
		fl_problems_sort(&problems);
	}
	code = print(&report, line->options[OPTION_JSON] != NULL,
		     line->options[OPTION_STRICT] != NULL);
	fl_candidate_done(&candidate);
	fl_conf_free(conf);
	fl_wipe_free(ini, ini_len);
	fl_problems_done(&problems);
	fl_tls_global_done();
	return code;
}

static const char page[] =
	"NAME\n"
	"  fairlead-agent check - every problem of the INI and the credentials, and what\n"
	"  would run\n"
	"\n"
	"SYNOPSIS\n"
	"  fairlead-agent check [-c FILE] [--strict] [--json]\n"
	"\n"
	"DESCRIPTION\n"
	"  Does everything that `run` does before it pushes, and reports everything at\n"
	"  once: errors and warnings as FILE:LINE with their remedy on stderr; on stdout\n"
	"  the identity and when it expires, the trust bundles, the listeners and where\n"
	"  they lead, the policy in the order of evaluation, and the limits.\n"
	"  Hints about software that needs other settings when captured do not change the\n"
	"  verdict. Changes nothing, opens no port, and needs no running sidecar.\n"
	"  `-c -` reads the INI from stdin, as explain and redirect print do.\n"
	"\n"
	"  If the INI has an error, the files that it names rightly are examined all the\n"
	"  same; some warnings that compare sections come only when it has none. Root\n"
	"  reads every file, so as root it also warns of those that agent or sidecar\n"
	"  cannot read as users of their own.\n"
	"\n"
	"OPTIONS\n"
	"      --strict        exit with 1 if there are warnings\n"
	"      --json          one JSON document on stdout, problems included: verdict\n"
	"                      (good, warnings, refused), problems,\n"
	"                      problems_left_out; unless the INI is refused also\n"
	"                      identity, bundles, crls, inbound, services, outbound,\n"
	"                      upstreams, policy, limits, rotation, admin, control,\n"
	"                      socket, sidecar_uid, agent_uid, hints\n" FL_PAGE_OPTIONS "\n"
	"EXIT STATUS\n"
	"  0  good; also with warnings, without --strict\n"
	"  1  usable, with warnings, and --strict was given\n"
	"  2  refused\n" FL_PAGE_EXIT_UNWRITTEN "\n"
	"EXAMPLES\n"
	"  fairlead-agent check -c fairlead.ini\n"
	"  kubectl exec -i POD -c fairlead-agent -- fairlead-agent check -c - <new.ini\n"
	"  fairlead-agent check --json | jq -r '.problems[].text'\n"
	"  fairlead-agent check --strict -c fairlead.ini   # in a pipeline\n";

const struct fl_command fl_command_check = {
	.name = "check",
	.summary = "every problem of the INI and the credentials, and what would run",
	.page = page,
	.run = check,
	.options = {[OPTION_JSON] = {.name = "json"}, [OPTION_STRICT] = {.name = "strict"}},
	.capabilities = FL_COMMAND_READS_ALL,
	.ini_from_stdin = true,
};
