/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_BASE_WHEN_H
#define FL_BASE_WHEN_H
/* when - writes points in time and durations for people and scripts. Pure; thread: any. */
#include <stdint.h>

/* "2026-11-21T07:44:37Z" of seconds since the epoch; returns buf. */
#define FL_WHEN_TEXT 32
const char *fl_when_format(int64_t when, char buf[FL_WHEN_TEXT]);

/* "3d 4h", "59m 10s": two units at most, of a number of seconds that is not negative; returns
 * buf. */
#define FL_SPAN_TEXT 48
const char *fl_when_span(int64_t seconds, char buf[FL_SPAN_TEXT]);

#endif
