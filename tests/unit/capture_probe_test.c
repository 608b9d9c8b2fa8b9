/* SPDX-License-Identifier: GPL-3.0-or-later */
/* When capture works as the INI requires, and the sentence when it does not. */
#include <criterion/criterion.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "server/capture_probe.h"

Test(capture, which_rules_stand_in_the_way)
{
	static const struct {
		struct fl_capture capture;
		const char *reason; /* NULL: none */
	} rows[] = {
		{{false,
		  {FL_CAPTURE_UNKNOWN, FL_CAPTURE_UNKNOWN},
		  0,
		  FL_CAPTURE_RULES_UNKNOWN,
		  {false},
		  false},
		 NULL},
		{{false,
		  {FL_CAPTURE_ABSENT, FL_CAPTURE_ABSENT},
		  0,
		  FL_CAPTURE_RULES_UNKNOWN,
		  {false},
		  false},
		 NULL},
		{{true,
		  {FL_CAPTURE_ACTIVE, FL_CAPTURE_ACTIVE},
		  0,
		  FL_CAPTURE_RULES_UNKNOWN,
		  {false},
		  false},
		 NULL},
		{{true,
		  {FL_CAPTURE_ACTIVE, FL_CAPTURE_UNKNOWN},
		  0,
		  FL_CAPTURE_RULES_UNKNOWN,
		  {false},
		  false},
		 NULL},
		{{true,
		  {FL_CAPTURE_UNKNOWN, FL_CAPTURE_ACTIVE},
		  0,
		  FL_CAPTURE_RULES_UNKNOWN,
		  {false},
		  false},
		 NULL},
		{{true,
		  {FL_CAPTURE_UNKNOWN, FL_CAPTURE_UNKNOWN},
		  0,
		  FL_CAPTURE_RULES_UNKNOWN,
		  {false},
		  false},
		 "not known whether"},
		{{true,
		  {FL_CAPTURE_ACTIVE, FL_CAPTURE_ACTIVE},
		  0,
		  FL_CAPTURE_RULES_CURRENT,
		  {false},
		  false},
		 NULL},
		{{true,
		  {FL_CAPTURE_ACTIVE, FL_CAPTURE_ACTIVE},
		  0,
		  FL_CAPTURE_RULES_OUTDATED,
		  {false},
		  false},
		 "not those of the INI"},
		{{false,
		  {FL_CAPTURE_ACTIVE, FL_CAPTURE_ACTIVE},
		  0,
		  FL_CAPTURE_RULES_OUTDATED,
		  {false},
		  false},
		 NULL},
		{{true,
		  {FL_CAPTURE_ABSENT, FL_CAPTURE_ACTIVE},
		  0,
		  FL_CAPTURE_RULES_UNKNOWN,
		  {false},
		  false},
		 "not in force for IPv4"},
		{{true,
		  {FL_CAPTURE_ACTIVE, FL_CAPTURE_ABSENT},
		  0,
		  FL_CAPTURE_RULES_UNKNOWN,
		  {false},
		  false},
		 "not in force for IPv6"},
	};
	char reason[512];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		bool usable = fl_capture_usable(&rows[i].capture, getuid(), reason, sizeof(reason));

		cr_expect_eq(usable, rows[i].reason == NULL, "row %zu: %s", i, reason);
		cr_expect(rows[i].reason == NULL || strstr(reason, rows[i].reason) != NULL,
			  "row %zu: %s", i, reason);
	}
	cr_expect_not(fl_capture_usable(&rows[9].capture, getuid() + 1, reason, sizeof(reason)));
	cr_expect_not_null(strstr(reason, "[agent] sidecar_uid"), "%s", reason);
	cr_expect_not_null(strstr(reason, "fairlead-agent redirect apply"), "%s", reason);
}
