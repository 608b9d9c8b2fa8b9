/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A short array whose entries are shifted: four at most. Nothing here fails. */
#include "conn/resume.h"

#include <string.h>

#define OLD_MS (10u * 60 * 1000) /* a sixth of the lifetime of our tickets */
#define BARE_MS (10u * 60 * 1000)

static void remove_at(struct fl_resume *resume, uint32_t index)
{
	fl_tls_saved_free(resume->entries[index].saved);
	resume->count--;
	memmove(&resume->entries[index], &resume->entries[index + 1],
		(resume->count - index) * sizeof(resume->entries[0]));
}

uint32_t fl_resume_offer(struct fl_resume *resume, struct fl_tls *tls)
{
	while (resume->count > 0) {
		uint32_t number = resume->entries[0].number;
		bool good = fl_tls_resume(tls, resume->entries[0].saved);

		resume->entries[0].used = true;
		if (!good || resume->count > 1) {
			remove_at(resume, 0);
		}
		if (good) {
			return number;
		}
	}
	return 0;
}

void fl_resume_drop(struct fl_resume *resume, uint32_t number)
{
	for (uint32_t i = 0; i < resume->count; i++) {
		if (resume->entries[i].number == number) {
			remove_at(resume, i);
			return;
		}
	}
}

bool fl_resume_wants(const struct fl_resume *resume, uint64_t now_ms)
{
	return resume->count < FL_RESUME_MAX ||
	       now_ms - resume->entries[FL_RESUME_MAX - 1].since_ms >= OLD_MS;
}

void fl_resume_keep(struct fl_resume *resume, struct fl_tls_saved *saved, uint64_t now_ms)
{
	for (uint32_t i = resume->count; i-- > 0;) {
		if (resume->entries[i].used) {
			remove_at(resume, i);
		}
	}
	if (resume->count == FL_RESUME_MAX) {
		remove_at(resume, FL_RESUME_MAX - 1);
	}
	memmove(&resume->entries[1], &resume->entries[0],
		resume->count * sizeof(resume->entries[0]));
	resume->count++;
	if (++resume->last_number == 0) {
		resume->last_number = 1;
	}
	resume->entries[0] = (struct fl_resume_entry){
		.saved = saved, .since_ms = now_ms, .number = resume->last_number};
}

void fl_resume_flush(struct fl_resume *resume)
{
	while (resume->count > 0) {
		remove_at(resume, resume->count - 1);
	}
	resume->bare_until_ms = 0;
}

bool fl_resume_is_bare(const struct fl_resume *resume, uint64_t now_ms)
{
	return now_ms < resume->bare_until_ms;
}

void fl_resume_note_bare(struct fl_resume *resume, uint64_t now_ms)
{
	if (!fl_resume_is_bare(resume, now_ms)) {
		resume->bare_until_ms = now_ms + BARE_MS;
	}
}
