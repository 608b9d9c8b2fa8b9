/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "policy/suggest.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define SUFFIX_TEXT 8 /* "-999999" */

const char *fl_policy_rule_name(const struct fl_policy *policy, const char *about, char *buf)
{
	static const char scheme[] = "spiffe://";
	bool letter = false;
	size_t len = 0;

	if (strncmp(about, scheme, sizeof(scheme) - 1) == 0) {
		const char *path = strchr(about + sizeof(scheme) - 1, '/');

		about = path != NULL ? path + 1 : "peer";
	}
	for (; *about != '\0' && len + SUFFIX_TEXT < FL_RULE_NAME_TEXT; about++) {
		letter = letter || isalpha((unsigned char)*about);
		buf[len++] = isalnum((unsigned char)*about) ? *about : '-';
	}
	if (!letter) { /* it could be a port */
		len = (size_t)snprintf(buf, FL_RULE_NAME_TEXT, "peer");
	}
	buf[len] = '\0';
	for (unsigned i = 2; fl_policy_has_rule(policy, buf) && i < 1000000; i++) {
		(void)snprintf(buf + len, SUFFIX_TEXT, "-%u", i);
	}
	return buf;
}
