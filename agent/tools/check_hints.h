/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_TOOLS_CHECK_HINTS_H
#define FL_AGENT_TOOLS_CHECK_HINTS_H
/* hints - what is right as it stands, and may still not do what its author expects: software that takes the address of its
 * peer from a connection, where the app sees the sidecar's. Part of the report of `check`, without a say in its verdict. */
#include <stdio.h>

#include "base/json.h"
#include "conf/conf.h"

/* One line for each, `hint` before the first. */
void fl_check_hints_text(const struct fl_conf *conf, FILE *out);
/* "hints": an array of objects with `line` and `text`. */
void fl_check_hints_json(const struct fl_conf *conf, struct fl_json *json);

#endif
