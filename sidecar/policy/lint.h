/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_POLICY_LINT_H
#define FL_POLICY_LINT_H
/* lint - finds rules that have no effect, and so do not do what their author meant. Pure. Thread: any.
 *
 * It finds an allow rule that a deny rule covers completely, a rule that an earlier one of the same
 * effect covers completely, a rule that its own exceptions cover completely, and an exception of something that the rule does
 * not apply to anyway. A rule in audit mode covers nothing.
 * It does not check whether several rules together cover another one, nor which port a service has, so every report is
 * certain. Its cost is bounded: in a policy with many thousands of similar rules it stops before the end. */
#include "policy/policy.h"

/* text: a sentence, borrowed for the call. line: where it belongs. */
typedef void (*fl_policy_lint_cb)(void *user, unsigned line, const char *text);

void fl_policy_lint(const struct fl_policy *policy, fl_policy_lint_cb report, void *user);

#endif
