/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_BASE_JSON_H
#define FL_BASE_JSON_H
/* json - appends one JSON document to a text, value by value.
 *
 * It writes commas and indentation; the caller is responsible for nesting: FL_JSON_DEPTH levels at most. Text
 * that is not valid UTF-8 gives valid JSON (U+FFFD). Thread: any, one at a
 * time. */
#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"

#define FL_JSON_DEPTH 8

struct fl_json {
	struct fl_text *out; /* borrowed */
	unsigned depth;
	bool filled[FL_JSON_DEPTH + 1]; /* this level has a value already */
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
