/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "count/capture_state.h"

const char *fl_capture_family_word(enum fl_capture_family family)
{
	return family == FL_CAPTURE_INET ? "inet" : "inet6";
}

const char *fl_capture_way_word(enum fl_capture_way way)
{
	return way == FL_CAPTURE_INBOUND ? "inbound" : "outbound";
}

const char *fl_capture_rules_word(enum fl_capture_rules rules)
{
	static const char *const words[] = {
		[FL_CAPTURE_RULES_CURRENT] = "current", [FL_CAPTURE_RULES_OUTDATED] = "outdated"};

	return words[rules];
}
