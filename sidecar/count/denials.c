/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "count/denials.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"

/* Peers are told apart by their ID, strangers by their network. */
static struct fl_inet network_of(const struct fl_denial *item)
{
	return item->peer == NULL ? fl_inet_network(&item->source) : (struct fl_inet){.family = 0};
}

static uint64_t add_text(uint64_t hash, const char *text)
{
	return text != NULL ? fl_hash64_bytes(hash, text, strlen(text) + 1) : hash;
}

static uint64_t hash_of(const struct fl_denial *item)
{
	struct fl_inet network = network_of(item);
	uint64_t hash = fl_hash64_bytes(FL_HASH64_INIT, &item->reason, sizeof(item->reason));

	hash = fl_hash64_bytes(hash, &network, sizeof(network));
	return add_text(add_text(add_text(hash, item->peer), item->section), item->rule);
}

static bool same_text(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool is_same(const struct fl_denial *a, const struct fl_denial *b)
{
	struct fl_inet network = network_of(a), other = network_of(b);

	return a->hash == b->hash && a->direction == b->direction && a->reason == b->reason &&
	       a->port == b->port && same_text(a->peer, b->peer) &&
	       same_text(a->section, b->section) && same_text(a->rule, b->rule) &&
	       fl_inet_equal(&network, &other) && fl_inet_equal(&a->destination, &b->destination);
}

static struct fl_denial *find(const struct fl_denials *denials, const struct fl_denial *key)
{
	for (size_t i = 0; i < denials->count; i++) {
		if (is_same(&denials->items[i], key)) {
			return &denials->items[i];
		}
	}
	return NULL;
}

static void clear(struct fl_denial *item)
{
	free(item->peer);
	free(item->section);
	free(item->rule);
	free(item->detail);
	free(item->remedy);
	*item = (struct fl_denial){.peer = NULL};
}

/* Copies a text. *is_short: memory is out. */
static char *copy(const char *text, bool *is_short)
{
	char *made = text != NULL ? strdup(text) : NULL;

	*is_short = *is_short || (text != NULL && made == NULL);
	return made;
}

/* Returns a place for a new entry of that kind: the next one, or that of the least recent one. NULL: out of memory. */
static struct fl_denial *make_room(struct fl_denials *denials, bool is_peer)
{
	struct fl_denial *oldest = NULL, *items;
	size_t same_kind = 0;

	for (size_t i = 0; i < denials->count; i++) {
		struct fl_denial *item = &denials->items[i];

		if ((item->peer != NULL) == is_peer) {
			same_kind++;
			oldest = oldest == NULL || item->last_ms < oldest->last_ms ? item : oldest;
		}
	}
	if (same_kind >= FL_DENIALS_MAX) {
		clear(oldest);
		return oldest;
	}
	items = fl_try_grow(denials->items, denials->count + 1, sizeof(*items));
	if (items == NULL) {
		return NULL;
	}
	denials->items = items;
	return &items[denials->count++];
}

static struct fl_denial *make(struct fl_denials *denials, const struct fl_denial *key)
{
	struct fl_denial made = *key, *item = NULL;
	bool is_short = false;

	made.peer = copy(key->peer, &is_short);
	made.section = copy(key->section, &is_short);
	made.rule = copy(key->rule, &is_short);
	made.detail = made.remedy = NULL;
	made.count = 0;
	if (!is_short) {
		item = make_room(denials, made.peer != NULL);
	}
	if (item == NULL) {
		clear(&made);
		return NULL;
	}
	*item = made;
	return item;
}

/* Returns the entry of that key; makes it if there is none. */
static struct fl_denial *take(struct fl_denials *denials, const struct fl_denial *key,
			      bool *ret_new)
{
	struct fl_denial *item = find(denials, key);

	*ret_new = item == NULL;
	return item != NULL ? item : make(denials, key);
}

struct fl_denial *fl_denials_note(struct fl_denials *denials, const struct fl_denial *key,
				  int64_t now, uint64_t now_ms, bool *ret_new)
{
	struct fl_denial wanted = *key, *item;

	wanted.hash = hash_of(key);
	wanted.first = now;
	item = take(denials, &wanted, ret_new);
	if (item != NULL) {
		item->last = now;
		item->last_ms = now_ms;
		item->source = key->source;
		item->count++;
	}
	return item;
}

void fl_denials_add(struct fl_denials *to, const struct fl_denials *from)
{
	for (size_t i = 0; i < from->count; i++) {
		const struct fl_denial *other = &from->items[i];
		bool is_new, is_short = false;
		struct fl_denial *item = take(to, other, &is_new);

		if (item == NULL) {
			continue;
		}
		item->count += other->count;
		if (is_new) {
			item->detail = copy(other->detail, &is_short);
			item->remedy = copy(other->remedy, &is_short);
			continue;
		}
		item->first = other->first < item->first ? other->first : item->first;
		if (other->last_ms > item->last_ms) {
			item->last = other->last;
			item->last_ms = other->last_ms;
			item->source = other->source;
		}
	}
}

static int compare(const void *left, const void *right)
{
	const struct fl_denial *a = left, *b = right;

	return a->last_ms < b->last_ms ? 1 : a->last_ms > b->last_ms ? -1 : 0;
}

void fl_denials_sort(struct fl_denials *denials)
{
	if (denials->count > 0) {
		qsort(denials->items, denials->count, sizeof(*denials->items), compare);
	}
}

void fl_denials_done(struct fl_denials *denials)
{
	for (size_t i = 0; i < denials->count; i++) {
		clear(&denials->items[i]);
	}
	free(denials->items);
	*denials = (struct fl_denials){.items = NULL};
}
