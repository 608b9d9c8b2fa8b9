/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_PKI_SVID_H
#define FL_PKI_SVID_H
/* svid - what makes a certificate an X509-SVID, or a signing certificate of a trust domain.
 *
 * The rules are those of the X509-SVID standard (sections 2 to 5), each with a name (rule.h).
 * path.h checks whether a chain leads to an anchor. Pure functions on DER; thread: any; a
 * microsecond a call. */
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "pki/cert.h"
#include "pki/rule.h"
#include "pki/spiffe.h"

/* Judges a leaf by every rule that needs no issuer and no clock. id points into its DER on success.
 * Returns FL_RULE_NONE or the first rule broken; detail (may be NULL) then gets one sentence with
 * the certificate's own values ("it has 2: spiffe://a/x, spiffe://a/y"). */
enum fl_rule fl_svid_check_leaf(const struct fl_cert *cert, struct fl_spiffe_id *ret_id,
				struct fl_err *detail);

/* A signing certificate's own SPIFFE ID, if it has one, is its trust domain. */
enum fl_rule fl_svid_check_signer_id(const struct fl_cert *cert, struct fl_err *detail);

/* Judges an anchor: a CA that may sign, with a key of a kind that we accept. Lenient where nothing
 * depends on it: its key usage may be absent or not critical, and a root may be of version 1. Dates
 * are not judged. */
enum fl_rule fl_svid_check_anchor(const struct fl_cert *cert, struct fl_err *detail);

/* Validity period. Errors: FL_ERR_INVALID. */
int fl_svid_validity(struct fl_span der, int64_t *ret_not_before, int64_t *ret_not_after,
		     struct fl_err *err) FL_MUST_USE;

/* Subject key identifier, for people; of a certificate without one, or with one of another length, the SHA-1 of its key.
 * Errors: FL_ERR_INVALID. */
int fl_svid_key_id(struct fl_span der, uint8_t ret[20], struct fl_err *err) FL_MUST_USE;

#endif
