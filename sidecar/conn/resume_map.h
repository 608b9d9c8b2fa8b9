/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_CONN_RESUME_MAP_H
#define FL_CONN_RESUME_MAP_H
/* resume_map - the TLS sessions of captured destinations, to resume them; each address has its own.
 *
 * At most FL_RESUME_MAP_MAX addresses; the least recently used one is evicted to make room, and an unused one is forgotten
 * after FL_RESUME_MAP_IDLE_MS. All of it belongs to one loop. */
#include "base/inet.h"
#include "conn/deadline.h"
#include "conn/resume.h"

#define FL_RESUME_MAP_MAX 256u
#define FL_RESUME_MAP_IDLE_MS (10u * 60 * 1000)

struct fl_resume_slot;

struct fl_resume_map {
	struct fl_resume_slot
		*slots; /* utlist doubly linked, in the order of their last use, newest first */
	unsigned count;
	struct fl_deadline_queue idle;
};

void fl_resume_map_init(struct fl_resume_map *map, uv_loop_t *loop);
/* Forgets everything and closes the timer (the loop must run once more). */
void fl_resume_map_close(struct fl_resume_map *map);

/* The sessions of that address; NULL: none. Valid until the loop's turn is over, or the next call. */
struct fl_resume *fl_resume_map_find(struct fl_resume_map *map, const struct fl_inet *to);
/* The same, with room for it; NULL: no memory. */
struct fl_resume *fl_resume_map_get(struct fl_resume_map *map, const struct fl_inet *to);
void fl_resume_map_flush(struct fl_resume_map *map);

#endif
