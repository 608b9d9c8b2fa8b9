/* SPDX-License-Identifier: GPL-3.0-or-later */
/* signature - our table of algorithms in front of wolfCrypt, whose own list is longer.
 *
 * Fails only if memory runs out (wolfCrypt's allocator): any other error of wolfCrypt counts as a
 * signature that does not verify. */
#include <wolfssl/wolfcrypt/settings.h>

#include <wolfssl/wolfcrypt/asn.h>
#include <wolfssl/wolfcrypt/error-crypt.h>

#include "pki/signature.h"

#include "pki/asn1.h"

static const struct {
	struct fl_span oid;
	word32 wolf; /* 0: too weak */
} algorithms[] = {
	{FL_OID(0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02), CTC_SHA256wECDSA},
	{FL_OID(0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03), CTC_SHA384wECDSA},
	{FL_OID(0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x04), CTC_SHA512wECDSA},
	{FL_OID(0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b), CTC_SHA256wRSA},
	{FL_OID(0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0c), CTC_SHA384wRSA},
	{FL_OID(0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0d), CTC_SHA512wRSA},
	{FL_OID(0x2b, 0x65, 0x70), CTC_ED25519},
	{FL_OID(0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a), CTC_RSASSAPSS},
	{FL_OID(0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x01), CTC_SHA224wECDSA},
	{FL_OID(0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0e), CTC_SHA224wRSA},
	{FL_OID(0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x01), 0},             /* ECDSA, SHA-1 */
	{FL_OID(0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x05), 0}, /* RSA, SHA-1 */
	{FL_OID(0x2b, 0x0e, 0x03, 0x02, 0x1d), 0},                         /* the same */
	{FL_OID(0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x04), 0}, /* RSA, MD5 */
	{FL_OID(0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x02), 0}, /* RSA, MD2 */
	{FL_OID(0x2a, 0x86, 0x48, 0xce, 0x38, 0x04, 0x03), 0},             /* DSA, SHA-1 */
};

static const struct fl_span oid_sha1 = FL_OID(0x2b, 0x0e, 0x03, 0x02, 0x1a);

/* Hashes that RSA-PSS may name; what it does not name is SHA-1 (RFC 4055 section 3.1). */
static const struct fl_span pss_hashes[] = {
	FL_OID(0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01),
	FL_OID(0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02),
	FL_OID(0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03),
};

/* parameters: content of RSASSA-PSS-params. */
static enum fl_rule check_pss(struct fl_span parameters)
{
	struct fl_span fields, wrapped, algorithm, oid;

	if (!fl_asn1_take(&parameters, FL_ASN1_SEQUENCE, &fields) ||
	    !fl_asn1_take_optional(&fields, FL_ASN1_CONTEXT_0, &wrapped)) {
		return FL_RULE_ALGORITHM;
	}
	if (wrapped.len == 0) {
		return FL_RULE_WEAK_SIGNATURE;
	}
	if (!fl_asn1_take(&wrapped, FL_ASN1_SEQUENCE, &algorithm) ||
	    !fl_asn1_take(&algorithm, FL_ASN1_OID, &oid)) {
		return FL_RULE_ALGORITHM;
	}
	for (size_t i = 0; i < FL_COUNT_OF(pss_hashes); i++) {
		if (fl_span_equal(oid, pss_hashes[i])) {
			return FL_RULE_NONE;
		}
	}
	return fl_span_equal(oid, oid_sha1) ? FL_RULE_WEAK_SIGNATURE : FL_RULE_ALGORITHM;
}

/* wolfCrypt's number of the algorithm, where the rule is FL_RULE_NONE; *algorithm is then what follows the OID. */
static enum fl_rule find(struct fl_span *algorithm, word32 *ret)
{
	struct fl_span oid;

	if (!fl_asn1_take(algorithm, FL_ASN1_OID, &oid)) {
		return FL_RULE_ALGORITHM;
	}
	for (size_t i = 0; i < FL_COUNT_OF(algorithms); i++) {
		if (fl_span_equal(oid, algorithms[i].oid)) {
			*ret = algorithms[i].wolf;
			return *ret == 0               ? FL_RULE_WEAK_SIGNATURE
			       : *ret == CTC_RSASSAPSS ? check_pss(*algorithm)
						       : FL_RULE_NONE;
		}
	}
	return FL_RULE_ALGORITHM;
}

enum fl_rule fl_signature_check_algorithm(struct fl_span algorithm)
{
	word32 wolf;

	return find(&algorithm, &wolf);
}

static word32 kind_of(const struct fl_public_key *key)
{
	switch (key->kind) {
	case FL_KEY_P256:
	case FL_KEY_P384:
		return ECDSAk;
	case FL_KEY_ED25519:
		return ED25519k;
	case FL_KEY_RSA:
		return RSAk;
	case FL_KEY_UNKNOWN:
	case FL_KEY_P521:
	case FL_KEY_EC_OTHER:
	case FL_KEY_ED448:
	case FL_KEY_RSA_PSS:
		break;
	}
	return 0;
}

int fl_signature_check(const struct fl_signed *what, const struct fl_public_key *key,
		       enum fl_rule *ret)
{
	struct fl_span parameters = what->algorithm, bits;
	word32 algorithm = 0, kind = kind_of(key);
	enum fl_rule rule = find(&parameters, &algorithm);
	SignatureCtx context;
	int rc;

	if (rule != FL_RULE_NONE || fl_key_check_kind(key, NULL) < 0 || kind == 0) {
		*ret = rule != FL_RULE_NONE ? rule : FL_RULE_ALGORITHM;
		return 0;
	}
	/* wolfCrypt wants the curve as well. */
	bits = kind == ECDSAk ? key->info : key->bits;
	InitSignatureCtx(&context, NULL, INVALID_DEVID);
	rc = ConfirmSignature(&context, what->tbs.data, (word32)what->tbs.len, bits.data,
			      (word32)bits.len, kind, what->signature.data,
			      (word32)what->signature.len, algorithm, parameters.data,
			      (word32)parameters.len, NULL);
	if (rc == WC_NO_ERR_TRACE(MEMORY_E)) {
		return FL_ERR_NOMEM;
	}
	*ret = rc == 0 ? FL_RULE_NONE : FL_RULE_SIGNATURE;
	return 0;
}
