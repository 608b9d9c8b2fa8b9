/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_CAPTURE_UPLINKS_H
#define FL_AGENT_CAPTURE_UPLINKS_H
/* outside - by which interfaces this network namespace reaches the rest of the world: those that a default route names.
 * Whoever comes in by one of them is a stranger, and not a container inside the pod. Thread: any. */
#include "agent/capture/ruleset.h"
#include "base/err.h"

/* Errors: FL_ERR_IO, the kernel does not tell; FL_ERR_LIMIT, there are more than FL_RULESET_UPLINKS_MAX. */
int fl_uplinks_read(struct fl_ruleset_uplinks *ret, struct fl_err *err) FL_MUST_USE;

#endif
