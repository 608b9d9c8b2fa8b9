/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_SERVER_FAMILY_ORDER_H
#define FL_SERVER_FAMILY_ORDER_H
/* family_order - which addresses are dialled first if a name has both A and AAAA records: first the
 * family that this machine has a route for, then the order of the policy table (RFC 6724 section
 * 6). Thread: main. */
#include "server/names.h"

/* Returns the half to dial first: 0 (A) or 1 (AAAA). */
unsigned fl_family_goes_first(const struct fl_name *name);

#endif
