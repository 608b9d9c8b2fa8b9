/* SPDX-License-Identifier: GPL-3.0-or-later */
/* json - see the header. Writing never fails here: the caller asks the stream at the end. */
#include "agent/json.h"

#include <inttypes.h>
#include <string.h>

#include "base/err.h"

void fl_json_init(struct fl_json *json, FILE *out)
{
	memset(json, 0, sizeof(*json));
	json->out = out;
}

/* Bytes of the valid UTF-8 sequence that text begins with, 0 when it begins with none. */
static size_t utf8_len(const unsigned char *text)
{
	/* The second byte's range excludes overlong forms, surrogates and what lies above
	 * U+10FFFF. */
	static const struct {
		unsigned char first, last, low, high, len;
	} forms[] = {
		{0x01, 0x7f, 0, 0, 1},       {0xc2, 0xdf, 0x80, 0xbf, 2},
		{0xe0, 0xe0, 0xa0, 0xbf, 3}, {0xe1, 0xec, 0x80, 0xbf, 3},
		{0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
		{0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4},
		{0xf4, 0xf4, 0x80, 0x8f, 4},
	};

	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		if (text[0] < forms[i].first || text[0] > forms[i].last) {
			continue;
		}
		for (size_t k = 1; k < forms[i].len; k++) {
			unsigned char low = k == 1 ? forms[i].low : 0x80;
			unsigned char high = k == 1 ? forms[i].high : 0xbf;

			if (text[k] < low || text[k] > high) {
				return 0;
			}
		}
		return forms[i].len;
	}
	return 0;
}

static void put_text(struct fl_json *json, const char *text)
{
	const unsigned char *at = (const unsigned char *)text;

	(void)fputc('"', json->out);
	while (*at != '\0') {
		size_t len = utf8_len(at);

		if (len == 0) {
			(void)fputs("\\ufffd", json->out);
			len = 1;
		} else if (*at == '"' || *at == '\\') {
			(void)fprintf(json->out, "\\%c", *at);
		} else if (*at < 0x20 || *at == 0x7f) {
			(void)fprintf(json->out, "\\u%04x", *at);
		} else {
			(void)fwrite(at, 1, len, json->out);
		}
		at += len;
	}
	(void)fputc('"', json->out);
}

static void put_name(struct fl_json *json, const char *name)
{
	if (json->filled[json->depth]) {
		(void)fputc(',', json->out);
	}
	json->filled[json->depth] = true;
	if (json->depth > 0) {
		(void)fprintf(json->out, "\n%*s", (int)json->depth * 2, "");
	}
	if (name != NULL) {
		put_text(json, name);
		(void)fputs(": ", json->out);
	}
}

static void begin(struct fl_json *json, const char *name, char opening, char closing)
{
	put_name(json, name);
	(void)fputc(opening, json->out);
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
		(void)fprintf(json->out, "\n%*s", (int)json->depth * 2, "");
	}
	(void)fputc(closing, json->out);
	if (json->depth == 0) {
		(void)fputc('\n', json->out);
	}
}

void fl_json_str(struct fl_json *json, const char *name, const char *value)
{
	put_name(json, name);
	if (value == NULL) {
		(void)fputs("null", json->out);
	} else {
		put_text(json, value);
	}
}

void fl_json_int(struct fl_json *json, const char *name, int64_t value)
{
	put_name(json, name);
	(void)fprintf(json->out, "%" PRId64, value);
}
