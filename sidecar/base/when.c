/* SPDX-License-Identifier: GPL-3.0-or-later */
/* when - a time beyond the calendar is written as its number of seconds. */
#include "base/when.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "base/mem.h"

const char *fl_when_format(int64_t when, char buf[FL_WHEN_TEXT])
{
	time_t t = (time_t)when;
	struct tm tm;

	if (gmtime_r(&t, &tm) == NULL ||
	    strftime(buf, FL_WHEN_TEXT, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0) {
		(void)snprintf(buf, FL_WHEN_TEXT, "%" PRId64, when);
	}
	return buf;
}

const char *fl_when_span(int64_t seconds, char buf[FL_SPAN_TEXT])
{
	static const struct {
		char unit;
		int64_t seconds;
	} units[] = {{'d', 86400}, {'h', 3600}, {'m', 60}, {'s', 1}};
	size_t i = 0;
	int64_t rest;

	while (i + 1 < FL_COUNT_OF(units) && seconds < units[i].seconds) {
		i++;
	}
	rest = seconds % units[i].seconds;
	if (i + 1 < FL_COUNT_OF(units) && rest / units[i + 1].seconds > 0) {
		(void)snprintf(buf, FL_SPAN_TEXT, "%" PRId64 "%c %" PRId64 "%c",
			       seconds / units[i].seconds, units[i].unit,
			       rest / units[i + 1].seconds, units[i + 1].unit);
	} else {
		(void)snprintf(buf, FL_SPAN_TEXT, "%" PRId64 "%c", seconds / units[i].seconds,
			       units[i].unit);
	}
	return buf;
}
