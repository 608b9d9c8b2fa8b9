/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agent/common/json_read.h"

#include "base/utf8.h"

const char *fl_json_read_text(const cJSON *object, const char *key)
{
	const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, key));

	return text != NULL ? text : "";
}

int64_t fl_json_read_number(const cJSON *object, const char *key)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);

	if (!cJSON_IsNumber(item)) {
		return 0;
	}
	/* Beyond these bounds the conversion is undefined. */
	if (item->valuedouble >= 9.2e18) {
		return INT64_MAX;
	}
	return item->valuedouble <= -9.2e18 ? INT64_MIN : (int64_t)item->valuedouble;
}

uint64_t fl_json_read_count(const cJSON *object, const char *key)
{
	int64_t number = fl_json_read_number(object, key);

	return number > 0 ? (uint64_t)number : 0;
}

bool fl_json_read_bool(const cJSON *object, const char *key)
{
	return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(object, key));
}

const cJSON *fl_json_read_member(const cJSON *object, const char *key)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);

	return cJSON_IsNull(item) ? NULL : item;
}

const cJSON *fl_json_read_object(const cJSON *object, const char *key)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);

	return cJSON_IsObject(item) ? item : NULL;
}

static bool is_space(uint32_t point)
{
	return point == '\n' || point == '\r' || point == '\t';
}

void fl_json_read_show(const struct fl_text *document, struct fl_text *ret)
{
	for (size_t at = 0, len; at < document->len; at += len) {
		const char *from = document->data + at;
		uint32_t point = 0;

		len = fl_utf8_sequence(from, document->len - at, &point);
		if (len == 0) {
			fl_text_print(ret, "\\ufffd");
			len = 1;
		} else if (fl_utf8_is_control(point) && !is_space(point)) {
			fl_text_print(ret, "\\u%04x", point); /* all are below U+10000 */
		} else {
			fl_text_put(ret, from, len);
		}
	}
}
