/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Sweeps and floods visit every session and every place; all else costs the same however many there are. */
#include "conn/pool.h"

#include <stdlib.h>
#include <utlist.h>

enum where {
	NOWHERE,
	PARKED,
	LEAVES,
};

void fl_pool_init(struct fl_pool *pool, unsigned max, uint32_t seed)
{
	*pool = (struct fl_pool){.max = max, .seed = seed, .wake_ms = UINT64_MAX};
}

/* --- places ---------------------------------------------------------------------------------------- */

static bool is_key(const struct fl_pool_place *place, const struct fl_pool_key *key)
{
	return place->key.owner == key->owner && fl_inet_equal(&place->key.to, &key->to);
}

static struct fl_pool_place **bucket_of(struct fl_pool *pool, const struct fl_pool_key *key)
{
	struct fl_inet seeded = key->to;

	seeded.scope ^= pool->seed ^ (uint32_t)key->owner ^ (uint32_t)(key->owner >> 32);
	return &pool->buckets[fl_inet_hash(&seeded) % FL_POOL_BUCKETS];
}

static bool is_unused(const struct fl_pool_place *place)
{
	return place->busy == 0 && place->parked == 0;
}

static void forget(struct fl_pool *pool, struct fl_pool_place *place)
{
	struct fl_pool_place **at = bucket_of(pool, &place->key);

	while (*at != place) {
		at = &(*at)->below;
	}
	*at = place->below;
	DL_DELETE(pool->places, place);
	pool->place_count--;
	free(place);
}

/* False: all places are in use. */
static bool make_room(struct fl_pool *pool)
{
	struct fl_pool_place *place;

	if (pool->place_count < FL_POOL_PLACES_MAX) {
		return true;
	}
	DL_FOREACH(pool->places, place)
	{
		if (is_unused(place)) {
			forget(pool, place);
			return true;
		}
	}
	return false;
}

static struct fl_pool_place *add_place(struct fl_pool *pool, const struct fl_pool_key *key,
				       uint64_t now_ms)
{
	struct fl_pool_place *place = make_room(pool) ? calloc(1, sizeof(*place)) : NULL;
	struct fl_pool_place **bucket = bucket_of(pool, key);

	if (place == NULL) {
		return NULL;
	}
	place->key = *key;
	place->since_ms = now_ms;
	place->below = *bucket;
	*bucket = place;
	DL_APPEND(pool->places, place);
	pool->place_count++;
	return place;
}

static struct fl_pool_place *find(struct fl_pool *pool, const struct fl_pool_key *key)
{
	struct fl_pool_place *place = *bucket_of(pool, key);

	while (place != NULL && !is_key(place, key)) {
		place = place->below;
	}
	return place;
}

void fl_pool_done(struct fl_pool *pool)
{
	struct fl_pool_place *place, *tmp;

	FL_REQUIRE(pool->count == 0);
	DL_FOREACH_SAFE(pool->places, place, tmp)
	{
		FL_REQUIRE(is_unused(place));
		forget(pool, place);
	}
}

/* --- need ------------------------------------------------------------------------------------------ */

/* Begins a new period of FL_POOL_NEED_MS when it is time. Since the last call `busy` has not changed. */
static void turn(struct fl_pool_place *place, uint64_t now_ms)
{
	uint64_t periods = (now_ms - place->since_ms) / FL_POOL_NEED_MS;

	if (periods > 0) {
		place->peak[1] = periods == 1 ? place->peak[0] : place->busy;
		place->peak[0] = place->busy;
		place->since_ms += periods * FL_POOL_NEED_MS;
	}
}

static unsigned need_of(struct fl_pool_place *place, uint64_t now_ms)
{
	unsigned need;

	turn(place, now_ms);
	need = place->peak[0] > place->peak[1] ? place->peak[0] : place->peak[1];
	return need > 0 || now_ms - place->used_ms >= FL_POOL_IDLE_MAX_MS ? need : 1;
}

/* --- uses ------------------------------------------------------------------------------------------ */

struct fl_pool_place *fl_pool_begin(struct fl_pool *pool, const struct fl_pool_key *key,
				    uint64_t now_ms)
{
	struct fl_pool_place *place = find(pool, key);

	if (place == NULL) {
		place = add_place(pool, key, now_ms);
	}
	if (place == NULL) {
		return NULL;
	}
	DL_DELETE(pool->places, place); /* to the end */
	DL_APPEND(pool->places, place);
	turn(place, now_ms);
	place->busy++;
	place->peak[0] = place->busy > place->peak[0] ? place->busy : place->peak[0];
	place->used_ms = now_ms;
	return place;
}

static void wake_at(struct fl_pool *pool, uint64_t at_ms, uint64_t now_ms)
{
	uint64_t soonest = now_ms + FL_POOL_TICK_MS;

	at_ms = at_ms > soonest ? at_ms : soonest;
	pool->wake_ms = at_ms < pool->wake_ms ? at_ms : pool->wake_ms;
}

void fl_pool_end(struct fl_pool *pool, struct fl_pool_place *place, uint64_t now_ms)
{
	if (place == NULL) {
		return;
	}
	FL_REQUIRE(place->busy > 0);
	turn(place, now_ms);
	place->busy--;
	place->used_ms = now_ms;
	wake_at(pool, now_ms + FL_POOL_IDLE_MAX_MS, now_ms);
}

/* --- one session ------------------------------------------------------------------------------------ */

void fl_pool_entry_init(struct fl_pool_entry *entry, uint64_t born_ms, uint32_t random)
{
	*entry = (struct fl_pool_entry){.born_ms = born_ms, .luck = (uint16_t)(random >> 16)};
}

bool fl_pool_has(const struct fl_pool_entry *entry)
{
	return entry->where != NOWHERE;
}

static uint64_t old_at(const struct fl_pool_entry *entry, const struct fl_pool_place *place)
{
	uint64_t age = place->is_balanced ? FL_POOL_BALANCED_AGE_MS : FL_POOL_FREE_AGE_MS;

	return entry->born_ms + age - age / 4 * entry->luck / UINT16_MAX;
}

/* Too old, or parked for too long, whatever the need. */
static uint64_t stale_at(const struct fl_pool_entry *entry)
{
	uint64_t old = old_at(entry, entry->place);
	uint64_t idle = entry->parked_ms + FL_POOL_IDLE_MAX_MS;

	return old < idle ? old : idle;
}

static void strike_from_place(struct fl_pool_entry *entry)
{
	DL_DELETE2(entry->place->oldest, entry, older, younger);
	entry->place->parked--;
	entry->place = NULL;
}

static void strike(struct fl_pool_entry **list, struct fl_pool_entry *entry)
{
	DL_DELETE(*list, entry);
	entry->prev = entry->next = NULL;
}

void fl_pool_remove(struct fl_pool *pool, struct fl_pool_entry *entry)
{
	if (entry->where == NOWHERE) {
		return;
	}
	strike(entry->where == PARKED ? &pool->parked : &pool->leaving, entry);
	if (entry->where == PARKED) {
		strike_from_place(entry);
	}
	entry->where = NOWHERE;
	pool->count--;
}

struct fl_pool_entry *fl_pool_take(struct fl_pool *pool, struct fl_pool_place *place,
				   uint64_t now_ms)
{
	struct fl_pool_entry *entry = place != NULL ? place->oldest : NULL;

	while (entry != NULL && stale_at(entry) <= now_ms) {
		entry = entry->younger; /* the next sweep finds the other one */
	}
	if (entry != NULL) {
		fl_pool_remove(pool, entry);
	}
	return entry;
}

/* --- parking --------------------------------------------------------------------------------------- */

static bool is_worth_keeping(const struct fl_pool_entry *entry, const struct fl_pool_place *place,
			     uint32_t uses, uint64_t now_ms, uint32_t random)
{
	return uses < FL_POOL_FREE_USES && old_at(entry, place) > now_ms &&
	       (!place->is_balanced || random % FL_POOL_BALANCED_PART != 0);
}

/* The use that is about to end is still one of `busy`: the session takes its part. */
static bool has_room(struct fl_pool_place *place, uint64_t now_ms)
{
	return place->parked < FL_POOL_PLACE_MAX &&
	       place->parked + place->busy <= need_of(place, now_ms);
}

/* When a sweep could find it. */
static uint64_t due_at(const struct fl_pool_entry *entry, uint64_t now_ms)
{
	uint64_t stale = stale_at(entry), idle = entry->parked_ms + FL_POOL_IDLE_MS;

	if (idle <= now_ms) { /* needed so far: the need may be less in the next period */
		idle = entry->place->since_ms + FL_POOL_NEED_MS;
	}
	return stale < idle ? stale : idle;
}

static struct fl_pool_entry *first_to_go(const struct fl_pool *pool)
{
	return pool->leaving != NULL ? pool->leaving : pool->parked;
}

struct fl_pool_entry *fl_pool_park(struct fl_pool *pool, struct fl_pool_place *place,
				   struct fl_pool_entry *entry, uint32_t uses, uint64_t now_ms,
				   uint32_t random)
{
	struct fl_pool_entry *victim = NULL;

	FL_REQUIRE(entry->where == NOWHERE);
	if (place == NULL || pool->max == 0 ||
	    !is_worth_keeping(entry, place, uses, now_ms, random) || !has_room(place, now_ms)) {
		return entry;
	}
	if (pool->count >= pool->max) {
		victim = first_to_go(pool);
		fl_pool_remove(pool, victim);
	}
	entry->where = PARKED;
	entry->place = place;
	entry->parked_ms = now_ms;
	DL_APPEND(pool->parked, entry);
	DL_APPEND2(place->oldest, entry, older, younger);
	place->parked++;
	pool->count++;
	wake_at(pool, due_at(entry, now_ms), now_ms);
	return victim;
}

/* --- going ----------------------------------------------------------------------------------------- */

struct chain {
	struct fl_pool_entry *first, *last;
};

static void remove_to(struct chain *chain, struct fl_pool *pool, struct fl_pool_entry *entry)
{
	fl_pool_remove(pool, entry);
	if (chain->last != NULL) {
		chain->last->next = entry;
	} else {
		chain->first = entry;
	}
	chain->last = entry;
}

static bool is_due(const struct fl_pool_entry *entry, uint64_t now_ms)
{
	struct fl_pool_place *place = entry->place;

	return stale_at(entry) <= now_ms || (entry->parked_ms + FL_POOL_IDLE_MS <= now_ms &&
					     place->parked + place->busy > need_of(place, now_ms));
}

static void sweep_parked(struct fl_pool *pool, uint64_t now_ms, struct chain *gone)
{
	struct fl_pool_entry *entry, *tmp;

	DL_FOREACH_SAFE(pool->parked, entry, tmp)
	{
		if (pool->count > pool->max || is_due(entry, now_ms)) {
			remove_to(gone, pool, entry);
		} else {
			wake_at(pool, due_at(entry, now_ms), now_ms);
		}
	}
}

static void sweep_leaving(struct fl_pool *pool, uint64_t now_ms, struct chain *gone)
{
	struct fl_pool_entry *entry, *tmp;

	DL_FOREACH_SAFE(pool->leaving, entry, tmp)
	{
		if (entry->leaves_ms <= now_ms) {
			remove_to(gone, pool, entry);
		} else {
			wake_at(pool, entry->leaves_ms, now_ms);
		}
	}
}

static void sweep_places(struct fl_pool *pool, uint64_t now_ms)
{
	struct fl_pool_place *place, *tmp;

	DL_FOREACH_SAFE(pool->places, place, tmp)
	{
		if (!is_unused(place)) {
			continue;
		}
		if (place->used_ms + FL_POOL_IDLE_MAX_MS <= now_ms) {
			forget(pool, place);
		} else {
			wake_at(pool, place->used_ms + FL_POOL_IDLE_MAX_MS, now_ms);
		}
	}
}

struct fl_pool_entry *fl_pool_sweep(struct fl_pool *pool, uint64_t now_ms)
{
	struct chain gone = {NULL, NULL};

	pool->wake_ms = UINT64_MAX;
	sweep_leaving(pool, now_ms, &gone);
	sweep_parked(pool, now_ms, &gone);
	sweep_places(pool, now_ms);
	return gone.first;
}

uint64_t fl_pool_wake_ms(const struct fl_pool *pool)
{
	return pool->wake_ms;
}

void fl_pool_flush(struct fl_pool *pool, uint64_t now_ms, uint64_t over_ms)
{
	struct fl_pool_entry *entry, *tmp;
	unsigned number = 0, count = 0;

	DL_COUNT(pool->parked, entry, count);
	DL_FOREACH_SAFE(pool->parked, entry, tmp)
	{
		fl_pool_remove(pool, entry);
		entry->where = LEAVES;
		entry->leaves_ms = now_ms + over_ms * number++ / count;
		DL_APPEND(pool->leaving, entry);
		pool->count++;
		wake_at(pool, entry->leaves_ms, now_ms);
	}
}

struct fl_pool_entry *fl_pool_drain(struct fl_pool *pool)
{
	struct chain gone = {NULL, NULL};

	while (first_to_go(pool) != NULL) {
		remove_to(&gone, pool, first_to_go(pool));
	}
	return gone.first;
}
