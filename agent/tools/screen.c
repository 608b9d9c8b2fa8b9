/* SPDX-License-Identifier: GPL-3.0-or-later */
/* screen - the rest of the previous text is erased line by line, so that nothing flickers. */
#include "agent/tools/screen.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define CLEAR "\033[2J"
#define HOME "\033[H"
#define ERASE_LINE "\033[K"
#define ERASE_BELOW "\033[J"

/* How many bytes the first characters of a line take. A byte 10xxxxxx continues the character before it. */
static size_t cut(const char *line, size_t len, size_t characters)
{
	size_t at = 0;

	for (; at < len; at++) {
		if (((unsigned char)line[at] & 0xc0) != 0x80 && characters-- == 0) {
			break;
		}
	}
	return at;
}

static size_t count_lines(const struct fl_text *text)
{
	size_t lines = 0;

	for (size_t i = 0; i < text->len; i++) {
		lines += text->data[i] == '\n';
	}
	return lines;
}

void fl_screen_clear(void)
{
	(void)fputs(CLEAR, stdout);
}

void fl_screen_draw(const struct fl_text *text)
{
	size_t lines = count_lines(text), shown = lines, width = SIZE_MAX;
	const char *at = text->data;
	struct winsize window = {0};

	/* The last row is for the cursor; a character in the last column would be erased with the rest of its line. */
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_row > 0 &&
	    window.ws_col > 0) {
		width = window.ws_col - 1U;
		if (lines >= window.ws_row) {
			shown = window.ws_row > 2 ? window.ws_row - 2U : 0;
		}
	}
	(void)fputs(HOME, stdout);
	for (size_t i = 0; i < shown; i++) {
		size_t len = strcspn(at, "\n");

		(void)printf("%.*s" ERASE_LINE "\n", (int)cut(at, len, width), at);
		at += len + 1;
	}
	if (shown < lines) {
		char more[64];
		int len = snprintf(more, sizeof(more), "and %zu more lines, in a larger window",
				   lines - shown);

		(void)printf("%.*s" ERASE_LINE "\n", (int)cut(more, (size_t)len, width), more);
	}
	(void)fputs(ERASE_BELOW, stdout);
}
