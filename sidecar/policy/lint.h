/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_POLICY_LINT_H
#define FL_POLICY_LINT_H
/* lint - rules that can never matter: what their author meant is not what they do. Pure. Thread: any.
 *
 * Found are: an allow rule all of which a deny rule refuses, a rule all of which an earlier one of the same
 * effect says, and a rule all of which its own exceptions take back. A rule in audit mode hides nothing from
 * others. What only several rules together cover is not looked for, nor which port a service has: what is
 * reported is certain. What it costs is bounded: a policy made of many thousand rules alike is not looked through to its
 * end. */
#include "policy/policy.h"

/* text: a sentence, borrowed for the call. line: where it belongs. */
typedef void (*fl_policy_lint_cb)(void *user, unsigned line, const char *text);

void fl_policy_lint(const struct fl_policy *policy, fl_policy_lint_cb report, void *user);

#endif
