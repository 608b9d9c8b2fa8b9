/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_NET_PENDING_H
#define FL_NET_PENDING_H
/* pending - bytes of a socket that the kernel did not take at once, first in, first out; for sock.c. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct fl_pending {
	struct fl_pending_item *first, **last;
	bool wipes; /* they hold keys: wiped before they are freed */
};

void fl_pending_init(struct fl_pending *pending, bool wipes);
static inline bool fl_pending_is_empty(const struct fl_pending *pending)
{
	return pending->first == NULL;
}
/* Copies len bytes behind the others. Errors: FL_ERR_NOMEM. */
int fl_pending_push(struct fl_pending *pending, const uint8_t *data, size_t len) FL_MUST_USE;
/* The bytes to be sent next, of one push; there are some. */
const uint8_t *fl_pending_peek(const struct fl_pending *pending, size_t *ret_len);
/* So many of those have been sent. */
void fl_pending_advance(struct fl_pending *pending, size_t sent);
void fl_pending_clear(struct fl_pending *pending);

#endif
