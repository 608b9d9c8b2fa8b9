/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_SERVER_RESTRICT_FILES_H
#define FL_SERVER_RESTRICT_FILES_H
/* restrict_files - the sidecar's part of the sandbox that concerns files. */
#include "base/sandbox.h"
#include "conf/conf.h"

/* Call it when all listeners are bound and nothing more is to be opened, before there are other threads. What remains: removing
 * the Unix sockets that we have made, at the end. */
void fl_server_restrict_files(const struct fl_conf *conf, struct fl_sandbox *sandbox);

#endif
