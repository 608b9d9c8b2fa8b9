/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_RUN_RESTRICT_H
#define FL_AGENT_RUN_RESTRICT_H
/* restrict - the agent's sandbox: it reads the folders that the INI names, and makes its own socket; no other file, no network,
 * no program.
 *
 * A folder is allowed as the path leads to it, links included, together with those that the links are in. So is the folder above
 * it on the same file system, because a folder can be replaced as a whole, unless that is a folder of the system (`/etc`).
 * A folder that does not exist yet is allowed with what exists of its path. */
#include "conf/conf.h"

/* Call it when the socket is open, before any credential is read. conf_path: the INI. Main thread. */
void fl_restrict_agent(const char *conf_path, const struct fl_conf *conf, struct fl_log *log);

#endif
