/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_TOOLS_STATUS_SANDBOX_H
#define FL_AGENT_TOOLS_STATUS_SANDBOX_H
/* status_sandbox - what protects the machine from a sidecar that somebody has taken over, for `status`. Pure. */
#include <cjson/cJSON.h>

#include "base/text.h"

/* Appends the line "seccomp, Landlock 7", with what is not in force in capitals, from the document of /status; nothing if the
 * sidecar is an older version and does not say. begin: begins the line with this name. */
void fl_status_sandbox_put(const cJSON *status, struct fl_text *out,
			   void (*begin)(struct fl_text *out, const char *name));

#endif
