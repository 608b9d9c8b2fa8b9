/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_PKI_SIGNER_H
#define FL_PKI_SIGNER_H
/* signer - a private key that signs nothing but CertificateVerify messages of TLS 1.3.
 *
 * It gets a role, a scheme and the hash of a transcript, and builds the content itself (RFC 8446 section 4.4.3): 64 spaces,
 * the context string of the role, 0, the hash. No certificate, request, token or message of TLS 1.2 begins like that, so a
 * signature of it proves nothing but a handshake of TLS 1.3, in that role.
 *
 * The key is decoded once, into pages of its own, which are locked, not dumped, and wiped. Thread: one at a time. */
#include "pki/key.h"

/* Bytes of the longest signature: RSA of 4096 bits. */
#define FL_SIGNATURE_MAX 512u

enum fl_sign_role { FL_SIGN_CLIENT, FL_SIGN_SERVER };

/* Results of fl_signer_sign(), each with its word for counters. The numbers are part of the agent's protocol: add, never
 * renumber. RATE and KEY are for those who choose a signer. */
#define FL_SIGN_RESULTS(X)                                                                         \
	X(SIGNED, 0, "signed")                                                                     \
	X(KEY, 1, "unknown_key")                                                                   \
	X(SCHEME, 2, "wrong_scheme")                                                               \
	X(HASH, 3, "wrong_hash")                                                                   \
	X(ROLE, 4, "wrong_role")                                                                   \
	X(RATE, 5, "rate")                                                                         \
	X(FAULT, 6, "fault")

enum fl_sign_result {
#define FL_SIGN_RESULT_ENUM(id, number, word) FL_SIGN_##id = (number),
	FL_SIGN_RESULTS(FL_SIGN_RESULT_ENUM)
#undef FL_SIGN_RESULT_ENUM
		FL_SIGN_RESULT_COUNT,
};
const char *fl_sign_result_word(enum fl_sign_result result);

struct fl_signer;

/* key: the private key (DER) of that public key; both are read during the call only. Errors: FL_ERR_INVALID, as
 * fl_key_check_private(); FL_ERR_NOMEM. */
int fl_signer_new(const struct fl_public_key *public, struct fl_span key, struct fl_signer **ret,
		  struct fl_err *err) FL_MUST_USE;
void fl_signer_free(struct fl_signer *signer); /* wipes; NULL is fine */

/* fl_key_name() of its public key, FL_DIGEST_LEN bytes. */
const uint8_t *fl_signer_key_name(const struct fl_signer *signer);

/* Would it be signed? SIGNED: yes; SCHEME: not one of this key's kind; HASH: not as long as SHA-256 or SHA-384; ROLE: neither
 * client nor server. */
enum fl_sign_result fl_signer_judge(const struct fl_signer *signer, unsigned role, uint16_t scheme,
				    struct fl_span hash);
/* ret of FL_SIGNATURE_MAX bytes. SIGNED; what fl_signer_judge() says; or FAULT: wolfCrypt failed, for example for lack of random
 * numbers. */
enum fl_sign_result fl_signer_sign(struct fl_signer *signer, unsigned role, uint16_t scheme,
				   struct fl_span hash, uint8_t *ret, size_t *ret_len);

#endif
