/* SPDX-License-Identifier: GPL-3.0-or-later */
/* screen - the rest of the previous text is erased line by line, so that nothing flickers. */
#include "agent/tools/screen.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define CLEAR "\033[2J"
#define HOME "\033[H"
#define ERASE_LINE "\033[K"
#define RED "\033[31m"
#define GREEN "\033[32m"
#define YELLOW "\033[33m"
#define PLAIN "\033[0m"
#define ERASE_BELOW "\033[J"

/* The number of bytes of the first characters of a line. A byte 10xxxxxx continues the character before it. */
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

/* --- colours ---------------------------------------------------------------------------------- */

/* https://no-color.org: NO_COLOR set to anything but nothing means no. */
static bool wants_colour(void)
{
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): there is one thread */
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	return isatty(STDOUT_FILENO) != 0 && (no == NULL || no[0] == '\0') &&
	       (term == NULL || strcmp(term, "dumb") != 0);
}

static bool has(const char *line, size_t len, const char *word)
{
	const char *found = strstr(line, word);

	return found != NULL && found < line + len;
}

/* Chosen by the text of the line: "" for nothing special. */
static const char *colour_of(const char *line, size_t len)
{
	static const char *const alarms[] = {
		"REFUSED",       "NOT READY",    "NOT REACHABLE", "NOT SERVING",
		"NOT CONNECTED", "NOT IN FORCE", "NOT THE RULES", "HANGS",
		"EXPIRED",       "FAILING",      "NO ADDRESS",    "WAITS FOR A RESTART"};

	for (size_t i = 0; i < sizeof(alarms) / sizeof(alarms[0]); i++) {
		if (has(line, len, alarms[i])) {
			return RED;
		}
	}
	if (strncmp(line, "WARNING", 7) == 0 || strncmp(line, "RESTART", 7) == 0 ||
	    strncmp(line, "failed ", 7) == 0) {
		return YELLOW;
	}
	return strncmp(line, "sidecar ", 8) == 0 && has(line, len, " ready") ? GREEN : "";
}

void fl_screen_print(const struct fl_text *text)
{
	bool colour = wants_colour();
	const char *at = text->len > 0 ? text->data : "";

	while (*at != '\0') {
		size_t len = strcspn(at, "\n");
		const char *paint = colour ? colour_of(at, len) : "";

		(void)printf("%s%.*s%s\n", paint, (int)len, at, paint[0] != '\0' ? PLAIN : "");
		at += len + (at[len] == '\n');
	}
}

/* --- in place --------------------------------------------------------------------------------- */

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

		const char *paint = wants_colour() ? colour_of(at, len) : "";

		(void)printf("%s%.*s%s" ERASE_LINE "\n", paint, (int)cut(at, len, width), at,
			     paint[0] != '\0' ? PLAIN : "");
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
