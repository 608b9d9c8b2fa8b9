/* SPDX-License-Identifier: GPL-3.0-or-later */
/* err - fills, prefixes and names errors.
 *
 * Text is formatted into a separate buffer first, so that an error's own text may be among the
 * arguments. Nothing here fails: a text that does not fit is cut and ends in "...". */
#include "base/err.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define TEXT_MAX sizeof(((struct fl_err *)NULL)->text)

/* snprintf() returns the length of the whole text: this marks a cut one. */
static void mark_cut(char *text, int wanted)
{
	if (wanted < 0) {
		text[0] = '\0'; /* only a broken locale or format gets here */
	} else if ((size_t)wanted >= TEXT_MAX) {
		memcpy(text + TEXT_MAX - 4, "...", 4);
	}
}

static void format_text(char *text, const char *fmt, va_list args)
{
	mark_cut(text, vsnprintf(text, TEXT_MAX, fmt, args));
}

static void store(struct fl_err *err, enum fl_code code, int sys, const char *text)
{
	err->code = code;
	err->sys = sys;
	memcpy(err->text, text, strlen(text) + 1);
}

int fl_err_set(struct fl_err *err, enum fl_code code, const char *fmt, ...)
{
	char text[TEXT_MAX];
	va_list args;

	if (err != NULL) {
		va_start(args, fmt);
		format_text(text, fmt, args);
		va_end(args);
		store(err, code, 0, text);
	}
	return code;
}

int fl_err_sys(struct fl_err *err, int sys, const char *fmt, ...)
{
	char text[TEXT_MAX];
	char whole[TEXT_MAX];
	char reason[128];
	va_list args;

	if (err == NULL) {
		return FL_ERR_IO;
	}
	if (sys < 0 && sys != INT_MIN) {
		sys = -sys; /* libuv's sign */
	}
	va_start(args, fmt);
	format_text(text, fmt, args);
	va_end(args);
	/* GNU strerror_r: the text may or may not be in the buffer. */
	mark_cut(whole, snprintf(whole, sizeof(whole), "%s: %s", text,
				 strerror_r(sys, reason, sizeof(reason))));
	store(err, FL_ERR_IO, sys, whole);
	return FL_ERR_IO;
}

int fl_err_prefix(struct fl_err *err, const char *fmt, ...)
{
	char text[TEXT_MAX];
	char whole[TEXT_MAX];
	va_list args;

	if (err == NULL) {
		return FL_ERR_BUG;
	}
	va_start(args, fmt);
	format_text(text, fmt, args);
	va_end(args);
	mark_cut(whole, snprintf(whole, sizeof(whole), "%s: %s", text, err->text));
	memcpy(err->text, whole, sizeof(whole));
	return err->code;
}
