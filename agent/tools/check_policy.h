/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_TOOLS_CHECK_POLICY_H
#define FL_AGENT_TOOLS_CHECK_POLICY_H
/* check_policy - the policy as `check` shows it: each rule with its conditions and its exceptions. Thread: any. Nothing
 * fails. */
#include <stdio.h>

#include "base/json.h"
#include "conf/conf.h"
#include "policy/policy.h"

/* As lines of text. */
void fl_check_policy_text(const struct fl_conf *conf, FILE *out);
/* The member "policy" of the object that json is in. */
void fl_check_policy_json(struct fl_json *json, const struct fl_conf *conf);

#endif
