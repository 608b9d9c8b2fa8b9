/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_IMPORT_YAML_FILE_H
#define FL_AGENT_IMPORT_YAML_FILE_H
/* yaml_file - the documents of a YAML (or JSON) file, with access by key. Only this module uses libyaml.
 *
 * A value is a view into its file, and is valid as long as that. Every function accepts a value that is absent, or of
 * another kind, and then returns something empty. So readers ask for what they want, and check once at the end. Aliases are
 * views too: nothing is copied, however often one is used. Thread: any, one at a time. */
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct yaml_document_s;
struct yaml_node_s;

struct fl_yaml {
	struct yaml_document_s *document;
	const struct yaml_node_s *node; /* NULL: absent */
};

/* A parsed file. Begins as {0}. */
struct fl_yaml_file {
	char *name; /* for messages */
	struct yaml_document_s **documents;
	size_t count;
};

/* Parses text; name is copied. Merge keys (`<<: *base`) are replaced by what they stand for. Errors: FL_ERR_INVALID with
 * `NAME:LINE: `, also if a key occurs twice in a map, or stands before a `<<` that has it, too, a text has a zero byte, or a
 * value has a tag that may change it; FL_ERR_LIMIT for more documents than FL_YAML_DOCUMENTS_MAX, and for brackets in
 * brackets without end; file is then empty. */
#define FL_YAML_DOCUMENTS_MAX 10000
int fl_yaml_parse(const char *name, const char *text, size_t len, struct fl_yaml_file *file,
		  struct fl_err *err) FL_MUST_USE;
void fl_yaml_file_done(struct fl_yaml_file *file);

/* The root of document number index. */
struct fl_yaml fl_yaml_root(const struct fl_yaml_file *file, size_t index);

bool fl_yaml_is_given(struct fl_yaml value); /* true for null */
bool fl_yaml_is_there(struct fl_yaml value); /* false for null */
bool fl_yaml_is_map(struct fl_yaml value);
bool fl_yaml_is_list(struct fl_yaml value);
/* The value of a key of a map. */
struct fl_yaml fl_yaml_get(struct fl_yaml map, const char *key);
/* "" if it is not a scalar, or is null. */
const char *fl_yaml_text(struct fl_yaml value);
/* False for null, and for what kubectl reads as a number or a truth value (`on`): quotes make a string of it. */
bool fl_yaml_is_string(struct fl_yaml value);
/* The same value, whatever the order of keys; also if both are absent. Two that are too large to compare are not equal. */
bool fl_yaml_is_equal(struct fl_yaml a, struct fl_yaml b);
/* The number of items of a list, or of pairs of a map; otherwise 0. */
size_t fl_yaml_count(struct fl_yaml value);
struct fl_yaml fl_yaml_item(struct fl_yaml value, size_t index); /* a map's: the pair's value */
const char *fl_yaml_key(struct fl_yaml map, size_t index);
/* The key itself, whose line is where a reader finds it. */
struct fl_yaml fl_yaml_key_at(struct fl_yaml map, size_t index);
struct fl_yaml fl_yaml_key_of(struct fl_yaml map, const char *key);
unsigned fl_yaml_line(struct fl_yaml value); /* from 1; 0 if it is absent */

#endif
