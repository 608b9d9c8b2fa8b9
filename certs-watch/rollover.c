/* SPDX-License-Identifier: GPL-3.0-or-later */
/* rollover - changing a trust domain's root is safe in one order: the new root into every bundle, then
 * certificates from it, then the old root out of every bundle. Each of our own changes shows whether it
 * keeps to that order; of the others' we know nothing, so these are warnings and refuse nothing.
 *
 * Nothing fails. A chain whose root is not found is no case for a warning: the trial has judged it. */
#include "certs-watch/files.h"

#include "base/mem.h"

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

void fl_source_judge_change(const struct fl_source *source, const struct fl_credentials *before,
			    const struct fl_credentials *after, struct fl_findings *findings)
{
	const char *chain = source->cert ? source->cert : source->credential_bundle;

	/* Nobody trusted, on either side: that has its own warning, and no order. */
	if (before->bundles[0].roots.count == 0 || after->bundles[0].roots.count == 0) {
		return;
	}
	if (ends_in(before, before) && !ends_in(before, after)) {
		fl_findings_add(
			findings, false, source->bundle,
			fl_strdup("the root that issued our own certificate until now is gone from "
				  "it: workloads that still have a certificate from that root are "
				  "refused from now on; take a root out only after every "
				  "workload has a certificate from another one"));
	}
	if (!ends_in(after, before)) {
		fl_findings_add(
			findings, false, chain,
			fl_strdup("it was issued by a root that our bundle did not hold before: "
				  "workloads that have not got that root yet refuse us; issue "
				  "from the new root only after every workload has it"));
	}
}
