/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_POLICY_ROUTES_H
#define FL_POLICY_ROUTES_H
/* routes - which upstream a captured destination belongs to: the exact address, else the longest prefix; for one and the
 * same network the narrowest range of ports.
 *
 * Pure and I/O-free: whoever resolves names adds their addresses. A table is filled, then immutable and
 * reference-counted: any thread may ask it, without locks and without allocation, at a cost that grows with the number
 * of different prefix lengths and not with that of the entries. */
#include <stdbool.h>
#include <stdint.h>

#include "base/cidr.h"
#include "base/inet.h"
#include "policy/policy.h"

struct fl_routes;

/* One reference. */
struct fl_routes *fl_routes_new(void);
struct fl_routes *fl_routes_ref(struct fl_routes *routes); /* any thread */
void fl_routes_unref(struct fl_routes *routes);            /* any thread; NULL is fine */

/* --- filling, before it is shared ------------------------------------------------------------- */

/* upstream: number that fl_routes_find() gives. Of two that fit equally well the one that was added first is found
 * (the INI has no such pair; addresses of names may be one). */
void fl_routes_add(struct fl_routes *routes, const struct fl_cidr *net, struct fl_port_range ports,
		   uint32_t upstream);
/* A name that has no address so far. What might be one of its addresses is nobody's: all on these ports but the
 * addresses that are named one by one. Else it would be served as if the upstream were not there. */
void fl_routes_add_unknown(struct fl_routes *routes, struct fl_port_range ports, uint32_t upstream);

/* --- asking ------------------------------------------------------------------------------------ */

enum fl_match { FL_MATCH_NONE, FL_MATCH_FOUND, FL_MATCH_UNKNOWN };
/* NONE: no upstream is about it. UNKNOWN: it may be an address of this upstream. to->family must not be 0. */
enum fl_match fl_routes_find(const struct fl_routes *routes, const struct fl_inet *to,
			     uint32_t *ret_upstream);

#endif
