/* SPDX-License-Identifier: GPL-3.0-or-later */
/* not_yet - what the INI can say and nothing carries out so far. It is refused where somebody writes it: an
 * option that is taken and does nothing would be worse. A row goes when what it names is built. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "conf/build.h"
#include "conf/values.h"

enum what {
	ANY,     /* every value, but for an empty one */
	ITEM,    /* a list with this item, or this word */
	NONZERO, /* every number but 0 */
};

struct row {
	const char *section, *key;
	enum what what;
	const char *item;
	const char *instead;
};

static const struct row rows[] = {
	/* judging live connections again */
	{"limits", "max_age", NONZERO, NULL, "write `max_age = 0`"},
	{"rotation", "on_trust_loss", ITEM, "close",
	 "write `keep`, open connections are not judged again"},
	{"rotation", "on_expiry", ITEM, "close",
	 "write `keep`, open connections are not judged again"},
	{"rotation", "on_policy_loss", ITEM, "close",
	 "write `keep`, open connections are not judged again"},
	{"rotation", "recycle", NONZERO, NULL, "write `recycle = 0`"},
};

static bool has_item(const char *value, const char *item)
{
	struct fl_list list = {0};
	bool found = false;

	if (fl_value_list(value, &list, NULL) != 0) {
		return false; /* which has been reported */
	}
	for (size_t i = 0; i < list.count; i++) {
		found = found || strcmp(list.items[i], item) == 0;
	}
	fl_list_done(&list);
	return found;
}

static bool is_meant(const struct row *row, const char *value)
{
	switch (row->what) {
	case ANY:
		return value[0] != '\0';
	case ITEM:
		return has_item(value, row->item);
	case NONZERO:
		return strtoul(value, NULL, 10) != 0;
	}
	return false;
}

static void refuse_entry(struct fl_build *build, const struct row *row,
			 const struct fl_ini_entry *entry)
{
	if (row->what == ITEM) {
		fl_problem_error(build->problems, entry->line,
				 "`%s`: `%s` is not supported yet: %s", row->key, row->item,
				 row->instead);
	} else {
		fl_problem_error(build->problems, entry->line, "`%s` is not supported yet: %s",
				 row->key, row->instead);
	}
}

static void check_row(struct fl_build *build, const struct row *row,
		      const struct fl_ini_section *section)
{
	const struct fl_ini_entry *entry = fl_ini_entry(build->ini, section, row->key);

	if (entry != NULL && is_meant(row, entry->value)) {
		refuse_entry(build, row, entry);
	}
}

void fl_build_refuse_not_yet(struct fl_build *build)
{
	for (size_t i = 0; i < build->ini->section_count; i++) {
		const struct fl_ini_section *section = &build->ini->sections[i];

		for (size_t k = 0; k < FL_COUNT_OF(rows); k++) {
			if (!section->repeated && strcmp(section->kind, rows[k].section) == 0) {
				check_row(build, &rows[k], section);
			}
		}
	}
}
