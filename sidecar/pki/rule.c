/* SPDX-License-Identifier: GPL-3.0-or-later */
/* rule - the table behind rule.h; a number that is none of its rules is a defect of ours (FL_REQUIRE). */
#include "pki/rule.h"

#include "base/err.h"
#include "base/mem.h"

static const struct {
	const char *name, *text;
	uint8_t alert;
} rules[] = {
#define FL_RULE_ROW(id, name, text, alert) {name, text, alert},
	FL_RULES(FL_RULE_ROW)
#undef FL_RULE_ROW
};

const char *fl_rule_name(enum fl_rule rule)
{
	FL_REQUIRE(rule < FL_COUNT_OF(rules));
	return rules[rule].name;
}

const char *fl_rule_text(enum fl_rule rule)
{
	FL_REQUIRE(rule < FL_COUNT_OF(rules));
	return rules[rule].text;
}

uint8_t fl_rule_alert(enum fl_rule rule)
{
	FL_REQUIRE(rule < FL_COUNT_OF(rules));
	return rules[rule].alert;
}
