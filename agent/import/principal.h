/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_AGENT_IMPORT_PRINCIPAL_H
#define FL_AGENT_IMPORT_PRINCIPAL_H
/* principal - the words by which an AuthorizationPolicy of Istio names peers, as patterns of the INI. */
#include "agent/import/draft.h"

/* Where a word stands. Where the meaning of a word is open, peers are admitted only by its narrowest meaning, and refused by
 * all of them; such a word is reported. */
struct fl_import_say {
	struct fl_import_draft *draft;
	const struct fl_import_object *object;
	struct fl_yaml where;
	bool refuses; /* what matches the word is refused: in a DENY rule, or as an exception of an ALLOW rule */
};

/* Each adds to ret what text says, and returns false if a pattern cannot say it. */
typedef bool (*fl_import_say_fn)(const struct fl_import_say *say, const char *text,
				 struct fl_import_words *ret);

bool fl_import_say_principal(const struct fl_import_say *say, const char *text,
			     struct fl_import_words *ret);
bool fl_import_say_namespace(const struct fl_import_say *say, const char *text,
			     struct fl_import_words *ret);
/* `NAMESPACE/ACCOUNT`, or an account of the policy's own namespace. */
bool fl_import_say_account(const struct fl_import_say *say, const char *text,
			   struct fl_import_words *ret);
bool fl_import_say_domain(const struct fl_import_say *say, const char *text,
			  struct fl_import_words *ret);

#endif
