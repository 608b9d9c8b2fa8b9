/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_CAPTURE_REDIRECT_H
#define FL_AGENT_CAPTURE_REDIRECT_H
/* redirect - the rules that lead the pod's connections through the sidecar, for other commands than `redirect` itself.
 * Blocks while nft runs. Thread: as child.h. */
#include <stdbool.h>

#include "base/text.h"

/* Does the INI have [redirect]? Also false: it cannot be read. */
bool fl_redirect_is_meant(const char *conf_path);

/* For `status`: appends what the rules of this network namespace have counted, or one line that says why that is not
 * known. Appends nothing without NET_ADMIN, which no container has that runs on in a pod: what the sidecar itself knows of
 * capture is in its own answer. begin: writes what each line begins with. */
void fl_redirect_counters(struct fl_text *out, void (*begin)(struct fl_text *out, bool first));

#endif
