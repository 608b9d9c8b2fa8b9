/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A stranger's bytes on their way out, into JSON, a line of the log or a terminal: always valid JSON of one line or
 * document, and no control character. The same bytes read as JSON, as tools read what the sidecar answers. */
#include <stdio.h>

#include "agent/common/json_read.h"
#include "base/json.h"
#include "base/log.h"
#include "base/utf8.h"
#include "fuzz.h"

static void is_clean(const char *text, size_t len)
{
	while (len > 0) {
		uint32_t point = 0;
		size_t n = fl_utf8_sequence(text, len, &point);

		FL_REQUIRE(n > 0 && n <= len);
		FL_REQUIRE(!fl_utf8_is_control(point) || point == '\n');
		text += n;
		len -= n;
	}
}

static void write_document(const char *word, uint64_t number)
{
	struct fl_text text = {0};
	struct fl_json json;
	cJSON *read;

	fl_json_init(&json, &text);
	fl_json_object(&json, NULL);
	fl_json_str(&json, "word", word);
	fl_json_u64(&json, "number", number);
	fl_json_int(&json, "signed", (int64_t)number);
	fl_json_array(&json, "list");
	fl_json_str(&json, NULL, word);
	fl_json_bool(&json, NULL, (number & 1) != 0);
	fl_json_str(&json, NULL, NULL);
	fl_json_end(&json);
	fl_json_end(&json);
	is_clean(text.data, text.len);
	read = cJSON_ParseWithLength(text.data, text.len);
	FL_REQUIRE(read != NULL);
	FL_REQUIRE(cJSON_GetArraySize(fl_json_read_member(read, "list")) == 3);
	FL_REQUIRE(fl_json_read_bool(cJSON_GetArrayItem(read, 3), "none") == false);
	cJSON_Delete(read);
	fl_text_done(&text);
}

/* Lines of the log, in both formats; informational ones stay in the buffer. */
static void write_line(enum fl_log_format format, const char *word, uint64_t number)
{
	struct fl_log log;
	struct fl_line line;

	fl_log_init(&log, -1, FL_LOG_INFO, format, "fuzz");
	fl_line_begin(&line, &log, FL_LOG_INFO, "a message");
	fl_line_str(&line, "word", word);
	fl_line_strn(&line, "part", word, strlen(word) / 2);
	fl_line_u64(&line, "number", number);
	fl_line_seconds(&line, "took", number);
	fl_line_bool(&line, "flag", (number & 1) != 0);
	fl_line_end(&line);
	FL_REQUIRE(log.len > 0 && log.len <= sizeof(log.buf));
	FL_REQUIRE(memchr(log.buf, '\n', log.len) == log.buf + log.len - 1);
	is_clean(log.buf, log.len);
	if (format == FL_LOG_JSON) {
		cJSON *read = cJSON_ParseWithLength(log.buf, log.len);

		FL_REQUIRE(read != NULL);
		cJSON_Delete(read);
	}
}

static void write_terminal(const char *word)
{
	struct fl_text text = {0};

	fl_text_put_clean(&text, word);
	fl_text_put(&text, "", 0);
	is_clean(text.data, text.len);
	FL_REQUIRE(memchr(text.data, '\n', text.len) == NULL);
	fl_text_done(&text);
}

static void read_all(const cJSON *value, unsigned depth)
{
	static const char *const keys[] = {"a", "generation", "reason", "connections"};

	for (size_t i = 0; i < FL_COUNT_OF(keys); i++) {
		int64_t number = fl_json_read_number(value, keys[i]);

		(void)strlen(fl_json_read_text(value, keys[i]));
		FL_REQUIRE(fl_json_read_count(value, keys[i]) ==
			   (uint64_t)(number > 0 ? number : 0));
		(void)fl_json_read_bool(value, keys[i]);
		(void)fl_json_read_member(value, keys[i]);
	}
	for (const cJSON *item = value->child; item != NULL && depth < 4; item = item->next) {
		read_all(item, depth + 1);
	}
}

static void read_document(struct fl_span in)
{
	char *copy = fuzz_string(in);
	cJSON *read = cJSON_ParseWithLength(copy, in.len);

	if (read != NULL) {
		read_all(read, 0);
		cJSON_Delete(read);
	}
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct fl_span in = {data, len};
	uint64_t number = fuzz_u16(&in) * UINT64_C(0x1000100010001);
	char *word = fuzz_string(in);

	write_document(word, number);
	write_line(FL_LOG_JSON, word, number);
	write_line(FL_LOG_TEXT, word, number);
	write_terminal(word);
	read_document(in);
	free(word);
	return 0;
}
