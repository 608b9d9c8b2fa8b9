/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_PKI_CERT_H
#define FL_PKI_CERT_H
/* cert - what a certificate says (RFC 5280 section 4), read once and checked for form. All code
 * that judges certificates uses only this, and no other library's parser.
 *
 * Pure; takes no memory; thread: any. Spans are views of the DER, which has to stay. */
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "pki/key.h"
#include "pki/rule.h"

/* Bits of key usage, as they stand in its first byte. */
enum {
	FL_KU_DIGITAL_SIGNATURE = 0x80,
	FL_KU_CERT_SIGN = 0x04,
	FL_KU_CRL_SIGN = 0x02,
};

/* Of extended key usage. */
enum {
	FL_EKU_SERVER = 1,
	FL_EKU_CLIENT = 2,
	FL_EKU_ANY = 4,
};

#define FL_CERT_NO_LIMIT INT32_MAX /* a path length or count of policies that is not set */

struct fl_cert {
	struct fl_span der;
	struct fl_span tbs; /* the element: what is signed */
	struct fl_span serial;
	struct fl_span algorithm; /* content of the AlgorithmIdentifier of the signature */
	struct fl_span signature;
	struct fl_span issuer, subject; /* names, see name.h */
	uint64_t issuer_hash, subject_hash;
	int64_t not_before, not_after; /* seconds since the epoch; both belong to the period */
	struct fl_public_key key;
	struct fl_span key_id, authority_key_id; /* empty: the certificate has none */
	struct fl_span names;                    /* GeneralNames of subjectAltName; empty: none */
	struct fl_span permitted, excluded;      /* GeneralSubtrees of nameConstraints */
	struct fl_span policies;                 /* PolicyInformation after another */
	struct fl_span unknown;                  /* OID of a critical extension that is unknown */
	int32_t path_length;                     /* FL_CERT_NO_LIMIT: none */
	int32_t require_explicit_policy, inhibit_any_policy; /* FL_CERT_NO_LIMIT: none */
	uint8_t version;                                     /* 1 to 3 */
	uint8_t key_usage, ext_key_usage;
	bool has_basic_constraints : 1, is_ca : 1;
	bool has_key_usage : 1, key_usage_critical : 1;
	bool has_ext_key_usage : 1;
	bool names_critical : 1;
	bool has_name_constraints : 1;
	bool maps_policies : 1;
	bool serial_is_zero : 1;
	bool is_self_issued : 1; /* subject and issuer are the same name */
};

/* FL_RULE_NONE, or FL_RULE_MALFORMED with a sentence in detail (may be NULL). An unknown critical
 * extension is recorded; it becomes an error only if the certificate is used. */
enum fl_rule fl_cert_parse(struct fl_span der, struct fl_cert *ret, struct fl_err *detail);

/* Is it a CA: by its basic constraints, or a self-issued one of version 1, which has none? */
bool fl_cert_is_ca(const struct fl_cert *cert);

/* Have both the same subject and key, that is, are they certificates of one CA? *letters grows by
 * the number of letters that had to be compared one by one, which is slow; that happens when the
 * names are not byte-identical. */
bool fl_cert_same_entity(const struct fl_cert *a, const struct fl_cert *b, size_t *letters);

/* Judging by names, may issuer have issued it? Does not check signatures. letters: as above. */
bool fl_cert_may_have_issued(const struct fl_cert *issuer, const struct fl_cert *cert,
			     size_t *letters);

/* Do both have a key identifier, but different ones? This is only a hint (RFC 5280 section
 * 4.2.1.1), because one key may have several identifiers. */
bool fl_cert_differs_in_key_id(const struct fl_cert *issuer, const struct fl_cert *cert);

#endif
