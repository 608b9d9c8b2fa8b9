/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One hash table of networks; a list of the prefix lengths that occur, longest first; for each network its ranges of
 * ports, narrowest first. A look-up asks the table once for each length, so that thousands of addresses cost what one
 * costs. Nothing here fails. */
#include "policy/routes.h"

#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "base/mem.h"

#define LENGTHS 129 /* prefixes of 0 to 128 bits */

struct range {
	struct fl_port_range ports;
	uint32_t upstream;
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

struct fl_routes {
	unsigned refs; /* atomic */
	struct network *networks;
	struct lengths v4, v6;
	struct ranges unknown;
};

/* --- life --------------------------------------------------------------------------------------- */

struct fl_routes *fl_routes_new(void)
{
	struct fl_routes *routes = fl_new(sizeof(*routes));

	routes->refs = 1;
	return routes;
}

struct fl_routes *fl_routes_ref(struct fl_routes *routes)
{
	__atomic_add_fetch(&routes->refs, 1, __ATOMIC_RELAXED);
	return routes;
}

void fl_routes_unref(struct fl_routes *routes)
{
	struct network *network, *next;

	if (routes == NULL || __atomic_sub_fetch(&routes->refs, 1, __ATOMIC_ACQ_REL) > 0) {
		return;
	}
	network = routes->networks;
	HASH_CLEAR(hh, routes->networks); /* the table; the networks stay a list */
	for (; network != NULL; network = next) {
		next = network->hh.next;
		free(network->ranges.items);
		free(network);
	}
	free(routes->unknown.items);
	free(routes);
}

/* --- filling ------------------------------------------------------------------------------------ */

static unsigned width(struct fl_port_range ports)
{
	return (unsigned)ports.last - ports.first;
}

static void add_range(struct ranges *ranges, struct fl_port_range ports, uint32_t upstream)
{
	size_t at = ranges->count;

	ranges->items = fl_grow(ranges->items, ranges->count + 1, sizeof(*ranges->items));
	while (at > 0 && width(ranges->items[at - 1].ports) > width(ports)) {
		ranges->items[at] = ranges->items[at - 1];
		at--;
	}
	ranges->items[at] = (struct range){.ports = ports, .upstream = upstream};
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
static struct network *find_network(const struct fl_routes *routes, const struct fl_cidr *key)
{
	struct network *found = NULL;

	HASH_FIND(hh, routes->networks, key, sizeof(*key), found);
	return found;
}

/* NOLINTNEXTLINE(readability-function-size): what is large is uthash's macro */
static struct network *add_network(struct fl_routes *routes, const struct fl_cidr *key)
{
	struct network *network = fl_new(sizeof(*network));

	network->key = *key;
	HASH_ADD(hh, routes->networks, key, sizeof(network->key), network);
	return network;
}

void fl_routes_add(struct fl_routes *routes, const struct fl_cidr *net, struct fl_port_range ports,
		   uint32_t upstream)
{
	struct fl_cidr key = key_of(net->family, net->bits, net->addr);
	struct network *network = find_network(routes, &key);

	if (network == NULL) {
		network = add_network(routes, &key);
		note_length(net->family == AF_INET ? &routes->v4 : &routes->v6, net->bits);
	}
	add_range(&network->ranges, ports, upstream);
}

void fl_routes_add_unknown(struct fl_routes *routes, struct fl_port_range ports, uint32_t upstream)
{
	add_range(&routes->unknown, ports, upstream);
}

/* --- asking ------------------------------------------------------------------------------------- */

static bool find_range(const struct ranges *ranges, uint16_t port, uint32_t *ret_upstream)
{
	for (size_t i = 0; i < ranges->count; i++) {
		if (port >= ranges->items[i].ports.first && port <= ranges->items[i].ports.last) {
			*ret_upstream = ranges->items[i].upstream;
			return true;
		}
	}
	return false;
}

static bool find_in(const struct fl_routes *routes, uint8_t bits, const struct fl_inet *to,
		    uint32_t *ret_upstream)
{
	struct fl_cidr key = key_of((sa_family_t)to->family, bits, to->ip);
	const struct network *network = find_network(routes, &key);

	return network != NULL && find_range(&network->ranges, to->port, ret_upstream);
}

enum fl_match fl_routes_find(const struct fl_routes *routes, const struct fl_inet *to,
			     uint32_t *ret_upstream)
{
	const struct lengths *lengths = to->family == AF_INET ? &routes->v4 : &routes->v6;
	uint8_t single = to->family == AF_INET ? 32 : 128;
	size_t i = 0;

	if (lengths->count > 0 && lengths->bits[0] == single) {
		if (find_in(routes, single, to, ret_upstream)) {
			return FL_MATCH_FOUND;
		}
		i = 1;
	}
	if (find_range(&routes->unknown, to->port, ret_upstream)) {
		return FL_MATCH_UNKNOWN;
	}
	for (; i < lengths->count; i++) {
		if (find_in(routes, lengths->bits[i], to, ret_upstream)) {
			return FL_MATCH_FOUND;
		}
	}
	return FL_MATCH_NONE;
}
