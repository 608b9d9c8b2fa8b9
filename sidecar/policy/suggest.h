/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_POLICY_SUGGEST_H
#define FL_POLICY_SUGGEST_H
/* suggest - rules that a person may want. Pure. Thread: any. */
#include "policy/policy.h"

/* A name for a new rule, out of what it is about (a SPIFFE ID, whose path is taken, or any text): letters, digits and
 * `-` only, and one that no rule of the policy has. buf of FL_RULE_NAME_TEXT bytes; returns buf. */
#define FL_RULE_NAME_TEXT 64
const char *fl_policy_rule_name(const struct fl_policy *policy, const char *about, char *buf);

#endif
