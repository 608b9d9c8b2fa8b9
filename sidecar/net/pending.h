/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_NET_PENDING_H
#define FL_NET_PENDING_H
/* pending - a FIFO of bytes that the kernel did not accept immediately; for sock.c. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct fl_pending {
	struct fl_pending_item *first, **last;
	bool wipes; /* they may hold keys: wipe before freeing */
};

void fl_pending_init(struct fl_pending *pending, bool wipes);
static inline bool fl_pending_is_empty(const struct fl_pending *pending)
{
	return pending->first == NULL;
}
/* Appends a copy of len bytes. Errors: FL_ERR_NOMEM. */
int fl_pending_push(struct fl_pending *pending, const uint8_t *data, size_t len) FL_MUST_USE;
/* Returns the bytes to send next, from one push. The queue must not be empty. */
const uint8_t *fl_pending_peek(const struct fl_pending *pending, size_t *ret_len);
/* Removes that many bytes, which have been sent. */
void fl_pending_advance(struct fl_pending *pending, size_t sent);
void fl_pending_clear(struct fl_pending *pending);

#endif
