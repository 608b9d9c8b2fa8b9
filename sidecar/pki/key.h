/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_PKI_KEY_H
#define FL_PKI_KEY_H
/* key - the key of a certificate, and the check that a private key belongs to it. Pure; thread:
 * any. */
#include "base/err.h"
#include "base/mem.h"
#include "pki/digest.h"

/* SignatureScheme of RFC 8446 section 4.2.3, those of the kinds of keys that we accept. */
#define FL_SCHEME_ECDSA_P256_SHA256 0x0403u
#define FL_SCHEME_ECDSA_P384_SHA384 0x0503u
#define FL_SCHEME_RSA_PSS_SHA256 0x0804u
#define FL_SCHEME_RSA_PSS_SHA384 0x0805u
#define FL_SCHEME_RSA_PSS_SHA512 0x0806u
#define FL_SCHEME_ED25519 0x0807u

/* id, name for people, do we accept it */
#define FL_KEY_KINDS(X)                                                                            \
	X(UNKNOWN, "of an unknown kind", false)                                                    \
	X(P256, "EC P-256", true)                                                                  \
	X(P384, "EC P-384", true)                                                                  \
	X(P521, "EC P-521", false)                                                                 \
	X(EC_OTHER, "EC on another curve than P-256 and P-384", false)                             \
	X(ED25519, "Ed25519", true)                                                                \
	X(ED448, "Ed448", false)                                                                   \
	X(RSA, "RSA", true)                                                                        \
	X(RSA_PSS, "RSA-PSS", false)

enum fl_key_kind {
#define FL_KEY_ENUM(id, name, taken) FL_KEY_##id,
	FL_KEY_KINDS(FL_KEY_ENUM)
#undef FL_KEY_ENUM
};

struct fl_public_key {
	enum fl_key_kind kind;
	struct fl_span bits; /* content of the BIT STRING; a view of the certificate */
	struct fl_span info; /* SubjectPublicKeyInfo, the element; a view, too */
	unsigned rsa_bits;   /* size of the modulus; 0: not RSA */
	bool is_exact;       /* written in the only way that the RFC of its kind allows */
};

/* Reads a SubjectPublicKeyInfo. Errors: FL_ERR_INVALID if it is not DER. An unknown kind or form is
 * no error here. */
int fl_key_of_info(struct fl_span info, struct fl_public_key *ret) FL_MUST_USE;

/* The name by which agent and sidecar call the key of a certificate: the digest of its SubjectPublicKeyInfo. */
void fl_key_name(const struct fl_public_key *key, uint8_t ret[FL_DIGEST_LEN]);

/* What all public keys of one private key have in common: the modulus of RSA, whose owner can compute
 * the private half for any exponent; otherwise the point. Only for a key that fl_key_check_kind()
 * lets pass. A view of the certificate. */
struct fl_span fl_key_holder(const struct fl_public_key *key);

/* Do we accept keys of this kind, size and form? Of those that do, equal keys have equal bytes. Errors:
 * FL_ERR_INVALID, "its key is ..." and the remedy. */
int fl_key_check_kind(const struct fl_public_key *key, struct fl_err *err) FL_MUST_USE;

/* Does the private key (DER, any of PKCS#8/SEC1/PKCS#1) belong to that public key, and is it of a
 * kind that we accept: P-256, P-384, Ed25519, RSA of 2048 bits or more. Errors: FL_ERR_INVALID, a
 * sentence with the remedy; FL_ERR_NOMEM. */
int fl_key_check_private(const struct fl_public_key *public, struct fl_span key,
			 struct fl_err *err) FL_MUST_USE;

#endif
