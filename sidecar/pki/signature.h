/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_PKI_SIGNATURE_H
#define FL_PKI_SIGNATURE_H
/* signature - the signatures of certificates and CRLs: the only part of judging a chain that
 * wolfCrypt does. ECDSA and RSA (PKCS #1 v1.5 and PSS) with SHA-2, and Ed25519. Thread: any. */
#include "base/err.h"
#include "base/mem.h"
#include "pki/key.h"
#include "pki/rule.h"

/* What RFC 5280 calls SIGNED: the element that is signed, the content of the AlgorithmIdentifier, the signature. */
struct fl_signed {
	struct fl_span tbs, algorithm, signature;
};

/* By its algorithm: FL_RULE_NONE, FL_RULE_WEAK_SIGNATURE (SHA-1, MD5 and MD2) or FL_RULE_ALGORITHM. Costs nothing. */
enum fl_rule fl_signature_check_algorithm(struct fl_span algorithm);

/* Did that key make the signature? *ret: FL_RULE_NONE, one of the above, or FL_RULE_SIGNATURE.
 * Errors: FL_ERR_NOMEM. */
int fl_signature_check(const struct fl_signed *what, const struct fl_public_key *key,
		       enum fl_rule *ret) FL_MUST_USE;

#endif
