/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One hash table of networks; a list of the prefix lengths in use, longest first; for each network its ranges of
 * ports, narrowest first. A look-up asks the table once for each length, so thousands of addresses cost no more than
 * one. Names are few: a list. Nothing here fails. */
#include "policy/upstream_map.h"

#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "base/mem.h"

#define LENGTHS 129 /* prefixes of 0 to 128 bits */

struct range {
	struct fl_port_range ports;
	uint32_t upstream;
	unsigned kind;
};

struct ranges { /* narrowest first */
	struct range *items;
	size_t count;
};

struct network {
	struct fl_cidr key;
	struct ranges ranges;
	UT_hash_handle hh;
};

/* Of one family, longest first. */
struct lengths {
	uint8_t bits[LENGTHS];
	size_t count;
};

struct name {
	struct fl_upstream_name about;
	uint64_t asked_ms[2]; /* atomic; IPv4, IPv6 */
};

struct fl_upstream_map {
	unsigned refs; /* atomic */
	struct network *networks;
	struct lengths v4, v6;
	bool has_claims;
	struct name *names;
	size_t name_count;
};

/* --- life --------------------------------------------------------------------------------------- */

struct fl_upstream_map *fl_upstream_map_new(void)
{
	struct fl_upstream_map *map = fl_new(sizeof(*map));

	map->refs = 1;
	return map;
}

struct fl_upstream_map *fl_upstream_map_ref(struct fl_upstream_map *map)
{
	__atomic_add_fetch(&map->refs, 1, __ATOMIC_RELAXED);
	return map;
}

void fl_upstream_map_unref(struct fl_upstream_map *map)
{
	struct network *network, *next;

	if (map == NULL || __atomic_sub_fetch(&map->refs, 1, __ATOMIC_ACQ_REL) > 0) {
		return;
	}
	network = map->networks;
	HASH_CLEAR(hh, map->networks); /* the table; the networks stay a list */
	for (; network != NULL; network = next) {
		next = network->hh.next;
		free(network->ranges.items);
		free(network);
	}
	for (size_t i = 0; i < map->name_count; i++) {
		free((char *)map->names[i].about.host);
		free((char *)map->names[i].about.trouble);
	}
	free(map->names);
	free(map);
}

/* --- filling ------------------------------------------------------------------------------------ */

static unsigned width(struct fl_port_range ports)
{
	return (unsigned)ports.last - ports.first;
}

static void add_range(struct ranges *ranges, struct fl_port_range ports, uint32_t upstream,
		      unsigned kind)
{
	size_t at = ranges->count;

	ranges->items = fl_grow(ranges->items, ranges->count + 1, sizeof(*ranges->items));
	while (at > 0 && width(ranges->items[at - 1].ports) > width(ports)) {
		ranges->items[at] = ranges->items[at - 1];
		at--;
	}
	ranges->items[at] = (struct range){.ports = ports, .upstream = upstream, .kind = kind};
	ranges->count++;
}

static void note_length(struct lengths *lengths, uint8_t bits)
{
	size_t at = lengths->count;

	if (memchr(lengths->bits, bits, lengths->count) != NULL) {
		return;
	}
	while (at > 0 && lengths->bits[at - 1] < bits) {
		lengths->bits[at] = lengths->bits[at - 1];
		at--;
	}
	lengths->bits[at] = bits;
	lengths->count++;
}

/* Without padding that could differ: the key is compared byte for byte. */
_Static_assert(sizeof(struct fl_cidr) == 20, "family, bits, address and one byte of padding");

static struct fl_cidr key_of(sa_family_t family, uint8_t bits, const uint8_t *addr)
{
	struct fl_cidr key;
	unsigned whole = bits / 8u, rest = bits % 8u;

	memset(&key, 0, sizeof(key));
	key.family = family;
	key.bits = bits;
	memcpy(key.addr, addr, whole);
	if (rest != 0) {
		key.addr[whole] = (uint8_t)(addr[whole] & (0xffu << (8u - rest)));
	}
	return key;
}

/* NOLINTNEXTLINE(readability-function-size): what is large is uthash's macro */
static struct network *find_network(const struct fl_upstream_map *map, const struct fl_cidr *key)
{
	struct network *found = NULL;

	HASH_FIND(hh, map->networks, key, sizeof(*key), found);
	return found;
}

/* NOLINTNEXTLINE(readability-function-size): what is large is uthash's macro */
static struct network *add_network(struct fl_upstream_map *map, const struct fl_cidr *key)
{
	struct network *network = fl_new(sizeof(*network));

	network->key = *key;
	HASH_ADD(hh, map->networks, key, sizeof(network->key), network);
	return network;
}

void fl_upstream_map_add(struct fl_upstream_map *map, const struct fl_cidr *net,
			 struct fl_port_range ports, uint32_t upstream, unsigned kind)
{
	struct fl_cidr key = key_of(net->family, net->bits, net->addr);
	struct network *network = find_network(map, &key);

	if (network == NULL) {
		network = add_network(map, &key);
		note_length(net->family == AF_INET ? &map->v4 : &map->v6, net->bits);
	}
	add_range(&network->ranges, ports, upstream, kind);
	map->has_claims = map->has_claims || (kind & FL_MAP_CLAIMS) != 0;
}

void fl_upstream_map_add_name(struct fl_upstream_map *map, const struct fl_upstream_name *name)
{
	struct name *added;

	map->names = fl_grow(map->names, map->name_count + 1, sizeof(*map->names));
	added = &map->names[map->name_count++];
	*added = (struct name){.about = *name, .asked_ms = {name->asked_ms_v4, name->asked_ms_v6}};
	added->about.host = fl_strdup(name->host);
	added->about.trouble = fl_strdup(name->trouble);
}

/* --- asking ------------------------------------------------------------------------------------- */

static struct fl_port_range one_port(uint16_t port)
{
	return (struct fl_port_range){port, port};
}

static bool overlap(struct fl_port_range a, struct fl_port_range b)
{
	return a.first <= b.last && b.first <= a.last;
}

static const struct ranges *ranges_of(const struct fl_upstream_map *map, int family, uint8_t bits,
				      const uint8_t *addr)
{
	static const struct ranges none;
	struct fl_cidr key = key_of((sa_family_t)family, bits, addr);
	const struct network *network = find_network(map, &key);

	return network != NULL ? &network->ranges : &none;
}

static bool claims(const struct ranges *ranges, struct fl_port_range ports, uint32_t *ret_upstream)
{
	for (size_t i = 0; i < ranges->count; i++) {
		const struct range *range = &ranges->items[i];

		if ((range->kind & FL_MAP_CLAIMS) != 0 && overlap(range->ports, ports)) {
			if (ret_upstream != NULL) {
				*ret_upstream = range->upstream;
			}
			return true;
		}
	}
	return false;
}

static bool is_claimed(const struct fl_upstream_map *map, int family, const uint8_t *addr,
		       struct fl_port_range ports, uint32_t *ret_upstream)
{
	const struct lengths *lengths = family == AF_INET ? &map->v4 : &map->v6;

	for (size_t i = 0; i < lengths->count; i++) {
		if (claims(ranges_of(map, family, lengths->bits[i], addr), ports, ret_upstream)) {
			return true;
		}
	}
	return false;
}

bool fl_upstream_map_is_claimed(const struct fl_upstream_map *map, const struct fl_cidr *address,
				struct fl_port_range ports, uint32_t *ret_upstream)
{
	if (!map->has_claims) {
		return false;
	}
	if (is_claimed(map, address->family, address->addr, ports, ret_upstream)) {
		return true;
	}
	return address->family == AF_INET6 && fl_inet_is_nat64(address->addr) &&
	       is_claimed(map, AF_INET, &address->addr[12], ports, ret_upstream);
}

static bool is_claimed_at(const struct fl_upstream_map *map, const struct fl_inet *to)
{
	struct fl_cidr address =
		key_of((sa_family_t)to->family, to->family == AF_INET ? 32 : 128, to->ip);

	return fl_upstream_map_is_claimed(map, &address, one_port(to->port), NULL);
}

static const struct range *range_in(const struct fl_upstream_map *map, uint8_t bits,
				    const struct fl_inet *to)
{
	const struct ranges *ranges = ranges_of(map, to->family, bits, to->ip);

	for (size_t i = 0; i < ranges->count; i++) {
		const struct range *range = &ranges->items[i];

		if (overlap(range->ports, one_port(to->port)) &&
		    (range->kind & FL_MAP_HIDDEN) == 0 &&
		    ((range->kind & FL_MAP_LOOSE) == 0 || !is_claimed_at(map, to))) {
			return range;
		}
	}
	return NULL;
}

static bool find_in(const struct fl_upstream_map *map, uint8_t bits, const struct fl_inet *to,
		    uint32_t *ret_upstream)
{
	const struct range *range = range_in(map, bits, to);

	if (range != NULL) {
		*ret_upstream = range->upstream;
	}
	return range != NULL;
}

static uint8_t single_of(const struct fl_inet *to)
{
	return to->family == AF_INET ? 32 : 128;
}

bool fl_upstream_map_find_address(const struct fl_upstream_map *map, const struct fl_inet *to,
				  uint32_t *ret_upstream)
{
	return find_in(map, single_of(to), to, ret_upstream);
}

bool fl_upstream_map_is_loose(const struct fl_upstream_map *map, const struct fl_inet *to)
{
	const struct range *range = range_in(map, single_of(to), to);

	return range != NULL && (range->kind & FL_MAP_LOOSE) != 0;
}

bool fl_upstream_map_find_network(const struct fl_upstream_map *map, const struct fl_inet *to,
				  uint32_t *ret_upstream)
{
	const struct lengths *lengths = to->family == AF_INET ? &map->v4 : &map->v6;

	for (size_t i = 0; i < lengths->count; i++) {
		if (lengths->bits[i] != single_of(to) &&
		    find_in(map, lengths->bits[i], to, ret_upstream)) {
			return true;
		}
	}
	return false;
}

/* The name without an address that has this port in the narrowest range. */
static const struct fl_upstream_name *unknown_name(const struct fl_upstream_map *map, uint16_t port)
{
	const struct fl_upstream_name *found = NULL;

	for (size_t i = 0; i < map->name_count; i++) {
		const struct fl_upstream_name *name = &map->names[i].about;

		if (!name->has_address && overlap(name->ports, one_port(port)) &&
		    (found == NULL || width(name->ports) < width(found->ports))) {
			found = name;
		}
	}
	return found;
}

enum fl_match fl_upstream_map_find(const struct fl_upstream_map *map, const struct fl_inet *to,
				   uint32_t *ret_upstream)
{
	const struct fl_upstream_name *name;

	if (fl_upstream_map_find_address(map, to, ret_upstream)) {
		return FL_MATCH_FOUND;
	}
	name = unknown_name(map, to->port);
	if (name != NULL) {
		*ret_upstream = name->upstream;
		return FL_MATCH_UNKNOWN;
	}
	return fl_upstream_map_find_network(map, to, ret_upstream) ? FL_MATCH_FOUND : FL_MATCH_NONE;
}

/* --- names --------------------------------------------------------------------------------------- */

#define FRESH_MS 1000u
#define NAMES_A_SECOND 100u

size_t fl_upstream_map_name_on(const struct fl_upstream_map *map, uint16_t port, size_t from)
{
	for (size_t i = from; i < map->name_count; i++) {
		if (overlap(map->names[i].about.ports, one_port(port))) {
			return i;
		}
	}
	return FL_UPSTREAM_MAP_NO_NAME;
}

size_t fl_upstream_map_name_of(const struct fl_upstream_map *map, uint32_t upstream, size_t from)
{
	for (size_t i = from; i < map->name_count; i++) {
		if (map->names[i].about.upstream == upstream) {
			return i;
		}
	}
	return FL_UPSTREAM_MAP_NO_NAME;
}

const struct fl_upstream_name *fl_upstream_map_name(const struct fl_upstream_map *map,
						    size_t number)
{
	return &map->names[number].about;
}

uint64_t fl_upstream_map_fresh_ms(const struct fl_upstream_map *map)
{
	uint64_t all = map->name_count * 1000u / NAMES_A_SECOND;

	return all > FRESH_MS ? all : FRESH_MS;
}

uint64_t fl_upstream_map_asked_ms(const struct fl_upstream_map *map, size_t number, int family)
{
	return __atomic_load_n(&map->names[number].asked_ms[family != AF_INET], __ATOMIC_ACQUIRE);
}

void fl_upstream_map_confirm(struct fl_upstream_map *map, size_t number, int family,
			     uint64_t asked_ms)
{
	__atomic_store_n(&map->names[number].asked_ms[family != AF_INET], asked_ms,
			 __ATOMIC_RELEASE);
}
