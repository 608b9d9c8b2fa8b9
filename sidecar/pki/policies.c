/* SPDX-License-Identifier: GPL-3.0-or-later */
/* policies - the set of policies that are valid for all certificates so far, from the anchor down. Without mappings the
 * tree of RFC 5280 is no more than that. */
#include "pki/policies.h"

#include "pki/asn1.h"

#define POLICIES_MAX 32u /* in a set; further policies of a certificate are ignored */

static const struct fl_span oid_any = FL_OID(0x55, 0x1d, 0x20, 0x00);

struct state {
	struct fl_span valid[POLICIES_MAX];
	size_t count;
	bool any; /* all policies are valid */
	bool mapped;
	int32_t explicit_in,
		any_in; /* certificates until a policy is needed, and until `any` stands for none */
};

static bool take_policy(struct fl_span *list, struct fl_span *ret)
{
	struct fl_span item;

	return fl_asn1_take(list, FL_ASN1_SEQUENCE, &item) && fl_asn1_take(&item, FL_ASN1_OID, ret);
}

static bool has_any(struct fl_span list)
{
	struct fl_span oid;

	while (take_policy(&list, &oid)) {
		if (fl_span_equal(oid, oid_any)) {
			return true;
		}
	}
	return false;
}

static bool is_valid(const struct state *state, struct fl_span oid)
{
	for (size_t i = 0; i < state->count && !state->any; i++) {
		if (fl_span_equal(state->valid[i], oid)) {
			return true;
		}
	}
	return state->any;
}

/* Keeps the valid policies that the certificate has, too. */
static void intersect(struct state *state, const struct fl_cert *cert, bool is_leaf)
{
	struct fl_span list = cert->policies, oid;
	struct state next = *state;

	if (has_any(list) && (state->any_in > 0 || (!is_leaf && cert->is_self_issued))) {
		return;
	}
	next.count = 0;
	next.any = false;
	while (next.count < POLICIES_MAX && take_policy(&list, &oid)) {
		if (!fl_span_equal(oid, oid_any) && is_valid(state, oid)) {
			next.valid[next.count++] = oid;
		}
	}
	*state = next;
}

static void lower(int32_t *limit, int32_t to)
{
	if (to < *limit) {
		*limit = to;
	}
}

/* Applies what a CA requires of the certificates below it. */
static void apply(struct state *state, const struct fl_cert *ca, bool counts)
{
	if (counts && !ca->is_self_issued) {
		state->explicit_in -=
			state->explicit_in > 0 && state->explicit_in != FL_CERT_NO_LIMIT;
		state->any_in -= state->any_in > 0 && state->any_in != FL_CERT_NO_LIMIT;
	}
	lower(&state->explicit_in, ca->require_explicit_policy);
	lower(&state->any_in, ca->inhibit_any_policy);
	state->mapped = state->mapped || ca->maps_policies;
}

static bool has_failed(const struct state *state)
{
	return state->explicit_in == 0 && (state->mapped || (!state->any && state->count == 0));
}

enum fl_rule fl_policies_check(const struct fl_cert *const *chain, size_t count,
			       const struct fl_cert *anchor, size_t *ret_index,
			       struct fl_err *detail)
{
	struct state state = {
		.any = true, .explicit_in = FL_CERT_NO_LIMIT, .any_in = FL_CERT_NO_LIMIT};
	bool asks = anchor->require_explicit_policy != FL_CERT_NO_LIMIT;

	for (size_t i = 0; i < count && !asks; i++) {
		asks = chain[i]->require_explicit_policy != FL_CERT_NO_LIMIT;
	}
	if (!asks) {
		return FL_RULE_NONE;
	}
	apply(&state, anchor, false);
	for (size_t i = count; i-- > 0;) {
		intersect(&state, chain[i], i == 0);
		if (i > 0) {
			apply(&state, chain[i], true);
		} else {
			state.explicit_in -=
				state.explicit_in > 0 && state.explicit_in != FL_CERT_NO_LIMIT;
			if (chain[0]->require_explicit_policy == 0) {
				state.explicit_in = 0;
			}
		}
		if (has_failed(&state)) {
			*ret_index = i;
			(void)fl_err_set(detail, FL_ERR_DENIED,
					 "a CA above it requires a certificate policy, and none "
					 "is valid here%s",
					 state.mapped ? " without mappings, which are not followed"
						      : "");
			return FL_RULE_POLICY;
		}
	}
	return FL_RULE_NONE;
}
