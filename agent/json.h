/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_JSON_H
#define FL_AGENT_JSON_H
/* json - writes one JSON document to a stream, value by value, for the `--json` of the tools.
 *
 * Commas and indents are its affair, nesting the caller's: FL_JSON_DEPTH levels at most. Text
 * that is not valid UTF-8 comes out as valid JSON all the same (U+FFFD). Errors of the stream
 * show in ferror(). */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define FL_JSON_DEPTH 8

struct fl_json {
	FILE *out;
	unsigned depth;
	bool filled[FL_JSON_DEPTH + 1]; /* something stands at this level already */
	char closing[FL_JSON_DEPTH + 1];
};

/* name: NULL inside an array and for the document itself. */
void fl_json_init(struct fl_json *json, FILE *out);
void fl_json_object(struct fl_json *json, const char *name);
void fl_json_array(struct fl_json *json, const char *name);
void fl_json_end(struct fl_json *json); /* of the innermost; after the outermost comes a newline */
void fl_json_str(struct fl_json *json, const char *name, const char *value); /* NULL: null */
void fl_json_int(struct fl_json *json, const char *name, int64_t value);

#endif
