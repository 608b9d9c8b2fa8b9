/* SPDX-License-Identifier: GPL-3.0-or-later */
/* openmetrics - the metrics as OpenMetrics 1.0, which Prometheus asks for by its Accept header.
 *
 * It is made from the Prometheus text, so that a metric is written once. Only these lines differ:
 * the descriptions of a family, in which a counter has no `_total` and an info no `_info`, and
 * which name the unit; the bounds of histograms, where 1 is 1.0; and the end. */
#include <stdbool.h>
#include <string.h>

#include "report/report.h"

struct line {
	const char *at;
	size_t len; /* without its newline */
};

/* False: there is no more. */
static bool next_line(const struct fl_text *text, size_t *from, struct line *ret)
{
	const char *end;

	if (*from >= text->len) {
		return false;
	}
	ret->at = text->data + *from;
	end = memchr(ret->at, '\n', text->len - *from);
	ret->len = end != NULL ? (size_t)(end - ret->at) : text->len - *from;
	*from += ret->len + 1;
	return true;
}

static bool starts_with(struct line line, const char *with)
{
	size_t len = strlen(with);

	return line.len >= len && memcmp(line.at, with, len) == 0;
}

static bool ends_with(struct line line, const char *with)
{
	size_t len = strlen(with);

	return line.len >= len && memcmp(line.at + line.len - len, with, len) == 0;
}

/* Splits "NAME REST", behind so many bytes. */
static void split(struct line line, size_t behind, struct line *ret_name, struct line *ret_rest)
{
	struct line all = {line.at + behind, line.len - behind};
	const char *space = memchr(all.at, ' ', all.len);
	size_t len = space != NULL ? (size_t)(space - all.at) : all.len;

	*ret_name = (struct line){all.at, len};
	*ret_rest = space != NULL ? (struct line){space + 1, all.len - len - 1}
				  : (struct line){all.at + all.len, 0};
}

static bool is(struct line line, const char *word)
{
	return line.len == strlen(word) && starts_with(line, word);
}

static void put_about(struct fl_text *ret, const char *what, struct line name, struct line value)
{
	fl_text_print(ret, "# %s ", what);
	fl_text_put(ret, name.at, name.len);
	fl_text_put(ret, " ", 1);
	fl_text_put(ret, value.at, value.len);
	fl_text_put(ret, "\n", 1);
}

static void put_family(struct fl_text *ret, struct line name, struct line type, struct line help)
{
	static const char total[] = "_total", info[] = "_info";
	static const char *const units[] = {"seconds", "bytes"};

	if (is(type, "counter") && ends_with(name, total)) {
		name.len -= sizeof(total) - 1;
	} else if (ends_with(name, info)) {
		name.len -= sizeof(info) - 1;
		type = (struct line){info + 1, sizeof(info) - 2};
	}
	put_about(ret, "TYPE", name, type);
	for (size_t i = 0; i < FL_COUNT_OF(units); i++) {
		if (ends_with(name, units[i])) {
			put_about(ret, "UNIT", name, (struct line){units[i], strlen(units[i])});
		}
	}
	put_about(ret, "HELP", name, help);
}

/* The bound is the last label. */
static void put_bucket(struct fl_text *ret, struct line line)
{
	const char *quote = memrchr(line.at, '"', line.len);
	size_t len = quote != NULL ? (size_t)(quote - line.at) : line.len;
	size_t bound = len;

	while (bound > 0 && line.at[bound - 1] != '"') {
		bound--;
	}
	fl_text_put(ret, line.at, len);
	if (strspn(line.at + bound, "0123456789") == len - bound) {
		fl_text_put(ret, ".0", 2);
	}
	fl_text_put(ret, line.at + len, line.len - len);
	fl_text_put(ret, "\n", 1);
}

static void convert(const struct fl_text *text, struct fl_text *ret)
{
	static const char help_mark[] = "# HELP ", type_mark[] = "# TYPE ";
	struct line line, name, type, help = {"", 0};
	bool is_histogram = false;

	for (size_t at = 0; next_line(text, &at, &line);) {
		if (starts_with(line, help_mark)) {
			split(line, sizeof(help_mark) - 1, &name, &help);
		} else if (starts_with(line, type_mark)) {
			split(line, sizeof(type_mark) - 1, &name, &type);
			put_family(ret, name, type, help);
			is_histogram = is(type, "histogram");
		} else if (is_histogram && memmem(line.at, line.len, "_bucket{", 8) != NULL) {
			put_bucket(ret, line);
		} else {
			fl_text_put(ret, line.at, line.len + 1);
		}
	}
	fl_text_print(ret, "# EOF\n");
}

void fl_report_openmetrics(const struct fl_snapshot *snapshot, struct fl_text *ret)
{
	struct fl_text text = {.is_soft = ret->is_soft};

	fl_report_metrics(snapshot, &text);
	if (text.has_failed) {
		ret->has_failed = true;
	} else {
		convert(&text, ret);
	}
	fl_text_done(&text);
}
