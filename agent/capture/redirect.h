/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_CAPTURE_REDIRECT_H
#define FL_AGENT_CAPTURE_REDIRECT_H
/* redirect - `fairlead-agent redirect`: the rules that lead the pod's connections through the sidecar.
 *
 * Each returns the process's exit code: 0, or 2 after a sentence on stderr, and nothing has changed. */
#include <stdbool.h>

#include "base/text.h"

int fl_redirect_apply(const char *conf_path);
/* 1, after a sentence: captured connections are open, and nothing has changed. force: they do not matter. */
int fl_redirect_remove(bool force);
int fl_redirect_print(const char *conf_path);

/* Does the INI have [redirect]? false as well: it cannot be read. */
bool fl_redirect_is_meant(const char *conf_path);
/* For `status`: appends what the rules of this network namespace have seen, or one line that says why that is not
 * known. begin: puts what a line begins with. */
void fl_redirect_counters(struct fl_text *out, void (*begin)(struct fl_text *out, bool first));

#endif
