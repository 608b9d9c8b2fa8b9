/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_POLICY_SUGGEST_H
#define FL_POLICY_SUGGEST_H
/* suggest - rules that a person may want, as INI text to paste. Pure. Thread: any. */
#include "base/text.h"
#include "policy/observed.h"
#include "policy/policy.h"

/* Appends [allow] rules that admit every observation that the policy's enforced rules do not admit, and nothing else:
 * identities are named in full (with wildcards, two or more that differ only in their last segment become one pattern with
 * `*`, which admits more), ports and services one by one; plaintext by its address. Identities with the same ports share a
 * rule, or ports with the same identities, whichever gives fewer rules. Rules for identities name no addresses: an identity
 * proves itself wherever it connects from. Comments tell of what no rule can admit, because a deny rule covers it; and of
 * an allow rule that lacks only the address, whose sources might be extended instead. Returns the number of rules. */
size_t fl_policy_suggest(const struct fl_policy *policy, const struct fl_observation *observations,
			 size_t count, bool wildcards, struct fl_text *ret);

#endif
