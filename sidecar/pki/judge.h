/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_PKI_JUDGE_H
#define FL_PKI_JUDGE_H
/* judge - do these credentials trust this chain? It must be an SVID by its form (svid.h), of a
 * trust domain that we have a bundle for, with a good path to an anchor of that bundle (path.h), on
 * which no certificate is revoked. All code that needs a verdict calls this. Thread: any. */
#include "pki/credentials.h"
#include "pki/path.h"

struct fl_judgement {
	enum fl_rule rule; /* FL_RULE_NONE: trusted */
	struct fl_spiffe_id
		id;          /* of the leaf, a view of it; text NULL where its form is not good */
	size_t bundle;       /* of its trust domain; bundle_count: there is none */
	struct fl_path path; /* as far as it was computed */
};

/* The time at which a chain is judged. */
struct fl_moment {
	int64_t now;   /* seconds since the epoch */
	bool any_time; /* dates do not count */
};

/* chain: leaf first, then whatever came with it, in any order. detail (may be NULL): a sentence that names the certificate,
 * where a rule is broken. Errors: FL_ERR_NOMEM. */
int fl_judge(const struct fl_credentials *c, const struct fl_span *chain, size_t count,
	     struct fl_moment when, struct fl_judgement *ret, struct fl_err *detail) FL_MUST_USE;

/* Is a certificate of this path on one of the CRLs? chain[count]: its anchor, or an empty span. It leads to that bundle. A list
 * counts against what the key that signed it has issued, whichever certificate of that CA is on the path. A CA without a CRL is
 * not covered; a list that has run out since it was read goes on counting. *ret_index is then the place of that certificate, and
 * detail (may be NULL) gets its serial number. Memory is taken only where a list names a certificate; when it is out, that one
 * counts as revoked, as does one that does not parse. */
bool fl_judge_revoked(const struct fl_credentials *c, size_t bundle, const struct fl_span *chain,
		      size_t count, size_t *ret_index, struct fl_err *detail);

/* Finds the certificates that could be on a path, by their names: sets keep[i] for each, and always
 * for the leaf. Returns how many. */
size_t fl_judge_relevant(const struct fl_span *certs, size_t count, bool keep[FL_PATH_SENT_MAX]);

#endif
