/* SPDX-License-Identifier: GPL-3.0-or-later */
/* lines - feeds inih line by line, and keeps each entry with its line number.
 *
 * inih asks read_line() for a line, and calls take_entry() for its entry before it asks for the
 * next, so both work on the current line; a line for which inih calls nothing is a problem. Lines
 * reach inih without indentation, because it would append an indented line to the value
 * above. Section headers are read here: inih silently cuts long ones and merges repeated ones. A
 * line too long for inih's buffer is reported, never cut.
 * Fails only without memory; everything else is a problem of the INI. */
#include "conf/lines.h"

#include <ini.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "base/mem.h"
#include "conf/problems.h"

#define LINE_BYTES (64 * 1024)
#define SECTION_ENTRIES_MAX 100u /* none has so many keys */

/* Position of a section or an entry by its name. */
struct fl_ini_index {
	UT_hash_handle hh;
	char *key; /* "kind name" of a section; "NUMBER=key" of an entry in section NUMBER */
	size_t at;
};

struct reader {
	const char *text;
	size_t len;
	size_t at;
	fl_conf_line line;
	bool any_header;          /* good or bad */
	bool in_section;          /* the last header was a good one */
	unsigned section_entries; /* of that section so far */
	bool waiting;             /* inih has the line and has not called back */
	struct fl_ini *ini;
	struct fl_problems *problems;
};

/* Debian's inih takes its limits from these variables. In an inih with fixed limits they do
 * not exist, and its buffer may be as small as 200 bytes. They are global to the process, and therefore
 * set once, before there are threads. */
extern bool ini_use_stack __attribute__((weak));
extern int ini_max_line __attribute__((weak));
extern int ini_initial_alloc __attribute__((weak));

__attribute__((constructor)) static void widen_lines(void)
{
	if (&ini_use_stack != NULL && &ini_max_line != NULL && &ini_initial_alloc != NULL) {
		ini_use_stack = false;
		ini_max_line = LINE_BYTES;
		ini_initial_alloc = LINE_BYTES;
	}
}

/* --- the index ----------------------------------------------------------------------------- */

/* NOLINTNEXTLINE(readability-function-size): what is large is uthash's macro */
static bool find(struct fl_ini_index *index, const char *key, size_t *ret_at)
{
	struct fl_ini_index *found = NULL;

	HASH_FIND_STR(index, key, found);
	if (found != NULL) {
		*ret_at = found->at;
	}
	return found != NULL;
}

/* Takes over key. NOLINTNEXTLINE(readability-function-size): what is large is uthash's macro */
static void remember(struct fl_ini_index **index, char *key, size_t at)
{
	struct fl_ini_index *item = fl_new(sizeof(*item));

	item->key = key;
	item->at = at;
	HASH_ADD_KEYPTR(hh, *index, item->key, strlen(item->key), item);
}

static char *section_key(const char *kind, const char *name)
{
	return name != NULL ? fl_format("%s %s", kind, name) : fl_strdup(kind);
}

const struct fl_ini_section *fl_ini_section(const struct fl_ini *ini, const char *kind,
					    const char *name)
{
	char *key = section_key(kind, name);
	size_t at = 0;
	bool found = find(ini->section_index, key, &at);

	free(key);
	return found ? &ini->sections[at] : NULL;
}

const struct fl_ini_entry *fl_ini_entry(const struct fl_ini *ini,
					const struct fl_ini_section *section, const char *key)
{
	char *text = fl_format("%zu=%s", (size_t)(section - ini->sections), key);
	size_t at = 0;
	bool found = find(ini->entry_index, text, &at);

	free(text);
	return found ? &ini->entries[at] : NULL;
}

/* --- section headers ----------------------------------------------------------------------- */

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Trims blanks at both ends of [*text, *text + *len). */
static void trim(const char **text, size_t *len)
{
	while (*len > 0 && is_blank((*text)[0])) {
		(*text)++;
		(*len)--;
	}
	while (*len > 0 && is_blank((*text)[*len - 1])) {
		(*len)--;
	}
}

/* inside: the text between the brackets. */
static void add_section(struct reader *reader, const char *inside, size_t len)
{
	struct fl_ini *ini = reader->ini;
	struct fl_ini_section section = {.line = reader->line};
	const char *name;
	size_t kind_len = 0;
	size_t name_len;
	size_t first = 0;
	char *key;

	trim(&inside, &len);
	while (kind_len < len && !is_blank(inside[kind_len])) {
		kind_len++;
	}
	name = inside + kind_len;
	name_len = len - kind_len;
	trim(&name, &name_len);
	section.kind = fl_strndup(inside, kind_len);
	section.name = name_len > 0 ? fl_strndup(name, name_len) : NULL;
	key = section_key(section.kind, section.name);
	section.repeated = find(ini->section_index, key, &first);
	if (section.repeated) {
		fl_problem_error(reader->problems, reader->line,
				 "[%.100s] already exists in line %u: put its keys there", key,
				 ini->sections[first].line);
		free(key);
	} else {
		remember(&ini->section_index, key, ini->section_count);
	}
	ini->sections = fl_grow(ini->sections, ini->section_count + 1, sizeof(*ini->sections));
	ini->sections[ini->section_count++] = section;
}

/* line: trimmed, begins with '['. */
static void take_header(struct reader *reader, const char *line, size_t len)
{
	const char *close = memchr(line, ']', len);
	const char *inside = line + 1;
	const char *rest;
	size_t inside_len;
	size_t rest_len;

	reader->any_header = true;
	reader->in_section = false; /* keys below a bad header belong to no section */
	if (close == NULL) {
		fl_problem_error(reader->problems, reader->line,
				 "the `]` of the section is missing");
		return;
	}
	inside_len = (size_t)(close - inside);
	rest = close + 1;
	rest_len = len - (size_t)(rest - line);
	trim(&inside, &inside_len);
	trim(&rest, &rest_len);
	if (inside_len == 0) {
		fl_problem_error(reader->problems, reader->line, "the section has no name");
	} else if (rest_len > 0 && rest[0] != ';') {
		fl_problem_error(reader->problems, reader->line,
				 "`%.*s` follows the section: only a `;` comment may follow it",
				 (int)(rest_len < 100 ? rest_len : 100), rest);
	} else {
		add_section(reader, inside, inside_len);
		reader->in_section = true;
		reader->section_entries = 0;
	}
}

/* --- lines --------------------------------------------------------------------------------- */

/* The next line of the text, trimmed, without its end. False at the end of the text. */
static bool next_line(struct reader *reader, const char **ret_line, size_t *ret_len,
		      bool *ret_indented)
{
	const char *line = reader->text + reader->at;
	size_t left = reader->len - reader->at;
	const char *end = left > 0 ? memchr(line, '\n', left) : NULL;
	size_t len = end != NULL ? (size_t)(end - line) : left;

	if (left == 0) {
		return false;
	}
	reader->at += len + (end != NULL);
	reader->line++;
	if (len > 0 && line[len - 1] == '\r') {
		len--;
	}
	if (reader->line == 1 && len >= 3 && memcmp(line, "\xef\xbb\xbf", 3) == 0) {
		line += 3; /* the byte order mark of some editors */
		len -= 3;
	}
	*ret_indented = len > 0 && is_blank(line[0]);
	trim(&line, &len);
	*ret_line = line;
	*ret_len = len;
	return true;
}

static bool has_control_byte(const char *line, size_t len, unsigned *ret_byte)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)line[i];

		if ((c < ' ' && c != '\t') || c == 0x7f) {
			*ret_byte = c;
			return true;
		}
	}
	return false;
}

static bool has_key(const char *line, size_t len)
{
	const char *equals = memchr(line, '=', len);
	const char *colon = memchr(line, ':', len);

	return equals != NULL && (colon == NULL || equals < colon);
}

/* True: pass the line to inih. */
static bool is_for_inih(struct reader *reader, const char *line, size_t len, bool indented,
			size_t room)
{
	unsigned byte = 0;

	if (has_control_byte(line, len, &byte)) {
		fl_problem_error(reader->problems, reader->line,
				 "an INI may not contain the byte 0x%02x", byte);
		return false;
	}
	if (len == 0 || line[0] == ';' || line[0] == '#') {
		return false;
	}
	if (line[0] == '[') {
		take_header(reader, line, len);
		return false;
	}
	if (!has_key(line, len)) {
		fl_problem_error(reader->problems, reader->line,
				 indented ? "a value cannot continue in the next line: write it in "
					    "one line, KEY = VALUE"
					  : "this is neither [SECTION] nor KEY = VALUE");
		return false;
	}
	if (len + 2 > room) {
		fl_problem_error(reader->problems, reader->line,
				 "the line has %zu bytes, the maximum is %zu", len, room - 2);
		return false;
	}
	return true;
}

/* inih got the line and made no call for it. */
static void settle(struct reader *reader)
{
	if (reader->waiting) {
		fl_problem_error(reader->problems, reader->line,
				 "this is neither [SECTION] nor KEY = VALUE");
		reader->waiting = false;
	}
}

/* ini_reader: as fgets(). Lines that inih need not see become empty. */
static char *read_line(char *buf, int size, void *stream)
{
	struct reader *reader = stream;
	const char *line = NULL;
	size_t len = 0;
	bool indented = false;

	settle(reader);
	if (size < 2 || fl_problems_enough(reader->problems) ||
	    !next_line(reader, &line, &len, &indented)) {
		return NULL;
	}
	reader->waiting = is_for_inih(reader, line, len, indented, (size_t)size);
	if (!reader->waiting) {
		len = 0;
	} else {
		memcpy(buf, line, len);
	}
	memcpy(buf + len, "\n", 2);
	return buf;
}

/* --- entries ------------------------------------------------------------------------------- */

static void add_entry(struct reader *reader, const char *key, const char *value)
{
	struct fl_ini *ini = reader->ini;
	size_t section = ini->section_count - 1;
	struct fl_ini_entry entry = {.section = section, .line = reader->line};
	char *text = fl_format("%zu=%s", section, key);
	size_t first = 0;

	entry.key = fl_strdup(key);
	entry.value = fl_strdup(value);
	entry.repeated = find(ini->entry_index, text, &first);
	if (entry.repeated) {
		fl_problem_error(reader->problems, reader->line,
				 "`%.100s` already exists in line %u: keep one of the two", key,
				 ini->entries[first].line);
		free(text);
	} else {
		remember(&ini->entry_index, text, ini->entry_count);
	}
	ini->entries = fl_grow(ini->entries, ini->entry_count + 1, sizeof(*ini->entries));
	ini->entries[ini->entry_count++] = entry;
}

/* ini_handler. Ignores inih's section: headers are read above. */
static int take_entry(void *user, const char *section, const char *key, const char *value)
{
	struct reader *reader = user;

	(void)section;
	reader->waiting = false;
	if (key[0] == '\0') {
		fl_problem_error(reader->problems, reader->line, "the key before `=` is missing");
	} else if (reader->in_section && reader->section_entries++ >= SECTION_ENTRIES_MAX) {
		fl_problem_error(reader->problems, reader->line,
				 "a section cannot have more than %u entries", SECTION_ENTRIES_MAX);
	} else if (reader->in_section) {
		add_entry(reader, key, value);
	} else if (!reader->any_header) {
		fl_problem_error(reader->problems, reader->line,
				 "`%.100s` stands before the first [SECTION]", key);
	}
	return 1;
}

int fl_ini_read(const char *text, size_t len, struct fl_ini *ret, struct fl_problems *problems)
{
	struct reader reader = {.text = text, .len = len, .ini = ret, .problems = problems};
	size_t before = problems->errors;
	int rc;

	*ret = (struct fl_ini){0};
	rc = ini_parse_stream(read_line, &reader, take_entry, &reader);
	if (rc < 0) {
		fl_problem_error(problems, 0, "out of memory");
		fl_ini_done(ret);
		return FL_ERR_NOMEM;
	}
	settle(&reader);
	if (rc > 0 && problems->errors == before) {
		fl_problem_error(problems, (fl_conf_line)rc,
				 "this line is neither a section nor an entry");
	}
	return 0;
}

static void index_done(struct fl_ini_index *index)
{
	struct fl_ini_index *item = index;

	HASH_CLEAR(hh, index); /* the table; the items stay a list */
	while (item != NULL) {
		struct fl_ini_index *next = item->hh.next;

		free(item->key);
		free(item);
		item = next;
	}
}

void fl_ini_done(struct fl_ini *ini)
{
	index_done(ini->section_index);
	index_done(ini->entry_index);
	for (size_t i = 0; i < ini->section_count; i++) {
		free(ini->sections[i].kind);
		free(ini->sections[i].name);
	}
	for (size_t i = 0; i < ini->entry_count; i++) {
		free(ini->entries[i].key);
		free(ini->entries[i].value);
	}
	free(ini->sections);
	free(ini->entries);
	*ini = (struct fl_ini){0};
}
