/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agent/run/attempt_log.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "ctl/message.h"

/* Lines about the problems of one attempt; the others are only counted. */
#define LINES_MAX FL_PROBLEMS_MAX

/* Adds a line to list, which may be NULL. Takes over both. */
static char *append(char *list, char *text)
{
	char *longer = fl_format("%s%s\n", list != NULL ? list : "", text);

	free(list);
	free(text);
	return longer;
}

static void log_finding(struct fl_attempt_log *log, const struct fl_finding *finding)
{
	struct fl_line line;

	fl_line_begin(&line, log->log, FL_LOG_WARN,
		      finding->is_error ? "credentials refused" : "credentials");
	fl_line_str(&line, "file", finding->path);
	fl_line_str(&line, "reason", finding->text);
	fl_line_end(&line);
}

static void log_problem(struct fl_attempt_log *log, const struct fl_attempt *attempt,
			const char *text, fl_conf_line at, bool is_error)
{
	struct fl_line line;

	fl_line_begin(&line, log->log, FL_LOG_WARN, is_error ? "INI refused" : "INI");
	fl_line_str(&line, "file", attempt->conf_path);
	if (at != 0) {
		fl_line_u64(&line, "line", at);
	}
	fl_line_str(&line, "reason", text);
	fl_line_end(&line);
}

/* The first error as a sentence, and how many there are. */
struct errors {
	char *first; /* owned */
	size_t count;
};

/* Takes over sentence. */
static void count_error(struct errors *errors, char *sentence)
{
	if (errors->count++ == 0) {
		errors->first = sentence;
	} else {
		free(sentence);
	}
}

/* Those of reading the INI, or those of the credentials. */
static void log_finding_errors(struct fl_attempt_log *log, const struct fl_attempt *attempt,
			       bool is_ini, struct errors *errors)
{
	const struct fl_findings *findings =
		is_ini ? &attempt->ini_findings : &attempt->candidate.findings;

	for (size_t i = 0; i < findings->count; i++) {
		const struct fl_finding *finding = &findings->items[i];
		const char *path = finding->path;

		if (!finding->is_error) {
			continue;
		}
		if (errors->count >= LINES_MAX) {
			errors->count++;
			continue;
		}
		if (is_ini) {
			log_problem(log, attempt, finding->text, 0, true);
		} else {
			log_finding(log, finding);
		}
		count_error(errors, fl_format("%s%s%s", path != NULL ? path : "",
					      path != NULL ? ": " : "", finding->text));
	}
}

static char *sentence_of(const struct fl_attempt *attempt, const struct fl_problem *problem)
{
	if (problem->line == 0) {
		return fl_format("%s: %s", attempt->conf_path, problem->text);
	}
	return fl_format("%s:%u: %s", attempt->conf_path, problem->line, problem->text);
}

/* Those of the INI's text. */
static void log_problem_errors(struct fl_attempt_log *log, const struct fl_attempt *attempt,
			       struct errors *errors)
{
	const struct fl_problems *problems = &attempt->problems;
	size_t kept = 0;

	for (size_t i = 0; i < problems->count; i++) {
		const struct fl_problem *problem = &problems->items[i];

		if (problem->kind == FL_PROBLEM_ERROR) {
			kept++;
			log_problem(log, attempt, problem->text, problem->line, true);
			count_error(errors, sentence_of(attempt, problem));
		}
	}
	errors->count += problems->errors - kept;
}

static void log_left_out(struct fl_attempt_log *log, const struct fl_attempt *attempt, size_t count,
			 const char *what, bool is_error)
{
	const char *at_least =
		is_error && fl_problems_enough(&attempt->problems) ? "at least " : "";
	char *text;

	if (count > LINES_MAX) {
		text = fl_format("%s%zu more %s are not listed", at_least, count - LINES_MAX, what);
		log_problem(log, attempt, text, 0, is_error);
		free(text);
	}
}

/* The sentence for the sidecar, cut if it is too long; the log has all of it. Frees what errors owns. */
static char *sum_up(struct errors *errors)
{
	char *more = errors->count > 1 ? fl_format(" (and %zu more: see `fairlead-agent check`)",
						   errors->count - 1)
				       : fl_strdup("");
	char *sentence =
		fl_format("%.*s%s", (int)(FL_CTL_MAX_NOTE - strlen(more)), errors->first, more);

	free(more);
	free(errors->first);
	return sentence;
}

char *fl_attempt_log_errors(struct fl_attempt_log *log, const struct fl_attempt *attempt)
{
	struct errors errors = {0};

	log_finding_errors(log, attempt, true, &errors);
	log_problem_errors(log, attempt, &errors);
	log_finding_errors(log, attempt, false, &errors);
	log_left_out(log, attempt, errors.count, "errors", true);
	return sum_up(&errors);
}

char *fl_attempt_log_error(struct fl_attempt_log *log, const struct fl_attempt *attempt,
			   const char *text)
{
	struct errors errors = {.first = fl_strdup(text), .count = 1};

	log_problem(log, attempt, text, 0, true);
	return sum_up(&errors);
}

/* The warnings of an accepted candidate, unless they are those of the one before. */
static void log_warnings(struct fl_attempt_log *log, const struct fl_attempt *attempt)
{
	const struct fl_findings *findings = &attempt->candidate.findings;
	size_t finding_count = findings->count < LINES_MAX ? findings->count : LINES_MAX;
	bool is_mount = fl_source_is_mount(attempt->conf_path);
	char *all = fl_strdup("");

	for (size_t i = 0; i < attempt->problems.count; i++) {
		all = append(all, fl_strdup(attempt->problems.items[i].text));
	}
	for (size_t i = 0; i < finding_count; i++) {
		all = append(all, fl_strdup(findings->items[i].text));
	}
	if (is_mount) {
		all = append(all, fl_strdup(FL_SOURCE_MOUNT_TEXT));
	}
	if (log->warnings == NULL || strcmp(log->warnings, all) != 0) {
		for (size_t i = 0; i < attempt->problems.count; i++) {
			log_problem(log, attempt, attempt->problems.items[i].text,
				    attempt->problems.items[i].line, false);
		}
		for (size_t i = 0; i < finding_count; i++) {
			log_finding(log, &findings->items[i]);
		}
		log_left_out(log, attempt, attempt->problems.warnings, "warnings of the INI",
			     false);
		log_left_out(log, attempt, findings->count, "warnings of the credentials", false);
		if (is_mount) {
			log_problem(log, attempt, FL_SOURCE_MOUNT_TEXT, 0, false);
		}
	}
	free(log->warnings);
	log->warnings = all;
}

static void log_validated(struct fl_attempt_log *log, const struct fl_attempt *attempt)
{
	const struct fl_credentials *credentials = attempt->candidate.credentials;
	struct fl_line line;

	fl_line_begin(&line, log->log, FL_LOG_INFO, "credentials validated");
	fl_line_str(&line, "id", credentials->id);
	fl_line_i64(&line, "expires_in", credentials->not_after - attempt->now);
	fl_line_u64(&line, "bundles", credentials->bundle_count);
	fl_line_end(&line);
}

/* The agent's own. The sidecar says which keys wait for a restart of it: only it knows the INI that it began with. */
static void log_restart_keys(struct fl_attempt_log *log, const struct fl_conf *conf)
{
	char *keys = fl_conf_restart_keys(log->started, conf, FL_PROGRAM_AGENT);
	struct fl_line line;

	if (keys != NULL && (log->restart_keys == NULL || strcmp(keys, log->restart_keys) != 0)) {
		fl_line_begin(&line, log->log, FL_LOG_WARN,
			      "some settings wait for a restart of the agent, the rest applies");
		fl_line_str(&line, "keys", keys);
		fl_line_end(&line);
	}
	free(log->restart_keys);
	log->restart_keys = keys;
}

/* Compared with the INI that the process began with: only the sidecar can see which rules are in force, and `/readyz`
 * reports it. */
static void log_capture_keys(struct fl_attempt_log *log, const struct fl_conf *conf)
{
	bool captures = conf->sidecar.inbound_count + conf->sidecar.outbound_count > 0;
	char *keys = captures ? fl_conf_capture_keys(log->started, conf) : NULL;
	struct fl_line line;

	if (keys != NULL && (log->capture_keys == NULL || strcmp(keys, log->capture_keys) != 0)) {
		fl_line_begin(&line, log->log, FL_LOG_WARN,
			      "where this pod is captured, some settings wait for `fairlead-agent "
			      "redirect apply`: until then the sidecar is not ready");
		fl_line_str(&line, "keys", keys);
		fl_line_end(&line);
	}
	free(log->capture_keys);
	log->capture_keys = keys;
}

void fl_attempt_log_accepted(struct fl_attempt_log *log, const struct fl_attempt *attempt,
			     bool ini_changed)
{
	log_warnings(log, attempt);
	log_validated(log, attempt);
	if (ini_changed) {
		fl_log_msg(log->log, FL_LOG_INFO, "INI reloaded");
	}
	log_restart_keys(log, attempt->conf);
	log_capture_keys(log, attempt->conf);
}

void fl_attempt_log_findings(struct fl_attempt_log *log, struct fl_findings *findings)
{
	for (size_t i = 0; i < findings->count; i++) {
		log_finding(log, &findings->items[i]);
	}
	fl_findings_done(findings);
}

void fl_attempt_log_done(struct fl_attempt_log *log)
{
	free(log->warnings);
	free(log->restart_keys);
	free(log->capture_keys);
}
