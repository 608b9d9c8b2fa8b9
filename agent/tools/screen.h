/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_TOOLS_SCREEN_H
#define FL_AGENT_TOOLS_SCREEN_H
/* screen - redraws a text on the terminal at stdout. Thread: one. */
#include "base/text.h"

/* Prints text (lines of clean UTF-8); on a terminal, alarms are coloured unless NO_COLOR is set. */
void fl_screen_print(const struct fl_text *text);

void fl_screen_clear(void);

/* Draws text (lines of clean UTF-8) from the upper left corner. What does not fit the window is cut off, because it would
 * scroll; the last line then says how many lines are missing. */
void fl_screen_draw(const struct fl_text *text);

#endif
