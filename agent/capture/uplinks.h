/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_CAPTURE_UPLINKS_H
#define FL_AGENT_CAPTURE_UPLINKS_H
/* uplinks - the interfaces by which this network namespace reaches the rest of the world: those of its default routes.
 * What arrives at one of them comes from outside, not from a container inside the pod. Thread: any. */
#include "agent/capture/ruleset.h"
#include "base/err.h"

/* Reads them from /proc. Errors: FL_ERR_IO, it cannot be read; FL_ERR_LIMIT, there are more than FL_RULESET_UPLINKS_MAX. */
int fl_uplinks_read(struct fl_ruleset_uplinks *ret, struct fl_err *err) FL_MUST_USE;

#endif
