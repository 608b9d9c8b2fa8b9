/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "net/pending.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct fl_pending_item {
	struct fl_pending_item *next;
	size_t len, sent;
	uint8_t data[];
};

void fl_pending_init(struct fl_pending *pending, bool wipes)
{
	*pending = (struct fl_pending){.last = &pending->first, .wipes = wipes};
}

int fl_pending_push(struct fl_pending *pending, const uint8_t *data, size_t len)
{
	struct fl_pending_item *item = malloc(sizeof(*item) + len);

	if (item == NULL) {
		return FL_ERR_NOMEM;
	}
	*item = (struct fl_pending_item){.len = len};
	memcpy(item->data, data, len);
	*pending->last = item;
	pending->last = &item->next;
	return 0;
}

const uint8_t *fl_pending_peek(const struct fl_pending *pending, size_t *ret_len)
{
	*ret_len = pending->first->len - pending->first->sent;
	return pending->first->data + pending->first->sent;
}

static void drop_first(struct fl_pending *pending)
{
	struct fl_pending_item *item = pending->first;

	pending->first = item->next;
	if (pending->first == NULL) {
		pending->last = &pending->first;
	}
	if (pending->wipes) {
		fl_wipe(item->data, item->len);
	}
	free(item);
}

void fl_pending_advance(struct fl_pending *pending, size_t sent)
{
	pending->first->sent += sent;
	if (pending->first->sent == pending->first->len) {
		drop_first(pending);
	}
}

void fl_pending_clear(struct fl_pending *pending)
{
	while (pending->first != NULL) {
		drop_first(pending);
	}
}
