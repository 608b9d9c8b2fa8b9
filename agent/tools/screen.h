/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_TOOLS_SCREEN_H
#define FL_AGENT_TOOLS_SCREEN_H
/* screen - a text on the terminal at stdout, in place of the one before. Thread: one. */
#include "base/text.h"

void fl_screen_clear(void);

/* Draws text, lines of clean UTF-8, from the upper left corner on. What is longer or wider than the window is cut off, for
 * it would scroll, and the next text would stand below it; how many lines that are is said in the last one. */
void fl_screen_draw(const struct fl_text *text);

#endif
