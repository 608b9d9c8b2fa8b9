/* SPDX-License-Identifier: GPL-3.0-or-later */
/* text - grows by doubling. What is put in comes from our own tables and counters, never from a
 * caller's length. */
#include "base/text.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"

/* False: it has failed. */
static bool make_room(struct fl_text *text, size_t len)
{
	size_t cap = text->cap > 0 ? text->cap : 256;
	char *grown;

	FL_REQUIRE(len < SIZE_MAX / 4 - text->len);
	while (cap < text->len + len + 1) {
		cap *= 2;
	}
	if (text->has_failed || cap == text->cap) {
		return !text->has_failed;
	}
	grown = text->is_soft ? realloc(text->data, cap) : fl_grow(text->data, cap, 1);
	text->has_failed = grown == NULL;
	if (grown != NULL) {
		text->data = grown;
		text->cap = cap;
	}
	return !text->has_failed;
}

void fl_text_put(struct fl_text *text, const char *data, size_t len)
{
	if (!make_room(text, len)) {
		return;
	}
	if (len > 0) {
		memcpy(text->data + text->len, data, len);
	}
	text->len += len;
	text->data[text->len] = '\0';
}

void fl_text_print(struct fl_text *text, const char *fmt, ...)
{
	va_list args, again;
	int len;

	if (!make_room(text, 0)) {
		return;
	}
	va_start(args, fmt);
	va_copy(again, args);
	len = vsnprintf(text->data + text->len, text->cap - text->len, fmt, args);
	va_end(args);
	FL_REQUIRE(len >= 0);
	if ((size_t)len >= text->cap - text->len) {
		len = make_room(text, (size_t)len)
			      ? vsnprintf(text->data + text->len, (size_t)len + 1, fmt, again)
			      : 0;
	}
	va_end(again);
	text->len += (size_t)len;
	text->data[text->len] = '\0';
}

void fl_text_put_clean(struct fl_text *text, const char *from)
{
	size_t left = strlen(from);

	while (left > 0) {
		uint32_t point = 0;
		size_t len = fl_utf8_sequence(from, left, &point);

		if (len == 0 || fl_utf8_is_control(point)) {
			fl_text_put(text, "?", 1);
			len = len == 0 ? 1 : len;
		} else {
			fl_text_put(text, from, len);
		}
		from += len;
		left -= len;
	}
}

void fl_text_put_bytes(struct fl_text *text, uint64_t bytes)
{
	static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	double value = (double)bytes / 1024;
	size_t unit = 0;

	if (bytes < 1024) {
		fl_text_print(text, "%" PRIu64 " B", bytes);
		return;
	}
	while (value >= 1024 && unit + 1 < FL_COUNT_OF(units)) {
		value /= 1024;
		unit++;
	}
	fl_text_print(text, "%.1f %s", value, units[unit]);
}

void fl_text_done(struct fl_text *text)
{
	free(text->data);
	*text = (struct fl_text){0};
}
