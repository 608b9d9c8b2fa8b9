/* SPDX-License-Identifier: GPL-3.0-or-later */
/* help_ini - the page of the INI, from the table that explains its keys. */
#include <string.h>

#include "agent/help.h"
#include "conf/manual.h"

#define INDENT 6 /* of the text of a key */
#define WIDTH 80

/* A line under construction. */
struct filled {
	struct fl_text *out;
	size_t column; /* 0: nothing is on it yet */
};

static void put_word(struct filled *line, const char *word, size_t len)
{
	if (line->column != 0 && line->column + 1 + len > WIDTH) {
		fl_text_print(line->out, "\n");
		line->column = 0;
	}
	fl_text_print(line->out, "%*s%.*s", line->column == 0 ? INDENT : 1, "", (int)len, word);
	line->column += (line->column == 0 ? INDENT : 1) + len;
}

/* Of a link, [text](target), only the text is printed. Returns where the text goes on after `(target)`, or at. */
static const char *skip_target(const char *at)
{
	const char *end = at[0] == ']' && at[1] == '(' ? strchr(at, ')') : NULL;

	return end != NULL ? end + 1 : at;
}

/* Is this bracket the begin of a link, and not that of a section's name or of an address? */
static bool begins_link(const char *at)
{
	const char *end = strchr(at, ']');

	return *at == '[' && end != NULL && end[1] == '(' &&
	       memchr(at + 1, '[', (size_t)(end - at - 1)) == NULL;
}

static void put_filled(struct fl_text *out, const char *markdown)
{
	struct filled line = {.out = out};
	struct fl_text word = {0};
	bool in_link = false;

	for (const char *at = markdown;; at++) {
		if (begins_link(at)) {
			in_link = true;
			continue;
		}
		if (in_link && skip_target(at) != at) {
			at = skip_target(at);
			in_link = false;
		}
		if (*at != ' ' && *at != '\0') {
			fl_text_put(&word, at, 1);
			continue;
		}
		put_word(&line, word.data, word.len);
		fl_text_done(&word);
		word = (struct fl_text){0};
		if (*at == '\0') {
			break;
		}
	}
	fl_text_print(out, "\n");
}

static void put_key(struct fl_text *out, const struct fl_manual *row)
{
	fl_text_print(out, "  %s", row->keys);
	if (row->fallback[0] == '(') {
		fl_text_print(out, "  %s", row->fallback);
	} else if (row->fallback[0] != '\0') {
		fl_text_print(out, "  (default: %s)", row->fallback);
	}
	fl_text_print(out, "\n");
	put_filled(out, row->text);
}

void fl_help_ini_put(struct fl_text *out)
{
	fl_text_print(
		out, "%s",
		"NAME\n"
		"  fairlead.ini - the configuration of fairlead-agent and fairlead-sidecar\n"
		"\n"
		"DESCRIPTION\n"
		"  Both programs read the same file: -c FILE, by default\n"
		"  /etc/fairlead/fairlead.ini. fairlead-agent check reports every problem of it.\n"
		"  With an unknown section or key, a wrong value, a duplicate name or a\n"
		"  contradiction, nothing starts.\n"
		"\n"
		"  Durations have a unit (250ms, 30s, 5m, 1h), sizes too (64KiB), lists are comma\n"
		"  separated. Addresses are HOST:PORT, [V6]:PORT, *:PORT (all addresses, IPv4 and\n"
		"  IPv6) or unix:PATH. A comment begins with ; or #, after a value with a space\n"
		"  and ;. Paths are absolute.\n"
		"\n"
		"  Patterns in from and peer are SPIFFE IDs, in which * stands for exactly one\n"
		"  segment of the path, and ** at the end for one or more. The trust domain is\n"
		"  always literal. A rule with mode = audit decides nothing; where it would have\n"
		"  made a difference, the access log says would_deny or would_allow.\n"
		"\n"
		"  Titles such as Limits and strangers are chapters of sidecar/REFERENCE.md,\n"
		"  which is installed in share/doc/fairlead.\n");
	for (size_t i = 0; i < fl_manual_count; i++) {
		if (i == 0 || strcmp(fl_manual[i].section, fl_manual[i - 1].section) != 0) {
			fl_text_print(out, "\n%s\n", fl_manual[i].section);
		} else {
			fl_text_print(out, "\n");
		}
		put_key(out, &fl_manual[i]);
	}
	fl_text_print(out, "%s",
		      "\nEXAMPLES\n"
		      "  [identity]\n"
		      "  cert   = /var/run/fairlead/tls/tls.crt\n"
		      "  key    = /var/run/fairlead/tls/tls.key\n"
		      "  bundle = /var/run/fairlead/tls/ca.crt\n"
		      "\n"
		      "  [allow front]\n"
		      "  from = spiffe://prod.example/ns/front/sa/*\n"
		      "\n"
		      "SEE ALSO\n"
		      "  fairlead-agent check, fairlead-agent explain\n");
}
