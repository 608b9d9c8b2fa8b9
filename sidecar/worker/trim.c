/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A burst is over when fewer than half of its connections are left, and still are a while later.
 * malloc_trim() trims all arenas, so the first worker that calls it also returns memory that other
 * workers have freed. But it does not trim the top of any arena except the main one. free() returns
 * that top only once it is larger than a threshold, which glibc raises by itself. So the threshold
 * is lowered for one free() that is made for this purpose. */
#include "worker/trim.h"

#include <malloc.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/mem.h"

#define BURST_MIN 32u /* smaller bursts free too little memory to be worth a millisecond */
#define QUIET_MS 10000u

/* Above glibc's FASTBIN_CONSOLIDATION_THRESHOLD, so that free() checks the top of the arena; below
 * its threshold for mmap(). */
#define TRIMMING_BLOCK (96u * 1024u)
#define THRESHOLD_TRIMMING (128 * 1024)
#define THRESHOLD_NORMAL                                                                           \
	(1024 * 1024) /* so that ordinary connections do not make the top shrink and grow */

static bool is_over(const struct fl_trim *trim)
{
	return trim->peak - trim->open >= BURST_MIN && trim->open <= trim->peak / 2;
}

static void give_back(void)
{
#ifdef __GLIBC__
	void *volatile block; /* volatile: the compiler must not remove the malloc/free pair */

	/* NOLINTBEGIN(concurrency-mt-unsafe): each call stores one word; two workers store the same values */
	(void)mallopt(M_TRIM_THRESHOLD, THRESHOLD_TRIMMING);
	block = malloc(TRIMMING_BLOCK);
	free(block);
	(void)malloc_trim(0);
	(void)mallopt(M_TRIM_THRESHOLD, THRESHOLD_NORMAL);
	/* NOLINTEND(concurrency-mt-unsafe) */
#endif
}

static void on_quiet(uv_timer_t *timer)
{
	struct fl_trim *trim = FL_CONTAINER_OF(timer, struct fl_trim, timer);

	if (is_over(trim)) {
		trim->peak = trim->open;
		give_back();
	}
}

void fl_trim_init(struct fl_trim *trim, uv_loop_t *loop)
{
	trim->open = trim->peak = 0;
	FL_REQUIRE(uv_timer_init(loop, &trim->timer) == 0);
}

void fl_trim_note(struct fl_trim *trim, unsigned open)
{
	trim->open = open;
	if (open > trim->peak) {
		trim->peak = open;
	} else if (is_over(trim) && !uv_is_active((uv_handle_t *)&trim->timer) &&
		   !uv_is_closing((uv_handle_t *)&trim->timer)) {
		FL_REQUIRE(uv_timer_start(&trim->timer, on_quiet, QUIET_MS, 0) == 0);
	}
}

void fl_trim_close(struct fl_trim *trim)
{
	uv_close((uv_handle_t *)&trim->timer, NULL);
}
