/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_CONF_COVER_H
#define FL_CONF_COVER_H
/* cover - networks with ports, sorted: which of them covers another one? A question takes log n steps for each length of
 * prefix that occurs. Thread: any. */
#include "base/cidr.h"
#include "policy/policy.h"

struct fl_cover_item {
	struct fl_cidr net;
	struct fl_port_range ports;
	const void *of; /* whose it is: the caller's */
};

struct fl_cover {
	struct fl_cover_item *items;
	size_t count;
	bool has_bits4[33], has_bits6[129]; /* the lengths that occur */
};

/* cover: zeros at first. */
void fl_cover_add(struct fl_cover *cover, const struct fl_cidr *net, struct fl_port_range ports,
		  const void *of);
/* To be called after the last item. Ranges of one network that overlap or adjoin become one, which is of the first. */
void fl_cover_sort(struct fl_cover *cover);
/* An item whose network covers net, with all of these ports; NULL: there is none. */
const struct fl_cover_item *fl_cover_find(const struct fl_cover *cover, const struct fl_cidr *net,
					  struct fl_port_range ports);
/* False: certainly no item has an address of net together with one of these ports. (For items whose network is inside net,
 * their ports do not count.) */
bool fl_cover_may_meet(const struct fl_cover *cover, const struct fl_cidr *net,
		       struct fl_port_range ports);
void fl_cover_done(struct fl_cover *cover);

#endif
