/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FL_PKI_CREDENTIALS_H
#define FL_PKI_CREDENTIALS_H
/* credentials - the complete set that a generation stands on: our chain and key, and one bundle for
 * each trust domain. Bundles are never merged (SPIFFE Trust Domain and Bundle, section 4.1).
 *
 * Built whole, then immutable. Thread: any, one at a time until it is published in a generation. */
#include <stdbool.h>
#include <stdint.h>

#include "pki/credential_files.h"
#include "pki/crl.h"
#include "pki/digest.h"
#include "pki/path.h"
#include "pki/pem.h"
#include "pki/svid.h"

struct fl_bundle {
	char *trust_domain;        /* owned */
	struct fl_der_list roots;  /* may be empty: then nobody of this domain is trusted */
	struct fl_anchors anchors; /* the same, to look up, those included that are out of date */
	char *refused; /* of a federated domain, which then has no roots: why; owned; NULL: all is well */
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
	struct fl_path
		own; /* the way of our own chain: places in it, and its end in bundles[0].roots */
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
	/* What each file holds, and as `cert_name` and so on what messages call it. crl: data and name NULL, there is none. */
#define FL_CREDENTIALS_PEM_FILE(name, is_secret)                                                   \
	struct fl_span name;                                                                       \
	const char *name##_name;
	FL_CREDENTIAL_FILES(FL_CREDENTIALS_PEM_FILE)
#undef FL_CREDENTIALS_PEM_FILE
	struct fl_late_crls late;
	struct fl_foreign_bundle {
		const char *trust_domain;
		struct fl_span pem;
		const char *name; /* file name for messages */
		bool shared_root; /* a root of another domain may stand here, too */
	} const *foreign;
	size_t foreign_count;
};

/* Parses and judges: PEM, key kind and match, the leaf by the rules of SVIDs, every root of a bundle, CRLs, and last the
 * way from our leaf up to our own bundle (pki/judge.h). now: seconds since the epoch. The trial handshake comes
 * later: tls/tls.h.
 *
 * Roots are judged leniently: those that have run out or are not valid yet stay, and do not count until they are valid; that
 * is a warning, and an error only when none of our own bundle is left.
 * What is wrong with a federated bundle is a warning, too, and nobody of that domain is trusted: it says nothing about
 * ourselves. That holds as well for one that has a root of another domain, unless shared_root.
 * Our own bundle has a root; a federated one may be empty.
 *
 * CRLs: each is current at `now`, or may have run out (pem->late), and one that names a root of a bundle or an intermediate
 * of our own chain is signed by it; what names neither may be an intermediate's of a peer and is kept (FL_CRL_LOOSE). A list that
 * cannot be used (fl_crl.unusable) of a root or of an intermediate of ours refuses the set, for without it the revoked would be
 * let in, unless others of the same CA cover all that it could be about. Of another CA it is kept, with a warning: what that CA
 * has issued counts as revoked.
 *
 * A sentence names file, certificate number and remedy. The first error is in err. Errors: FL_ERR_INVALID. */
int fl_credentials_parse(const struct fl_credentials_pem *pem, int64_t now,
			 struct fl_credentials **ret, struct fl_err *err) FL_MUST_USE;

/* As fl_credentials_parse(), but goes on after an error and tells each, and each warning: name is the file's name out of
 * pem, that very pointer, or NULL for the set as a whole; text is the sentence without it. */
typedef void (*fl_credentials_finding_cb)(void *user, bool is_error, const char *name,
					  const char *text);
int fl_credentials_parse_all(const struct fl_credentials_pem *pem, int64_t now,
			     fl_credentials_finding_cb finding, void *user,
			     struct fl_credentials **ret) FL_MUST_USE;

/* Makes anchors of the roots that are good ones. Aborts when memory is out. */
void fl_bundle_index(struct fl_bundle *bundle);

/* The trust domain that a list of the set is about; "": of a CA in no bundle, or of one in several. */
const char *fl_credentials_crl_domain(const struct fl_credentials *c, const struct fl_crl *crl);

/* How many of its roots are out of date at `now`? */
size_t fl_bundle_late_count(const struct fl_bundle *bundle, int64_t now);

/* Index of the bundle of the ID's trust domain; bundle_count: there is none. */
size_t fl_credentials_bundle_of(const struct fl_credentials *c, const struct fl_spiffe_id *id);

/* SHA-256 over all of it, length-prefixed: equal content, equal digest. */
void fl_credentials_digest(const struct fl_credentials *c, uint8_t ret[FL_DIGEST_LEN]);

/* Wipes the key. NULL is fine. */
void fl_credentials_free(struct fl_credentials *c);

#endif
