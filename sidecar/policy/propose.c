/* SPDX-License-Identifier: GPL-3.0-or-later */
/* propose - a name is the text that it is about, with `-` for bytes that a name may not have, cut to fit; then the
 * distinction, if there is one; then a number, if the name is in use. */
#include "policy/propose.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "pki/spiffe.h"

#define NUMBER_TEXT 8      /* "-999999" */
#define NUMBER_END 1000000 /* more than any policy has rules */
#define DISTINCTION_TEXT 8 /* "-0123ef" */

/* --- names ------------------------------------------------------------------------------------ */

static const char *readable_part(const char *about)
{
	const char *path;

	if (fl_spiffe_after_scheme(about) == NULL) {
		return about;
	}
	path = fl_spiffe_path(about);
	return path[0] == '/' ? path + 1 : "peer";
}

/* `default` means `[policy] default` in log and metrics. */
static bool may_be_used(const struct fl_name_wish *wish, const char *name)
{
	return strcmp(name, "default") != 0 && !wish->is_taken(wish->user, name);
}

const char *fl_propose_name(const struct fl_name_wish *wish, char *buf)
{
	size_t room = FL_PROPOSED_NAME_TEXT - NUMBER_TEXT, len = 0;
	const char *text = readable_part(wish->about);
	bool has_letter = false;

	room -= wish->distinction != 0 ? DISTINCTION_TEXT : 0;
	for (; *text != '\0' && len < room; text++) {
		has_letter = has_letter || isalpha((unsigned char)*text);
		buf[len++] = isalnum((unsigned char)*text) ? *text : '-';
	}
	if (!has_letter) { /* it could be a port */
		len = (size_t)snprintf(buf, FL_PROPOSED_NAME_TEXT, "peer");
	}
	buf[len] = '\0';
	if (wish->distinction != 0) {
		len += (size_t)snprintf(buf + len, DISTINCTION_TEXT, "-%06x",
					(wish->distinction >> 24 ^ wish->distinction) & 0xffffff);
	}
	for (unsigned i = 2; !may_be_used(wish, buf) && i < NUMBER_END; i++) {
		(void)snprintf(buf + len, NUMBER_TEXT, "-%u", i);
	}
	return buf;
}

bool fl_propose_rule_is_taken(const void *policy, const char *name)
{
	return fl_policy_has_rule(policy, name);
}

/* --- sections ---------------------------------------------------------------------------------- */

void fl_propose_section(struct fl_text *ret, enum fl_proposal_layout layout, const char *kind,
			const char *name, const struct fl_proposed_key *keys, size_t count)
{
	const char *separator = layout == FL_PROPOSE_LINES ? "\n" : " ";

	fl_text_print(ret, "[%s %s]", kind, name);
	for (size_t i = 0; i < count; i++) {
		if (keys[i].value != NULL) {
			fl_text_print(ret, "%s%s = %s", separator, keys[i].name, keys[i].value);
			separator = layout == FL_PROPOSE_LINES ? "\n" : "  ";
		}
	}
}

void fl_propose_allow(struct fl_text *ret, enum fl_proposal_layout layout, const char *name,
		      const char *from, const char *sources, const char *to)
{
	const struct fl_proposed_key keys[] = {
		{"from", from != NULL ? from : "plaintext"}, {"sources", sources}, {"to", to}};

	fl_propose_section(ret, layout, "allow", name, keys, FL_COUNT_OF(keys));
}
