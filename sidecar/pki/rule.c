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

static const struct {
	enum fl_rule rule;
	const char *remedy;
} remedies[] = {
	{FL_RULE_NO_CERTIFICATE,
	 "give the client an SVID; a health checker without one needs its own port: [service], "
	 "mode = plaintext"},
	{FL_RULE_TRUST_DOMAIN,
	 "if that trust domain is to be trusted, add [federate] with its bundle"},
	{FL_RULE_UNKNOWN_ISSUER,
	 "add the missing CA to the bundle of that trust domain, or, if it is an intermediate, "
	 "to the chain that the peer sends"},
	{FL_RULE_SIGNATURE,
	 "have the certificate issued again: it is damaged or forged, or its CA has a new key "
	 "that the bundle does not have"},
	{FL_RULE_EXPIRED,
	 "have it renewed, and find out why it was not; or correct the clock that runs wrong"},
	{FL_RULE_NOT_YET_VALID, "set the clock that runs wrong"},
	{FL_RULE_REVOKED, "have a new certificate issued for a new key"},
	{FL_RULE_NAME_CONSTRAINT,
	 "have it issued by a CA that may name it, or the CA's name constraints "
	 "widened"},
	{FL_RULE_WEAK_SIGNATURE, "have the certificate issued again, signed with SHA-256"},
	{FL_RULE_TOO_MUCH, "let the peer send only its leaf and the required intermediates"},
	{FL_RULE_PEER, "correct `peer`, or `to`, of the upstream"},
};

const char *fl_rule_remedy(enum fl_rule rule)
{
	for (size_t i = 0; i < FL_COUNT_OF(remedies); i++) {
		if (remedies[i].rule == rule) {
			return remedies[i].remedy;
		}
	}
	return "have the certificate that `detail` names issued again without that";
}
