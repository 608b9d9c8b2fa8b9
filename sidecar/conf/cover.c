/* SPDX-License-Identifier: GPL-3.0-or-later */
/* cover - a sorted list for each length of prefix.
 *
 * Sorting extends the ports of each item by those that networks around it have next to them, and makes what both halves of a
 * network have an item of the network. So whatever several items cover together, one item covers alone. */
#include "conf/cover.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* --- ranges of ports -------------------------------------------------------------------------- */

/* `*` begins at 0, which is no port: so it is the same as 1-65535. */
static struct fl_port_range without_zero(struct fl_port_range ports)
{
	return (struct fl_port_range){ports.first > 0 ? ports.first : 1, ports.last};
}

/* Do they overlap or adjoin? */
static bool touch(struct fl_port_range a, struct fl_port_range b)
{
	return a.first <= b.last + 1u && b.first <= a.last + 1u;
}

static struct fl_port_range joined(struct fl_port_range a, struct fl_port_range b)
{
	return (struct fl_port_range){a.first < b.first ? a.first : b.first,
				      a.last > b.last ? a.last : b.last};
}

/* Without any port (first > last) if they do not overlap. */
static struct fl_port_range shared(struct fl_port_range a, struct fl_port_range b)
{
	return (struct fl_port_range){a.first > b.first ? a.first : b.first,
				      a.last < b.last ? a.last : b.last};
}

/* --- networks of one length ------------------------------------------------------------------- */

static int compare_nets(const struct fl_cidr *a, const struct fl_cidr *b)
{
	return memcmp(a->addr, b->addr, sizeof(a->addr));
}

static int compare_items(const void *left, const void *right)
{
	const struct fl_cover_item *a = left, *b = right;
	int rc = compare_nets(&a->net, &b->net);

	return rc != 0 ? rc : (int)a->ports.first - (int)b->ports.first;
}

static void append(struct fl_cover_list *list, const struct fl_cover_item *item)
{
	list->items = fl_grow(list->items, list->count + 1, sizeof(*list->items));
	list->items[list->count++] = *item;
}

/* Also joins the ranges of one network that touch. */
static void sort(struct fl_cover_list *list)
{
	size_t count = 0;

	if (list->count > 1) {
		qsort(list->items, list->count, sizeof(*list->items), compare_items);
	}
	for (size_t i = 0; i < list->count; i++) {
		struct fl_cover_item *last = count > 0 ? &list->items[count - 1] : NULL;
		const struct fl_cover_item *next = &list->items[i];

		if (last != NULL && compare_nets(&last->net, &next->net) == 0 &&
		    touch(last->ports, next->ports)) {
			last->ports = joined(last->ports, next->ports);
		} else {
			list->items[count++] = *next;
		}
	}
	list->count = count;
}

/* The index of the first item that is behind this network and port. */
static size_t upper_bound(const struct fl_cover_list *list, const struct fl_cidr *net,
			  unsigned port)
{
	size_t from = 0, to = list->count;

	while (from < to) {
		size_t middle = from + (to - from) / 2;
		const struct fl_cover_item *item = &list->items[middle];
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
static const struct fl_cover_item *last_before(const struct fl_cover_list *list,
					       const struct fl_cidr *net, unsigned port)
{
	size_t at = upper_bound(list, net, port);

	return at > 0 && compare_nets(&list->items[at - 1].net, net) == 0 ? &list->items[at - 1]
									  : NULL;
}

/* --- ports of networks around ----------------------------------------------------------------- */

/* The ports with the range that `wide` has at or before `port`, if they touch. */
static struct fl_port_range extended_at(const struct fl_cover_list *list,
					const struct fl_cidr *wide, struct fl_port_range ports,
					unsigned port)
{
	const struct fl_cover_item *around = last_before(list, wide, port);

	return around != NULL && touch(around->ports, ports) ? joined(around->ports, ports) : ports;
}

/* The item's ports with those next to them that shorter prefixes have. */
static struct fl_port_range extended(const struct fl_cover_list *lists,
				     const struct fl_cover_item *item)
{
	struct fl_port_range ports = item->ports;

	for (unsigned bits = 0; bits < item->net.bits; bits++) {
		if (lists[bits].count > 0) {
			struct fl_cidr wide = fl_cidr_widened(&item->net, bits);

			ports = extended_at(&lists[bits], &wide, ports, ports.first);
			ports = extended_at(&lists[bits], &wide, ports, ports.last + 1u);
		}
	}
	return ports;
}

/* Those of shorter prefixes are extended already. */
static void extend(struct fl_cover_list *lists, unsigned bits)
{
	struct fl_cover_list *list = &lists[bits];

	sort(list);
	for (size_t i = 0; i < list->count; i++) {
		list->items[i].ports = extended(lists, &list->items[i]);
	}
	sort(list);
}

/* --- halves ----------------------------------------------------------------------------------- */

/* The index behind the items of the network at `from`. */
static size_t end_of_net(const struct fl_cover_list *list, size_t from)
{
	size_t at = from;

	while (at < list->count &&
	       compare_nets(&list->items[at].net, &list->items[from].net) == 0) {
		at++;
	}
	return at;
}

/* Gives `whole` the ports that both of its halves have: the items from `left` to `right`, and those from there to `end`. */
static void share(const struct fl_cover_list *list, size_t left, size_t right, size_t end,
		  const struct fl_cidr *whole, struct fl_cover_list *wholes)
{
	size_t a = left, b = right;

	while (a < right && b < end) {
		struct fl_port_range of_a = list->items[a].ports, of_b = list->items[b].ports;
		struct fl_cover_item item = {*whole, shared(of_a, of_b), list->items[a].of};

		if (item.ports.first <= item.ports.last) {
			append(wholes, &item);
		}
		if (of_a.last < of_b.last) {
			a++;
		} else {
			b++;
		}
	}
}

static void merge_halves(const struct fl_cover_list *list, struct fl_cover_list *wholes)
{
	size_t next;

	for (size_t at = 0; at < list->count; at = next) {
		const struct fl_cidr *net = &list->items[at].net;
		struct fl_cidr whole = fl_cidr_widened(net, net->bits - 1u);

		next = end_of_net(list, at);
		if (next < list->count && fl_cidr_covers(&whole, &list->items[next].net)) {
			share(list, at, next, end_of_net(list, next), &whole, wholes);
		}
	}
}

/* Gives the ports of each item to the network around it that is one bit shorter. */
static void add_wholes(const struct fl_cover_list *list, struct fl_cover_list *wholes)
{
	for (size_t i = 0; i < list->count; i++) {
		struct fl_cover_item item = list->items[i];

		item.net = fl_cidr_widened(&item.net, item.net.bits - 1u);
		append(wholes, &item);
	}
}

/* --- all of it -------------------------------------------------------------------------------- */

static size_t family_of(const struct fl_cidr *net)
{
	return net->family == AF_INET ? 0 : 1;
}

void fl_cover_add(struct fl_cover *cover, const struct fl_cidr *net, struct fl_port_range ports,
		  const void *of)
{
	struct fl_cover_item item = {*net, without_zero(ports), of};

	append(&cover->lists[family_of(net)][net->bits], &item);
}

void fl_cover_sort(struct fl_cover *cover)
{
	for (size_t i = 0; i < FL_COUNT_OF(cover->lists); i++) {
		struct fl_cover_list *lists = cover->lists[i];

		for (unsigned bits = 0; bits < FL_COVER_LENGTHS; bits++) {
			extend(lists, bits);
		}
		for (unsigned bits = FL_COVER_LENGTHS - 1; bits > 0; bits--) {
			merge_halves(&lists[bits], &lists[bits - 1]);
			sort(&lists[bits - 1]);
		}
	}
}

void fl_cover_sort_parts(struct fl_cover *cover)
{
	for (size_t i = 0; i < FL_COUNT_OF(cover->lists); i++) {
		struct fl_cover_list *lists = cover->lists[i];

		for (unsigned bits = FL_COVER_LENGTHS - 1; bits > 0; bits--) {
			sort(&lists[bits]);
			add_wholes(&lists[bits], &lists[bits - 1]);
		}
		sort(&lists[0]);
	}
}

/* The item of a network around net, or of net itself, that has one of these ports or (all) each of them; NULL: none. */
static const struct fl_cover_item *find_around(const struct fl_cover *cover,
					       const struct fl_cidr *net,
					       struct fl_port_range ports, bool all)
{
	const struct fl_cover_list *lists = cover->lists[family_of(net)];

	for (unsigned bits = 0; bits <= net->bits; bits++) {
		if (lists[bits].count > 0) {
			struct fl_cidr wide = fl_cidr_widened(net, bits);
			const struct fl_cover_item *item =
				last_before(&lists[bits], &wide, all ? ports.first : ports.last);

			if (item != NULL && item->ports.last >= (all ? ports.last : ports.first)) {
				return item;
			}
		}
	}
	return NULL;
}

const struct fl_cover_item *fl_cover_find(const struct fl_cover *cover, const struct fl_cidr *net,
					  struct fl_port_range ports)
{
	return find_around(cover, net, without_zero(ports), true);
}

bool fl_cover_meets(const struct fl_cover *cover, const struct fl_cover *parts,
		    const struct fl_cidr *net, struct fl_port_range ports)
{
	const struct fl_cover_item *inside =
		last_before(&parts->lists[family_of(net)][net->bits], net, ports.last);

	return (inside != NULL && inside->ports.last >= ports.first) ||
	       find_around(cover, net, without_zero(ports), false) != NULL;
}

void fl_cover_done(struct fl_cover *cover)
{
	for (size_t i = 0; i < FL_COUNT_OF(cover->lists); i++) {
		for (unsigned bits = 0; bits < FL_COVER_LENGTHS; bits++) {
			free(cover->lists[i][bits].items);
		}
	}
	*cover = (struct fl_cover){0};
}
