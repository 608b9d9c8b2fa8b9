/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_TESTS_POOL_MODEL_H
#define FL_TESTS_POOL_MODEL_H
/* pool_model - a pool of sessions beside a slow and obvious one, which says after each step what the pool may have done. Header
 * only. The steps come from a random test or from a fuzzer; what must hold is said with FL_REQUIRE. */
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "conn/pool.h"

#define POOL_MODEL_SESSIONS 160u
#define POOL_MODEL_PLACES 5u
#define POOL_MODEL_EVENTS 4096u /* those of 20 s */

enum pool_model_state {
	POOL_MODEL_GONE,
	POOL_MODEL_BUSY,
	POOL_MODEL_PARKED,
	POOL_MODEL_LEAVING,
};

struct pool_model_session {
	struct fl_pool_entry entry; /* first: a session is found by its entry */
	enum pool_model_state state;
	unsigned place, uses;
	uint64_t born_ms, parked_ms, number; /* the how manieth that was parked */
};

struct pool_model_place {
	struct fl_pool_place *place; /* NULL: unknown */
	unsigned busy;
	bool is_balanced;
	uint64_t used_ms;
	unsigned event_count;
};

/* How many uses there were from then on. */
struct pool_model_event {
	uint64_t at_ms;
	unsigned busy;
};

struct pool_model {
	struct fl_pool pool;
	uint64_t now_ms, parkings;
	unsigned reused, cold;
	struct pool_model_session sessions[POOL_MODEL_SESSIONS];
	struct pool_model_place places[POOL_MODEL_PLACES];
	struct pool_model_event events[POOL_MODEL_PLACES]
				      [POOL_MODEL_EVENTS]; /* rings; last: not zeroed */
};

static inline void pool_model_init(struct pool_model *model)
{
	memset(model, 0, offsetof(struct pool_model, events));
	model->now_ms = 1000000;
	fl_pool_init(&model->pool, 100, 7);
}

static inline unsigned pool_model_count(const struct pool_model *model, enum pool_model_state state,
					unsigned place)
{
	unsigned count = 0;

	for (unsigned i = 0; i < POOL_MODEL_SESSIONS; i++) {
		count += model->sessions[i].state == state &&
			 (place == POOL_MODEL_PLACES || model->sessions[i].place == place);
	}
	return count;
}

/* The greatest number of uses within the last `back` ms. */
static inline unsigned pool_model_peak(const struct pool_model *model, unsigned place,
				       uint64_t back)
{
	const struct pool_model_place *of = &model->places[place];
	unsigned peak = of->busy;

	for (unsigned i = of->event_count; i-- > 0 && of->event_count - i < POOL_MODEL_EVENTS;) {
		const struct pool_model_event *event = &model->events[place][i % POOL_MODEL_EVENTS];

		peak = event->busy > peak ? event->busy : peak;
		if (event->at_ms + back < model->now_ms) {
			break; /* that many when `back` began */
		}
	}
	return peak;
}

/* Bounds of what the place needs. */
static inline unsigned pool_model_need_least(const struct pool_model *model, unsigned place)
{
	unsigned peak = pool_model_peak(model, place, FL_POOL_NEED_MS - 1);

	return peak > 0 || model->now_ms - model->places[place].used_ms >= FL_POOL_IDLE_MAX_MS
		       ? peak
		       : 1;
}

static inline unsigned pool_model_need_most(const struct pool_model *model, unsigned place)
{
	unsigned peak = pool_model_peak(model, place, 2 * FL_POOL_NEED_MS);

	return peak > 0 || model->now_ms - model->places[place].used_ms >= FL_POOL_IDLE_MAX_MS
		       ? peak
		       : 1;
}

/* Is it certainly too old, or certainly not? Its own limit is between three quarters and the whole. */
static inline bool pool_model_is_old(const struct pool_model *model,
				     const struct pool_model_session *session, unsigned quarters)
{
	uint64_t limit = model->places[session->place].is_balanced ? FL_POOL_BALANCED_AGE_MS
								   : FL_POOL_FREE_AGE_MS;

	return model->now_ms - session->born_ms >= limit / 4 * quarters;
}

static inline bool pool_model_is_idle(const struct pool_model *model,
				      const struct pool_model_session *session, uint64_t ms)
{
	return model->now_ms - session->parked_ms >= ms;
}

static inline void pool_model_count_event(struct pool_model *model, unsigned place, int change)
{
	struct pool_model_place *of = &model->places[place];

	of->busy = (unsigned)((int)of->busy + change);
	of->used_ms = model->now_ms;
	model->events[place][of->event_count++ % POOL_MODEL_EVENTS] =
		(struct pool_model_event){.at_ms = model->now_ms, .busy = of->busy};
}

/* The n-th in that state, counted from any; NULL: none. */
static inline struct pool_model_session *pool_model_pick(struct pool_model *model,
							 enum pool_model_state state, unsigned n)
{
	for (unsigned i = 0; i < POOL_MODEL_SESSIONS; i++) {
		struct pool_model_session *session =
			&model->sessions[(n + i) % POOL_MODEL_SESSIONS];

		if (session->state == state) {
			return session;
		}
	}
	return NULL;
}

/* --- a use begins --------------------------------------------------------------------------------- */

/* The session that was taken is the oldest of those that are not certainly too old; of older ones each may be. */
static inline void pool_model_check_taken(const struct pool_model *model, unsigned place,
					  const struct pool_model_session *taken)
{
	for (unsigned i = 0; i < POOL_MODEL_SESSIONS; i++) {
		const struct pool_model_session *other = &model->sessions[i];

		if (other == taken || other->state != POOL_MODEL_PARKED || other->place != place ||
		    (taken != NULL && other->number > taken->number)) {
			continue;
		}
		FL_REQUIRE(pool_model_is_old(model, other, 3) ||
			   pool_model_is_idle(model, other, FL_POOL_IDLE_MAX_MS));
	}
	if (taken != NULL) {
		FL_REQUIRE(taken->state == POOL_MODEL_PARKED && taken->place == place);
		FL_REQUIRE(!pool_model_is_old(model, taken, 4));
		FL_REQUIRE(!pool_model_is_idle(model, taken, FL_POOL_IDLE_MAX_MS));
	}
}

static inline void pool_model_take(struct pool_model *model, unsigned place, uint32_t random)
{
	struct fl_pool_entry *entry =
		fl_pool_take(&model->pool, model->places[place].place, model->now_ms);
	struct pool_model_session *session = (struct pool_model_session *)(void *)entry;

	pool_model_check_taken(model, place, session);
	if (session == NULL) {
		session = pool_model_pick(model, POOL_MODEL_GONE, random);
		FL_REQUIRE(session != NULL);
		*session = (struct pool_model_session){.born_ms = model->now_ms, .place = place};
		fl_pool_entry_init(&session->entry, model->now_ms, random);
		model->cold++;
	} else {
		model->reused++;
	}
	FL_REQUIRE(!fl_pool_has(&session->entry));
	session->state = POOL_MODEL_BUSY;
	session->uses++;
}

static inline void pool_model_begin(struct pool_model *model, unsigned place, uint32_t random)
{
	struct fl_pool_key key = {
		.to = {.ip = {10, 0, 0, (uint8_t)(place / 2)}, .port = 80, .family = AF_INET},
		.owner = place % 2,
	};

	if (pool_model_pick(model, POOL_MODEL_GONE, 0) == NULL) {
		return;
	}
	model->places[place].place = fl_pool_begin(&model->pool, &key, model->now_ms);
	FL_REQUIRE(model->places[place].place != NULL);
	model->places[place].place->is_balanced = model->places[place].is_balanced;
	pool_model_count_event(model, place, 1);
	pool_model_take(model, place, random);
}

/* --- a use ends ----------------------------------------------------------------------------------- */

static inline void pool_model_check_refused(const struct pool_model *model,
					    const struct pool_model_session *session,
					    uint32_t random)
{
	unsigned parked = pool_model_count(model, POOL_MODEL_PARKED, session->place);
	unsigned all = parked + model->places[session->place].busy;

	FL_REQUIRE(model->pool.max == 0 || session->uses >= FL_POOL_FREE_USES ||
		   pool_model_is_old(model, session, 3) || parked >= FL_POOL_PLACE_MAX ||
		   (model->places[session->place].is_balanced && random % 8 == 0) ||
		   all > pool_model_need_least(model, session->place));
}

static inline void pool_model_check_parked(const struct pool_model *model,
					   const struct pool_model_session *session,
					   uint32_t random)
{
	unsigned parked = pool_model_count(model, POOL_MODEL_PARKED, session->place);
	unsigned all = parked + model->places[session->place].busy;

	FL_REQUIRE(model->pool.max > 0 && session->uses < FL_POOL_FREE_USES);
	FL_REQUIRE(!pool_model_is_old(model, session, 4) && parked < FL_POOL_PLACE_MAX);
	FL_REQUIRE(!model->places[session->place].is_balanced || random % 8 != 0);
	FL_REQUIRE(all <= pool_model_need_most(model, session->place));
}

/* In exchange for another one that goes: there was no room for both, and none had waited longer. */
static inline void pool_model_check_victim(const struct pool_model *model,
					   const struct pool_model_session *victim)
{
	FL_REQUIRE(model->pool.count >= model->pool.max);
	FL_REQUIRE(victim->state == POOL_MODEL_LEAVING || victim->state == POOL_MODEL_PARKED);
	for (unsigned i = 0; i < POOL_MODEL_SESSIONS; i++) {
		const struct pool_model_session *other = &model->sessions[i];

		FL_REQUIRE(
			victim->state == POOL_MODEL_LEAVING ||
			(other->state != POOL_MODEL_LEAVING &&
			 (other->state != POOL_MODEL_PARKED || other->number >= victim->number)));
	}
}

static inline void pool_model_end(struct pool_model *model, struct pool_model_session *session,
				  uint32_t random, bool is_orderly)
{
	struct pool_model_place *of = &model->places[session->place];
	struct fl_pool_entry *gone = &session->entry;

	if (is_orderly) {
		gone = fl_pool_park(&model->pool, of->place, &session->entry, session->uses,
				    model->now_ms, random);
		if (gone == &session->entry) {
			pool_model_check_refused(model, session, random);
		} else {
			pool_model_check_parked(model, session, random);
			session->state = POOL_MODEL_PARKED;
			session->parked_ms = model->now_ms;
			session->number = ++model->parkings;
		}
	}
	if (gone != NULL) {
		struct pool_model_session *victim = (struct pool_model_session *)(void *)gone;

		if (victim != session) {
			pool_model_check_victim(model, victim);
		}
		FL_REQUIRE(!fl_pool_has(gone));
		victim->state = POOL_MODEL_GONE;
	}
	fl_pool_end(&model->pool, of->place, model->now_ms);
	pool_model_count_event(model, session->place, -1);
}

/* --- sweeping ------------------------------------------------------------------------------------- */

static inline bool pool_model_must_go(const struct pool_model *model,
				      const struct pool_model_session *session, bool certainly)
{
	unsigned all = pool_model_count(model, POOL_MODEL_PARKED, session->place) +
		       model->places[session->place].busy;
	unsigned need = certainly ? pool_model_need_most(model, session->place)
				  : pool_model_need_least(model, session->place);

	return pool_model_is_old(model, session, certainly ? 4 : 3) ||
	       pool_model_is_idle(model, session, FL_POOL_IDLE_MAX_MS) ||
	       (pool_model_is_idle(model, session, FL_POOL_IDLE_MS) && all > need);
}

static inline void pool_model_sweep(struct pool_model *model)
{
	unsigned over =
		model->pool.count > model->pool.max ? model->pool.count - model->pool.max : 0;
	struct fl_pool_entry *entry = fl_pool_sweep(&model->pool, model->now_ms), *next;

	for (; entry != NULL; entry = next) {
		struct pool_model_session *session = (struct pool_model_session *)(void *)entry;

		next = entry->next;
		FL_REQUIRE(session->state == POOL_MODEL_PARKED ||
			   session->state == POOL_MODEL_LEAVING);
		FL_REQUIRE(!fl_pool_has(entry));
		if (session->state == POOL_MODEL_LEAVING) {
			FL_REQUIRE(entry->leaves_ms <= model->now_ms);
		} else if (!pool_model_must_go(model, session, false)) {
			FL_REQUIRE(over > 0);
		}
		over -= over > 0 ? 1 : 0;
		session->state = POOL_MODEL_GONE;
	}
	for (unsigned i = 0; i < POOL_MODEL_SESSIONS; i++) {
		struct pool_model_session *session = &model->sessions[i];

		FL_REQUIRE(session->state != POOL_MODEL_PARKED ||
			   !pool_model_must_go(model, session, true));
		FL_REQUIRE(session->state != POOL_MODEL_LEAVING ||
			   session->entry.leaves_ms > model->now_ms);
	}
	FL_REQUIRE(fl_pool_wake_ms(&model->pool) >= model->now_ms + FL_POOL_TICK_MS);
}

/* A parked session whose time comes is swept in time: the timer is set for it. */
static inline void pool_model_check_wake(const struct pool_model *model)
{
	uint64_t wake = fl_pool_wake_ms(&model->pool);

	for (unsigned i = 0; i < POOL_MODEL_SESSIONS; i++) {
		const struct pool_model_session *session = &model->sessions[i];

		if (session->state == POOL_MODEL_PARKED) {
			FL_REQUIRE(wake <= session->parked_ms + FL_POOL_IDLE_MAX_MS ||
				   wake <= model->now_ms + FL_POOL_TICK_MS);
		} else if (session->state == POOL_MODEL_LEAVING) {
			FL_REQUIRE(wake <= session->entry.leaves_ms + FL_POOL_TICK_MS ||
				   wake <= model->now_ms + FL_POOL_TICK_MS);
		}
	}
}

/* --- the rest ------------------------------------------------------------------------------------- */

static inline void pool_model_flush(struct pool_model *model, uint64_t over_ms)
{
	fl_pool_flush(&model->pool, model->now_ms, over_ms);
	for (unsigned i = 0; i < POOL_MODEL_SESSIONS; i++) {
		struct pool_model_session *session = &model->sessions[i];

		if (session->state == POOL_MODEL_PARKED) {
			session->state = POOL_MODEL_LEAVING;
			FL_REQUIRE(session->entry.leaves_ms >= model->now_ms);
			FL_REQUIRE(session->entry.leaves_ms <= model->now_ms + over_ms);
		}
	}
}

static inline void pool_model_drain(struct pool_model *model)
{
	struct fl_pool_entry *entry = fl_pool_drain(&model->pool), *next;

	for (; entry != NULL; entry = next) {
		next = entry->next;
		FL_REQUIRE(!fl_pool_has(entry));
		((struct pool_model_session *)(void *)entry)->state = POOL_MODEL_GONE;
	}
	FL_REQUIRE(pool_model_count(model, POOL_MODEL_PARKED, POOL_MODEL_PLACES) == 0);
	FL_REQUIRE(pool_model_count(model, POOL_MODEL_LEAVING, POOL_MODEL_PLACES) == 0);
}

static inline void pool_model_check_counts(const struct pool_model *model)
{
	FL_REQUIRE(model->pool.count ==
		   pool_model_count(model, POOL_MODEL_PARKED, POOL_MODEL_PLACES) +
			   pool_model_count(model, POOL_MODEL_LEAVING, POOL_MODEL_PLACES));
	for (unsigned i = 0; i < POOL_MODEL_SESSIONS; i++) {
		const struct pool_model_session *session = &model->sessions[i];

		FL_REQUIRE(fl_pool_has(&session->entry) == (session->state == POOL_MODEL_PARKED ||
							    session->state == POOL_MODEL_LEAVING));
	}
}

/* One step; what it is depends on `what`. */
static inline void pool_model_step(struct pool_model *model, uint8_t what, uint32_t random)
{
	static const uint16_t pauses_ms[] = {1, 7, 90, 700, 2500, 10000, 11000, 25000, 60000};
	struct pool_model_session *busy = pool_model_pick(model, POOL_MODEL_BUSY, random >> 8);
	struct pool_model_session *parked = pool_model_pick(model, POOL_MODEL_PARKED, random >> 8);

	if (what < 90) {
		pool_model_begin(model, what % POOL_MODEL_PLACES, random);
	} else if (what < 180 && busy != NULL) {
		pool_model_end(model, busy, random, what % 16 != 0);
	} else if (what < 188 && busy != NULL) { /* that one did not pass judgement */
		busy->state = POOL_MODEL_GONE;
		pool_model_take(model, busy->place, random);
	} else if (what < 235) {
		model->now_ms += pauses_ms[what < 225 ? what % 4 : what % FL_COUNT_OF(pauses_ms)];
	} else if (what < 245) {
		pool_model_sweep(model);
	} else if (what < 248 && parked != NULL) {
		fl_pool_remove(&model->pool, &parked->entry);
		parked->state = POOL_MODEL_GONE;
	} else if (what < 249) {
		pool_model_flush(model, random % 3000);
	} else if (what < 250) {
		pool_model_drain(model);
	} else if (what < 253) {
		struct pool_model_place *of = &model->places[random % POOL_MODEL_PLACES];

		if (of->busy > 0) { /* so that the pool has not forgotten it */
			of->is_balanced = !of->is_balanced;
			of->place->is_balanced = of->is_balanced;
		}
	} else {
		model->pool.max = random >> 8 & 1 ? 100 : random >> 16 & 31;
	}
	pool_model_check_counts(model);
	pool_model_check_wake(model);
}

static inline void pool_model_done(struct pool_model *model)
{
	struct pool_model_session *busy;

	while ((busy = pool_model_pick(model, POOL_MODEL_BUSY, 0)) != NULL) {
		pool_model_end(model, busy, 1, false);
	}
	pool_model_drain(model);
	fl_pool_done(&model->pool);
}

#endif
