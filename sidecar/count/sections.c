/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "count/sections.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

struct fl_section {
	unsigned refs; /* atomic */
	unsigned workers;
	enum fl_direction direction;
	char *name; /* NULL: [inbound] or [outbound] */
	struct fl_section_cell *cells;
	bool has_failed;      /* atomic: it has failed since the last line about a success */
	pthread_mutex_t lock; /* protects the members below */
	bool failing;         /* it has not succeeded since it has failed */
	struct fl_section_failure last;
	uint64_t last_ms;   /* uv_now() of the last failure */
	uint64_t logged_ms; /* of the last line about failures; 0: none */
	uint64_t left_out;  /* failures since then */
	uint64_t failed[FL_REASON_COUNT];
};

/* --- life ---------------------------------------------------------------------------------------- */

static struct fl_section *section_new(enum fl_direction direction, const char *name,
				      unsigned workers)
{
	struct fl_section *section = fl_new(sizeof(*section));

	_Static_assert(sizeof(struct fl_section_cell) == 64, "a cell is a cache line");
	section->refs = 1;
	section->workers = workers;
	section->direction = direction;
	section->name = name != NULL ? fl_strdup(name) : NULL;
	section->cells = aligned_alloc(sizeof(struct fl_section_cell),
				       workers * sizeof(struct fl_section_cell));
	FL_REQUIRE(section->cells != NULL);
	memset(section->cells, 0, workers * sizeof(struct fl_section_cell));
	for (unsigned i = 0; i < workers; i++) {
		section->cells[i].section = section;
	}
	FL_REQUIRE(pthread_mutex_init(&section->lock, NULL) == 0);
	return section;
}

static void section_unref(struct fl_section *section)
{
	if (__atomic_sub_fetch(&section->refs, 1, __ATOMIC_ACQ_REL) > 0) {
		return;
	}
	(void)pthread_mutex_destroy(&section->lock);
	free(section->cells);
	free(section->name);
	free(section);
}

static bool is_named(const struct fl_section *section, enum fl_direction direction,
		     const char *name)
{
	if (section->direction != direction || section->name == NULL || name == NULL) {
		return section->direction == direction && section->name == name;
	}
	return strcmp(section->name, name) == 0;
}

/* hint: where it was, if the INI has the same sections as before. */
static struct fl_section *take(const struct fl_section_set *before, size_t hint,
			       enum fl_direction direction, const char *name, unsigned workers)
{
	size_t count = before != NULL ? fl_section_count(before) : 0;

	for (size_t i = 0; i < count; i++) {
		struct fl_section *section = before->items[(hint + i) % count];

		if (is_named(section, direction, name)) {
			__atomic_add_fetch(&section->refs, 1, __ATOMIC_RELAXED);
			return section;
		}
	}
	return section_new(direction, name, workers);
}

struct fl_section_set *fl_section_set_new(const struct fl_conf *conf,
					  const struct fl_section_set *before, unsigned workers)
{
	size_t count = conf->service_count + 1 + conf->upstream_count + 1, n = 0;
	struct fl_section_set *set = fl_new(sizeof(*set) + count * sizeof(struct fl_section *));

	set->refs = 1;
	set->service_count = conf->service_count;
	set->upstream_count = conf->upstream_count;
	for (size_t i = 0; i <= conf->service_count; i++, n++) {
		set->items[n] =
			take(before, n, FL_INBOUND,
			     i < conf->service_count ? conf->services[i].name : NULL, workers);
	}
	for (size_t i = 0; i <= conf->upstream_count; i++, n++) {
		set->items[n] =
			take(before, n, FL_OUTBOUND,
			     i < conf->upstream_count ? conf->upstreams[i].name : NULL, workers);
	}
	return set;
}

struct fl_section_set *fl_section_set_ref(struct fl_section_set *set)
{
	__atomic_add_fetch(&set->refs, 1, __ATOMIC_RELAXED);
	return set;
}

void fl_section_set_unref(struct fl_section_set *set)
{
	if (set == NULL || __atomic_sub_fetch(&set->refs, 1, __ATOMIC_ACQ_REL) > 0) {
		return;
	}
	for (size_t i = 0; i < fl_section_count(set); i++) {
		section_unref(set->items[i]);
	}
	free(set);
}

/* --- reading -------------------------------------------------------------------------------------- */

static uint64_t read_count(const uint64_t *count)
{
	return __atomic_load_n(count, __ATOMIC_RELAXED);
}

void fl_section_sum(struct fl_section *section, struct fl_section_sum *ret)
{
	uint64_t last_at_ms = 0;

	*ret = (struct fl_section_sum){.name = section->name, .direction = section->direction};
	for (unsigned i = 0; i < section->workers; i++) {
		const struct fl_section_cell *cell = &section->cells[i];
		/* left first: it never exceeds opened. */
		uint64_t left = __atomic_load_n(&cell->left, __ATOMIC_ACQUIRE);
		uint64_t opened = read_count(&cell->opened);
		uint64_t at_ms = read_count(&cell->last_success_at_ms);

		ret->opened += opened;
		ret->open += opened > left ? opened - left : 0;
		ret->succeeded += read_count(&cell->succeeded);
		ret->bytes_to_app += read_count(&cell->bytes_to_app);
		ret->bytes_to_mesh += read_count(&cell->bytes_to_mesh);
		if (at_ms > last_at_ms) { /* the epoch's time may have been set back since */
			last_at_ms = at_ms;
			ret->last_success_ms = (int64_t)read_count(&cell->last_success_ms);
		}
	}
	FL_REQUIRE(pthread_mutex_lock(&section->lock) == 0);
	ret->failing = section->failing;
	ret->last_failure = section->last;
	memcpy(ret->failed, section->failed, sizeof(ret->failed));
	FL_REQUIRE(pthread_mutex_unlock(&section->lock) == 0);
}

/* --- counting ------------------------------------------------------------------------------------- */

struct fl_section_cell *fl_section_cell(struct fl_section *section, unsigned worker)
{
	return &section->cells[worker];
}

const char *fl_section_name(const struct fl_section *section)
{
	return section->name;
}

/* The lock is held: has the section been without failures for long enough to say that it works again? */
static bool is_over(const struct fl_section *section, uint64_t now_ms)
{
	return section->left_out == 0 && now_ms >= section->last_ms + FL_SECTION_QUIET_MS;
}

bool fl_section_succeeded(struct fl_section_cell *cell, int64_t time_ms, uint64_t now_ms)
{
	struct fl_section *section = cell->section;
	bool recovered;

	fl_count(&cell->succeeded, 1);
	__atomic_store_n(&cell->last_success_ms, (uint64_t)time_ms, __ATOMIC_RELAXED);
	__atomic_store_n(&cell->last_success_at_ms, now_ms > 0 ? now_ms : 1, __ATOMIC_RELAXED);
	if (!__atomic_load_n(&section->has_failed, __ATOMIC_RELAXED)) {
		return false;
	}
	FL_REQUIRE(pthread_mutex_lock(&section->lock) == 0);
	section->failing = false;
	recovered =
		__atomic_load_n(&section->has_failed, __ATOMIC_RELAXED) && is_over(section, now_ms);
	if (recovered) {
		__atomic_store_n(&section->has_failed, false, __ATOMIC_RELAXED);
	}
	FL_REQUIRE(pthread_mutex_unlock(&section->lock) == 0);
	return recovered;
}

/* The lock is held. */
static bool may_log(struct fl_section *section, uint64_t now_ms)
{
	return section->logged_ms == 0 || now_ms >= section->logged_ms + FL_SECTION_QUIET_MS;
}

/* The lock is held. Returns how many failures the line is about. */
static uint64_t begin_line(struct fl_section *section, uint64_t now_ms)
{
	uint64_t count = section->left_out;

	section->left_out = 0;
	section->logged_ms = now_ms > 0 ? now_ms : 1;
	return count;
}

uint64_t fl_section_failed(struct fl_section *section, const struct fl_section_failure *failure,
			   uint64_t now_ms)
{
	uint64_t count = 0;

	FL_REQUIRE(pthread_mutex_lock(&section->lock) == 0);
	section->failed[failure->reason]++;
	section->last = *failure;
	section->last_ms = now_ms;
	section->failing = true;
	section->left_out++;
	__atomic_store_n(&section->has_failed, true, __ATOMIC_RELAXED);
	if (may_log(section, now_ms)) {
		count = begin_line(section, now_ms);
	}
	FL_REQUIRE(pthread_mutex_unlock(&section->lock) == 0);
	return count;
}

uint64_t fl_section_left_out(struct fl_section *section, uint64_t now_ms,
			     struct fl_section_failure *ret_last, bool *ret_later)
{
	uint64_t count = 0;

	*ret_later = false;
	FL_REQUIRE(pthread_mutex_lock(&section->lock) == 0);
	if (section->left_out > 0 && may_log(section, now_ms)) {
		*ret_last = section->last;
		count = begin_line(section, now_ms);
	} else {
		*ret_later = section->left_out > 0;
	}
	FL_REQUIRE(pthread_mutex_unlock(&section->lock) == 0);
	return count;
}
