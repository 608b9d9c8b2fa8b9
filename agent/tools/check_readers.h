/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_TOOLS_CHECK_READERS_H
#define FL_AGENT_TOOLS_CHECK_READERS_H
/* check_readers - finds files that `check` can read as root, but agent or sidecar cannot as their own users. Thread: any. */
#include "conf/conf.h"
#include "conf/problems.h"

/* Adds a warning for each file of [identity] and [federate] that the agent's user may not read, and for the INI, at ini_path, also
 * if the sidecar's may not; and one for each folder on the way to them that such a user may not search. By owner and mode alone:
 * what a group may do counts as permitted, because nobody here knows which groups they will have. Nothing if we are not root:
 * then they have been read without any privilege. */
void fl_check_readers(const struct fl_conf *conf, const char *ini_path,
		      struct fl_problems *problems);

#endif
