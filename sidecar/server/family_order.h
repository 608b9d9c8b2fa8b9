/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_SERVER_FAMILY_ORDER_H
#define FL_SERVER_FAMILY_ORDER_H
/* family_order - which addresses of a name that has both kinds are dialled first (RFC 6724 section 6: one that this machine
 * has a way to, then by the policy table). Main loop. */
#include "server/names.h"

/* Of which half: 0 or 1. */
unsigned fl_family_goes_first(const struct fl_name *name);

#endif
