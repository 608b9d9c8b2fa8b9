/* SPDX-License-Identifier: GPL-3.0-or-later */
/* json - see the header. Writing never fails. Bytes that could mislead a terminal are escaped, as in the
 * log, because people read documents too. */
#include "base/json.h"

#include <inttypes.h>
#include <string.h>

#include "base/utf8.h"

void fl_json_init(struct fl_json *json, struct fl_text *out)
{
	memset(json, 0, sizeof(*json));
	json->out = out;
}

static void put_text(struct fl_json *json, const char *text)
{
	size_t left = strlen(text);

	fl_text_put(json->out, "\"", 1);
	while (left > 0) {
		uint32_t point = 0;
		size_t len = fl_utf8_sequence(text, left, &point);

		if (len == 0) {
			fl_text_put(json->out, "\\ufffd", 6);
			len = 1;
		} else if (fl_utf8_is_control(point)) {
			fl_text_print(json->out, "\\u%04x",
				      point); /* all of them are below U+10000 */
		} else if (point == '"' || point == '\\') {
			fl_text_print(json->out, "\\%c", (char)point);
		} else {
			fl_text_put(json->out, text, len);
		}
		text += len;
		left -= len;
	}
	fl_text_put(json->out, "\"", 1);
}

static void put_name(struct fl_json *json, const char *name)
{
	if (json->filled[json->depth]) {
		fl_text_put(json->out, ",", 1);
	}
	json->filled[json->depth] = true;
	if (json->depth > 0) {
		fl_text_print(json->out, "\n%*s", (int)json->depth * 2, "");
	}
	if (name != NULL) {
		put_text(json, name);
		fl_text_put(json->out, ": ", 2);
	}
}

static void begin(struct fl_json *json, const char *name, char opening, char closing)
{
	put_name(json, name);
	fl_text_put(json->out, &opening, 1);
	FL_REQUIRE(json->depth < FL_JSON_DEPTH);
	json->depth++;
	json->filled[json->depth] = false;
	json->closing[json->depth] = closing;
}

void fl_json_object(struct fl_json *json, const char *name)
{
	begin(json, name, '{', '}');
}

void fl_json_array(struct fl_json *json, const char *name)
{
	begin(json, name, '[', ']');
}

void fl_json_end(struct fl_json *json)
{
	bool filled = json->filled[json->depth];
	char closing = json->closing[json->depth];

	FL_REQUIRE(json->depth > 0);
	json->depth--;
	if (filled) {
		fl_text_print(json->out, "\n%*s", (int)json->depth * 2, "");
	}
	fl_text_put(json->out, &closing, 1);
	if (json->depth == 0) {
		fl_text_put(json->out, "\n", 1);
	}
}

void fl_json_str(struct fl_json *json, const char *name, const char *value)
{
	put_name(json, name);
	if (value == NULL) {
		fl_text_put(json->out, "null", 4);
	} else {
		put_text(json, value);
	}
}

void fl_json_int(struct fl_json *json, const char *name, int64_t value)
{
	put_name(json, name);
	fl_text_print(json->out, "%" PRId64, value);
}

void fl_json_u64(struct fl_json *json, const char *name, uint64_t value)
{
	put_name(json, name);
	fl_text_print(json->out, "%" PRIu64, value);
}

void fl_json_bool(struct fl_json *json, const char *name, bool value)
{
	put_name(json, name);
	fl_text_print(json->out, "%s", value ? "true" : "false");
}
