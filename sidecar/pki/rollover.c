/* SPDX-License-Identifier: GPL-3.0-or-later */
/* rollover - nothing fails. A chain whose root is not found is no case for a warning: the trial handshake has judged
 * it. Nor is a bundle that is empty, before or after: that has its own warning, and no order. */
#include "pki/rollover.h"

#include "pki/svid.h"

const char fl_rollover_removed_text[] =
	"the root that issued our own certificate until now is gone from our bundle: workloads "
	"that still have a certificate from that root are refused from now on; take a root out "
	"only after every workload has a certificate from another one";

const char fl_rollover_unknown_text[] =
	"our certificate was issued by a root that our bundle did not hold before: workloads that "
	"have not got that root yet refuse us; issue from the new root only after every workload "
	"has it";

static struct fl_span span_of(const struct fl_der *der)
{
	return (struct fl_span){der->data, der->len};
}

/* Does the chain of holder end in our own bundle as keeper has it? */
static bool ends_in(const struct fl_credentials *holder, const struct fl_credentials *keeper)
{
	const struct fl_der_list *roots = &keeper->bundles[0].roots;
	struct fl_span top;

	if (holder->chain.count == 0) {
		return false;
	}
	top = span_of(&holder->chain.items[holder->chain.count - 1]);
	for (size_t i = 0; i < roots->count; i++) {
		if (fl_svid_is_issuer(span_of(&roots->items[i]), top)) {
			return true;
		}
	}
	return false;
}

struct fl_rollover fl_rollover_judge(const struct fl_credentials *before,
				     const struct fl_credentials *after)
{
	if (before->bundles[0].roots.count == 0 || after->bundles[0].roots.count == 0) {
		return (struct fl_rollover){.removed = false};
	}
	return (struct fl_rollover){.removed = ends_in(before, before) && !ends_in(before, after),
				    .unknown = !ends_in(after, before)};
}
