/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_TOOLS_HELP_H
#define FL_AGENT_TOOLS_HELP_H
/* help - what `--help` prints: a manual page for the program and one for each command that is
 * built. */

/* command: NULL for the program. NULL when there is no such page. */
const char *fl_help(const char *command);

#endif
