/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_TOOLS_CHECK_HINTS_H
#define FL_AGENT_TOOLS_CHECK_HINTS_H
/* check_hints - reports correct settings that may not do what is expected: software that uses the source address of a
 * connection, where the app sees the sidecar's address. Part of the report of `check`; hints do not change the verdict. */
#include <stdio.h>

#include "base/json.h"
#include "conf/conf.h"

/* One line each, with the label `hint` before the first. */
void fl_check_hints_text(const struct fl_conf *conf, FILE *out);
/* "hints": an array of objects with `line` and `text`. */
void fl_check_hints_json(const struct fl_conf *conf, struct fl_json *json);

#endif
