/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_PKI_POLICIES_H
#define FL_PKI_POLICIES_H
/* policies - certificate policies (RFC 5280 section 6.1), as far as they can invalidate a chain: we
 * require no policy, but a CA may require that each certificate below it has one
 * (policyConstraints). Mappings are not followed: a chain that has them, and must have a policy, is
 * refused. Pure; takes no memory; thread: any. */
#include "pki/cert.h"

/* chain: leaf first, up to and without the anchor; anchor: what it asks for counts as well. FL_RULE_NONE, or
 * FL_RULE_POLICY and *ret_index, the certificate at which no policy was left. */
enum fl_rule fl_policies_check(const struct fl_cert *const *chain, size_t count,
			       const struct fl_cert *anchor, size_t *ret_index,
			       struct fl_err *detail);

#endif
