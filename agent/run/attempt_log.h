/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_RUN_ATTEMPT_LOG_H
#define FL_AGENT_RUN_ATTEMPT_LOG_H
/* attempt_log - writes what an attempt (run/attempt.h) has found to the log, without repeating lines that were logged for
 * the previous attempt.
 *
 * Thread: one. Nothing fails. */
#include "agent/run/attempt.h"
#include "base/log.h"

/* Begins as {0}, except log and started, both borrowed. */
struct fl_attempt_log {
	struct fl_log *log;
	const struct fl_conf *started;                /* the INI that the process began with */
	char *warnings, *restart_keys, *capture_keys; /* as they were logged last; owned */
};
void fl_attempt_log_done(struct fl_attempt_log *log);

/* Logs each error of a refused attempt. Returns the first as one sentence, to free(), with the number of the others; it
 * is short enough for a NOTE (ctl/message.h). */
char *fl_attempt_log_errors(struct fl_attempt_log *log, const struct fl_attempt *attempt);

/* Logs one error of the INI as a whole. Returns it as that sentence. */
char *fl_attempt_log_error(struct fl_attempt_log *log, const struct fl_attempt *attempt,
			   const char *text);

/* Logs the facts about an accepted attempt: warnings, the identity, keys that require a restart or `redirect apply`.
 * ini_changed: also logs that the INI has changed. */
void fl_attempt_log_accepted(struct fl_attempt_log *log, const struct fl_attempt *attempt,
			     bool ini_changed);

/* Logs findings about the credentials in force, and frees them. */
void fl_attempt_log_findings(struct fl_attempt_log *log, struct fl_findings *findings);

#endif
