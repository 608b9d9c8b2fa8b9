/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The search for the next one steps over the lanes that have no room: as many as there are unreachable destinations. */
#include "conn/slots.h"

#include <utlist.h>

#include "base/err.h"
#include "base/mem.h"

#define FIRST_COMERS_PART 4u
#define DISTRUST_PART 32u /* of all slots */
#define DISTRUST_MAX 64u
#define PATIENCE_MS 1000u
#define IMPATIENCE_MS 100u

struct fl_lane {
	struct fl_lane *prev, *next; /* among those in which connections wait */
	struct fl_waiter *first;
	struct fl_slot *holders; /* the slots of `held` that fl_slots_oldest() can find */
	uint64_t passed_ms;      /* when a connection last finished its handshake */
	unsigned held;
	unsigned distrust; /* silent connections minus finished ones, at most DISTRUST_MAX */
};

void fl_slots_init(struct fl_slots *slots, uint32_t lane_count, bool is_shared)
{
	*slots = (struct fl_slots){
		.is_shared = is_shared,
		.lane_count = lane_count,
		.lanes = fl_new_sparse(lane_count * sizeof(struct fl_lane)),
	};
}

void fl_slots_done(struct fl_slots *slots)
{
	FL_REQUIRE(slots->waiting == NULL);
	fl_free_sparse(slots->lanes);
	slots->lanes = NULL;
}

uint32_t fl_slots_lane(const struct fl_slots *slots, uint32_t number)
{
	return number % slots->lane_count;
}

bool fl_slots_has_room(const struct fl_slots *slots, uint32_t lane)
{
	unsigned own = slots->lanes[lane].held;
	unsigned free = slots->held < slots->max ? slots->max - slots->held : 0;

	if (own == 0 || !slots->is_shared) {
		return free > 0;
	}
	return own + slots->max / FIRST_COMERS_PART < free;
}

void fl_slots_take(struct fl_slots *slots, uint32_t lane)
{
	slots->held++;
	slots->lanes[lane].held++;
}

void fl_slots_give_back(struct fl_slots *slots, uint32_t lane)
{
	FL_REQUIRE(slots->lanes[lane].held > 0);
	slots->held--;
	slots->lanes[lane].held--;
}

void fl_slots_hold(struct fl_slots *slots, struct fl_slot *slot, uint32_t lane, uint64_t now_ms)
{
	fl_slots_take(slots, lane);
	slot->lane = lane;
	slot->since_ms = now_ms;
	DL_APPEND(slots->lanes[lane].holders, slot);
}

void fl_slots_release(struct fl_slots *slots, struct fl_slot *slot)
{
	DL_DELETE(slots->lanes[slot->lane].holders, slot);
	fl_slots_give_back(slots, slot->lane);
}

static const struct fl_lane *fullest(const struct fl_slots *slots)
{
	const struct fl_lane *most = &slots->lanes[0];

	for (uint32_t i = 1; i < slots->lane_count; i++) {
		most = slots->lanes[i].held > most->held ? &slots->lanes[i] : most;
	}
	return most;
}

struct fl_slot *fl_slots_oldest(const struct fl_slots *slots, uint32_t lane)
{
	const struct fl_lane *own = &slots->lanes[lane];

	return own->held > 0 ? own->holders : fullest(slots)->holders;
}

uint64_t fl_slots_patience_ms(const struct fl_slots *slots, uint32_t of, uint32_t lane)
{
	unsigned distrust = of == lane ? slots->lanes[lane].distrust : slots->distrust;
	unsigned few = slots->max / DISTRUST_PART;

	few = few < DISTRUST_MAX / 4 ? few : DISTRUST_MAX / 4;
	return distrust <= few ? PATIENCE_MS : IMPATIENCE_MS;
}

static void distrust(unsigned *count)
{
	*count += *count < DISTRUST_MAX ? 1 : 0;
}

static void trust(unsigned *count)
{
	*count -= *count > 0 ? 1 : 0;
}

void fl_slots_note_silent(struct fl_slots *slots, uint32_t lane)
{
	distrust(&slots->lanes[lane].distrust);
	distrust(&slots->distrust);
}

void fl_slots_note_passed(struct fl_slots *slots, uint32_t lane, uint64_t now_ms)
{
	struct fl_lane *of = &slots->lanes[lane];

	of->passed_ms = now_ms;
	trust(&of->distrust);
	trust(&slots->distrust);
}

bool fl_slots_has_passed(const struct fl_slots *slots, uint32_t lane, uint64_t since_ms)
{
	return slots->lanes[lane].passed_ms >= since_ms;
}

bool fl_slots_must_wait(const struct fl_slots *slots, uint32_t lane)
{
	return !fl_slots_has_room(slots, lane) || slots->lanes[lane].first != NULL;
}

static void go_to_the_end(struct fl_lane **list, struct fl_lane *lane)
{
	DL_DELETE(*list, lane);
	DL_APPEND(*list, lane);
}

static void end_turns(struct fl_lane **list, struct fl_lane *lane)
{
	DL_DELETE(*list, lane);
}

static void begin_turns(struct fl_lane **list, struct fl_lane *lane)
{
	DL_PREPEND(*list, lane);
}

void fl_slots_wait(struct fl_slots *slots, struct fl_waiter *waiter, uint32_t lane)
{
	struct fl_lane *of = &slots->lanes[lane];

	if (of->first == NULL) {
		DL_APPEND(slots->waiting, of);
	}
	waiter->lane = lane;
	DL_APPEND(of->first, waiter);
}

void fl_slots_wait_first(struct fl_slots *slots, struct fl_waiter *waiter, uint32_t lane)
{
	struct fl_lane *of = &slots->lanes[lane];

	if (of->first != NULL) {
		end_turns(&slots->waiting, of);
	}
	begin_turns(&slots->waiting, of);
	waiter->lane = lane;
	DL_PREPEND(of->first, waiter);
}

bool fl_slots_waiting_lane(const struct fl_slots *slots, unsigned number, uint32_t *ret_lane)
{
	const struct fl_lane *lane = slots->waiting;

	while (lane != NULL && number-- > 0) {
		lane = lane->next;
	}
	if (lane == NULL) {
		return false;
	}
	*ret_lane = (uint32_t)(lane - slots->lanes);
	return true;
}

void fl_slots_leave(struct fl_slots *slots, struct fl_waiter *waiter)
{
	struct fl_lane *of = &slots->lanes[waiter->lane];

	if (waiter->prev == NULL) {
		return;
	}
	DL_DELETE(of->first, waiter);
	waiter->prev = waiter->next = NULL;
	if (of->first == NULL) {
		end_turns(&slots->waiting, of);
	}
}

struct fl_waiter *fl_slots_next(struct fl_slots *slots)
{
	const struct fl_lane *last = slots->waiting != NULL ? slots->waiting->prev : NULL;
	struct fl_lane *lane = NULL;

	while (lane != last && slots->held < slots->max) {
		lane = slots->waiting;
		go_to_the_end(&slots->waiting, lane);
		if (fl_slots_has_room(slots, (uint32_t)(lane - slots->lanes))) {
			struct fl_waiter *waiter = lane->first;

			fl_slots_leave(slots, waiter);
			return waiter;
		}
	}
	return NULL;
}
