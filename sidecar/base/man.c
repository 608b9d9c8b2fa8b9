/* SPDX-License-Identifier: GPL-3.0-or-later */
/* man - a page of --help in the language of man(7).
 *
 * A line without indentation is a heading. The text of NAME becomes one line, which `apropos` indexes; in DESCRIPTION lines
 * with the usual indentation are filled; everything else is a table or an example, and stays as it is. */
#include "base/man.h"

#include <string.h>

#define DATE "2026-11-29" /* when the format of the pages last changed */
#define INDENT 2          /* of ordinary text */

struct man {
	struct fl_text *out;
	const char *heading; /* the macro for one */
	bool in_name, fills; /* of the section */
	bool verbatim;       /* .nf is in force */
	bool blank;          /* an empty line waits for the next line */
	bool begun;          /* the section has text */
};

static void put_escaped(struct fl_text *out, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (i == 0 && (text[i] == '.' || text[i] == '\'')) {
			fl_text_print(out, "\\&");
		}
		switch (text[i]) {
		case '\\':
			fl_text_print(out, "\\e");
			break;
		case '-':
			fl_text_print(out, "\\-");
			break;
		case '\'':
			fl_text_print(out, "\\(aq");
			break;
		case '`':
			fl_text_print(out, "\\(ga");
			break;
		case '^':
			fl_text_print(out, "\\(ha");
			break;
		case '~':
			fl_text_print(out, "\\(ti");
			break;
		default:
			fl_text_put(out, &text[i], 1);
			break;
		}
	}
}

static void set_verbatim(struct man *man, bool verbatim)
{
	if (man->verbatim != verbatim) {
		fl_text_print(man->out, verbatim ? ".nf\n" : ".fi\n");
		man->verbatim = verbatim;
	}
}

static void put_heading(struct man *man, const char *line, size_t len)
{
	set_verbatim(man, false);
	fl_text_print(man->out, "%s.%s ", man->in_name ? "\n" : "", man->heading);
	put_escaped(man->out, line, len);
	fl_text_print(man->out, "\n");
	man->in_name = len == 4 && memcmp(line, "NAME", 4) == 0;
	man->fills = len == 11 && memcmp(line, "DESCRIPTION", 11) == 0;
	man->blank = man->begun = false;
}

/* "name - what it does" on one line, without escapes in the dash that separates them. */
static void put_name(struct man *man, const char *line, size_t len)
{
	const char *dash = man->begun ? NULL : strstr(line, " - ");

	if (man->begun) {
		fl_text_print(man->out, " ");
	}
	if (dash != NULL && dash < line + len) {
		size_t name = (size_t)(dash - line);

		/* One word: `fairlead-agent check` is known as fairlead-agent-check. */
		for (size_t i = 0; i < name; i++) {
			put_escaped(man->out, line[i] == ' ' ? "-" : &line[i], 1);
		}
		fl_text_print(man->out, " \\- ");
		line = dash + 3;
		len -= name + 3;
	}
	put_escaped(man->out, line, len);
	man->begun = true;
}

static void put_text(struct man *man, const char *line, size_t len)
{
	size_t indent = strspn(line, " ");
	bool verbatim = !man->fills || indent > INDENT;
	bool changes = verbatim != man->verbatim;

	if (man->blank && man->begun) {
		/* A change of mode already breaks the line; only the vertical space is missing. */
		fl_text_print(man->out, verbatim && !changes ? ".sp\n" : ".PP\n");
	}
	set_verbatim(man, verbatim);
	man->blank = false;
	man->begun = true;
	indent = indent < INDENT ? indent : INDENT;
	put_escaped(man->out, line + indent, len - indent);
	fl_text_print(man->out, "\n");
}

static void put_page(struct man *man, const char *page)
{
	while (*page != '\0') {
		size_t len = strcspn(page, "\n");

		if (len == 0) {
			man->blank = true;
		} else if (page[0] != ' ') {
			put_heading(man, page, len);
		} else if (man->in_name) {
			put_name(man, page + INDENT, len - INDENT);
		} else {
			put_text(man, page, len);
		}
		page += len + (page[len] == '\n');
	}
	set_verbatim(man, false);
}

void fl_man_put(struct fl_text *out, const char *title, int section, const char *page)
{
	struct man man = {.out = out, .heading = "SH"};

	fl_text_print(out, ".TH ");
	put_escaped(out, title, strlen(title));
	fl_text_print(out, " %d %s \"Fairlead " FL_VERSION "\"\n", section, DATE);
	put_page(&man, page);
}

void fl_man_put_part(struct fl_text *out, const char *title, const char *page)
{
	struct man man = {.out = out, .heading = "SS"};

	fl_text_print(out, ".SH \"");
	put_escaped(out, title, strlen(title));
	fl_text_print(out, "\"\n");
	put_page(&man, page);
}
