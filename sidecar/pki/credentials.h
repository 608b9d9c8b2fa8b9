/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_PKI_CREDENTIALS_H
#define FL_PKI_CREDENTIALS_H
/* credentials - the complete set that a generation stands on: our chain and key, and one bundle for
 * each trust domain. Bundles are never merged (SPIFFE Trust Domain and Bundle, section 4.1).
 *
 * Built whole, then immutable. Thread: any, one at a time until it is published in a generation. */
#include <stdbool.h>
#include <stdint.h>

#include "pki/crl.h"
#include "pki/pem.h"
#include "pki/svid.h"

struct fl_bundle {
	char *trust_domain;       /* owned */
	struct fl_der_list roots; /* may be empty: then nobody of this domain is trusted */
};

struct fl_credentials {
	struct fl_der_list chain; /* leaf first, then intermediates */
	struct fl_der key;        /* wiped by fl_credentials_free */
	char *id;                 /* own SPIFFE ID, owned; the trust domain is its authority */
	char *trust_domain;       /* owned */
	int64_t not_before;       /* of the leaf */
	int64_t not_after;
	struct fl_bundle *bundles; /* [0] is our own trust domain's */
	size_t bundle_count;
	struct fl_crl *crls; /* of any CA of our own trust domain or of a federated one; owned */
	size_t crl_count;
};

/* Which CRLs may have run out. A list has to be current when it is taken first; from then on it goes on counting, and a
 * set that still has that very list (its DER, byte by byte) is no worse for it than what is in force. To refuse it would
 * protect nobody, and hold up the renewal of our certificate. All zero: none. */
struct fl_late_crls {
	const struct fl_credentials
		*in_force; /* borrowed: those that this set has; NULL: nothing is in force */
	bool all;          /* somebody else judges that, who knows what is in force */
};

/* Input as PEM; spans are borrowed for the call. Either cert and key, or credential_bundle. */
struct fl_credentials_pem {
	struct fl_span cert, key;
	struct fl_span credential_bundle;
	struct fl_span bundle; /* own trust domain */
	struct fl_span crl;    /* data and crl_name NULL: there is none */
	struct fl_late_crls late;
	const char *cert_name, *key_name, *credential_bundle_name, *bundle_name,
		*crl_name; /* file names for messages */
	struct fl_foreign_bundle {
		const char *trust_domain;
		struct fl_span pem;
		const char *name; /* file name for messages */
	} const *foreign;
	size_t foreign_count;
};

/* Parses and judges everything that needs no signature check: PEM, key kind and match, leaf rules,
 * signer rules and validity of every root (each certificate of a bundle is a CA and valid now),
 * duplicates across trust domains, leaf valid at `now`. Each CRL is current at `now`, or may have run out (pem->late), and one that names a root of
 * a bundle or an intermediate of our own chain is signed by it; what names neither may be an intermediate's of a peer and is
 * kept (FL_CRL_LOOSE). Our own chain is on none of them. A sentence names file, certificate number and remedy.
 * now: seconds since the epoch. Chain verification and trial handshake: tls/trial.h. */
int fl_credentials_parse(const struct fl_credentials_pem *pem, int64_t now,
			 struct fl_credentials **ret, struct fl_err *err) FL_MUST_USE;

/* As fl_credentials_parse(), but goes on after a problem and tells each: name is the file's name out of
 * pem, that very pointer, or NULL for the set as a whole; text is the sentence without it. */
typedef void (*fl_credentials_problem_cb)(void *user, const char *name, const char *text);
int fl_credentials_parse_all(const struct fl_credentials_pem *pem, int64_t now,
			     fl_credentials_problem_cb problem, void *user,
			     struct fl_credentials **ret) FL_MUST_USE;

/* Index of the bundle of the ID's trust domain; bundle_count: there is none. */
size_t fl_credentials_bundle_of(const struct fl_credentials *c, const struct fl_spiffe_id *id);

/* Is a certificate of this chain on one of the CRLs? The chain, leaf first, of our own or of a peer, has been verified
 * in that bundle, whose roots' lists count, and those of an intermediate of the very chain. A CA without a CRL is not covered; a
 * list that has run out since it was read goes on counting. *ret_index is then the place of that certificate, and detail (may be
 * NULL) gets its serial number. Memory is taken only where a loose list names a certificate; when it is out, that one counts as
 * revoked. */
bool fl_credentials_revoked(const struct fl_credentials *c, size_t bundle,
			    const struct fl_span *chain, size_t count, size_t *ret_index,
			    struct fl_err *detail);

/* SHA-256 over all of it, length-prefixed: equal content, equal digest. */
#define FL_DIGEST_LEN 32
void fl_credentials_digest(const struct fl_credentials *c, uint8_t ret[FL_DIGEST_LEN]);

/* Wipes the key. NULL is fine. */
void fl_credentials_free(struct fl_credentials *c);

#endif
