/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_TESTS_LEAF_H
#define FL_TESTS_LEAF_H
/* leaf - a leaf from its bytes to the rule that it breaks. */
#include "pki/svid.h"

/* As fl_svid_check_leaf(), of DER that is not read yet. */
static inline enum fl_rule leaf_check(struct fl_span der, struct fl_spiffe_id *ret_id,
				      struct fl_err *detail)
{
	struct fl_cert cert;
	enum fl_rule rule = fl_cert_parse(der, &cert, detail);

	return rule == FL_RULE_NONE ? fl_svid_check_leaf(&cert, ret_id, detail) : rule;
}

#endif
