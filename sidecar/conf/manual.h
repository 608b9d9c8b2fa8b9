/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_CONF_MANUAL_H
#define FL_CONF_MANUAL_H
/* manual - what each key of the INI means, for people: fairlead.ini(5), and the table in REFERENCE.md, which
 * tests/lint/reference.py makes of it. Nothing of it is linked into the sidecar. */
#include <stddef.h>

struct fl_manual {
	const char *section; /* as in the INI; "[allow NAME], [deny NAME]" is both */
	const char *keys;    /* "cert, key" */
	const char *
		fallback; /* what is used without the key: a value, "(required)", "(empty)", or "" */
	const char *text; /* Markdown: code in backticks, links */
};

/* In the order in which they are explained; rows of one section follow each other. Thread: any. */
extern const struct fl_manual fl_manual[];
extern const size_t fl_manual_count;

#endif
