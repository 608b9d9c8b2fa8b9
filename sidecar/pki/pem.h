/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_PKI_PEM_H
#define FL_PKI_PEM_H
/* pem - from PEM text to DER blobs. No I/O. RFC 7468.
 *
 * Thread: any. Key material is wiped by the *_done functions. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"

struct fl_der {
	uint8_t *data; /* owned */
	size_t len;
};

static inline struct fl_span fl_span_of(const struct fl_der *der)
{
	return (struct fl_span){der->data, der->len};
}

struct fl_der_list {
	struct fl_der *items; /* owned */
	size_t count;
};

/* Every CERTIFICATE block of text, in order. Text outside blocks is ignored (openssl writes
 * headers). At least one is required unless allow_empty (an empty bundle trusts nobody). Any other
 * block type, a broken block or a truncated one is FL_ERR_INVALID naming the block's number and line. */
int fl_pem_certificates(const char *text, size_t len, bool allow_empty, struct fl_der_list *ret,
			struct fl_err *err) FL_MUST_USE;

/* The one unencrypted private key of text: PRIVATE KEY (PKCS#8), EC PRIVATE KEY or RSA PRIVATE KEY;
 * EC PARAMETERS blocks are skipped. Encrypted keys are refused with the openssl command that
 * decrypts them. ret->data is to be wiped: fl_der_wipe(). */
int fl_pem_private_key(const char *text, size_t len, struct fl_der *ret,
		       struct fl_err *err) FL_MUST_USE;

/* One file with the key first and then the chain, nothing else (Kubernetes PodCertificate, SPIFFE
 * file delivery). */
int fl_pem_credential_bundle(const char *text, size_t len, struct fl_der *ret_key,
			     struct fl_der_list *ret_chain, struct fl_err *err) FL_MUST_USE;

/* Every X509 CRL block of text, in order; at least one, and nothing else. */
int fl_pem_crls(const char *text, size_t len, struct fl_der_list *ret,
		struct fl_err *err) FL_MUST_USE;

/* The certificates, or CRLs, as PEM and nothing else, to free(). Never NULL. */
char *fl_pem_write_certificates(const struct fl_der_list *list);
char *fl_pem_write_crls(const struct fl_der_list *list);

/* Deep copy. */
void fl_der_copy(struct fl_der *to, const uint8_t *data, size_t len);
void fl_der_list_push(struct fl_der_list *list, const uint8_t *data, size_t len);
void fl_der_list_done(struct fl_der_list *list);
void fl_der_wipe(struct fl_der *der); /* wipes, frees, nulls */

#endif
