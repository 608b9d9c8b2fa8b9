/* SPDX-License-Identifier: GPL-3.0-or-later */
/* constraints - compares each name of a certificate with each subtree of a CA (general_name.h). In
 * doubt, a name is refused. */
#include "pki/constraints.h"

#include "pki/asn1.h"
#include "pki/general_name.h"
#include "pki/name.h"

static const struct fl_span oid_email =
	FL_OID(0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x01);

/* --- the check ---------------------------------------------------------------------------------------------- */

struct check {
	const struct fl_cert *ca;
	size_t *work;
	struct fl_err *detail;
};

static enum fl_rule refuse(const struct check *check, const struct fl_general_name *name,
			   const char *why)
{
	static const char *const forms[FL_NAME_FORMS] = {
		[FL_NAME_EMAIL] = "e-mail address ", [FL_NAME_DNS] = "DNS name ",
		[FL_NAME_DIRECTORY] = "name ",       [FL_NAME_URI] = "URI ",
		[FL_NAME_IP] = "IP address",
	};
	const char *form = forms[name->form] ? forms[name->form] : "name of an unsupported form";
	char text[FL_NAME_TEXT] = "", ca[FL_NAME_TEXT];

	if (name->form == FL_NAME_DIRECTORY) {
		(void)fl_name_text(name->value, text);
	} else if (name->form != FL_NAME_IP && forms[name->form]) {
		size_t len =
			name->value.len < sizeof(text) - 1 ? name->value.len : sizeof(text) - 1;

		for (size_t i = 0; i < len; i++) {
			uint8_t c = name->value.data[i];

			text[i] = c >= ' ' && c <= '~' ? (char)c : '?';
		}
		text[len] = '\0';
	}
	(void)fl_err_set(check->detail, FL_ERR_DENIED, "its %s%s is %s by the CA %s", form, text,
			 why, fl_name_text(check->ca->subject, ca));
	return FL_RULE_NAME_CONSTRAINT;
}

/* Compares a name with one of the two lists. *ret_any: the list has a subtree of that form;
 * *ret_within: the name is in one. */
static enum fl_rule compare(const struct check *check, const struct fl_general_name *name,
			    struct fl_span list, bool excluded, bool *ret_any, bool *ret_within)
{
	struct fl_general_name base;

	*ret_any = *ret_within = false;
	while (list.len > 0 && fl_subtree_take(&list, &base)) {
		if ((*check->work)-- == 0) {
			*check->work = 0;
			(void)fl_err_set(check->detail, FL_ERR_DENIED,
					 "there are too many names and constraints to compare");
			return FL_RULE_TOO_MUCH;
		}
		if (base.form != name->form) {
			continue;
		}
		*ret_any = true;
		switch (fl_general_name_match(name, base.value, excluded)) {
		case FL_NAME_WITHIN:
			*ret_within = true;
			return FL_RULE_NONE;
		case FL_NAME_UNCLEAR:
			return refuse(check, name, "constrained, and cannot be compared,");
		case FL_NAME_OUTSIDE:
			break;
		}
	}
	return FL_RULE_NONE;
}

static enum fl_rule check_name(const struct check *check, const struct fl_general_name *name)
{
	bool any, within;
	enum fl_rule rule = compare(check, name, check->ca->excluded, true, &any, &within);

	if (rule == FL_RULE_NONE && within) {
		rule = refuse(check, name, "excluded");
	}
	if (rule == FL_RULE_NONE) {
		rule = compare(check, name, check->ca->permitted, false, &any, &within);
	}
	if (rule == FL_RULE_NONE && any && !within) {
		rule = refuse(check, name, "not permitted");
	}
	return rule;
}

/* Checks the subject and, if subjectAltName has no e-mail address, the e-mail addresses in the
 * subject. */
static enum fl_rule check_subject(const struct check *check, const struct fl_cert *cert,
				  bool has_email)
{
	struct fl_general_name name = {.form = FL_NAME_DIRECTORY, .value = cert->subject};
	enum fl_rule rule = cert->subject.len > 0 ? check_name(check, &name) : FL_RULE_NONE;

	name.form = FL_NAME_EMAIL;
	for (size_t i = 0; rule == FL_RULE_NONE && !has_email &&
			   fl_name_attribute(cert->subject, oid_email, i, &name.value);
	     i++) {
		rule = check_name(check, &name);
	}
	return rule;
}

enum fl_rule fl_constraints_check(const struct fl_cert *ca, const struct fl_cert *cert,
				  size_t *work, struct fl_err *detail)
{
	const struct check check = {.ca = ca, .work = work, .detail = detail};
	struct fl_span names = cert->names;
	struct fl_general_name name;
	enum fl_rule rule = FL_RULE_NONE;
	bool has_email = false;

	if (!ca->has_name_constraints) {
		return FL_RULE_NONE;
	}
	while (rule == FL_RULE_NONE && fl_general_name_take(&names, &name.form, &name.value)) {
		has_email = has_email || name.form == FL_NAME_EMAIL;
		rule = fl_general_name_open(&name) ? check_name(&check, &name)
						   : refuse(&check, &name, "constrained");
	}
	return rule == FL_RULE_NONE ? check_subject(&check, cert, has_email) : rule;
}
