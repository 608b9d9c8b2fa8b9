/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_POLICY_PATTERN_INTERNAL_H
#define FL_POLICY_PATTERN_INTERNAL_H
/* pattern_internal - what policy needs to know about a pattern to index it. Private to this folder. */
#include "policy/pattern.h"

struct fl_pattern {
	char *text;
	size_t len;
	size_t literal_len; /* bytes before the first wildcard, with the '/' in front of it; len: there is no wildcard */
};

#endif
