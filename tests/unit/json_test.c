/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Growing text and the JSON that is written into it: exact bytes for any input. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

Test(text, grows_and_stays_terminated)
{
	struct fl_text text = {0};

	for (unsigned i = 0; i < 1000; i++) {
		fl_text_print(&text, "%03u,", i);
		cr_assert_eq(text.len, 4 * (i + 1));
		cr_assert_eq(text.data[text.len], '\0');
	}
	cr_assert(strncmp(text.data + 4 * 997, "997,998,999,", 13) == 0);
	fl_text_put(&text, "a\0b", 3);
	cr_assert_eq(text.len, 4003);
	fl_text_print(&text, "%5000s", "x");
	cr_assert_eq(text.len, 9003);
	cr_assert_eq(text.data[9002], 'x');
	fl_text_done(&text);
	cr_assert_null(text.data);
}

Test(text, nothing_is_an_empty_string)
{
	struct fl_text text = {0};

	fl_text_put(&text, NULL, 0);
	cr_assert_str_eq(text.data, "");
	fl_text_print(&text, "%s", "");
	cr_assert_eq(text.len, 0);
	fl_text_done(&text);
}

Test(json, a_document)
{
	struct fl_text text = {0};
	struct fl_json json;

	fl_json_init(&json, &text);
	fl_json_object(&json, NULL);
	fl_json_str(&json, "a", "b");
	fl_json_str(&json, "none", NULL);
	fl_json_array(&json, "list");
	fl_json_int(&json, NULL, INT64_MIN);
	fl_json_u64(&json, NULL, UINT64_MAX);
	fl_json_end(&json);
	fl_json_array(&json, "empty");
	fl_json_end(&json);
	fl_json_object(&json, "deeper");
	fl_json_bool(&json, "yes", true);
	fl_json_bool(&json, "no", false);
	fl_json_end(&json);
	fl_json_end(&json);
	cr_assert_str_eq(text.data, "{\n"
				    "  \"a\": \"b\",\n"
				    "  \"none\": null,\n"
				    "  \"list\": [\n"
				    "    -9223372036854775808,\n"
				    "    18446744073709551615\n"
				    "  ],\n"
				    "  \"empty\": [],\n"
				    "  \"deeper\": {\n"
				    "    \"yes\": true,\n"
				    "    \"no\": false\n"
				    "  }\n"
				    "}\n");
	fl_text_done(&text);
}

static void check(const char *value, const char *expected)
{
	struct fl_text text = {0};
	struct fl_json json;

	fl_json_init(&json, &text);
	fl_json_array(&json, NULL);
	fl_json_str(&json, NULL, value);
	/* Between "[\n  " and "\n" without the end of the array. */
	cr_assert_str_eq(text.data + 4, expected, "%s", text.data);
	fl_text_done(&text);
}

Test(json, hostile_text)
{
	check("", "\"\"");
	check("plain \xc3\xbc \xf0\x9f\x94\x91", "\"plain \xc3\xbc \xf0\x9f\x94\x91\"");
	check("\"\\/", "\"\\\"\\\\/\"");
	check("\n\t\r\x01\x1f\x7f", "\"\\u000a\\u0009\\u000d\\u0001\\u001f\\u007f\"");
	check("\x1b[2J", "\"\\u001b[2J\"");
	check("\xc2\x9b"
	      "2J",
	      "\"\\u009b2J\""); /* C1: CSI */
	check("\xe2\x80\xae"
	      "exe",
	      "\"\\u202eexe\"");                            /* right-to-left override */
	check("\xff\xfe", "\"\\ufffd\\ufffd\"");            /* not UTF-8 */
	check("\xc0\xaf", "\"\\ufffd\\ufffd\"");            /* overlong */
	check("\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\""); /* a surrogate */
	check("\xf4\x90\x80\x80", "\"\\ufffd\\ufffd\\ufffd\\ufffd\"");
	check("cut \xe2\x82", "\"cut \\ufffd\\ufffd\"");
}
