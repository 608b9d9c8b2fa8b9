/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_COUNT_CAPTURE_STATE_H
#define FL_COUNT_CAPTURE_STATE_H
/* capture_state - the state of the rules of `fairlead-agent redirect`, as server/capture_probe.h
 * has found it: plain values and the words for them. Thread: any. */
#include <stdbool.h>
#include <stdint.h>

enum fl_capture_family { FL_CAPTURE_INET, FL_CAPTURE_INET6 };
#define FL_CAPTURE_FAMILIES 2

enum fl_capture_state {
	/* not probed yet, or cannot be: no listener or no address of the family */
	FL_CAPTURE_UNKNOWN,
	FL_CAPTURE_ABSENT,
	FL_CAPTURE_ACTIVE,
};

/* Are the rules in force those of the INI? */
enum fl_capture_rules {
	/* not probed yet, no rules in force, rules of an older version, or no IPv4 listener */
	FL_CAPTURE_RULES_UNKNOWN,
	FL_CAPTURE_RULES_CURRENT,
	FL_CAPTURE_RULES_OUTDATED,
};

enum fl_capture_way { FL_CAPTURE_INBOUND, FL_CAPTURE_OUTBOUND };
#define FL_CAPTURE_WAYS 2

/* What is known now. */
struct fl_capture {
	bool expected; /* the INI has [redirect], or the rules have been seen */
	enum fl_capture_state states[FL_CAPTURE_FAMILIES];
	int64_t since; /* seconds since the epoch, when states changed last; 0: never */
	enum fl_capture_rules rules;
	/* Have the rules refused traffic in the last minute that would have bypassed us? By
	 * fl_capture_way. */
	bool refused[FL_CAPTURE_WAYS];
	bool refused_known;
};

/* "inet", "inet6" */
const char *fl_capture_family_word(enum fl_capture_family family);

/* "inbound", "outbound" */
const char *fl_capture_way_word(enum fl_capture_way way);

/* "current", "outdated"; NULL: not known */
const char *fl_capture_rules_word(enum fl_capture_rules rules);

#endif
