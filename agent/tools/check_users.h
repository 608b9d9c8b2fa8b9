/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_TOOLS_CHECK_USERS_H
#define FL_AGENT_TOOLS_CHECK_USERS_H
/* check_users - finds what is wrong with the users that processes run as. Thread: any. */
#include "conf/conf.h"
#include "conf/problems.h"

/* Adds a warning if an app runs as the sidecar's user: the rules of capture take what it sends for the sidecar's, and it leaves in
 * plaintext. Seen in the network namespace that `check` runs in, so best in the pod: a process of [agent] sidecar_uid listens at a port that is no listener of the INI. Call it only for an INI
 * with [redirect]: on a machine without capture, several sidecars may share the user. */
void fl_check_users(const struct fl_conf *conf, struct fl_problems *problems);

#endif
