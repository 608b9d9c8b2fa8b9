/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_BASE_MAN_H
#define FL_BASE_MAN_H
/* man - a page of --help as a man page. Pure; thread: any. */
#include "base/text.h"

/* Appends a page in the language of man(7). title: "fairlead-agent-check"; page: as --help prints it, with its headings at the
 * beginning of lines. */
void fl_man_put(struct fl_text *out, const char *title, int section, const char *page);
/* Appends another page to it, as a section. */
void fl_man_put_part(struct fl_text *out, const char *title, const char *page);

#endif
