/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_POLICY_PROPOSE_H
#define FL_POLICY_PROPOSE_H
/* propose - writes a section that a person may paste into the INI, with a name that `check` accepts. The log, `explain`
 * and `suggest` all use it. Pure. Thread: any. */
#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"
#include "policy/policy.h"

/* --- names ------------------------------------------------------------------------------------ */

#define FL_PROPOSED_NAME_TEXT 64 /* 63 bytes, the most that the INI accepts, and a NUL */

struct fl_name_wish {
	const char *about; /* a SPIFFE ID, whose path is used, or any text */
	/* Two sections that are proposed independently (in two lines of the log) must not have the same name: a hash of
	 * everything in which they may differ, appended to the name. 0: none. */
	uint32_t distinction;
	bool (*is_taken)(const void *user, const char *name);
	const void *user;
};
/* The name has only letters, digits and `-`, at least one letter, is not `default`, and is not in use. buf of
 * FL_PROPOSED_NAME_TEXT bytes; returns buf. */
const char *fl_propose_name(const struct fl_name_wish *wish, char *buf);
/* is_taken of rules. policy: a struct fl_policy. */
bool fl_propose_rule_is_taken(const void *policy, const char *name);

/* --- sections ---------------------------------------------------------------------------------- */

enum fl_proposal_layout {
	FL_PROPOSE_LINES,    /* as in the INI: `[kind name]`, then a line for each key */
	FL_PROPOSE_ONE_LINE, /* `[kind name] key = value  key = value`: for a field of the log */
};
struct fl_proposed_key {
	const char *name, *value; /* value NULL: the key is left out */
};
/* Appends the section, without a line end behind it. */
void fl_propose_section(struct fl_text *ret, enum fl_proposal_layout layout, const char *kind,
			const char *name, const struct fl_proposed_key *keys, size_t count);

/* Appends `[allow name]`. from: SPIFFE IDs or patterns as the INI lists them; NULL: plaintext. to: ports and names of services.
 * sources: addresses; NULL: any. */
void fl_propose_allow(struct fl_text *ret, enum fl_proposal_layout layout, const char *name,
		      const char *from, const char *sources, const char *to);

#endif
