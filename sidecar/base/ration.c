/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A walk through a short table for each line: writing one takes longer. */
#include "base/ration.h"

#include <string.h>

static struct fl_ration_source *source_of(struct fl_ration *ration, const void *key, uint32_t kind)
{
	struct fl_ration_source *source;

	for (size_t i = 0; i < ration->count; i++) {
		source = &ration->sources[i];
		if (source->kind == kind && memcmp(source->key, key, FL_RATION_KEY) == 0) {
			return source;
		}
	}
	if (ration->count == FL_RATION_SOURCES) {
		return NULL;
	}
	source = &ration->sources[ration->count++];
	memcpy(source->key, key, FL_RATION_KEY);
	source->kind = kind;
	source->lines = 0;
	source->left_out = 0;
	return source;
}

bool fl_ration_take(struct fl_ration *ration, const void *key, uint32_t kind)
{
	struct fl_ration_source *source = source_of(ration, key, kind);

	if (source == NULL) {
		ration->others_left_out++;
		return false;
	}
	if (source->lines == FL_RATION_LINES || ration->lines == FL_RATION_ALL) {
		source->left_out++;
		return false;
	}
	source->lines++;
	ration->lines++;
	return true;
}

bool fl_ration_is_open(const struct fl_ration *ration)
{
	return ration->count > 0;
}

void fl_ration_end(struct fl_ration *ration, fl_ration_cb tell, void *user)
{
	for (size_t i = 0; i < ration->count; i++) {
		if (ration->sources[i].left_out > 0) {
			tell(user, &ration->sources[i], ration->sources[i].left_out);
		}
	}
	if (ration->others_left_out > 0) {
		tell(user, NULL, ration->others_left_out);
	}
	ration->count = 0;
	ration->lines = 0;
	ration->others_left_out = 0;
}
