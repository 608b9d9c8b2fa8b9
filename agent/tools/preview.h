/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_TOOLS_PREVIEW_H
#define FL_AGENT_TOOLS_PREVIEW_H
/* preview - `fairlead-agent preview`: what a candidate would do to the connections that the sidecar has open. */
#include <stdbool.h>
#include <stddef.h>

/* files: INIs, bundles, CRLs, or TRUST_DOMAIN=BUNDLE; each takes the place of what is mounted, which the rest of the
 * candidate is. Returns the exit code: 0 nothing would change for anybody, 1 something would, 2 refused or no answer. */
int fl_preview(const char *conf_path, const char *const *files, size_t count, bool json);

#endif
