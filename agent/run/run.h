/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_RUN_RUN_H
#define FL_AGENT_RUN_RUN_H
/* run - `fairlead-agent run`: validate, push, stay. Returns the process's exit code: 0 after
 * SIGTERM or SIGINT, 2 when it could not start. */
int fl_run(const char *conf_path);

#endif
