/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_REDIRECT_H
#define FL_AGENT_REDIRECT_H
/* redirect - `fairlead-agent redirect`: the rules that lead the pod's connections through the sidecar.
 *
 * Each returns the process's exit code: 0, or 2 after a sentence on stderr. */
#include "base/text.h"
#include "conf/conf.h"

int fl_redirect_apply(const char *conf_path);
int fl_redirect_remove(const char *conf_path);
int fl_redirect_print(const char *conf_path);

/* For `status`: a line for each counter of the rules that has seen any, or one that says why there is nothing to
 * read. Nothing where the INI has no [redirect]. begin: what a line begins with, called with its place. */
void fl_redirect_counters(const struct fl_conf *conf, struct fl_text *out,
			  void (*begin)(struct fl_text *out, bool first));

#endif
