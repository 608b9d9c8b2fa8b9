/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_POLICY_UPSTREAM_MAP_H
#define FL_POLICY_UPSTREAM_MAP_H
/* upstream_map - which upstream a captured destination belongs to: the exact address, else the longest prefix; for one and the
 * same network the narrowest range of ports.
 *
 * Pure and I/O-free: whoever resolves names adds their addresses. A map is filled, then immutable (except for when its
 * names were last answered, which is atomic) and reference-counted: any thread may ask it, without locks and without
 * allocation, at a cost that grows with the number of different prefix lengths and of names, not with that of the
 * addresses.
 *
 * DNS must not switch mutual TLS off. So an address that a name of a plaintext upstream has is LOOSE: it is never found
 * where an entry that CLAIMS covers the same address and port, whichever was added first. */
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
	FL_MAP_CLAIMS = 1,   /* an mtls or refuse upstream's: plaintext names do not get it */
	FL_MAP_LOOSE = 2,    /* a plaintext upstream's name has it */
	FL_MAP_HIDDEN = 4,   /* never found, only claims: a fixed listener's */
};
/* upstream: the number that fl_upstream_map_find() gives. kind: bits of enum fl_upstream_map_kind. Of two that fit equally
 * well the one that was added first is found (the INI has no such pair; addresses of names may be one). */
void fl_upstream_map_add(struct fl_upstream_map *map, const struct fl_cidr *net,
			 struct fl_port_range ports, uint32_t upstream, unsigned kind);

enum fl_name_state {
	FL_NAME_UNASKED, /* not answered yet */
	FL_NAME_KNOWN,   /* the last answer had addresses */
	FL_NAME_MISSING, /* the last answer was that it does not exist, or has no address */
	FL_NAME_FAILING, /* the last question was not answered */
};
struct fl_upstream_name {
	const char *host;    /* copied */
	const char *trouble; /* a sentence about a state that is not KNOWN; copied; NULL: none */
	struct fl_port_range ports; /* of its destinations; first > last: of a fixed listener */
	uint32_t upstream;
	enum fl_name_state state;
	bool has_address;     /* of the last answer, or of an earlier one */
	uint64_t asked_ms_v4; /* when the question was asked whose answer its addresses are; */
	uint64_t asked_ms_v6; /* 0: never. Only for fl_upstream_map_add_name() */
};
/* A name, with or without addresses (which are added one by one). What might be one of its addresses and is none that is
 * known is nobody's as long as the name has no address: else it would be served as if the upstream were not there. */
void fl_upstream_map_add_name(struct fl_upstream_map *map, const struct fl_upstream_name *name);

/* --- asking ------------------------------------------------------------------------------------ */

enum fl_match { FL_MATCH_NONE, FL_MATCH_FOUND, FL_MATCH_UNKNOWN };
/* NONE: no upstream is about it. UNKNOWN: it may be an address of this upstream, which has none so far. to->family must
 * not be 0. */
enum fl_match fl_upstream_map_find(const struct fl_upstream_map *map, const struct fl_inet *to,
				   uint32_t *ret_upstream);
/* The two halves of it: by the address alone, and by the networks around it. */
bool fl_upstream_map_find_address(const struct fl_upstream_map *map, const struct fl_inet *to,
				  uint32_t *ret_upstream);
bool fl_upstream_map_find_network(const struct fl_upstream_map *map, const struct fl_inet *to,
				  uint32_t *ret_upstream);
/* Is what fl_upstream_map_find_address() finds a LOOSE entry? */
bool fl_upstream_map_is_loose(const struct fl_upstream_map *map, const struct fl_inet *to);
/* Does an entry that claims cover some of these ports at that address, or at the IPv4 address inside it (NAT64)?
 * ret_upstream may be NULL. */
bool fl_upstream_map_is_claimed(const struct fl_upstream_map *map, const struct fl_cidr *address,
				struct fl_port_range ports, uint32_t *ret_upstream);

/* --- names --------------------------------------------------------------------------------------- */

#define FL_UPSTREAM_MAP_NO_NAME SIZE_MAX
/* The number of the first name, from that number on, that has this port; FL_UPSTREAM_MAP_NO_NAME: there are no more. */
size_t fl_upstream_map_name_on(const struct fl_upstream_map *map, uint16_t port, size_t from);
/* The same for the names of that upstream, whatever their ports. */
size_t fl_upstream_map_name_of(const struct fl_upstream_map *map, uint32_t upstream, size_t from);
/* Borrowed; numbers are those of the order in which they were added. */
const struct fl_upstream_name *fl_upstream_map_name(const struct fl_upstream_map *map,
						    size_t number);
/* Answers that were asked for so long ago are as good as new: a second; more where there are very many names, which
 * bounds the questions a second. */
uint64_t fl_upstream_map_fresh_ms(const struct fl_upstream_map *map);
/* When the question was asked whose answer its addresses of that family are; 0: never. */
uint64_t fl_upstream_map_asked_ms(const struct fl_upstream_map *map, size_t number, int family);
/* It has been answered again, and nothing is different. Any thread may be asking meanwhile. */
void fl_upstream_map_confirm(struct fl_upstream_map *map, size_t number, int family,
			     uint64_t asked_ms);

#endif
