/* SPDX-License-Identifier: GPL-3.0-or-later */
/* rollover - turns the findings of pki/rollover.h, and CRLs older than their predecessors, into warnings about files. Nothing
 * here fails. */
#include "pki/rollover.h"

#include "base/mem.h"
#include "base/when.h"
#include "certs-watch/source.h"
#include "pki/asn1.h"

static bool is_of_same_ca(const struct fl_crl *a, const struct fl_crl *b)
{
	return fl_span_equal(a->issuer, b->issuer) && fl_span_equal(a->authority, b->authority);
}

/* The newest CRL of the CA that issued this one; NULL: there is none. */
static const struct fl_crl *newest_of(const struct fl_credentials *credentials,
				      const struct fl_crl *crl)
{
	const struct fl_crl *newest = NULL;

	for (size_t i = 0; i < credentials->crl_count; i++) {
		const struct fl_crl *other = &credentials->crls[i];

		if (is_of_same_ca(other, crl) &&
		    (newest == NULL || other->this_update > newest->this_update)) {
			newest = other;
		}
	}
	return newest;
}

/* For example, a backup was restored. */
static void judge_crls(const struct fl_source *source, const struct fl_credentials *before,
		       const struct fl_credentials *after, struct fl_findings *findings)
{
	char old[FL_WHEN_TEXT], now[FL_WHEN_TEXT];

	for (size_t i = 0; i < after->crl_count; i++) {
		const struct fl_crl *crl = &after->crls[i], *last = newest_of(before, crl);

		if (newest_of(after, crl) == crl && last != NULL &&
		    last->this_update > crl->this_update) {
			fl_findings_add(
				findings, false, source->crl,
				fl_format(
					"CRL %zu: it is of %s, and so older than the list of the "
					"same CA that was in force until now, of %s: certificates "
					"revoked in between are accepted again; put the newer list "
					"back",
					i + 1, fl_when_format(crl->this_update, now),
					fl_when_format(last->this_update, old)));
		}
	}
}

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
	judge_crls(source, before, after, findings);
}
