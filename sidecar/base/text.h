/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_BASE_TEXT_H
#define FL_BASE_TEXT_H
/* text - a growing string. Thread: any, one at a time. Begins as {0}: exhausted memory ends the process. Or, if a remote caller
 * has asked for the text, as {.is_soft = true}: then the text has failed, and ignores what is appended. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct fl_text {
	char *data; /* owned; NUL-terminated once something was put; NULL before */
	size_t len, cap;
	bool is_soft, has_failed; /* has_failed: the text is incomplete */
};

void fl_text_print(struct fl_text *text, const char *fmt, ...) FL_PRINTF(2, 3);
void fl_text_put(struct fl_text *text, const char *data, size_t len);
/* Safe for a terminal: control characters and invalid UTF-8 become `?`. */
void fl_text_put_clean(struct fl_text *text, const char *from);
/* So many bytes for a person: "97.7 KiB". */
void fl_text_put_bytes(struct fl_text *text, uint64_t bytes);
void fl_text_done(struct fl_text *text);

#endif
