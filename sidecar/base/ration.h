/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_BASE_RATION_H
#define FL_BASE_RATION_H
/* ration - limits log lines that strangers can provoke.
 *
 * In a window of FL_RATION_WINDOW_MS each source may have FL_RATION_LINES lines of a kind, and all sources together
 * FL_RATION_ALL; further ones are counted, and reported when the window ends. So the first lines are always written, nobody
 * can fill a disk, and no source uses up another one's lines. Memory is bounded: sources beyond FL_RATION_SOURCES share one
 * entry. Pure; one thread. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FL_RATION_WINDOW_MS 10000u
#define FL_RATION_LINES 20u
#define FL_RATION_ALL 400u
#define FL_RATION_SOURCES 128u
#define FL_RATION_KEY 24u /* bytes */

struct fl_ration_source {
	uint8_t key[FL_RATION_KEY];
	uint32_t kind;
	uint32_t lines;
	uint64_t left_out;
};

/* Zeroed to begin with. Owns nothing. */
struct fl_ration {
	struct fl_ration_source sources[FL_RATION_SOURCES];
	size_t count;
	uint32_t lines;           /* written in this window */
	uint64_t others_left_out; /* of sources without an entry */
};

/* May a line of that kind about that source (FL_RATION_KEY bytes) be written? */
bool fl_ration_take(struct fl_ration *ration, const void *key, uint32_t kind);
/* Is a window open, for its owner to end it in time? */
bool fl_ration_is_open(const struct fl_ration *ration);
/* The window is over: reports what was left out, for the others (NULL) last; the next line begins a new window. */
typedef void (*fl_ration_cb)(void *user, const struct fl_ration_source *source, uint64_t left_out);
void fl_ration_end(struct fl_ration *ration, fl_ration_cb tell, void *user);

#endif
