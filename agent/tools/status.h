/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_TOOLS_STATUS_H
#define FL_AGENT_TOOLS_STATUS_H
/* status - `fairlead-agent status`: what the sidecar says of itself, for a person or as its JSON. With
 * watch again every second, until SIGINT or SIGTERM. Returns the process's exit code: 0 ready, 1 not
 * ready or not reachable, 2 nobody can be asked; that of the last answer with watch. */
#include <stdbool.h>

int fl_status(const char *conf_path, bool json, bool watch);

#endif
