/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_POLICY_SUGGEST_H
#define FL_POLICY_SUGGEST_H
/* suggest - rules that a person may want, as INI text to paste. Pure. Thread: any. */
#include "base/text.h"
#include "policy/observed.h"
#include "policy/policy.h"

/* Appends [allow] rules that let in all that was seen and is not let in by the policy in earnest (audit mode left
 * aside), and nobody else: identities are named in full (wildcards: two or more that differ in their last segment
 * alone become one pattern with `*`, which does let in more), ports and services one by one; plaintext by its
 * address. Identities that go to the same places share a rule, and places that the same identities go to, whichever
 * takes fewer rules. Rules for identities do not name addresses: who can prove who he is may move.
 * Told in comments: what no rule can let in, because a deny rule covers it; and an allow rule that has it all but the
 * address, whose sources might grow instead. Returns how many rules there are. */
size_t fl_policy_suggest(const struct fl_policy *policy, const struct fl_observation *seen,
			 size_t count, bool wildcards, struct fl_text *ret);

#endif
