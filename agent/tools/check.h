/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_TOOLS_CHECK_H
#define FL_AGENT_TOOLS_CHECK_H
/* check - `fairlead-agent check`: every problem of INI and credentials at once, then what would
 * run.
 *
 * Text: problems to stderr, summary to stdout. JSON: all in one document on stdout. Returns the
 * process's exit code: 0 good, 1 usable with warnings, 2 refused. */
#include <stdbool.h>

int fl_check(const char *conf_path, bool json);

#endif
