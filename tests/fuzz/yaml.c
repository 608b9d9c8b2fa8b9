/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The documents that `import` reads: whatever the file is, each value in it can be asked for everything. */
#include "agent/import/yaml_file.h"
#include "fuzz.h"

static size_t left; /* questions: aliases make small files large */

static void ask(struct fl_yaml value, unsigned depth)
{
	(void)strlen(fl_yaml_text(value));
	(void)fl_yaml_line(value);
	FL_REQUIRE(!fl_yaml_is_map(value) || !fl_yaml_is_list(value));
	FL_REQUIRE(fl_yaml_is_there(value) || fl_yaml_count(value) == 0);
	FL_REQUIRE(fl_yaml_is_there(value) || fl_yaml_text(value)[0] == '\0');
	FL_REQUIRE(!fl_yaml_is_string(value) || fl_yaml_is_there(value));
	FL_REQUIRE(fl_yaml_is_equal(value, value));
	FL_REQUIRE(!fl_yaml_is_there(fl_yaml_item(value, fl_yaml_count(value))));
	(void)fl_yaml_get(value, "metadata");
	for (size_t i = 0; i < fl_yaml_count(value) && depth < 64 && left > 0; i++) {
		left--;
		if (fl_yaml_is_map(value)) {
			(void)strlen(fl_yaml_key(value, i));
			FL_REQUIRE(!fl_yaml_is_there(fl_yaml_item(value, i)) ||
				   fl_yaml_key(value, i)[0] == '\0' ||
				   fl_yaml_get(value, fl_yaml_key(value, i)).document ==
					   value.document);
		}
		ask(fl_yaml_item(value, i), depth + 1);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct fl_span in = {data, len};
	char *copy = (char *)fuzz_copy(in);
	struct fl_yaml_file file = {0};
	struct fl_err err = {0};

	if (fl_yaml_parse("fuzz.yaml", copy, len, &file, &err) == FL_OK) {
		FL_REQUIRE(file.count <= FL_YAML_DOCUMENTS_MAX);
		left = 10000;
		for (size_t i = 0; i < file.count; i++) {
			ask(fl_yaml_root(&file, i), 0);
		}
		fl_yaml_file_done(&file);
	} else {
		FL_REQUIRE(err.text[0] != '\0' && file.count == 0);
	}
	free(copy);
	return 0;
}
