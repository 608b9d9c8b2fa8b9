/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "conn/listing.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

void fl_listed_done(struct fl_listed *item)
{
	free(item->name);
	free(item->peer);
	free(item->own);
	free(item->rule);
	free(item->far);
}

void fl_listing_done(struct fl_listing *listing)
{
	for (size_t i = 0; i < listing->count; i++) {
		fl_listed_done(&listing->items[i]);
	}
	fl_callers_done(&listing->callers);
	fl_denials_done(&listing->denials);
	free(listing->items);
	*listing = (struct fl_listing){0};
}

struct fl_listed *fl_listing_add(struct fl_listing *listing)
{
	if (listing->count == listing->max) {
		return NULL;
	}
	/* In steps of a power of two, so that a worker does not copy its listing again and again. */
	if ((listing->count & (listing->count - 1)) == 0) {
		size_t room = listing->count > 0 ? listing->count * 2 : 1;
		struct fl_listed *items = fl_try_grow(listing->items, room, sizeof(*items));

		if (items == NULL) {
			return NULL;
		}
		listing->items = items;
	}
	listing->items[listing->count] = (struct fl_listed){.state = NULL};
	return &listing->items[listing->count++];
}

char *fl_listed_copy(struct fl_listed *item, const char *text)
{
	char *copy = text != NULL ? strdup(text) : NULL;

	item->is_short = item->is_short || (text != NULL && copy == NULL);
	return copy;
}

void fl_listing_keep(struct fl_listing *listing)
{
	struct fl_listed *item = &listing->items[listing->count - 1];

	if (item->is_short) {
		fl_listed_done(item);
		listing->count--;
	}
}
