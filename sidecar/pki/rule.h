/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_PKI_RULE_H
#define FL_PKI_RULE_H
/* rule - what a certificate, or a chain of them, can break: one list for log, metric, `check` and alert. Thread:
 * any. */
#include <stdint.h>

#include "base/tls_alert.h"

/* name, sentence for people, TLS alert for a peer that breaks it */
#define FL_RULES(X)                                                                                       \
	X(NONE, "none", "no rule is broken", 0)                                                           \
	X(MALFORMED, "certificate-malformed", "the certificate does not parse",                           \
	  FL_ALERT_BAD_CERTIFICATE)                                                                       \
	X(NO_CERTIFICATE, "certificate-missing", "the peer presented no certificate",                     \
	  FL_ALERT_CERTIFICATE_REQUIRED)                                                                  \
	X(URI_COUNT, "svid-one-uri", "an SVID has exactly one URI SAN", FL_ALERT_BAD_CERTIFICATE)         \
	X(SPIFFE_ID, "svid-spiffe-id", "the URI SAN is not a valid SPIFFE ID",                            \
	  FL_ALERT_BAD_CERTIFICATE)                                                                       \
	X(PATH, "svid-path", "the SPIFFE ID of a workload has a path", FL_ALERT_BAD_CERTIFICATE)          \
	X(SAN_CRITICAL, "svid-san-critical",                                                              \
	  "with an empty subject the SAN extension is critical", FL_ALERT_BAD_CERTIFICATE)                \
	X(LEAF_CA, "svid-leaf-not-ca", "a leaf is not a CA", FL_ALERT_BAD_CERTIFICATE)                    \
	X(KEY_USAGE, "svid-key-usage",                                                                    \
	  "key usage is present and critical, with digitalSignature and without keyCertSign and cRLSign", \
	  FL_ALERT_BAD_CERTIFICATE)                                                                       \
	X(EXT_KEY_USAGE, "svid-ext-key-usage",                                                            \
	  "extended key usage, where present, has serverAuth and clientAuth",                             \
	  FL_ALERT_BAD_CERTIFICATE)                                                                       \
	X(SIGNER_CA, "signer-ca", "a signing certificate is a CA", FL_ALERT_BAD_CERTIFICATE)              \
	X(SIGNER_KEY_USAGE, "signer-key-usage",                                                           \
	  "a signing certificate whose key usage is given has keyCertSign",                               \
	  FL_ALERT_BAD_CERTIFICATE)                                                                       \
	X(SIGNER_ID, "signer-id", "the SPIFFE ID of a signing certificate has no path",                   \
	  FL_ALERT_BAD_CERTIFICATE)                                                                       \
	X(TRUST_DOMAIN, "trust-domain-unknown", "the trust domain is neither ours nor federated",         \
	  FL_ALERT_UNKNOWN_CA)                                                                            \
	X(UNKNOWN_ISSUER, "chain-unknown-issuer",                                                         \
	  "the chain does not end in the bundle of its trust domain", FL_ALERT_UNKNOWN_CA)                \
	X(SIGNATURE, "chain-signature", "a signature in the chain does not verify",                       \
	  FL_ALERT_BAD_CERTIFICATE)                                                                       \
	X(PATH_LENGTH, "chain-path-length", "the chain is longer than its path length constraint",        \
	  FL_ALERT_BAD_CERTIFICATE)                                                                       \
	X(NAME_CONSTRAINT, "chain-name-constraint",                                                       \
	  "a name constraint of an issuer forbids this name", FL_ALERT_BAD_CERTIFICATE)                   \
	X(CRITICAL_EXTENSION, "chain-critical-extension",                                                 \
	  "a critical extension is not understood", FL_ALERT_BAD_CERTIFICATE)                             \
	X(EXPIRED, "certificate-expired", "a certificate of the chain has expired",                       \
	  FL_ALERT_CERTIFICATE_EXPIRED)                                                                   \
	X(NOT_YET_VALID, "certificate-not-yet-valid",                                                     \
	  "a certificate of the chain is not valid yet: does one of the clocks run wrong?",               \
	  FL_ALERT_CERTIFICATE_EXPIRED)                                                                   \
	X(REVOKED, "certificate-revoked", "a certificate of the chain is revoked",                        \
	  FL_ALERT_CERTIFICATE_REVOKED)                                                                   \
	X(WEAK_SIGNATURE, "chain-weak-signature",                                                         \
	  "a certificate of the chain is signed with SHA-1 or MD5, which can be forged",                  \
	  FL_ALERT_BAD_CERTIFICATE)                                                                       \
	X(ALGORITHM, "chain-algorithm",                                                                   \
	  "a signature algorithm or a kind of key in the chain is not supported",                         \
	  FL_ALERT_UNSUPPORTED_CERTIFICATE)                                                               \
	X(SIGNER_EXT_KEY_USAGE, "signer-ext-key-usage",                                                   \
	  "a signing certificate with extended key usage allows serverAuth and clientAuth",               \
	  FL_ALERT_BAD_CERTIFICATE)                                                                       \
	X(POLICY, "chain-policy", "the chain has no certificate policy although one is required",         \
	  FL_ALERT_BAD_CERTIFICATE)                                                                       \
	X(TOO_MUCH, "chain-too-much",                                                                     \
	  "the chain is longer, or requires more work to verify, than is allowed",                        \
	  FL_ALERT_BAD_CERTIFICATE)                                                                       \
	X(PEER, "peer-not-expected", "the identity is not one that `peer` names",                         \
	  FL_ALERT_ACCESS_DENIED)                                                                         \
	X(CHAIN, "chain-invalid", "the chain does not verify", FL_ALERT_BAD_CERTIFICATE)

enum fl_rule {
#define FL_RULE_ENUM(id, name, text, alert) FL_RULE_##id,
	FL_RULES(FL_RULE_ENUM)
#undef FL_RULE_ENUM
};

const char *fl_rule_name(enum fl_rule rule);
const char *fl_rule_text(enum fl_rule rule);
uint8_t fl_rule_alert(enum fl_rule rule);
/* Returns what the operators of the two ends can do about it. */
const char *fl_rule_remedy(enum fl_rule rule);

#endif
