/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_POLICY_UPSTREAM_MAP_H
#define FL_POLICY_UPSTREAM_MAP_H
/* upstream_map - finds the upstream of a captured destination: by the exact address, otherwise by the longest prefix; within
 * one network, by the narrowest range of ports.
 *
 * Pure and I/O-free: the resolver adds the addresses of names. A map is filled, then immutable (except for the times of the
 * last answers for its names, which are atomic) and reference-counted: any thread may ask it, without locks and without
 * allocation. The cost of a look-up grows with the number of different prefix lengths and of names, not with that of
 * addresses.
 *
 * DNS must not switch mutual TLS off. So an address of a plaintext upstream's name is LOOSE: it is never found
 * if an entry that CLAIMS covers the same address and port, whichever was added first. */
#include <stdbool.h>
#include <stdint.h>

#include "base/cidr.h"
#include "base/inet.h"
#include "policy/policy.h"

struct fl_upstream_map;

/* One reference. */
struct fl_upstream_map *fl_upstream_map_new(void);
struct fl_upstream_map *fl_upstream_map_ref(struct fl_upstream_map *map); /* any thread */
void fl_upstream_map_unref(struct fl_upstream_map *map); /* any thread; NULL is fine */

/* --- filling, before it is shared ------------------------------------------------------------- */

enum fl_upstream_map_kind {
	FL_MAP_ORDINARY = 0, /* none of the following */
	FL_MAP_CLAIMS =
		1, /* of an mtls or refuse upstream: names of plaintext upstreams do not get it */
	FL_MAP_LOOSE = 2,  /* of a plaintext upstream's name */
	FL_MAP_HIDDEN = 4, /* of a fixed listener: never found, only claims */
};
/* upstream: the number that fl_upstream_map_find() returns. kind: bits of enum fl_upstream_map_kind. Of two equally specific
 * entries, the first one added is found (the INI has no such pair, but addresses of names may be one). */
void fl_upstream_map_add(struct fl_upstream_map *map, const struct fl_cidr *net,
			 struct fl_port_range ports, uint32_t upstream, unsigned kind);

enum fl_name_state {
	FL_NAME_UNASKED, /* not answered yet */
	FL_NAME_KNOWN,   /* the last answer had addresses */
	FL_NAME_MISSING, /* by the last answer it does not exist, or has no address */
	FL_NAME_FAILING, /* the last query was not answered */
};
struct fl_upstream_name {
	const char *host;    /* copied */
	const char *trouble; /* a sentence for every state except KNOWN; copied; NULL: none */
	struct fl_port_range ports; /* of its destinations; first > last: of a fixed listener */
	uint32_t upstream;
	enum fl_name_state state;
	bool has_address;     /* of the last answer, or of an earlier one */
	uint64_t asked_ms_v4; /* time of the query whose answer gave its addresses; 0: none. */
	uint64_t asked_ms_v6; /* Only for fl_upstream_map_add_name() */
};
/* Adds a name; its addresses, if it has any, are added one by one. While a name has no address, an unknown destination on its
 * ports belongs to no upstream (UNKNOWN): it may be an address of the name, and must not be served as if the upstream did not
 * exist. */
void fl_upstream_map_add_name(struct fl_upstream_map *map, const struct fl_upstream_name *name);

/* --- asking ------------------------------------------------------------------------------------ */

enum fl_match { FL_MATCH_NONE, FL_MATCH_FOUND, FL_MATCH_UNKNOWN };
/* NONE: it belongs to no upstream. UNKNOWN: it may be an address of this upstream, whose name has none so far. to->family must
 * not be 0. */
enum fl_match fl_upstream_map_find(const struct fl_upstream_map *map, const struct fl_inet *to,
				   uint32_t *ret_upstream);
/* The two steps of fl_upstream_map_find(): by the exact address, and by the networks that contain it. */
bool fl_upstream_map_find_address(const struct fl_upstream_map *map, const struct fl_inet *to,
				  uint32_t *ret_upstream);
bool fl_upstream_map_find_network(const struct fl_upstream_map *map, const struct fl_inet *to,
				  uint32_t *ret_upstream);
/* Does fl_upstream_map_find_address() find a LOOSE entry? */
bool fl_upstream_map_is_loose(const struct fl_upstream_map *map, const struct fl_inet *to);
/* Does an entry that CLAIMS cover some of these ports at that address, or at the IPv4 address inside it (NAT64)?
 * ret_upstream may be NULL. */
bool fl_upstream_map_is_claimed(const struct fl_upstream_map *map, const struct fl_cidr *address,
				struct fl_port_range ports, uint32_t *ret_upstream);

/* --- names --------------------------------------------------------------------------------------- */

#define FL_UPSTREAM_MAP_NO_NAME SIZE_MAX
/* The number of the first name with this port, beginning at that number; FL_UPSTREAM_MAP_NO_NAME: there is none. */
size_t fl_upstream_map_name_on(const struct fl_upstream_map *map, uint16_t port, size_t from);
/* The same for the names of that upstream, whatever their ports. */
size_t fl_upstream_map_name_of(const struct fl_upstream_map *map, uint32_t upstream, size_t from);
/* Borrowed; names are numbered in the order in which they were added. */
const struct fl_upstream_name *fl_upstream_map_name(const struct fl_upstream_map *map,
						    size_t number);
/* Answers to queries that are no older than this count as current: a second; more with very many names, which
 * bounds the queries per second. */
uint64_t fl_upstream_map_fresh_ms(const struct fl_upstream_map *map);
/* The time of the query whose answer gave its addresses of that family; 0: none. */
uint64_t fl_upstream_map_asked_ms(const struct fl_upstream_map *map, size_t number, int family);
/* Records that a query was answered again, without a change. Other threads may read meanwhile. */
void fl_upstream_map_confirm(struct fl_upstream_map *map, size_t number, int family,
			     uint64_t asked_ms);

#endif
