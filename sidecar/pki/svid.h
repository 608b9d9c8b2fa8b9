/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_PKI_SVID_H
#define FL_PKI_SVID_H
/* svid - what makes a certificate an X509-SVID, or a signing certificate of a trust domain.
 *
 * The rules are those of the X509-SVID standard (sections 2 to 5), each with a name that log lines,
 * metrics and `check` use. Chain building and signatures are not judged here: tls/verify does that
 * with wolfSSL. Pure functions on DER; thread: any; a few microseconds a call. */
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "pki/spiffe.h"

/* name, sentence for people, TLS alert (RFC 8446 section 6.2) for a peer that breaks it */
#define FL_RULES(X)                                                                                       \
	X(NONE, "none", "no rule is broken", 0)                                                           \
	X(MALFORMED, "certificate-malformed", "the certificate does not parse", 42)                       \
	X(NO_CERTIFICATE, "certificate-missing", "the peer presented no certificate", 116)                \
	X(URI_COUNT, "svid-one-uri", "an SVID has exactly one URI SAN", 42)                               \
	X(SPIFFE_ID, "svid-spiffe-id", "the URI SAN is not a valid SPIFFE ID", 42)                        \
	X(PATH, "svid-path", "the SPIFFE ID of a workload has a path", 42)                                \
	X(SAN_CRITICAL, "svid-san-critical",                                                              \
	  "with an empty subject the SAN extension is critical", 42)                                      \
	X(LEAF_CA, "svid-leaf-not-ca", "a leaf is not a CA", 42)                                          \
	X(KEY_USAGE, "svid-key-usage",                                                                    \
	  "key usage is present and critical, with digitalSignature and without keyCertSign and cRLSign", \
	  42)                                                                                             \
	X(EXT_KEY_USAGE, "svid-ext-key-usage",                                                            \
	  "extended key usage, where present, holds serverAuth and clientAuth", 42)                       \
	X(SIGNER_CA, "signer-ca", "a signing certificate is a CA", 42)                                    \
	X(SIGNER_KEY_USAGE, "signer-key-usage",                                                           \
	  "a signing certificate has critical key usage with keyCertSign", 42)                            \
	X(SIGNER_ID, "signer-id", "the SPIFFE ID of a signing certificate has no path", 42)               \
	X(TRUST_DOMAIN, "trust-domain-unknown", "the trust domain is neither ours nor federated",         \
	  48)                                                                                             \
	X(UNKNOWN_ISSUER, "chain-unknown-issuer",                                                         \
	  "the chain does not end in the bundle of its trust domain", 48)                                 \
	X(SIGNATURE, "chain-signature", "a signature in the chain does not verify", 42)                   \
	X(PATH_LENGTH, "chain-path-length", "the chain is longer than its path length constraint",        \
	  42)                                                                                             \
	X(NAME_CONSTRAINT, "chain-name-constraint",                                                       \
	  "a name constraint of an issuer forbids this name", 42)                                         \
	X(CRITICAL_EXTENSION, "chain-critical-extension",                                                 \
	  "a critical extension is not understood", 42)                                                   \
	X(EXPIRED, "certificate-expired", "a certificate of the chain has expired", 45)                   \
	X(NOT_YET_VALID, "certificate-not-yet-valid",                                                     \
	  "a certificate of the chain is not valid yet: does one of the clocks run wrong?", 45)           \
	X(REVOKED, "certificate-revoked", "a certificate of the chain is revoked", 44)                    \
	X(PEER, "peer-not-expected", "the identity is not one that `peer` names", 49)                     \
	X(CHAIN, "chain-invalid", "the chain does not verify", 42)

enum fl_rule {
#define FL_RULE_ENUM(id, name, text, alert) FL_RULE_##id,
	FL_RULES(FL_RULE_ENUM)
#undef FL_RULE_ENUM
};

const char *fl_rule_name(enum fl_rule rule);
const char *fl_rule_text(enum fl_rule rule);
uint8_t fl_rule_alert(enum fl_rule rule);

/* Judges a leaf by every rule that needs no issuer and no clock. id points into the DER on success.
 * Returns FL_RULE_NONE or the first rule broken; detail (may be NULL) then gets one sentence with
 * the certificate's own values ("it has 2: spiffe://a/x, spiffe://a/y"). */
enum fl_rule fl_svid_check_leaf(struct fl_span der, struct fl_spiffe_id *ret_id,
				struct fl_err *detail);

/* Judges a signing certificate (bundle root or intermediate). */
enum fl_rule fl_svid_check_signer(struct fl_span der, struct fl_err *detail);

/* Validity period. Errors: FL_ERR_INVALID. */
int fl_svid_validity(struct fl_span der, int64_t *ret_not_before, int64_t *ret_not_after,
		     struct fl_err *err) FL_MUST_USE;

/* Subject key identifier (20 bytes, wolfSSL hashes the key where the extension is absent): anchors with
 * equal identifiers in two trust domains shadow each other in wolfSSL and are refused by credentials. */
int fl_svid_key_id(struct fl_span der, uint8_t ret[20], struct fl_err *err) FL_MUST_USE;

/* Would verification look for the issuer of `certificate` in `issuer`: by name, and by key identifier where
 * it has one? Signatures are not checked. False also for what does not parse. */
bool fl_svid_is_issuer(struct fl_span issuer, struct fl_span certificate);

/* Does the private key (DER, any of PKCS#8/SEC1/PKCS#1) belong to the leaf, and is it of a kind we
 * take: P-256, P-384, Ed25519, RSA of 2048 bits or more. */
int fl_svid_check_key(struct fl_span leaf, struct fl_span key, struct fl_err *err) FL_MUST_USE;

#endif
