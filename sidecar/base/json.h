/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_BASE_JSON_H
#define FL_BASE_JSON_H
/* json - appends one JSON document to a text, value by value.
 *
 * Commas and indents are its affair, nesting the caller's: FL_JSON_DEPTH levels at most. Text
 * that is not valid UTF-8 comes out as valid JSON all the same (U+FFFD). Thread: any, one at a
 * time. */
#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"

#define FL_JSON_DEPTH 8

struct fl_json {
	struct fl_text *out; /* borrowed */
	unsigned depth;
	bool filled[FL_JSON_DEPTH + 1]; /* something stands at this level already */
	char closing[FL_JSON_DEPTH + 1];
};

/* name: NULL inside an array and for the document itself. */
void fl_json_init(struct fl_json *json, struct fl_text *out);
void fl_json_object(struct fl_json *json, const char *name);
void fl_json_array(struct fl_json *json, const char *name);
void fl_json_end(struct fl_json *json); /* of the innermost; after the outermost comes a newline */
void fl_json_str(struct fl_json *json, const char *name, const char *value); /* NULL: null */
void fl_json_int(struct fl_json *json, const char *name, int64_t value);
void fl_json_u64(struct fl_json *json, const char *name, uint64_t value);
void fl_json_bool(struct fl_json *json, const char *name, bool value);

#endif
