/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_BASE_UTF8_H
#define FL_BASE_UTF8_H
/* utf8 - checks foreign bytes for writers of logs, JSON, metrics and pages.
 * Pure; thread: any. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of the valid sequence that data (len > 0) begins with, and its code point; 0 when it
 * begins with none. */
size_t fl_utf8_sequence(const char *data, size_t len, uint32_t *ret_point);

/* Could it mislead a terminal or a reader: C0, DEL, C1, line separators and the
 * overrides of the writing direction? */
bool fl_utf8_is_control(uint32_t point);

#endif
