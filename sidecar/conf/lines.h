/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_CONF_LINES_H
#define FL_CONF_LINES_H
/* lines - the text of an INI as sections and entries with their line numbers; no meaning yet. Private to
 * conf. The syntax is inih's (`[section]`, `key = value`, `;` and `#` comments, ` ;` after a value).
 * Repeated sections and keys, long and continued lines, which inih accepts silently, are errors. */
#include <stdbool.h>
#include <stddef.h>

#include "conf/problems.h"

struct fl_ini_section { /* `[kind]` or `[kind name]` */
	char *kind;
	char *name; /* NULL: none */
	fl_conf_line line;
	bool repeated; /* reported; only the first one counts */
};

struct fl_ini_entry {   /* `key = value` */
	size_t section; /* index in sections */
	char *key;
	char *value; /* trimmed, may be empty */
	fl_conf_line line;
	bool repeated; /* reported; only the first one counts */
};

struct fl_ini_index;

struct fl_ini {
	struct fl_ini_section *sections;
	size_t section_count;
	struct fl_ini_entry *entries;
	size_t entry_count;
	struct fl_ini_index *section_index, *entry_index;
};

/* Reads everything that it understands, and reports the rest. Errors: FL_ERR_NOMEM. */
int fl_ini_read(const char *text, size_t len, struct fl_ini *ret,
		struct fl_problems *problems) FL_MUST_USE;
void fl_ini_done(struct fl_ini *ini);

/* The first of that name, or NULL. name: NULL for `[kind]`. */
const struct fl_ini_section *fl_ini_section(const struct fl_ini *ini, const char *kind,
					    const char *name);
const struct fl_ini_entry *fl_ini_entry(const struct fl_ini *ini,
					const struct fl_ini_section *section, const char *key);

#endif
