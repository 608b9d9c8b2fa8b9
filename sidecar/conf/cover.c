/* SPDX-License-Identifier: GPL-3.0-or-later */
/* cover - sorted by network (short prefixes first), then by ports. */
#include "conf/cover.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* --- order ------------------------------------------------------------------------------------ */

static int compare_nets(const struct fl_cidr *a, const struct fl_cidr *b)
{
	if (a->family != b->family) {
		return a->family < b->family ? -1 : 1;
	}
	if (a->bits != b->bits) {
		return a->bits < b->bits ? -1 : 1;
	}
	return memcmp(a->addr, b->addr, sizeof(a->addr));
}

static int compare_items(const void *left, const void *right)
{
	const struct fl_cover_item *a = left, *b = right;
	int rc = compare_nets(&a->net, &b->net);

	if (rc != 0) {
		return rc;
	}
	if (a->ports.first != b->ports.first) {
		return a->ports.first < b->ports.first ? -1 : 1;
	}
	return a->ports.last < b->ports.last ? -1 : a->ports.last > b->ports.last;
}

/* `*` begins at 0, which is no port: so it is the same as 1-65535. */
static struct fl_port_range without_zero(struct fl_port_range ports)
{
	return (struct fl_port_range){ports.first > 0 ? ports.first : 1, ports.last};
}

void fl_cover_add(struct fl_cover *cover, const struct fl_cidr *net, struct fl_port_range ports,
		  const void *of)
{
	cover->items = fl_grow(cover->items, cover->count + 1, sizeof(*cover->items));
	cover->items[cover->count++] = (struct fl_cover_item){*net, without_zero(ports), of};
	(net->family == AF_INET ? cover->has_bits4 : cover->has_bits6)[net->bits] = true;
}

void fl_cover_sort(struct fl_cover *cover)
{
	size_t count = 0;

	if (cover->count > 1) {
		qsort(cover->items, cover->count, sizeof(*cover->items), compare_items);
	}
	for (size_t i = 0; i < cover->count; i++) {
		struct fl_cover_item *last = count > 0 ? &cover->items[count - 1] : NULL;
		const struct fl_cover_item *next = &cover->items[i];

		if (last == NULL || compare_nets(&last->net, &next->net) != 0 ||
		    next->ports.first > (unsigned)last->ports.last + 1) {
			cover->items[count++] = *next;
		} else if (next->ports.last > last->ports.last) {
			last->ports.last = next->ports.last;
		}
	}
	cover->count = count;
}

/* --- questions -------------------------------------------------------------------------------- */

/* The index of the first item that is behind this network and port. */
static size_t upper_bound(const struct fl_cover *cover, const struct fl_cidr *net, uint16_t port)
{
	size_t from = 0, to = cover->count;

	while (from < to) {
		size_t middle = from + (to - from) / 2;
		const struct fl_cover_item *item = &cover->items[middle];
		int rc = compare_nets(&item->net, net);

		if (rc < 0 || (rc == 0 && item->ports.first <= port)) {
			from = middle + 1;
		} else {
			to = middle;
		}
	}
	return from;
}

/* The last item of exactly this network whose range begins at this port or before; NULL: there is none. */
static const struct fl_cover_item *last_before(const struct fl_cover *cover,
					       const struct fl_cidr *net, uint16_t port)
{
	size_t at = upper_bound(cover, net, port);

	return at > 0 && compare_nets(&cover->items[at - 1].net, net) == 0 ? &cover->items[at - 1]
									   : NULL;
}

static const bool *lengths(const struct fl_cover *cover, const struct fl_cidr *net)
{
	return net->family == AF_INET ? cover->has_bits4 : cover->has_bits6;
}

/* The item of a network around net, or of net itself, that has one of these ports or (all) each of them; NULL: none. */
static const struct fl_cover_item *find_around(const struct fl_cover *cover,
					       const struct fl_cidr *net,
					       struct fl_port_range ports, bool all)
{
	for (unsigned bits = 0; bits <= net->bits; bits++) {
		if (lengths(cover, net)[bits]) {
			struct fl_cidr wide = fl_cidr_widened(net, bits);
			const struct fl_cover_item *item =
				last_before(cover, &wide, all ? ports.first : ports.last);

			if (item != NULL && item->ports.last >= (all ? ports.last : ports.first)) {
				return item;
			}
		}
	}
	return NULL;
}

/* Is there an item of a network inside net, which is not net itself? */
static bool has_inside(const struct fl_cover *cover, const struct fl_cidr *net)
{
	unsigned most = net->family == AF_INET ? 32 : 128;

	for (unsigned bits = net->bits + 1u; bits <= most; bits++) {
		if (lengths(cover, net)[bits]) {
			struct fl_cidr lowest = *net;
			size_t at;

			lowest.bits = (uint8_t)bits;
			at = upper_bound(cover, &lowest, 0);
			if (at < cover->count && fl_cidr_covers(net, &cover->items[at].net)) {
				return true;
			}
		}
	}
	return false;
}

const struct fl_cover_item *fl_cover_find(const struct fl_cover *cover, const struct fl_cidr *net,
					  struct fl_port_range ports)
{
	return find_around(cover, net, without_zero(ports), true);
}

bool fl_cover_may_meet(const struct fl_cover *cover, const struct fl_cidr *net,
		       struct fl_port_range ports)
{
	return find_around(cover, net, without_zero(ports), false) != NULL ||
	       has_inside(cover, net);
}

void fl_cover_done(struct fl_cover *cover)
{
	free(cover->items);
	*cover = (struct fl_cover){0};
}
