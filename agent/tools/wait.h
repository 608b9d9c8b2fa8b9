/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_TOOLS_WAIT_H
#define FL_AGENT_TOOLS_WAIT_H
/* wait - `fairlead-agent wait`: asks the sidecar's /readyz until it says yes. Blocks; returns
 * the process's exit code: 0 ready, 1 not within timeout_ms, 2 nobody can be asked. */
int fl_wait(const char *conf_path, unsigned timeout_ms);

#endif
