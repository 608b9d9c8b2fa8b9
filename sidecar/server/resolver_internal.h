/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_SERVER_RESOLVER_INTERNAL_H
#define FL_SERVER_RESOLVER_INTERNAL_H
/* The state that resolver.c keeps, and from which resolver_table.c builds the table. Private to
 * these two files. */
#include "count/dns_refusals.h"
#include "server/names.h"
#include "server/resolver.h"
#include "worker/wanted_names.h"

struct fl_resolved_item {
	const char *host;     /* of the INI; NULL: an IP address */
	struct fl_name *name; /* NULL: an IP address, or a name without a question so far */
	bool is_repeated;     /* the upstream has the same name before, with another port */
	union fl_sockaddr addr;
	struct fl_port_range ports; /* exactly one for a fixed listener */
};

struct fl_resolved {
	const struct fl_conf_upstream *upstream; /* of the resolver's conf */
	struct fl_resolved_item *items;
	size_t item_count;
	struct fl_targets *published;
};

struct fl_resolver {
	uv_loop_t *loop;
	struct fl_log *log;
	const struct fl_resolver_events *events;
	void *user;
	struct fl_names *names;
	struct fl_resolved *upstreams;
	size_t upstream_count;
	struct fl_upstream_map *table; /* the newest; a reference; NULL before the first */
	struct fl_name **entries;      /* the table's names; NULL: only imagined */
	size_t entry_count;
	uint64_t fresh_ms; /* of the table */
	bool withholds;    /* it withholds an address until other names have been answered */
	struct fl_dns_refusals *refusals;
	uint64_t first_round_until_ms; /* 0: it has not begun */
	bool first_round_is_over;
	uv_async_t wake; /* the table is outdated */
	bool is_outdated;
};

static inline bool fl_resolver_is_captured(const struct fl_resolved *resolved)
{
	return resolved->upstream->listen.kind == FL_ADDR_NONE;
}

/* May this item of an upstream have that address? Upstreams of other modes than plaintext may have
 * any. claims: a map that has all claims. is_in_use: false for a map that is only imagined. If
 * true, refused addresses are recorded, and names that must be answered first are asked for. */
bool fl_resolver_may_have(struct fl_resolver *resolver, const struct fl_upstream_map *claims,
			  const struct fl_resolved *resolved, const struct fl_resolved_item *item,
			  const struct fl_name_answer *answer, bool is_in_use);
/* Returns a new map: one reference. is_in_use: as for fl_resolver_may_have(). */
struct fl_upstream_map *fl_resolver_make_table(struct fl_resolver *resolver, bool is_in_use);

#endif
