/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_CONF_COVER_H
#define FL_CONF_COVER_H
/* cover - networks with ports: do they cover another network with its ports? They are judged together: both halves of a
 * network are the network, and ranges that adjoin are one, also those of networks of different lengths. Sorting n of them takes
 * about n log n steps, and a question log n, for each length of prefix that occurs. Thread: any. */
#include "base/cidr.h"
#include "policy/policy.h"

struct fl_cover_item {
	struct fl_cidr net;
	struct fl_port_range ports;
	const void *of; /* whose it is: the caller's */
};

struct fl_cover_list {
	struct fl_cover_item *items;
	size_t count;
};

#define FL_COVER_LENGTHS 129u
struct fl_cover {
	struct fl_cover_list lists[2][FL_COVER_LENGTHS]; /* of IPv4 and IPv6, by length of prefix */
};

/* cover: zeros at first. */
void fl_cover_add(struct fl_cover *cover, const struct fl_cidr *net, struct fl_port_range ports,
		  const void *of);
/* To be called once, after the last item. What becomes one item is of the owner of one of its parts. */
void fl_cover_sort(struct fl_cover *cover);
/* The same, but for `parts` of fl_cover_meets(): each item becomes one of every network around it, too. */
void fl_cover_sort_parts(struct fl_cover *cover);
/* An item that covers all of net with all of these ports, alone or together with others; NULL: something is not covered. */
const struct fl_cover_item *fl_cover_find(const struct fl_cover *cover, const struct fl_cidr *net,
					  struct fl_port_range ports);
/* Does an item have an address of net and one of these ports? parts: of the same items. */
bool fl_cover_meets(const struct fl_cover *cover, const struct fl_cover *parts,
		    const struct fl_cidr *net, struct fl_port_range ports);
void fl_cover_done(struct fl_cover *cover);

#endif
