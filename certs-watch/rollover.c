/* SPDX-License-Identifier: GPL-3.0-or-later */
/* rollover - what pki/rollover.h finds, as warnings about files. Nothing fails. */
#include "pki/rollover.h"

#include "base/mem.h"
#include "certs-watch/files.h"

void fl_source_judge_change(const struct fl_source *source, const struct fl_credentials *before,
			    const struct fl_credentials *after, struct fl_findings *findings)
{
	const char *chain = source->cert ? source->cert : source->credential_bundle;
	struct fl_rollover found = fl_rollover_judge(before, after);

	if (found.removed) {
		fl_findings_add(findings, false, source->bundle,
				fl_strdup(fl_rollover_removed_text));
	}
	if (found.unknown) {
		fl_findings_add(findings, false, chain, fl_strdup(fl_rollover_unknown_text));
	}
}
