/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_TOOLS_SUGGEST_H
#define FL_AGENT_TOOLS_SUGGEST_H
/* suggest - `fairlead-agent suggest`: the fewest [allow] rules that would have let pass what the running sidecar has
 * seen and the INI does not let in.
 *
 * Returns the process's exit code: 0, 1 the sidecar cannot be reached, 2 it cannot be asked. */
#include <stdbool.h>

int fl_suggest_rules(const char *conf_path, bool wildcards);

#endif
