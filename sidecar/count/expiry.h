/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_COUNT_EXPIRY_H
#define FL_COUNT_EXPIRY_H
/* expiry - the validity period of each certificate of a generation, and whether the set is still
 * usable.
 *
 * Built once with the generation, then immutable; thread: any. The number of items shown is
 * bounded, because a bundle may have any length, and each item shown is a series in a monitoring
 * system. */
#include <stdbool.h>

#include "pki/credentials.h"

#define FL_EXPIRY_SHOWN_PER_DOMAIN 16u /* roots of a domain, or all CRLs; the first to expire */
#define FL_EXPIRY_SHOWN 256u           /* of all */

enum fl_certificate_kind {
	FL_CERTIFICATE_LEAF,
	FL_CERTIFICATE_INTERMEDIATE,
	FL_CERTIFICATE_ROOT,
	FL_CERTIFICATE_CRL
};

struct fl_expiry {
	enum fl_certificate_kind kind;
	const char *
		trust_domain; /* borrowed from the credentials; "": a CRL whose CA is in no bundle */
	unsigned index;       /* place in its file, from 1 on */
	int64_t not_after, not_before; /* seconds since the epoch; both belong to the period */
};

struct fl_expiries {
	struct fl_expiry *items; /* owned: leaf, intermediates, CRLs, our roots, foreign roots */
	size_t count;
	size_t left_out;                          /* how many more are not shown */
	const char *id, *trust_domain;            /* our own, borrowed from the credentials */
	const struct fl_credentials *credentials; /* borrowed */
	/* when the last certificate of our chain becomes valid */
	int64_t chain_not_before;
	/* when the first certificate of our chain expires */
	int64_t chain_not_after;
	unsigned chain_index; /* which one expires first; 1: the leaf */
	size_t own_roots;
	int64_t own_roots_not_after; /* when the last of our own roots expires */
};

/* "leaf", "intermediate", "root", "crl" */
const char *fl_certificate_kind_word(enum fl_certificate_kind kind);

/* Lists the certificates of credentials, which must outlive the result. */
void fl_expiries_init(struct fl_expiries *expiries, const struct fl_credentials *credentials);
void fl_expiries_done(struct fl_expiries *expiries);

/* Can we prove who we are, and verify peers, at `now` (seconds since the epoch)? If not, reason (of size bytes) says which
 * certificate is the cause. */
bool fl_expiries_usable(const struct fl_expiries *expiries, int64_t now, char *reason, size_t size);

#endif
