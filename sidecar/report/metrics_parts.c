/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "report/metrics_parts.h"

#include <inttypes.h>
#include <string.h>

#include "base/utf8.h"

void fl_metric_family(struct fl_text *text, const char *name, const char *type, const char *help)
{
	fl_text_print(text, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* Escapes backslash, quote and newline in a label, and nothing else. */
static void put_value(struct fl_text *text, const char *value)
{
	size_t left = strlen(value);

	while (left > 0) {
		uint32_t point = 0;
		size_t len = fl_utf8_sequence(value, left, &point);

		if (len == 0) {
			fl_text_put(text, "\xef\xbf\xbd", 3); /* U+FFFD */
			len = 1;
		} else if (point == '\n') {
			fl_text_put(text, "\\n", 2);
		} else if (point == '"' || point == '\\') {
			fl_text_print(text, "\\%c", (char)point);
		} else {
			fl_text_put(text, value, len);
		}
		value += len;
		left -= len;
	}
}

void fl_metric_label(struct fl_text *text, char before, const char *name, const char *value)
{
	fl_text_print(text, "%c%s=\"", before, name);
	put_value(text, value);
	fl_text_put(text, "\"", 1);
}

void fl_metric_single(struct fl_text *text, const char *name, const char *type, const char *help,
		      int64_t value)
{
	fl_metric_family(text, name, type, help);
	fl_text_print(text, "%s %" PRId64 "\n", name, value);
}

/* name{first_name="first",second_name="second"} value; second_name: NULL for none */
void fl_metric_series(struct fl_text *text, const char *name, const char *first_name,
		      const char *first, const char *second_name, const char *second,
		      uint64_t value)
{
	fl_text_print(text, "%s", name);
	fl_metric_label(text, '{', first_name, first);
	if (second_name != NULL) {
		fl_metric_label(text, ',', second_name, second);
	}
	fl_text_print(text, "} %" PRIu64 "\n", value);
}
