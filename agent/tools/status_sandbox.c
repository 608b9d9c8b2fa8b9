/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agent/tools/status_sandbox.h"

#include <inttypes.h>

#include "agent/common/json_read.h"

static void put_protections(const cJSON *sandbox, struct fl_text *out)
{
	int64_t landlock = fl_json_read_number(sandbox, "landlock");
	const char *missing = fl_json_read_text(sandbox, "missing");

	fl_text_print(out, "%s, ",
		      fl_json_read_bool(sandbox, "seccomp") ? "seccomp" : "NO SECCOMP");
	if (landlock > 0) {
		fl_text_print(out, "Landlock %" PRId64, landlock);
	} else {
		fl_text_print(out, "NO LANDLOCK");
	}
	fl_text_print(out, "%s", missing[0] != '\0' ? ": " : "");
	fl_text_put_clean(out, missing);
}

void fl_status_sandbox_put(const cJSON *status, struct fl_text *out,
			   void (*begin)(struct fl_text *out, const char *name))
{
	const cJSON *sandbox = fl_json_read_member(status, "sandbox");

	if (!cJSON_IsObject(sandbox)) {
		return;
	}
	begin(out, "sandbox");
	if (fl_json_read_bool(sandbox, "wanted")) {
		put_protections(sandbox, out);
	} else {
		fl_text_print(out, "OFF, by the INI");
	}
	fl_text_print(out, "\n");
}
