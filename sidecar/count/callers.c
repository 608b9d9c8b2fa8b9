/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "count/callers.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

/* A collision is harmless, because the keys themselves are compared as well. */
static uint64_t hash_of(const struct fl_caller *item)
{
	uint64_t hash = fl_hash64_bytes(FL_HASH64_INIT, &item->port, sizeof(item->port));

	hash = fl_hash64_bytes(hash, &item->reason, sizeof(item->reason));
	if (item->service != NULL) {
		hash = fl_hash64_bytes(hash, item->service, strlen(item->service));
	}
	return item->peer != NULL ? fl_hash64_bytes(hash, item->peer, strlen(item->peer))
				  : fl_hash64_bytes(hash, &item->source, sizeof(item->source));
}

static bool same_text(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool is_same(const struct fl_caller *a, const struct fl_caller *b)
{
	return a->hash == b->hash && a->port == b->port && a->reason == b->reason &&
	       same_text(a->service, b->service) && same_text(a->peer, b->peer) &&
	       (a->peer != NULL || fl_inet_equal(&a->source, &b->source));
}

static struct fl_caller *find(struct fl_callers *callers, const struct fl_caller *key)
{
	for (size_t i = 0; i < callers->count; i++) {
		if (is_same(&callers->items[i], key)) {
			return &callers->items[i];
		}
	}
	return NULL;
}

static void clear(struct fl_caller *item)
{
	free(item->peer);
	free(item->service);
}

/* Returns a slot for a new item: the next one, or that of the least recently seen. NULL: out of
 * memory. */
static struct fl_caller *make_room(struct fl_callers *callers)
{
	struct fl_caller *oldest = callers->items;

	if (callers->count < callers->max) {
		struct fl_caller *items =
			realloc(callers->items, (callers->count + 1) * sizeof(*callers->items));

		if (items == NULL) {
			return NULL;
		}
		callers->items = items;
		return &callers->items[callers->count++];
	}
	for (size_t i = 1; i < callers->count; i++) {
		if (callers->items[i].at < oldest->at) {
			oldest = &callers->items[i];
		}
	}
	if (oldest != NULL) {
		clear(oldest);
		callers->left_out++;
	}
	return oldest;
}

/* Returns the item equal to key; creates it if needed. NULL: out of memory. */
static struct fl_caller *take(struct fl_callers *callers, const struct fl_caller *key)
{
	struct fl_caller *item = find(callers, key), made;

	if (item == NULL) {
		made = *key;
		memset(made.decisions, 0, sizeof(made.decisions));
		made.refused = 0;
		made.peer = key->peer != NULL ? strdup(key->peer) : NULL;
		made.service = key->service != NULL ? strdup(key->service) : NULL;
		if ((key->peer != NULL && made.peer == NULL) ||
		    (key->service != NULL && made.service == NULL) ||
		    (item = make_room(callers)) == NULL) {
			clear(&made);
			callers->left_out++;
			return NULL;
		}
		*item = made;
	}
	item->at = ++callers->clock;
	item->source = key->source;
	item->last = key->last > item->last ? key->last : item->last;
	return item;
}

/* Borrows from request: take() makes copies. */
static struct fl_caller key_of(const struct fl_request *request, enum fl_reason reason, int64_t now)
{
	struct fl_caller key = {.peer = (char *)(uintptr_t)request->id,
				.service = (char *)(uintptr_t)request->service,
				.port = request->port,
				.reason = (uint16_t)reason,
				.last = now};

	if (request->source != NULL) {
		key.source = fl_inet_of(request->source);
		key.source.port = 0;
	}
	key.hash = hash_of(&key);
	return key;
}

void fl_callers_note(struct fl_callers *callers, const struct fl_request *request,
		     const struct fl_verdict *verdict, int64_t now)
{
	enum fl_decision decision = fl_verdict_decision(verdict);
	struct fl_caller key, *item;

	if (decision == FL_DECISION_ALLOW && request->id != NULL) {
		return;
	}
	key = key_of(request, FL_REASON_DONE, now);
	item = take(callers, &key);
	if (item != NULL) {
		item->decisions[decision]++;
	}
}

void fl_callers_note_refused(struct fl_callers *callers, const struct fl_request *request,
			     enum fl_reason reason, int64_t now)
{
	struct fl_caller key = key_of(request, reason, now), *item = take(callers, &key);

	if (item != NULL) {
		item->refused++;
	}
}

void fl_callers_add(struct fl_callers *to, const struct fl_callers *from)
{
	to->left_out += from->left_out;
	for (size_t i = 0; i < from->count; i++) {
		struct fl_caller *item = take(to, &from->items[i]);

		for (size_t d = 0; item != NULL && d < FL_DECISIONS; d++) {
			item->decisions[d] += from->items[i].decisions[d];
		}
		if (item != NULL) {
			item->refused += from->items[i].refused;
		}
	}
}

void fl_callers_done(struct fl_callers *callers)
{
	for (size_t i = 0; i < callers->count; i++) {
		clear(&callers->items[i]);
	}
	free(callers->items);
	*callers = (struct fl_callers){0};
}
