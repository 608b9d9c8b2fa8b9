/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_TOOLS_CONTROL_H
#define FL_AGENT_TOOLS_CONTROL_H
/* control - what changes a running sidecar, over `[sidecar] control`: `fairlead-agent drain` and `log-level`.
 * Each prints what the sidecar has done, and returns the exit code: 0 done; 1 not reachable, or refused; 2 it cannot
 * be asked. */

int fl_control_drain(const char *conf_path);
int fl_control_log_level(const char *conf_path, const char *level);

#endif
