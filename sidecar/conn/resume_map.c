/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A list in the order of last use. A search through all of it costs a microsecond, while the handshake costs hundreds; and
 * the destinations in use are at its front. */
#include "conn/resume_map.h"

#include <stdlib.h>
#include <utlist.h>

struct fl_resume_slot {
	struct fl_resume_slot *prev, *next;
	struct fl_inet to;
	struct fl_resume_map *map;
	struct fl_deadline idle;
	struct fl_resume resume;
};

void fl_resume_map_init(struct fl_resume_map *map, uv_loop_t *loop)
{
	map->slots = NULL;
	map->count = 0;
	fl_deadline_queue_init(&map->idle, loop, FL_RESUME_MAP_IDLE_MS);
}

static void drop(struct fl_resume_slot *slot)
{
	DL_DELETE(slot->map->slots, slot);
	slot->map->count--;
	fl_deadline_drop(&slot->idle);
	fl_resume_flush(&slot->resume);
	free(slot);
}

void fl_resume_map_flush(struct fl_resume_map *map)
{
	struct fl_resume_slot *slot, *tmp;

	DL_FOREACH_SAFE(map->slots, slot, tmp)
	{
		drop(slot);
	}
}

void fl_resume_map_close(struct fl_resume_map *map)
{
	fl_resume_map_flush(map);
	fl_deadline_queue_close(&map->idle);
}

static void on_idle(struct fl_deadline *deadline)
{
	drop(FL_CONTAINER_OF(deadline, struct fl_resume_slot, idle));
}

static struct fl_resume *put_first(struct fl_resume_map *map, struct fl_resume_slot *slot)
{
	DL_PREPEND(map->slots, slot);
	fl_deadline_add(&map->idle, &slot->idle, on_idle);
	return &slot->resume;
}

static struct fl_resume_slot *find(const struct fl_resume_map *map, const struct fl_inet *to)
{
	struct fl_resume_slot *slot;

	DL_FOREACH(map->slots, slot)
	{
		if (fl_inet_equal(&slot->to, to)) {
			break;
		}
	}
	return slot;
}

struct fl_resume *fl_resume_map_find(struct fl_resume_map *map, const struct fl_inet *to)
{
	struct fl_resume_slot *slot = find(map, to);

	if (slot == NULL) {
		return NULL;
	}
	DL_DELETE(map->slots, slot);
	return put_first(map, slot);
}

struct fl_resume *fl_resume_map_get(struct fl_resume_map *map, const struct fl_inet *to)
{
	struct fl_resume *known = fl_resume_map_find(map, to);
	struct fl_resume_slot *slot;

	if (known != NULL) {
		return known;
	}
	slot = calloc(1, sizeof(*slot));
	if (slot == NULL) {
		return NULL;
	}
	if (map->count >= FL_RESUME_MAP_MAX) {
		drop(map->slots->prev); /* of the first entry: the last entry */
	}
	slot->to = *to;
	slot->map = map;
	map->count++;
	return put_first(map, slot);
}
