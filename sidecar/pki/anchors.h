/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_PKI_ANCHORS_H
#define FL_PKI_ANCHORS_H
/* anchors - the certificates of a bundle, to be found by their subject. Built once, then immutable; thread: any. */
#include <stddef.h>
#include <stdint.h>

#include "pki/cert.h"

/* The good certificates of a bundle. Owns its memory, not the DER. */
struct fl_anchors {
	struct fl_anchor {
		struct fl_cert cert;
		size_t place; /* in the bundle, from 0 */
	} * items;            /* sorted by the hash of the subject */
	size_t count;
};

/* Adds one; fl_anchors_sort() after the last. Aborts when memory is out. */
void fl_anchors_add(struct fl_anchors *anchors, const struct fl_cert *cert, size_t place);
void fl_anchors_sort(struct fl_anchors *anchors);
void fl_anchors_done(struct fl_anchors *anchors);

/* Returns the index of the first anchor whose subject hash is at least subject_hash, or count.
 * Anchors with the same hash are adjacent, in the order of the bundle. */
size_t fl_anchors_find(const struct fl_anchors *anchors, uint64_t subject_hash);

#endif
