/* SPDX-License-Identifier: GPL-3.0-or-later */
/* rollover - nothing fails. A chain whose root is not found gets no warning here: credentials.c has
 * judged it. Neither does a bundle that is empty before or after: that has its own warning. */
#include "pki/rollover.h"

#include <stdlib.h>

#include "pki/path.h"

const char fl_rollover_removed_text[] =
	"the root that issued our own certificate until now is gone from our bundle: workloads "
	"that still have a certificate from that root are refused from now on; remove a root "
	"only after every workload has a certificate from another one";

const char fl_rollover_unknown_text[] =
	"our certificate was issued by a root that our bundle did not have before: workloads "
	"that do not have that root yet refuse us; issue from a new root only after every "
	"workload has it";

/* Does the chain of holder lead to our own bundle as keeper has it, whatever the date? */
static bool ends_in(const struct fl_credentials *holder, const struct fl_credentials *keeper)
{
	struct fl_span *chain = fl_new((holder->chain.count + 1) * sizeof(*chain));
	struct fl_path path = {.rule = FL_RULE_NO_CERTIFICATE};
	const struct fl_path_request request = {
		.certs = chain,
		.count = holder->chain.count,
		.anchors = &keeper->bundles[0].anchors,
		.any_time = true,
		.usage = FL_EKU_SERVER | FL_EKU_CLIENT,
	};
	bool ends;

	for (size_t i = 0; i < holder->chain.count; i++) {
		chain[i] =
			(struct fl_span){holder->chain.items[i].data, holder->chain.items[i].len};
	}
	ends = fl_path_find(&request, &path, NULL) == 0 && path.rule == FL_RULE_NONE;
	free(chain);
	return ends;
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
