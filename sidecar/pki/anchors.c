/* SPDX-License-Identifier: GPL-3.0-or-later */
/* anchors - a sorted array. Nothing fails; the process aborts if memory runs out, because bundles
 * are read only at start and reload. */
#include "pki/anchors.h"

#include <stdlib.h>

void fl_anchors_add(struct fl_anchors *anchors, const struct fl_cert *cert, size_t place)
{
	/* Double the array whenever count + 1 is a power of two. */
	if ((anchors->count & (anchors->count + 1)) == 0) {
		anchors->items =
			fl_grow(anchors->items, anchors->count * 2 + 1, sizeof(*anchors->items));
	}
	anchors->items[anchors->count++] = (struct fl_anchor){.cert = *cert, .place = place};
}

static int compare_anchors(const void *a, const void *b)
{
	const struct fl_anchor *x = a, *y = b;

	if (x->cert.subject_hash != y->cert.subject_hash) {
		return x->cert.subject_hash < y->cert.subject_hash ? -1 : 1;
	}
	return x->place < y->place ? -1 : x->place > y->place;
}

void fl_anchors_sort(struct fl_anchors *anchors)
{
	if (anchors->count > 0) {
		qsort(anchors->items, anchors->count, sizeof(*anchors->items), compare_anchors);
	}
}

void fl_anchors_done(struct fl_anchors *anchors)
{
	free(anchors->items);
	*anchors = (struct fl_anchors){0};
}

size_t fl_anchors_find(const struct fl_anchors *anchors, uint64_t subject_hash)
{
	size_t low = 0, high = anchors->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (anchors->items[middle].cert.subject_hash < subject_hash) {
			low = middle + 1;
		} else {
			high = middle;
		}
	}
	return low;
}
