/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_POLICY_PATTERN_H
#define FL_POLICY_PATTERN_H
/* pattern - what policy needs to know about an identity pattern to index it. Private to policy. */
#include <stddef.h>

#include "policy/policy.h"

struct fl_pattern {
	char *text;
	size_t len;
	size_t literal_len; /* bytes before the first wildcard, with the '/' in front of it; len: none */
};

#endif
