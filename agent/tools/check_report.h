/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_TOOLS_CHECK_REPORT_H
#define FL_AGENT_TOOLS_CHECK_REPORT_H
/* check_report - the results of check.c, as text for people or as JSON for scripts. (status.c prints what the running
 * sidecar says.) Only writes: the caller looks for errors of the stream. */
#include <stdio.h>

#include "conf/conf.h"
#include "pki/credentials.h"

struct fl_check_report {
	const char *path;                         /* of the INI */
	const struct fl_conf *conf;               /* NULL: the INI is refused */
	const struct fl_credentials *credentials; /* NULL: not loaded or refused */
	const struct fl_problems *problems;       /* all of them */
	int64_t now;                              /* seconds since the epoch */
};

/* 0 good, 1 usable with warnings, 2 refused. */
int fl_check_report_verdict(const struct fl_check_report *report);

/* The summary; if nothing would run only the verdict. */
void fl_check_report_text(const struct fl_check_report *report, FILE *out);
/* The same with the problems, as far as it is known. */
void fl_check_report_json(const struct fl_check_report *report, FILE *out);

#endif
